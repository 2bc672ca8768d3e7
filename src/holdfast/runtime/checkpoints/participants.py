"""Participants: who has something in memory that a checkpoint keeps.

Answers for: calling what a participant registered, each call within its time, on
whichever thread or event loop it belongs to; what went wrong with it, in words.
Leaves to others: when that is done, and what becomes of it (`desk`).
Always holds: a call that takes too long is left behind and keeps nobody; what it gives
in the end is told to whoever still wants it.
"""

import contextvars
import inspect
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.errors import HoldfastError, Refused
from holdfast.runtime.daemons import Daemons

if TYPE_CHECKING:
    import asyncio

STILL_AT_IT = "an earlier call of it is not done yet, and was gone past"
_SAID_CHARACTERS = 1_000
_GRACE_SECONDS = 0.5
"""More for what an event loop has to give up itself."""
_within: contextvars.ContextVar[bool] = contextvars.ContextVar("within", default=False)


class Cancelled(Exception):
    """What was asked on an event loop was cancelled there, by somebody else."""


class Call:
    """One call of a function: begun once, on whichever thread comes."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.error: BaseException | None = None
        self.result: Any = None
        self._function = function
        self._args = args
        self._begun = threading.Lock()
        self._done = threading.Event()
        self._late: Callable[[Call], None] | None = None
        self._mutex = threading.Lock()

    def __call__(self) -> None:
        """Do it, unless it was begun."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            around = contextvars.copy_context()
            self.result = around.run(self._do)
        except BaseException as error:
            self.error = error
        with self._mutex:
            self._done.set()
            late = self._late
        if late is not None:
            late(self)

    def _do(self) -> Any:
        _within.set(True)
        return self._function(*self._args)

    def wait(self, until: float) -> bool:
        """Whether it is done by then, on the monotonic clock."""
        return self._done.wait(max(0.0, until - time.monotonic()))

    def tell_late(self, late: Callable[["Call"], None]) -> bool:
        """Have a function told once it is done; False if it is."""
        with self._mutex:
            if self._done.is_set():
                return False
            self._late = late
            return True


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
        """Whether a call of it is not done yet, for which nobody waits any more."""
        return self._last is not None and not self._last.wait(0.0)

    def collecting(self) -> Call:
        """The call that collects."""
        return self._call(self._collect)

    def restoring(self, data: Any) -> Call:
        """The call that gives back."""
        return self._call(self._restore, data)

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

    def collecting(self) -> Call:
        """The call that collects; again if a loop that ends has cancelled it."""

        def collect() -> Any:
            try:
                return self._on_loop(self._collect)
            except Cancelled:
                return self._on_loop(self._collect)

        return self._call(collect)

    def restoring(self, data: Any) -> Call:
        """The call that gives back."""
        return self._call(self._on_loop, self._restore, data)

    def belongs_here(self) -> bool:
        """Whether this thread runs its event loop, and so keeps it waiting."""
        return running_loop() is self._loop

    def _on_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        if self.belongs_here():
            return self._at_once(function, *args)
        if self._loop.is_closed() or not self._loop.is_running():
            raise Refused("its event loop does not run any more")
        import asyncio  # noqa: PLC0415  # whoever has an event loop has loaded it
        from concurrent.futures import CancelledError  # noqa: PLC0415  # as said

        async def awaited() -> Any:
            _within.set(True)
            async with asyncio.timeout(self.seconds):
                given = function(*args)
                return await given if inspect.isawaitable(given) else given

        asked = asyncio.run_coroutine_threadsafe(awaited(), self._loop)
        try:
            return asked.result(self.patience)
        except TimeoutError:
            asked.cancel()
            raise
        except CancelledError:
            raise Cancelled("it was cancelled on its event loop") from None

    def _at_once(self, function: Callable[..., Any], *args: Any) -> Any:
        given = function(*args)
        if inspect.isawaitable(given):
            if inspect.iscoroutine(given):
                given.close()
            raise Refused(
                "it is awaited on the event loop that this call keeps waiting: await "
                "the async store's call instead"
            )
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


def refuse_within(what: str) -> None:
    """Raise `Refused` where a participant itself asks for what it is asked for."""
    if _within.get():
        raise Refused(
            f"{what} was called by a participant that is itself being asked; nothing "
            "was done: a participant gives what it has, or takes it back"
        )


def running_loop() -> object:
    """The event loop that this thread runs, or None."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:  # then no event loop was ever begun
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def said(error: BaseException) -> str:
    """What went wrong, in one short text that can be kept."""
    text = str(error)
    name = "" if isinstance(error, HoldfastError) else type(error).__name__
    whole = f"{name}: {text}" if name and text else name or text
    safe = whole.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return safe.encode(errors="replace").decode()[:_SAID_CHARACTERS]


def too_long(participant: Participant) -> str:
    """What is said of a call that was not done in its time."""
    return f"it was not done within {participant.seconds:g} s, and was gone past"


def _waited(participant: Participant, call: Call, began: float) -> str | None:
    if not call.wait(began + participant.patience):
        return too_long(participant)
    if isinstance(call.error, TimeoutError) and isinstance(
        participant, LoopParticipant
    ):
        return too_long(participant)
    return None if call.error is None else said(call.error)
