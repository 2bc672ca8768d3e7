"""A store and its model beside each other, whatever is done to both.

Answers for: doing an operation in both, what must then be the same in both, now and as
of every moment that there was. `test_model` says what is done.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

import holdfast
from commands import FURNISHING, LIMITS, OWNERS, READING, WORDS, Back
from holdfast.clock import ManualClock, to_datetime
from holdfast.errors import HoldfastError
from holdfast.kinds.contexts import Context
from holdfast.kinds.task_records import TaskLog
from holdfast.page import Page
from model import Model, Wrong
from showing import context, found
from views import (
    hits,
    leased,
    modelled,
    modelled_leases,
    replayed,
    seen,
    shown,
)


class Kept(RuleBasedStateMachine):
    """One store (by `target`) and its model; what happens is for others to say."""

    target = ":memory:"
    opened = 1
    furnishing = FURNISHING

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = Model()
        self.stores: list[holdfast.Store] = []
        self.past: dict[int, Model] = {}
        """By moment: what there was."""

    @initialize()
    def open(self) -> None:
        for _ in range(self.opened):
            self.stores.append(holdfast.open(self.target, clock=self.clock))
        for owner in OWNERS:
            for command in self.furnishing:
                self.act(owner, command, None, 0)

    def act(self, owner: str, command: Any, token: Any, which: int) -> None:
        """One operation, in a transaction of its own."""
        self.tick()
        token, command = self.fenced(owner, token), self.meant(owner, command)
        store = self.store(owner, token, which)
        reads = command[0] in READING
        wanted = self.modelled(owner, command, token, verified=reads)
        assert outcome(lambda: store.call(*command)) == wanted, command

    @rule(owner=st.sampled_from(OWNERS), query=WORDS, which=st.integers(0, 1))
    def search(self, owner: str, query: str, which: int) -> None:
        self.finds(self.store(owner, None, which), self.model, query)

    @rule(
        owner=st.sampled_from(OWNERS),
        back=st.integers(0, 100),
        by_time=st.booleans(),
        limits=LIMITS,
        query=WORDS,
        which=st.integers(0, 1),
    )
    def look_back(
        self,
        owner: str,
        back: int,
        by_time: bool,
        limits: Any,
        query: str,
        which: int,
    ) -> None:
        """A store as of a moment, or as of its time, is what it was then."""
        moment = sorted(self.past)[-1 - back % len(self.past)]
        then = self.past[moment]
        store = self.store(owner, None, which)
        past = store.as_of(to_datetime(then.now) if by_time else moment)
        assert seen(past) == modelled(then, owner)
        for id, session in then.of(owner)["sessions"].items():
            there = past.sessions.context(id, **limits)
            assert shown(there) == context(session, **limits), (id, limits)
        self.finds(past, then, query)

    @invariant()
    def a_store_holds_what_the_model_holds(self) -> None:
        for store in self.stores:
            for owner in self.model.state:
                mine = store.owned_by(owner)
                assert seen(mine) == modelled(self.model, owner)
                assert leased(mine) == modelled_leases(self.model, owner)
        self.past[self.stores[0].moment()] = self.model.past()

    def teardown(self) -> None:
        try:
            for store in self.stores:
                for owner in self.model.state:
                    mine = store.owned_by(owner)
                    if not self.model.scattered:
                        assert replayed(mine) == seen(mine)
                assert store.check().problems == ()
        finally:
            for store in self.stores:
                store.close()

    def finds(self, store: holdfast.Store, model: Model, query: str) -> None:
        """A search finds what the model does, and each once."""
        there = hits(store, query)
        assert set(there) == found(model.of(store.owner), query), query
        assert len(there) == len(set(there)), query

    def tick(self) -> None:
        """No two units at one time: so a row of the journal is like no other."""
        self.clock.advance(0.001)
        self.model.now = self.clock.now_us()

    def fenced(self, owner: str, token: Any) -> Any:
        """The lease that a unit carries: kind, id and number."""
        if token is None:
            return None
        (kind, id), older = token
        return kind, id, self._newest(owner, kind, id) - older

    def meant(self, owner: str, command: Any) -> Any:
        """A command, with the number of the lease that it means."""
        name, args = command
        if "fence" not in args:
            return name, self._looked_up(owner, name, args)
        newest = self._newest(owner, args["kind"], args["id"])
        return name, {**args, "fence": max(0, newest - args["fence"])}

    def _looked_up(self, owner: str, name: str, args: dict[str, Any]) -> dict[str, Any]:
        """Arguments, with the messages that they mean: of replies, those that grow."""
        session = self.model.of(owner)["sessions"].get(args.get("id"), {})
        said = session.get("messages") or [{"id": "m0", "position": 0}]
        if name.endswith("_reply"):
            said = [message for message in said if message.get("partial")] or said

        def meant(key: str, given: Any) -> Any:
            if not isinstance(given, Back):
                return given
            message = said[-1 - given % len(said)]
            return message["id" if key == "message_id" else "position"]

        return {key: meant(key, given) for key, given in args.items()}

    def _newest(self, owner: str, kind: str, id: str) -> int:
        lease = self.model.of(owner)["leases"].get((kind, id))
        return lease["fence"] if lease else 1

    def store(self, owner: str, token: Any, which: int) -> holdfast.Store:
        store = self.stores[which % len(self.stores)].owned_by(owner)
        if token is None:
            return store
        kind, id, fence = token
        until = datetime.now(UTC) + timedelta(days=1)
        return store.holding(
            holdfast.Lease(
                kind=kind, owner=owner, id=id, holder="h", fence=fence, until=until
            )
        )

    def modelled(self, owner: str, command: Any, token: Any, *, verified: bool) -> Any:
        before = self.model.save()
        try:
            if not verified:
                self.model.verify(owner, token)
            return self.model.apply(owner, *command, token)
        except Wrong as wrong:
            self.model.state = before
            return wrong.error


def outcome(act: Any) -> Any:
    """What can be told of a result, as the model tells it; or the error's class."""
    try:
        result = act()
    except HoldfastError as error:
        return type(error)
    if isinstance(result, Context):
        return shown(result)
    if isinstance(result, Page):
        return [(summary.upto, summary.text) for summary in result]
    if isinstance(result, tuple):
        return [message.position for message in result]
    for field in ("position", "version", "fence", "upto"):
        if hasattr(result, field):
            return getattr(result, field)
    return None if isinstance(result, TaskLog) else result
