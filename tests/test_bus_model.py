"""Whatever is done to a bus in whatever order, each is given what a model says."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hearing import hears_nothing
from holdfast.clock import ManualClock
from holdfast.errors import Busy, Closed, Refused
from holdfast.runtime import Bus

TOPICS = ("task.done", "task.begun", "note.done", "task")
PATTERNS = ("*", "task.*", "*.done", "task.done", "t*.d*e", "nothing")
NAMES = ("ada", "bob")
MATCHED = {
    "*": set(TOPICS),
    "task.*": {"task.done", "task.begun"},
    "*.done": {"task.done", "note.done"},
    "task.done": {"task.done"},
    "t*.d*e": {"task.done"},
    "nothing": set(),
}
KEPT_MOST, KEPT_SECONDS, HISTORY = 3, 60, 8


class Subscriber:
    """What a subscriber has, and how it is to be given more."""

    def __init__(self, held: Any, **said: Any) -> None:
        self.held = held
        self.topics = {t for p in said["patterns"] for t in MATCHED[p]}
        self.name = said["name"]
        self.capacity = said["capacity"]
        self.overflow = said["overflow"]
        self.waiting: list[Any] = []
        self.missed = 0
        self.open = True

    @property
    def holds_back(self) -> bool:
        return self.overflow != "drop" and len(self.waiting) >= self.capacity

    def give(self, data: Any) -> None:
        if len(self.waiting) >= self.capacity:
            del self.waiting[0]
            self.missed += 1
        self.waiting.append(data)


class BusMachine(RuleBasedStateMachine):
    """A bus beside its model; who takes, and who publishes, is one thread."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.bus = Bus(
            offline=KEPT_MOST,
            offline_seconds=KEPT_SECONDS,
            history=HISTORY,
            clock=self.clock,
        )
        self.there: list[Subscriber] = []
        self.gone: list[Subscriber] = []
        self.kept: dict[str, list[tuple[float, Any]]] = {}
        self.lost: dict[str, int] = {}
        self.given_up = 0
        self.by_topic: list[tuple[str, Any]] = []
        self.seconds = 0.0
        self.count = 0

    def teardown(self) -> None:
        self.bus.close()
        for one in self.there + self.gone:
            assert [message.data for message in one.held] == one.waiting
            with pytest.raises(Closed):
                one.held.get(0)

    # What may be done.

    @precondition(lambda self: len(self.there) < 5)
    @rule(
        patterns=st.lists(st.sampled_from(PATTERNS), max_size=3),
        name=st.sampled_from([None, *NAMES]),
        capacity=st.integers(1, 4),
        overflow=st.sampled_from(["wait", "drop", "refuse"]),
    )
    def subscribe(self, patterns: list[str], **said: Any) -> None:
        held = self.bus.subscribe(*patterns, **said)
        one = Subscriber(held, patterns=patterns, **said)
        if one.name is not None:
            self.grow_old(one.name)
            one.waiting = [data for _, data in self.kept.pop(one.name, [])]
            one.missed = self.lost.pop(one.name, 0)
        self.there.append(one)

    @precondition(lambda self: self.there)
    @rule(data=st.data())
    def unsubscribe(self, data: Any) -> None:
        one = self.there.pop(data.draw(st.integers(0, len(self.there) - 1)))
        one.held.close()
        self.gone.append(one)

    @rule(topic=st.sampled_from(TOPICS))
    def publish(self, topic: str) -> None:
        whom = [one for one in self.there if topic in one.topics]
        self.give(whom, topic, lambda n: self.bus.publish(topic, n, **QUICK))

    @rule(to=st.sampled_from(NAMES))
    def send(self, to: str) -> None:
        whom = [one for one in self.there if one.name == to]
        given = self.give(whom, "direct", lambda n: self.bus.send(to, n, **QUICK))
        if given and not whom:
            self.keep(to)

    @rule()
    def broadcast(self) -> None:
        self.give(self.there, "broadcast", lambda n: self.bus.broadcast(n, **QUICK))

    @precondition(lambda self: self.there or self.gone)
    @rule(data=st.data(), count=st.integers(1, 3))
    def take(self, data: Any, count: int) -> None:
        one = data.draw(st.sampled_from(self.there + self.gone))
        for _ in range(count):
            if one.waiting:
                assert one.held.get(0).data == one.waiting.pop(0)
            elif one in self.there:
                hears_nothing(one.held)
            else:
                with pytest.raises(Closed):
                    one.held.get(0)

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.seconds += seconds

    # What must be so.

    @invariant()
    def each_has_what_it_was_given(self) -> None:
        for one in self.there + self.gone:
            assert (len(one.held), one.held.missed) == (len(one.waiting), one.missed)

    @invariant()
    def the_rest_is_as_the_model_says(self) -> None:
        went_by = [(m.topic, m.data) for m in self.bus.history()]
        assert went_by == self.by_topic[-HISTORY:]
        assert self.bus.names() == {one.name for one in self.there} - {None}
        for name in self.kept:
            self.grow_old(name)
        assert self.bus.given_up == self.given_up

    # The model.

    def give(self, whom: list[Subscriber], topic: str, call: Any) -> bool:
        """All are given it, or nobody is."""
        self.count += 1
        first = next((one for one in whom if one.holds_back), None)
        if first is not None:
            with pytest.raises(Busy if first.overflow == "wait" else Refused):
                call(self.count)
            return False
        assert call(self.count) == len(whom)
        for one in whom:
            one.give(self.count)
        self.by_topic.append((topic, self.count))
        return True

    def keep(self, name: str) -> None:
        self.grow_old(name)
        kept = self.kept.setdefault(name, [])
        kept.append((self.seconds, self.count))
        if len(kept) > KEPT_MOST:
            del kept[0]
            self.give_up(name, 1)

    def grow_old(self, name: str) -> None:
        young = [
            (at, data)
            for at, data in self.kept.get(name, [])
            if at >= self.seconds - KEPT_SECONDS
        ]
        self.give_up(name, len(self.kept.get(name, [])) - len(young))
        if name in self.kept:
            self.kept[name] = young

    def give_up(self, name: str, count: int) -> None:
        if count:
            self.given_up += count
            self.lost[name] = self.lost.get(name, 0) + count


QUICK = {"timeout_seconds": 0.0005}
BusMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestBus = BusMachine.TestCase
