"""Whatever becomes of messages in whatever order, they stand as a model says.

Messages are delivered, taken, processed, set aside, tried again and purged, alone and
in transactions that may be undone, and put back as they were at a moment.
"""

import copy
from contextlib import ExitStack
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import holdfast
from holdfast import errors
from holdfast.kinds.inbox_records import InboxMessage
from model import Wrong
from postgres import fresh_schema
from test_model import Failed, _end, run

RECIPIENTS = ("ada", "bob")
ID = st.sampled_from([f"m{n}" for n in range(8)])
TO = st.sampled_from(RECIPIENTS)
DELIVER = st.fixed_dictionaries({"id": ID, "to": TO, "body": st.integers(0, 1)})
TAKE = st.fixed_dictionaries({"to": TO})
FAIL = st.fixed_dictionaries(
    {"id": ID, "error": st.just("no"), "max_attempts": st.integers(1, 3)}
)
COMMAND = st.one_of(
    st.tuples(st.just("deliver"), DELIVER),
    st.tuples(st.just("deliver"), DELIVER),
    st.tuples(st.just("take"), TAKE),
    st.tuples(st.just("fail"), FAIL),
    st.tuples(
        st.just("set_aside"),
        st.fixed_dictionaries({"id": ID, "error": st.just("bad")}),
    ),
    st.tuples(st.just("retry"), st.fixed_dictionaries({"id": ID})),
    st.tuples(st.just("purge"), st.just({})),
)
FOREVER = "2100-01-01T00:00:00Z"


class InboxModel:
    """Messages by id; the rules of the inbox, written once more."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.last = dict.fromkeys(RECIPIENTS, 0)
        """The last position that a recipient's messages ever had."""

    def to(self, to: str) -> list[dict[str, Any]]:
        """A recipient's messages, in their order."""
        mine = [found for found in self.messages.values() if found["to"] == to]
        return sorted(mine, key=lambda found: found["position"])

    def deliver(self, id: str, to: str, body: int) -> dict[str, Any]:
        there = self.messages.get(id)
        if there is None:
            self.last[to] += 1
            self.messages[id] = {
                "id": id,
                "to": to,
                "body": body,
                "position": self.last[to],
                "status": "pending",
                "attempts": 0,
                "error": None,
            }
        elif (there["to"], there["body"]) != (to, body):
            raise Wrong(errors.AlreadyExists)
        return self.messages[id]

    def take(self, to: str) -> dict[str, Any] | None:
        for found in self.to(to):
            if found["status"] == "pending":
                found.update(status="processed", error=None)
                return found
        return None

    def fail(self, id: str, error: str, max_attempts: int) -> dict[str, Any]:
        there = self.found(id)
        if there["status"] == "pending":
            attempts = there["attempts"] + 1
            there.update(attempts=attempts, error=error)
            if attempts >= max_attempts:
                there["status"] = "set_aside"
        return there

    def set_aside(self, id: str, error: str) -> dict[str, Any]:
        there = self.found(id)
        attempts = there["attempts"] + 1
        there.update(status="set_aside", attempts=attempts, error=error)
        return there

    def retry(self, id: str) -> dict[str, Any]:
        there = self.found(id)
        if there["status"] == "processed":
            raise Wrong(errors.Refused)
        if there["status"] == "set_aside":
            there.update(status="pending", attempts=0, error=None)
        return there

    def purge(self) -> int:
        gone = [i for i, m in self.messages.items() if m["status"] == "processed"]
        for id in gone:
            del self.messages[id]
        return len(gone)

    def found(self, id: str) -> dict[str, Any]:
        if id not in self.messages:
            raise Wrong(errors.NotFound)
        return self.messages[id]


class Receiving(RuleBasedStateMachine):
    """A store in memory, and a model of it."""

    target = ":memory:"

    def __init__(self) -> None:
        super().__init__()
        self.model = InboxModel()
        self.moments: list[tuple[int, dict[str, Any]]] = []
        self.effects = 0

    @initialize()
    def open(self) -> None:
        self.store = holdfast.open(self.target)
        self.moments.append((0, {}))

    def teardown(self) -> None:
        report = self.store.check()
        self.store.close()
        assert report.problems == ()

    @rule(command=COMMAND)
    def alone(self, command: Any) -> None:
        self.act(self.store, command)

    @rule(
        commands=st.lists(COMMAND, min_size=2, max_size=5),
        keep=st.sampled_from([True, True, False]),
    )
    def together(self, commands: Any, *, keep: bool) -> None:
        before = copy.deepcopy(self.model)
        try:
            with self.store.transaction() as tx:
                for command in commands:
                    self.act(tx, command)
                _end(keep=keep)
        except Failed:
            self.model = before

    @rule(to=TO, bad=st.sets(ID, max_size=3), attempts=st.integers(1, 2))
    def process(self, to: str, bad: set[str], attempts: int) -> None:
        wanted, tried = [], []
        while (found := self.model.take(to)) is not None:
            wanted.append(found["id"])
            if found["id"] in bad:
                found["status"] = "pending"
                self.model.fail(found["id"], "ValueError: bad", attempts)

        def handler(tx: Any, message: InboxMessage) -> None:
            tried.append(message.id)
            tx.tasks.create("of an attempt")
            if message.id in bad:
                raise ValueError("bad")

        report = self.store.inbox.process(to, handler, max_attempts=attempts)
        assert tried == wanted
        assert report.processed == len([id for id in wanted if id not in bad])
        assert report.set_aside == len(bad.intersection(wanted))
        self.effects += report.processed
        assert self.store.tasks.metrics().total == self.effects

    @rule()
    def remember(self) -> None:
        now = self.store.moment(), copy.deepcopy(self.model.messages)
        self.moments.append(now)

    @precondition(lambda self: len(self.moments) > 1)
    @rule(which=st.integers(0, 5))
    def go_back(self, which: int) -> None:
        moment, messages = self.moments[which % len(self.moments)]
        self.store.revert(moment, kinds=["inbox"])
        self.model.messages = copy.deepcopy(messages)

    @invariant()
    def every_message_is_as_the_model_has_it(self) -> None:
        for to in RECIPIENTS:
            listed = list(map(seen, self.store.inbox.list(to=to, limit=100)))
            assert listed == self.model.to(to)

    def act(self, target: Any, command: Any) -> None:
        """Do one command, and compare what it gives with what the model says."""
        name, args = command
        given = {"processed_before": FOREVER} if name == "purge" else args
        try:
            wanted: Any = copy.copy(getattr(self.model, name)(**args))
        except Wrong as wrong:
            wanted = wrong.error
        try:
            found = getattr(target.inbox, name)(**given)
            found = seen(found) if isinstance(found, InboxMessage) else found
        except errors.HoldfastError as error:
            found = type(error)
        assert found == wanted, (name, args, found, wanted)


def seen(message: InboxMessage) -> dict[str, Any]:
    """What is compared of a message."""
    return {
        "id": message.id,
        "to": message.to,
        "body": message.body,
        "position": message.position,
        "status": message.status.value,
        "attempts": message.attempts,
        "error": message.error,
    }


class Served(Receiving):
    """A store on a server, in a schema of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.place = ExitStack()
        self.target = self.place.enter_context(fresh_schema())

    def teardown(self) -> None:
        with self.place:
            super().teardown()


def test_messages_stand_as_the_model_says_in_memory():
    run(Receiving, examples=20, steps=30)


def test_messages_stand_as_the_model_says_on_a_server():
    run(Served, examples=2, steps=25)
