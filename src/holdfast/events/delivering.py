"""Delivering: what observations see, as messages in the inboxes of observers.

Answers for: one message for each event and observation, in the order of what was seen;
trying again what could not be kept for now.
Leaves to others: what is seen (`observing`), what an inbox is (`kinds.inbox`).
Always holds: what persistence itself tells is never delivered: each delivery would lead
to another. An event that an inbox does not take holds up no other.
"""

import hashlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from holdfast.clock import Clock
from holdfast.edges import id_of
from holdfast.engine import Engine, Terms, Transaction, Unit
from holdfast.errors import BadInput, HoldfastError, InvalidId, Refused
from holdfast.events.observing import Key, key_of
from holdfast.kinds.event_records import NAME, OWNER, Event, Kept, event_of
from holdfast.kinds.inbox import Inbox
from holdfast.kinds.observation_records import Observation
from holdfast.logs import logger

_Delivery: TypeAlias = tuple[Observation, Kept]
_AT_ONCE = 100
_OF_PERSISTENCE = frozenset(
    {
        "autosave:triggered",
        "shutdown:save",
        "state:loaded",
        "state:save-error",
        "state:saved",
    }
)


class Deliveries:
    """What is to be delivered into inboxes, `most` at a time."""

    def __init__(self, engine: Engine, clock: Clock, most: int) -> None:
        self._engine = engine
        self._clock = clock
        self._most = most
        self._mutex = threading.Lock()
        self._queue: deque[_Delivery] = deque()
        self._going: list[_Delivery] = []
        """What is being delivered, or was to be and could not be kept."""
        self._undelivered: Counter[Key] = Counter()
        self._crowded = False
        self._troubled = False

    @property
    def waiting(self) -> int:
        """How many are still to be delivered."""
        return len(self._queue) + len(self._going)

    def undelivered(self, key: Key) -> int:
        """How many of an observation's were let go."""
        with self._mutex:
            return self._undelivered[key]

    def forget(self, key: Key) -> None:
        """Count no more what an observation saw: it was deleted."""
        with self._mutex:
            self._undelivered.pop(key, None)

    def add(self, observation: Observation, kept: Kept) -> None:
        """Have an event delivered to an observation's observer."""
        if kept[NAME] in _OF_PERSISTENCE:
            return
        with self._mutex:
            if len(self._queue) >= self._most:
                let_go, _ = self._queue.popleft()
                self._undelivered[key_of(let_go)] += 1
                self._say_crowded(let_go)
            self._queue.append((observation, kept))

    def _say_crowded(self, let_go: Observation) -> None:
        """Say that too many wait: once, until none does."""
        if not self._crowded:
            self._crowded = True
            logger("holdfast.events").error(
                "events are not delivered to inboxes, %r's first: more than %d wait; "
                "observations.state(id).undelivered counts them",
                let_go.observer,
                self._most,
            )

    def deliver(self) -> None:
        """Deliver what waits; what cannot be kept for now goes on waiting.

        One thread calls it at a time.
        """
        while self._take():
            try:
                self._keep_all()
            except HoldfastError as error:
                if not self._troubled:
                    self._troubled = True
                    logger("holdfast.events").warning(
                        "events are not delivered for now: %s", error
                    )
                return
            self._troubled = False
        self._crowded = False

    def end(self) -> None:
        """Say what was not delivered."""
        if self.waiting:
            logger("holdfast.events").error(
                "%d events were not delivered to inboxes", self.waiting
            )

    def _take(self) -> bool:
        """Take the first that wait, of one owner; whether there are any."""
        with self._mutex:
            while self._queue and len(self._going) < _AT_ONCE:
                _, kept = self._queue[0]
                if self._going and kept[OWNER] != self._going[0][1][OWNER]:
                    break
                self._going.append(self._queue.popleft())
        return bool(self._going)

    def _keep_all(self) -> None:
        """Deliver what was taken; what could not be kept for now stays taken."""
        try:
            self._keep(self._going)
        except (BadInput, Refused):
            while self._going:
                self._keep_first()
        self._going = []

    def _keep(self, batch: Sequence[_Delivery]) -> None:
        owner = batch[0][1][OWNER]
        terms = Terms(owner=owner, cause="observation")
        unit = Unit(_delivering(batch), terms, self._clock)
        unit.patient = False
        self._engine.write(unit)

    def _keep_first(self) -> None:
        observation, kept = self._going[0]
        try:
            self._keep(self._going[:1])
        except (BadInput, Refused) as error:
            with self._mutex:
                self._undelivered[key_of(observation)] += 1
            logger("holdfast.events").error(
                "event %r cannot be delivered: %s", kept[NAME], error
            )
        del self._going[0]


def _delivering(batch: Sequence[_Delivery]) -> Callable[[Transaction], None]:
    """What delivers events, those to one observer together."""
    ordered = sorted(batch, key=lambda one: one[0].observer)

    def work(tx: Transaction) -> None:
        inbox = Inbox(tx)
        for observation, kept in ordered:
            event = event_of(kept)
            inbox.deliver(
                observation.observer,
                _body(observation, event),
                id=_message_id(observation, event),
                sender=_sender(event),
            )

    return work


def _body(observation: Observation, event: Event) -> dict[str, Any]:
    """A message as machines take it, with what else an event says."""
    return {
        "type": event.name,
        "payload": event.data,
        "event": event.id,
        "at": event.at.isoformat(),
        "source": event.source,
        "session": event.session,
        "correlation": event.correlation,
        "observation": observation.id,
    }


def _message_id(observation: Observation, event: Event) -> str:
    """The same whenever the same is delivered, and short enough for an id."""
    digest = hashlib.blake2b(observation.id.encode(), digest_size=8).hexdigest()
    return f"{event.id}-{digest}"


def _sender(event: Event) -> str | None:
    if event.source is None:
        return None
    try:
        return id_of(event.source, "source")
    except InvalidId:
        return None
