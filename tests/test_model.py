"""Whatever is done in whatever order, a store holds what a model of plain dicts holds.

Owners take turns on one store (on a file: on two stores that share it), alone, under
leases, and in transactions with savepoints that fail. The journal must lead to the same
state by its changes alone.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import holdfast
from commands import COMMAND, FURNISHING, OWNERS, TOKEN
from holdfast.clock import ManualClock
from holdfast.errors import HoldfastError
from holdfast.kinds.task_records import TaskLog
from model import Model, Wrong
from views import leased, modelled, modelled_leases, replayed, seen

pytestmark = pytest.mark.timeout(900)  # a failure is made small before it is told


class Failed(Exception):
    """What a body of code raises to have its work undone."""


class Stores(RuleBasedStateMachine):
    """One store (by `target`) and its model, through whatever happens."""

    target = ":memory:"
    opened = 1

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = Model()
        self.stores: list[holdfast.Store] = []

    @initialize()
    def open(self) -> None:
        for _ in range(self.opened):
            self.stores.append(holdfast.open(self.target, clock=self.clock))
        for owner in OWNERS:
            for command in FURNISHING:
                self.alone(owner, command, None, 0)

    @rule(
        owner=st.sampled_from(OWNERS),
        command=COMMAND,
        token=TOKEN,
        which=st.integers(0, 1),
    )
    def alone(self, owner: str, command: Any, token: Any, which: int) -> None:
        self._tick()
        token, command = self._fenced(owner, token), self._meant(owner, command)
        store = self._store(owner, token, which)
        wanted = self._modelled(owner, command, token, verified=False)
        assert _outcome(lambda: store.call(*command)) == wanted, command

    @rule(
        owner=st.sampled_from(OWNERS),
        steps=st.lists(COMMAND, min_size=1, max_size=4),
        part=st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()),
        keep=st.booleans(),
        token=TOKEN,
        which=st.integers(0, 1),
    )
    def together(
        self, owner: str, steps: Any, part: Any, keep: bool, token: Any, which: int
    ) -> None:
        """Steps in one transaction; those from `part[0]` on in a savepoint."""
        self._tick()
        token = self._fenced(owner, token)
        store = self._store(owner, token, which)
        before = self.model.save()
        try:
            self.model.verify(owner, token)
        except Wrong as wrong:
            with pytest.raises(wrong.error), store.transaction():
                pytest.fail("the body must not run")
            return
        begin, end, kept = part
        try:
            with store.transaction() as tx:
                self._take(tx, owner, steps[:begin], token)
                self._take_part(tx, owner, steps[begin:end], token, kept=kept)
                self._take(tx, owner, steps[max(begin, end) :], token)
                _end(keep=keep)
        except Failed:
            self.model.state = before

    @rule(seconds=st.sampled_from([0.5, 30, 90]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._tick()

    @rule()
    def reopen(self) -> None:
        if self.target != ":memory:":
            self.stores.pop(0).close()
            self.stores.append(holdfast.open(self.target, clock=self.clock))

    @invariant()
    def a_store_holds_what_the_model_holds(self) -> None:
        for store in self.stores:
            for owner in self.model.state:
                mine = store.owned_by(owner)
                assert seen(mine) == modelled(self.model, owner)
                assert leased(mine) == modelled_leases(self.model, owner)

    def teardown(self) -> None:
        try:
            for store in self.stores:
                for owner in self.model.state:
                    mine = store.owned_by(owner)
                    assert replayed(mine) == seen(mine)
                assert store.check().problems == ()
        finally:
            for store in self.stores:
                store.close()

    def _tick(self) -> None:
        """No two units at one time: so a row of the journal is like no other."""
        self.clock.advance(0.001)
        self.model.now = self.clock.now_us()

    def _fenced(self, owner: str, token: Any) -> Any:
        """The lease that a unit carries: kind, id and number."""
        if token is None:
            return None
        (kind, id), older = token
        return kind, id, self._newest(owner, kind, id) - older

    def _meant(self, owner: str, command: Any) -> Any:
        """A command, with the number of the lease that it means."""
        name, args = command
        if "fence" not in args:
            return command
        newest = self._newest(owner, args["kind"], args["id"])
        return name, {**args, "fence": max(0, newest - args["fence"])}

    def _newest(self, owner: str, kind: str, id: str) -> int:
        lease = self.model.of(owner)["leases"].get((kind, id))
        return lease["fence"] if lease else 1

    def _store(self, owner: str, token: Any, which: int) -> holdfast.Store:
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

    def _modelled(self, owner: str, command: Any, token: Any, *, verified: bool) -> Any:
        before = self.model.save()
        try:
            if not verified:
                self.model.verify(owner, token)
            return self.model.apply(owner, *command, token)
        except Wrong as wrong:
            self.model.state = before
            return wrong.error

    def _take(self, tx: Any, owner: str, steps: Any, token: Any) -> None:
        for step in steps:
            name, args = self._meant(owner, step)
            kind, operation = name.split(".")
            method = getattr(getattr(tx, kind), operation)
            wanted = self._modelled(owner, (name, args), token, verified=True)
            assert _outcome(lambda m=method, a=args: m(**a)) == wanted, name

    def _take_part(
        self, tx: Any, owner: str, steps: Any, token: Any, *, kept: bool
    ) -> None:
        before = self.model.save()
        try:
            with tx.savepoint():
                self._take(tx, owner, steps, token)
                _end(keep=kept)
        except Failed:
            self.model.state = before


def _end(*, keep: bool) -> None:
    if not keep:
        raise Failed


def _outcome(act: Any) -> Any:
    """What can be told of a result, as the model tells it; or the error's class."""
    try:
        result = act()
    except HoldfastError as error:
        return type(error)
    if isinstance(result, tuple):
        return [message.position for message in result]
    for field in ("position", "version", "fence"):
        if hasattr(result, field):
            return getattr(result, field)
    return None if isinstance(result, TaskLog) else result


def run(machine: type[Stores], examples: int, steps: int) -> None:
    """Try a machine on so many examples; a failed one prints how to repeat it."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def soon_many(monkeypatch):
    """Let three messages be many, so that their deletion is done in slices."""
    monkeypatch.setattr("holdfast.kinds.messages._SWEPT_AT_ONCE", 3)
    monkeypatch.setattr("holdfast.kinds.tasks._SWEPT_AT_ONCE", 3)
    monkeypatch.setattr("holdfast.core._TIDIED_AT_ONCE", 1)


@pytest.fixture(params=["memory", "file"])
def machine(request, tmp_path_factory):
    """The machine for an engine; every example has a place of its own."""

    class Here(Stores):
        def __init__(self) -> None:
            super().__init__()
            if request.param == "file":
                self.target = str(tmp_path_factory.mktemp("model") / "agent.db")
                self.opened = 2

    return Here


def test_a_store_holds_what_the_model_holds(machine):
    run(machine, examples=25, steps=40)


@pytest.mark.usefixtures("soon_many")
def test_a_store_that_deletes_in_slices_holds_what_the_model_holds(machine):
    run(machine, examples=25, steps=40)


@pytest.mark.soak
@pytest.mark.usefixtures("soon_many")
def test_a_store_holds_what_the_model_holds_for_long(machine):
    run(machine, examples=2_000, steps=60)
