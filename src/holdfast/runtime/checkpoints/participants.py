"""Participants: who has something in memory that a checkpoint keeps.

Answers for: calling what a participant registered, each call within its time, on
whichever thread or event loop it belongs to; what went wrong with it, in words.
Leaves to others: when that is done, and what becomes of it (`desk`).
Always holds: what is collected is encoded where it was collected. A call that takes too
long is left behind and keeps nobody; what it gives in the end is told to whoever still
wants it.
"""

import inspect
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.errors import Refused
from holdfast.runtime.checkpoints.calls import Call, Kept, amid, said, steadily
from holdfast.runtime.daemons import Daemons
from holdfast.runtime.loops import running_loop

if TYPE_CHECKING:
    import asyncio

STILL_AT_IT = "an earlier call of it is not done yet, and was gone past"
_STANDS = "its event loop does not run any more"
_KEPT_WAITING = (
    "it is awaited on the event loop that this call keeps waiting: await the async "
    "store's call instead"
)
_GRACE_SECONDS = 0.5
"""More for what an event loop has to give up itself."""


class Cancelled(Exception):
    """What was asked on an event loop was cancelled there, by somebody else."""


class TooLate(Exception):
    """What was asked on an event loop was not done in its time."""


class Participant:
    """Someone who has something in memory: how it is collected, and given back."""

    def __init__(
        self,
        name: str,
        collect: Callable[[], Any],
        restore: Callable[[Any], Any] | None,
        seconds: float,
    ) -> None:
        self.name = name
        self.seconds = seconds
        self.restores = restore is not None
        self._collect = collect
        self._restore = restore
        self._last: Call | None = None

    @property
    def patience(self) -> float:
        """How long a call of it is waited for."""
        return self.seconds

    def is_at_it(self) -> bool:
        """Whether a call of it is not done yet, for which nobody waits any more.

        One that was broken off (Ctrl-C) may still be done: it is given its time.
        """
        last = self._last
        if last is None or last.over or last.withdraw():
            return False
        last.left = last.left or not last.wait(time.monotonic() + self.patience)
        return last.left and not last.over

    def collecting(self, kept: Kept) -> Call:
        """The call that collects, and has what it got `kept` where it was collected."""
        return self._call(self._collected, kept)

    def restoring(self, data: Any) -> Call:
        """The call that gives back."""
        return self._call(self._restore, data)

    def _collected(self, kept: Kept) -> Any:
        return steadily(kept, self._collect())

    def _call(self, function: Any, *args: Any) -> Call:
        self._last = Call(function, *args)
        return self._last

    def belongs_here(self) -> bool:
        """Whether its calls can be done nowhere else than on this very thread."""
        return False


class LoopParticipant(Participant):
    """A participant whose functions are called on an event loop, and awaited."""

    def __init__(
        self,
        name: str,
        collect: Callable[[], Any],
        restore: Callable[[Any], Any] | None,
        seconds: float,
        loop: "asyncio.AbstractEventLoop",
    ) -> None:
        super().__init__(name, collect, restore, seconds)
        self._loop = loop

    @property
    def patience(self) -> float:
        """How long a call of it is waited for; the event loop ends it before that."""
        return self.seconds + _GRACE_SECONDS

    def restoring(self, data: Any) -> Call:
        """The call that gives back."""
        return self._call(self._on_loop, _as_it_is, self._restore, data)

    def belongs_here(self) -> bool:
        """Whether this thread runs its event loop, and so keeps it waiting."""
        return running_loop() is self._loop

    def _collected(self, kept: Kept) -> Any:
        """Collect; again if a loop that ends has cancelled it."""
        try:
            return self._on_loop(kept, self._collect)
        except Cancelled:
            return self._on_loop(kept, self._collect)

    def _on_loop(self, kept: Kept, function: Callable[..., Any], *args: Any) -> Any:
        if self.belongs_here() or self._loop.is_closed():
            return steadily(kept, self._at_once(function, *args))
        if not self._loop.is_running():
            raise Refused(_STANDS)
        import asyncio  # noqa: PLC0415  # whoever has an event loop has loaded it
        from concurrent.futures import CancelledError, wait  # noqa: PLC0415  # as said

        asked = asyncio.run_coroutine_threadsafe(
            self._awaited(amid.get(), kept, function, *args), self._loop
        )
        if not wait([asked], self.patience).done:
            asked.cancel()
            raise TooLate
        try:
            return asked.result()
        except CancelledError:
            raise Cancelled("it was cancelled on its event loop") from None

    async def _awaited(
        self, call: Call | None, kept: Kept, function: Callable[..., Any], *args: Any
    ) -> Any:
        """Call a function on the event loop, as part of a call, within its time."""
        import asyncio  # noqa: PLC0415  # as said

        amid.set(call)
        try:
            async with asyncio.timeout(self.seconds) as time_out:
                given = function(*args)
                given = await given if inspect.isawaitable(given) else given
        except TimeoutError:
            if time_out.expired():
                raise TooLate from None
            raise
        return steadily(kept, given)

    def _at_once(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function right here: on its event loop, or after that was closed."""
        given = function(*args)
        if inspect.isawaitable(given):
            if inspect.iscoroutine(given):
                given.close()
            raise Refused(_STANDS if self._loop.is_closed() else _KEPT_WAITING)
        return given


class Calls:
    """Threads that calls are done on, for as long as an open store has participants."""

    def __init__(self) -> None:
        self._daemons = Daemons(lambda: None, "holdfast-participant")

    def all_done(
        self, calls: Sequence[tuple[Participant, Call]]
    ) -> dict[str, str | None]:
        """Have calls done side by side: by participant, what went wrong, if anything.

        One that is not done in its time is told so, and goes on by itself.
        """
        began = time.monotonic()
        there = [call for one, call in calls if not one.belongs_here()]
        self._put(there)
        for one, call in calls:
            if one.belongs_here():
                call()
        return {one.name: _waited(one, call, began) for one, call in calls}

    def close(self) -> None:
        """End the threads that rest."""
        self._daemons.close()

    def _put(self, calls: Sequence[Call]) -> None:
        try:
            if calls and not sys.is_finalizing():
                self._daemons.put(calls)
                return
        except RuntimeError:  # the interpreter ends, and starts no thread any more
            pass
        for call in calls:
            call()


def _as_it_is(value: Any) -> Any:
    return value


def too_long(participant: Participant) -> str:
    """What is said of a call that was not done in its time."""
    return f"it was not done within {participant.seconds:g} s, and was gone past"


def _waited(participant: Participant, call: Call, began: float) -> str | None:
    if not call.wait(began + participant.patience):
        call.left = True
        return too_long(participant)
    if isinstance(call.error, TooLate):
        return too_long(participant)
    return None if call.error is None else said(call.error)
