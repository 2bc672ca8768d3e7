"""Observers: the observations of one open store, at work on what it emits.

Answers for: which observations look (also after a restart, and when another process
changed them), keeping what each sees with the batch of the events, putting it into
inboxes, forgetting what deleted ones saw, and telling attached functions.
Leaves to others: what is seen (`observing`), calling functions (`attaching`), reading
what was seen from disk (`elsewhere`, kinds).
Always holds: events are looked at once, in their order, by whichever thread comes
first; nobody who emits waits for it.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby, takewhile
from operator import itemgetter
from typing import Any

from holdfast import codec
from holdfast.bell import Bell
from holdfast.clock import Clock
from holdfast.engine import Engine, Terms, Unit
from holdfast.errors import Closed, HoldfastError
from holdfast.events.attaching import (
    Attached,
    Attachment,
    Callback,
    ObservationState,
    state_of,
)
from holdfast.events.delivering import Deliveries
from holdfast.events.elsewhere import Elsewhere
from holdfast.events.log import EventLog
from holdfast.events.observing import (
    DELETED,
    Observing,
    Seen,
    changes,
    history_of,
    key_of,
    told_of,
)
from holdfast.kinds.event_records import AT, NAME, OWNER, Entry, Kept
from holdfast.kinds.observation_records import Observation
from holdfast.kinds.observations import Observations
from holdfast.logs import logger

_MEMORY = ":memory:"
_READ_AGAIN_SECONDS = 1.0
"""After this, it is looked whether another process has changed observations."""
_PAUSE_SECONDS = 0.002
"""Between two looks for attached functions: each takes all that came."""
_END_SECONDS = 1.0
"""How long a store that is being closed waits for functions that are being called."""
_DROPPED_AT_ONCE = 2_000
_FEW = 10_000
"""For so many events it is not looked which of them are on disk."""
_UNREAD = "observations cannot be read for now"
_UNKNOWN = "what others' events were seen is not known yet"
_UNFORGOTTEN = "what was deleted is not forgotten yet"
_OURS = Terms(every_owner=True)
_BESIDE = Terms(every_owner=True, beside=True)


class Observers:
    """The observations that look at what one open store emits."""

    def __init__(self, engine: Engine, log: EventLog, clock: Clock) -> None:
        self._engine = engine
        self._events = log
        self._clock = clock
        self._observing = Observing(log.writer)
        self._turn = threading.RLock()
        self._position = 0
        """How much of what the log was given was looked at."""
        self._upto = 0
        """The time of the last event that was looked at."""
        self._read_at: float | None = None
        self._alone = engine.place == _MEMORY
        """Whether no other process can change anything."""
        self._unwritten: deque[tuple[Entry, list[Observation]]] = deque()
        """Events that were seen and may not be on disk, in order, and by whom."""
        self._many = _FEW
        """With so many of them, it is looked which are on disk, or were lost."""
        self._deleted: deque[tuple[Observation, int]] = deque()
        """Deleted observations, each with the time: what they saw is to go."""
        self._troubles: set[str] = set()
        """What cannot be done for now, and was said."""
        self._attachments: list[Attachment] = []
        self._deliveries = Deliveries(engine, clock, log.limits.event_pending)
        self._elsewhere: Elsewhere | None = None
        self._news = Bell()
        self._thread: threading.Thread | None = None
        self._ended = False
        log.batches.append(self._rows_of)
        log.endings.append(self._end)
        if self._alone:  # later, whoever emits might be who keeps others from reading
            self._read(())

    def attach(self, owner: str, observer: str, callback: Callback) -> Attached:
        """Have a function told, on a thread of its own, of what an observer sees."""
        made = Attached(owner, observer, callback, self._clock, self.tell)
        self.add(made)
        return made

    def add(self, attachment: Attachment) -> None:
        """Tell an attachment what its observer sees from now on. Raises `Closed`."""
        self.look()
        with self._turn:
            if self._ended:
                attachment.end()
                raise Closed(f"{self._engine.place} was closed: open it again")
            if self._elsewhere is None:
                self._elsewhere = Elsewhere(self._engine, self._events, self._clock)
                self._elsewhere.begin(self._news.set)
            self._attachments.append(attachment)
        self._work()

    def detach(self, attachment: Attachment) -> None:
        """Tell an attachment of nothing more; safe to call twice."""
        attachment.stop()
        with self._turn:
            if attachment in self._attachments:
                self._attachments.remove(attachment)
            if not self._attachments and self._elsewhere is not None:
                self._elsewhere.end()
                self._elsewhere = None

    def state(self, owner: str, id: str, observer: str) -> ObservationState:
        """How an observation does in this process."""
        self.look()
        with self._turn:
            figures = self._observing.figures(owner, id)
            theirs = [
                one
                for one in self._attachments
                if (one.owner, one.observer) == (owner, observer)
            ]
        undelivered = self._deliveries.undelivered((owner, id))
        return state_of((owner, id), figures, theirs, undelivered)

    def unwritten(self, observation: Observation) -> list[Kept]:
        """What an observation saw that may not be on disk, in order."""
        self.look()
        writer = self._events.writer
        owner, history = observation.owner, history_of(observation)
        with self._turn:
            return [
                (*entry, writer)
                for entry, seen_by in self._unwritten
                if entry[OWNER] == owner
                and any(history_of(one) == history for one in seen_by)
            ]

    def look(self) -> None:
        """Look at what was emitted and not looked at yet."""
        with self._turn:
            found, missed = self._events.memory.since(self._position)
            self._position += len(found) + missed
            if missed:  # of the ring; what was not looked at was not written either
                found = [kept[:-1] for kept in self._events.unwritten()]
            self._look_at(found)

    def _rows_of(self, going: Sequence[Entry]) -> list[tuple[str, str, int]]:
        """The rows of what was seen of events that are about to be written.

        If they could not be written, they are asked for again.
        """
        first, last = going[0][AT], going[-1][AT]
        with self._turn:
            self._look_at(going)
            self._let_go(first)
            seen = takewhile(lambda one: one[0][AT] <= last, self._unwritten)
            return [
                (observation.owner, history_of(observation), entry[AT])
                for entry, seen_by in seen
                for observation in seen_by
            ]

    def _let_go(self, before: int) -> None:
        """Hold no longer what was seen before a time: it is on disk, or was lost."""
        while self._unwritten and self._unwritten[0][0][AT] < before:
            self._unwritten.popleft()

    def _look_at(self, entries: Sequence[Entry]) -> None:
        """Look at those of some events that come after the last; in the turn."""
        new = entries
        if not entries or entries[0][AT] <= self._upto:
            new = [entry for entry in entries if entry[AT] > self._upto]
        if not new:
            return
        told = changes(new)
        self._read(told)
        seen = self._observing.look(new)
        self._upto = new[-1][AT]
        self._hold(seen)
        for observation, entry in seen:
            kept = (*entry, self._events.writer)
            if observation.inbox:
                self._deliveries.add(observation, kept)
            self._offer(observation, kept)
        for entry in told:
            if entry[NAME] == DELETED and (gone := told_of(entry)):
                self._forget(gone, entry[AT])
        if self._deliveries.waiting or self._deleted:
            self._work()

    def _hold(self, seen: Sequence[Seen]) -> None:
        """Hold what was seen for as long as the log holds the events."""
        self._unwritten += [
            (entry, [observation for observation, _ in group])
            for entry, group in groupby(seen, key=itemgetter(1))
        ]
        if len(self._unwritten) > self._many:
            waiting = self._events.unwritten()
            self._let_go(waiting[0][AT] if waiting else self._upto + 1)
            self._many = len(self._unwritten) + _FEW

    def _offer(self, observation: Observation, kept: Kept) -> None:
        for attachment in self._attachments:
            if (attachment.owner, attachment.observer) == (
                observation.owner,
                observation.observer,
            ):
                attachment.offer(observation, kept)

    def _read(self, told: Sequence[Entry]) -> None:
        """Learn, now and then, which observations there are.

        Not of those that come next among the events: these say it in their place. At
        the end, when the state is closed before the events are, it stays as known.
        """
        now = time.monotonic()
        if self._read_at is not None and (
            self._alone or now - self._read_at < _READ_AGAIN_SECONDS
        ):
            return
        if self._ended or self._engine.inside():
            return
        self._read_at = now
        unit = Unit(lambda tx: Observations(tx).every_active(), _OURS, self._clock)
        unit.patient = False
        try:
            found = self._engine.read(unit)
        except HoldfastError as error:
            self._say_trouble(_UNREAD, error)
            return
        self._troubles.discard(_UNREAD)
        named = [observation for entry in told if (observation := told_of(entry))]
        self._observing.adopt(found, but={key_of(one) for one in named})

    def _forget(self, gone: Observation, at: int) -> None:
        """Have what an observation saw until then forgotten: it was deleted."""
        key = key_of(gone)
        for entry, seen_by in self._unwritten:
            if entry[AT] < at:
                seen_by[:] = [one for one in seen_by if key_of(one) != key]
        self._deleted.append((gone, at))
        self._deliveries.forget(key)
        for attachment in self._attachments:
            attachment.forget(key)

    def tell(self, owner: str, name: str, level: str, data: dict[str, Any]) -> None:
        """Tell an event of observations' own."""
        text = codec.document(data).text
        with suppress(HoldfastError):  # the store was closed
            self._events.memory.put(owner, name, level, None, None, None, text)

    # The thread that delivers, forgets, and looks for attached functions.

    def _work(self) -> None:
        """Have the thread do what is to be done."""
        with self._turn:
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(
                    target=self._serve, name="holdfast-observers", daemon=True
                )
                self._thread.start()
        self._news.set()

    def _serve(self) -> None:
        while True:
            self._news.wait(_READ_AGAIN_SECONDS if self._has_work else None)
            self._news.clear()
            if self._ended:
                return
            self._serve_once()

    @property
    def _has_work(self) -> bool:
        """Whether something is left that could not be done at once."""
        elsewhere = self._elsewhere
        behind = elsewhere is not None and elsewhere.told
        return bool(behind or self._deliveries.waiting or self._deleted)

    def _serve_once(self) -> None:
        if self._attachments:
            self.look()
            self._look_elsewhere()
            self._events.memory.wake_after(self._position, self._news.set)
        self._do()
        time.sleep(_PAUSE_SECONDS)

    def _look_elsewhere(self) -> None:
        """Tell attachments what was seen of other processes' events."""
        with self._turn:
            elsewhere = self._elsewhere
            wanted = {(one.owner, one.observer) for one in self._attachments}
        if elsewhere is None:
            return
        try:
            found = elsewhere.news(wanted)
        except HoldfastError as error:
            self._say_trouble(_UNKNOWN, error)
            return
        self._troubles.discard(_UNKNOWN)
        with self._turn:
            for observation, kept in found:
                self._offer(observation, kept)

    def _do(self) -> None:
        """Deliver and forget what is to be."""
        self._deliveries.deliver()
        while self._deleted:
            gone, before = self._deleted[0]
            try:
                while self._drop(gone, before):
                    pass
            except HoldfastError as error:
                self._say_trouble(_UNFORGOTTEN, error)
                return
            self._troubles.discard(_UNFORGOTTEN)
            self._deleted.popleft()

    def _say_trouble(self, what: str, error: HoldfastError) -> None:
        """Say what cannot be done for now: once, until it can be."""
        if what not in self._troubles:
            self._troubles.add(what)
            logger("holdfast.events").warning("%s: %s", what, error)

    def _drop(self, gone: Observation, before: int) -> int:
        """Forget some of what a deleted observation saw; how much."""
        if not self._events.there:
            return 0
        asked = {"owner": gone.owner, "key": history_of(gone), "before": before}
        unit = Unit(
            lambda tx: tx.run("observed_drop", limit=_DROPPED_AT_ONCE, **asked),
            _BESIDE,
            self._clock,
        )
        unit.patient = False
        return self._events.write(unit)

    def _end(self) -> None:
        """Do what is left, and stop: the store is about to be closed."""
        with self._turn:
            self.look()
            self._ended = True
            attachments, self._attachments = self._attachments, []
            elsewhere, self._elsewhere = self._elsewhere, None
        if elsewhere is not None:
            elsewhere.end()
        self._news.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._do()
        self._deliveries.end()
        _end_all(attachments)


def _end_all(attachments: Sequence[Attachment]) -> None:
    """End attachments; functions that go on for longer are left to themselves."""
    for attachment in attachments:
        attachment.end()
    until = time.monotonic() + _END_SECONDS
    for attachment in attachments:
        if not attachment.join(max(until - time.monotonic(), 0)):
            logger("holdfast.events").warning(
                "observer %r goes on after the end", attachment.observer
            )
