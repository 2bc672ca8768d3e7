"""Attaching: functions of a program that are told of what an observer sees.

Answers for: what waits for such a function, a circuit for each observation that it is
told of, counting what became of it.
Leaves to others: what is seen (`observing`), functions that are awaited (`aattaching`).
Always holds: one function is called with one event at a time, in order; what it does,
and for how long, is no other's affair; with a full queue the oldest is let go, and
counted. An error of it is logged and told of, and raised to nobody.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from holdfast.clock import Clock, to_datetime
from holdfast.events.circuit import Circuit, CircuitState
from holdfast.events.observing import Figures, Key, key_of
from holdfast.kinds.event_records import Event, Kept, event_of
from holdfast.kinds.observation_records import OF_OBSERVATIONS, Observation
from holdfast.logs import logger

Callback: TypeAlias = Callable[[Observation, Event], Any]
Tell: TypeAlias = Callable[[str, str, str, dict[str, Any]], None]
"""Tells an event: whose, its name, its level, its data."""
_Circuit: TypeAlias = tuple[CircuitState, int | None]
"""How a circuit is, and since when; None if it was never used."""
Waiting: TypeAlias = tuple[Observation, Kept]
FAILED, OPENED, CLOSED = (
    f"{OF_OBSERVATIONS}{what}"
    for what in ("failed", "circuit-opened", "circuit-closed")
)
QUEUE = 1_000
"""How many events wait for one function at most."""
_BADNESS = (CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN)


class Given(msgspec.Struct):
    """What became of what was seen, with the functions that it was for.

    `given` went well and `failed` raised; `withheld` were not given while the circuit
    was open, and `missed` were let go since too many waited.
    """

    given: int = 0
    failed: int = 0
    withheld: int = 0
    missed: int = 0

    def add(self, other: "Given") -> None:
        """Count what became of others too."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class ObservationState(msgspec.Struct, frozen=True, kw_only=True):
    """How an observation does in this process, since the store was opened.

    Of the events that this process emitted and that concerned it, so many were `seen`,
    `unsampled` or `limited`. With the functions attached to its observer, wherever the
    event was emitted, so many were `given`, `failed`, `withheld` or `missed`;
    `circuit` is that of the one that does worst, and `since` when it is so. Of those
    that were for the observer's inbox, so many were let go `undelivered`.
    """

    observation: str
    circuit: CircuitState
    since: datetime | None
    attached: int
    seen: int
    unsampled: int
    limited: int
    given: int
    failed: int
    withheld: int
    missed: int
    undelivered: int


class _Standing:
    """How one function does with what one observation sees."""

    __slots__ = ("circuit", "given")

    def __init__(self, now: int) -> None:
        self.circuit = Circuit(now)
        self.given = Given()


