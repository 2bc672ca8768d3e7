"""Living: engines that are open in this process, and how it ends for them.

Answers for: an orderly close when the process exits, and letting go of everything in a
process that was forked from it.
Always holds: what belongs to a parent process is kept from being collected: to close
its files or its connections would close them for the parent.
"""

import asyncio
import atexit
import os
import weakref
from typing import Protocol


class Living(Protocol):
    """What has to end in order."""

    def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        ...

    def disown(self) -> None:
        """In a forked process: serve nobody, and touch nothing."""
        ...


_open: "weakref.WeakSet[Living]" = weakref.WeakSet()
_disowned: list[Living] = []


def opened(engine: Living) -> None:
    """Remember an engine for as long as it is open."""
    _open.add(engine)


def closed(engine: Living) -> None:
    """Forget an engine."""
    _open.discard(engine)


def current_task() -> object:
    """The task that runs on this thread, or None."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs on this thread
        return None


def _close_all() -> None:
    failure: Exception | None = None
    for engine in list(_open):
        try:
            engine.close()
        except Exception as error:  # the others are closed all the same
            failure = failure or error
    if failure is not None:
        raise failure


def _disown_all() -> None:
    for engine in list(_open):
        _disowned.append(engine)
        engine.disown()
    _open.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_disown_all)
