"""Whatever is done in whatever order, a store holds what a model of plain dicts holds.

Owners take turns on one store (on a file: on two stores that share it), alone, under
leases, and in transactions with savepoints that fail. What models are shown and what
searches find is as the model says, then and at every moment of the past. The journal
must lead to the same state by its changes alone.
"""

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

import holdfast
from commands import (
    COMMAND,
    FORKED,
    FURNISHING,
    LIMITS,
    OWNERS,
    PLAIN,
    TALK,
    TALK_ID,
    TOKEN,
)
from kept import Kept, outcome
from model import Wrong
from postgres import empty_store

pytestmark = pytest.mark.timeout(900)  # a failure is made small before it is told


class Failed(Exception):
    """What a body of code raises to have its work undone."""


class Stores(Kept):
    """Owners that do anything, alone and in transactions, under leases or not."""

    @rule(
        owner=st.sampled_from(OWNERS),
        command=COMMAND,
        token=TOKEN,
        which=st.integers(0, 1),
    )
    def alone(self, owner: str, command: Any, token: Any, which: int) -> None:
        self.act(owner, command, token, which)

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
        self.tick()
        token = self.fenced(owner, token)
        store = self.store(owner, token, which)
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
        self.tick()

    @rule()
    def reopen(self) -> None:
        if self.target != ":memory:":
            self.stores.pop(0).close()
            self.stores.append(holdfast.open(self.target, clock=self.clock))

    def _take(self, tx: Any, owner: str, steps: Any, token: Any) -> None:
        for step in steps:
            name, args = self.meant(owner, step)
            kind, operation = name.split(".")
            method = getattr(getattr(tx, kind), operation)
            wanted = self.modelled(owner, (name, args), token, verified=True)
            assert outcome(lambda m=method, a=args: m(**a)) == wanted, name

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


def run(machine: type[Kept], examples: int, steps: int) -> None:
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
    monkeypatch.setattr("holdfast.kinds.histories._SWEPT_AT_ONCE", 3)
    monkeypatch.setattr("holdfast.kinds.tasks._SWEPT_AT_ONCE", 3)
    monkeypatch.setattr("holdfast.core._TIDIED_AT_ONCE", 1)


@pytest.fixture(params=["memory", "file"])
def placed(request, tmp_path_factory):
    """Makes a machine one for an engine; every example has a place of its own."""

    def place(machine):
        class Here(machine):
            def __init__(self) -> None:
                super().__init__()
                if request.param == "file":
                    self.target = str(tmp_path_factory.mktemp("model") / "agent.db")
                    self.opened = 2

        return Here

    return place


class Talks(Kept):
    """Owners that talk, in sessions that fork."""

    furnishing = FURNISHING + FORKED

    @rule(
        owner=st.sampled_from(OWNERS),
        id=TALK_ID,
        steps=st.lists(TALK, min_size=4, max_size=12),
        limits=LIMITS,
        which=st.integers(0, 1),
    )
    def talk(self, owner: str, id: str, steps: Any, limits: Any, which: int) -> None:
        """Steps in one session; then all that the owner has are looked at."""
        if id not in self.model.of(owner)["sessions"]:
            self.act(owner, ("sessions.create", {"id": id, **PLAIN}), None, which)
        for name, args in steps:
            self.act(owner, (name, {**args, "id": id}), None, which)
        for there in self.model.of(owner)["sessions"]:
            self.act(owner, ("sessions.summaries", {"id": there}), None, which)
            asked = {"id": there, **limits}
            self.act(owner, ("sessions.context", asked), None, which)


class Served(Talks):
    """Two stores on a server, on one store's tables."""

    opened = 2

    def __init__(self) -> None:
        super().__init__()
        self.place = ExitStack()
        self.target = self.place.enter_context(empty_store())

    def teardown(self) -> None:
        with self.place:
            super().teardown()


def test_a_store_holds_what_the_model_holds(placed):
    run(placed(Stores), examples=12, steps=40)


@pytest.mark.usefixtures("soon_many")
def test_a_store_that_deletes_in_slices_holds_what_the_model_holds(placed):
    run(placed(Talks), examples=8, steps=25)


@pytest.mark.usefixtures("soon_many")
def test_a_store_on_a_server_holds_what_the_model_holds():
    run(Served, examples=2, steps=25)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.usefixtures("soon_many")
@pytest.mark.parametrize("machine", [Stores, Talks])
def test_a_store_holds_what_the_model_holds_for_long(placed, machine):
    run(placed(machine), examples=1_000, steps=60)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.usefixtures("soon_many")
def test_a_store_on_a_server_holds_what_the_model_holds_for_long():
    run(Served, examples=150, steps=50)
