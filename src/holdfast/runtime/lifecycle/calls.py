"""Calls: one turn of a handler, as it is asked for and as it went.

Answers for: what the sequence asks of whoever drives it, and is told.
Leaves to others: calling on threads (`caller`), or on an event loop (`acaller`).
"""

import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

import msgspec

from holdfast.logs import logger
from holdfast.runtime.lifecycle.phases import Outcome, Phase

T = TypeVar("T")
GRACE_SECONDS = 1.0
"""How long a handler that was cancelled may take to end."""
LOOK_UP_SECONDS = 0.1
"""How often a thread that waits looks whether a signal came."""
_FRAMES = 4
"""How many of the innermost calls are shown of a thread that is blocked."""
inside: ContextVar[object] = ContextVar("inside", default=None)
"""The life whose handler runs here."""


class Call(msgspec.Struct, frozen=True):
    """A function to be called, with its time in seconds; None for no end.

    What it gives is awaited, if it can be.
    """

    module: str
    phase: Phase
    function: Callable[[], object]
    seconds: float | None
    what: str = "handler"
    on_loop: bool = False
    """Whether it is to be called on the event loop: it gives a coroutine."""


class Called(msgspec.Struct, frozen=True):
    """How it went; `value` is what it gave."""

    outcome: Outcome
    seconds: float
    value: object = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether it went well."""
        return self.outcome == "done"


Given: TypeAlias = tuple[object, BaseException | None]
"""What a function gave, or what it raised."""
Steps: TypeAlias = Generator[Call, Called, T]
"""Calls, one after another; how each went is sent in."""


def outcome(function: Callable[[], object]) -> Given:
    """Call a function."""
    try:
        return function(), None
    except BaseException as error:
        return None, error


async def awaited(value: Awaitable[object]) -> Given:
    """Await what a function gave. Raises `CancelledError`, and nothing else."""
    import asyncio  # noqa: PLC0415  # who is here has it

    try:
        return await value, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # some of them would end the event loop
        return None, error


def say_blocked(call: Call, thread: int | None, what: str) -> None:
    """Say in the log where an event loop stands that a handler blocks."""
    frame = None if thread is None else sys._current_frames().get(thread)  # noqa: SLF001  # documented
    lines = traceback.format_stack(frame)[-_FRAMES:] if frame else []
    logger("holdfast.lifecycle").error(
        "module %r: its %s handler blocks the event loop, which %s: await there, or "
        "make it a plain function; it stands at\n%s",
        call.module,
        call.phase,
        what,
        "".join(lines).rstrip(),
    )


def is_async(function: object) -> bool:
    """Whether a call of it gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # an object that is called
    )