class Attachment:
    """A function, and what it is told of: the part that does not depend on how."""

    def __init__(
        self, owner: str, observer: str, callback: Callback, clock: Clock, tell: Tell
    ) -> None:
        self.owner = owner
        self.observer = observer
        self.callback = callback
        self._clock = clock
        self._tell = tell
        self._standings: dict[Key, _Standing] = {}
        self._queue: deque[Waiting] = deque()
        self._mutex = threading.Lock()
        self.ended = False

    def offer(self, observation: Observation, kept: Kept) -> None:
        """Have the function called with an event; from any thread, waits for none."""
        with self._mutex:
            if self.ended:
                return
            if len(self._queue) >= QUEUE:
                let_go, _ = self._queue.popleft()
                self._standing(let_go).given.missed += 1
            self._queue.append((observation, kept))
        self.wake()

    def join(self, seconds: float) -> bool:
        """Wait until what waited was given, but no longer; whether it was."""
        return True

    def wake(self) -> None:
        """Say that something waits, or that the end has come."""
        raise NotImplementedError

    def end(self) -> None:
        """Take nothing more; what waits is still given."""
        with self._mutex:
            self.ended = True
        self.wake()

    def stop(self) -> None:
        """Take nothing more, and give nothing of what waits."""
        with self._mutex:
            self._queue.clear()
        self.end()

    def next(self) -> tuple[Observation, Event] | None:
        """What the function is to be called with next; None if nothing waits."""
        while True:
            with self._mutex:
                if not self._queue:
                    return None
                observation, kept = self._queue.popleft()
                standing = self._standing(observation)
                if standing.circuit.admits(self._clock.now_us()):
                    return observation, event_of(kept)
                standing.given.withheld += 1

    def went(
        self, observation: Observation, event: Event, error: BaseException | None
    ) -> None:
        """Say how a call went."""
        now = self._clock.now_us()
        with self._mutex:
            standing = self._standing(observation)
            if error is None:
                standing.given.given += 1
                changed = standing.circuit.succeeded(now)
            else:
                standing.given.failed += 1
                changed = standing.circuit.failed(now)
        if error is not None:
            self._say_failed(observation, event, error)
        if changed and error is None:
            self._say(observation, CLOSED, "info", {})
        elif changed:
            self._say(observation, OPENED, "warning", {"error": type(error).__name__})

    def count(self, key: Key) -> tuple[Given, CircuitState, int] | None:
        """What became of what an observation saw; None if it saw nothing yet."""
        with self._mutex:
            standing = self._standings.get(key)
            if standing is None:
                return None
            circuit = standing.circuit
            return msgspec.structs.replace(standing.given), circuit.state, circuit.since

    def forget(self, key: Key) -> None:
        """Count no more what an observation saw: it was deleted."""
        with self._mutex:
            self._standings.pop(key, None)

    def _standing(self, observation: Observation) -> _Standing:
        key = key_of(observation)
        found = self._standings.get(key)
        if found is None:
            found = self._standings[key] = _Standing(self._clock.now_us())
        return found

    def _say_failed(
        self, observation: Observation, event: Event, error: BaseException
    ) -> None:
        logger("holdfast.events").error(
            "what observer %r was to be told of %r failed",
            self.observer,
            event.name,
            exc_info=error,
        )
        said = {"event": event.id, "error": type(error).__name__}
        self._say(observation, FAILED, "warning", said)

    def _say(
        self, observation: Observation, name: str, level: str, more: dict[str, Any]
    ) -> None:
        data = {"id": observation.id, "observer": self.observer, **more}
        self._tell(self.owner, name, level, data)


class Attached(Attachment):
    """A function that is called on a thread of its own."""

    def __init__(
        self, owner: str, observer: str, callback: Callback, clock: Clock, tell: Tell
    ) -> None:
        super().__init__(owner, observer, callback, clock, tell)
        self._news = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, name="holdfast-observer", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        self._news.set()

    def join(self, seconds: float) -> bool:
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            ended = self.ended
            while found := self.next():
                self._call(*found)
            if ended:
                return
            self._news.wait()
            self._news.clear()

    def _call(self, observation: Observation, event: Event) -> None:
        try:
            self.callback(observation, event)
        except BaseException as error:  # it is the function that ends, not its thread
            self.went(observation, event, error)
        else:
            self.went(observation, event, None)


def state_of(
    key: Key,
    figures: Figures,
    attachments: Sequence[Attachment],
    undelivered: int,
) -> ObservationState:
    """How an observation does, with all of its observer's functions."""
    total = Given()
    worst: _Circuit = CircuitState.CLOSED, None
    for attachment in attachments:
        counted = attachment.count(key)
        if counted is not None:
            given, state, since = counted
            total.add(given)
            worst = max(worst, (state, since), key=_badness)
    return ObservationState(
        observation=key[1],
        circuit=worst[0],
        since=None if worst[1] is None else to_datetime(worst[1]),
        attached=len(attachments),
        seen=figures.seen,
        unsampled=figures.unsampled,
        limited=figures.limited,
        given=total.given,
        failed=total.failed,
        withheld=total.withheld,
        missed=total.missed,
        undelivered=undelivered,
    )


def _badness(standing: _Circuit) -> tuple[int, bool]:
    """How bad a circuit does; one that was never used does best."""
    return _BADNESS.index(standing[0]), standing[1] is not None
