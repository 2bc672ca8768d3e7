"""Whatever becomes of machines in whatever order, they stand as a model says.

Two stores share a place. Machines of any definition are sent events; their effects are
claimed, done, failed, given back, cancelled and lost, their timers fire, definitions
get new versions, all of it alone and in transactions that may be undone. After each
step every machine, its history, and what it waits for is as the model has it.
"""

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import holdfast
import machine_files
from examples import dump
from holdfast import errors
from holdfast.clock import ManualClock, to_us
from holdfast.statecharts.specs import spec_of
from machine_model import MachineModel
from model import Wrong
from postgres import fresh_schema
from test_model import Failed, _end, run

pytestmark = pytest.mark.timeout(900)  # a failure is made small before it is told


def _broken(context: Any, payload: Any) -> bool:
    raise OSError("no answer")


GUARDS = dict(
    zip(
        machine_files.GUARDS,
        (lambda context, _: bool(context), lambda _, payload: payload == 1, _broken),
        strict=True,
    )
)
ID = st.sampled_from(["m", "m", "é"])
NAME = st.sampled_from(["dense", "dense", "any"])
STATES = ["a", "b", "c"]
EVENT = st.sampled_from(["GO", "GO", "BACK", "TICK", "SUCCESS", "ERROR"])
VALUE = st.sampled_from([0, 1, "$x", "$y", "$$x", "$$result", "$$errors.0.message"])
UPDATE = st.dictionaries(st.sampled_from("xy"), VALUE, min_size=1).map(
    lambda values: {"updateContext": values}
)
EFFECT = st.fixed_dictionaries(
    {"tool": st.sampled_from(["one", "two"]), "payload": VALUE},
    optional={"onSuccess": UPDATE},
)
ACTIONS = st.lists(st.one_of(UPDATE, EFFECT), max_size=3)
TRANSITION = st.fixed_dictionaries(
    {"target": st.sampled_from(STATES)},
    optional={
        "guard": st.sampled_from([True, True, False, *machine_files.GUARDS]),
        "actions": ACTIONS,
    },
)
ON = st.dictionaries(EVENT, st.lists(TRANSITION, min_size=1, max_size=2), min_size=4)
STATE = st.fixed_dictionaries(
    {"on": ON, "entry": ACTIONS},
    optional={
        "exit": ACTIONS,
        "after": st.fixed_dictionaries({"5s": st.just("TICK")}),
    },
)
DENSE = st.fixed_dictionaries(
    {
        "initial": st.just("a"),
        "states": st.fixed_dictionaries(
            {"a": STATE, "b": STATE}, optional={"c": STATE}
        ),
    }
)
"""Specs of few states, in which much happens."""
DEFINE = st.fixed_dictionaries(
    {
        "version": st.integers(1, 3),
        "unknown": st.sampled_from(["ignore", "ignore", "refuse"]),
        "from_versions": st.dictionaries(
            st.integers(1, 2),
            st.dictionaries(st.sampled_from(STATES), st.sampled_from(STATES)),
            max_size=2,
        ),
    }
)
SEND = st.fixed_dictionaries(
    {
        "id": ID,
        "event": st.one_of(EVENT, EVENT, st.sampled_from(machine_files.EVENTS)),
        "payload": st.sampled_from([None, 1, {"x": 2}, {"x": [1], "result": "r"}]),
        "expect": st.sampled_from([None, None, None, "a"]),
        "once": st.sampled_from([None, None, None, None, "k"]),
    }
)
CREATE = st.fixed_dictionaries(
    {"name": NAME, "id": ID, "context": st.sampled_from([{}, {"x": 1, "é": "ü"}])}
)
END = st.sampled_from(["done", "done", "done", "failed", "again", "released"])
LANE = st.one_of(*[ID.map("machine:{}".format)] * 3, st.none())
CLAIM = {"lane": LANE, "lease_seconds": st.sampled_from([20, 600])}
WORK = st.one_of(
    st.tuples(st.just("claim"), st.fixed_dictionaries(CLAIM)),
    st.tuples(st.just("end"), st.fixed_dictionaries({"how": END})),
    st.tuples(st.just("do"), st.fixed_dictionaries({"how": END, **CLAIM})),
)
RARE = st.one_of(
    st.tuples(st.just("create"), CREATE),
    st.tuples(st.just("cancel"), st.fixed_dictionaries({"which": st.integers(0, 3)})),
    st.tuples(
        st.just("upgrade"),
        st.fixed_dictionaries({"name": NAME, "limit": st.integers(1, 2)}),
    ),
    st.tuples(st.just("delete"), st.fixed_dictionaries({"id": ID})),
)
SENT = st.tuples(st.just("send"), SEND)
COMMAND = st.sampled_from([SENT] * 5 + [WORK] * 4 + [RARE]).flatmap(lambda one: one)


def fit(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec all of whose targets are there: those that are not are the initial."""
    states = spec["states"]
    for state in states.values():
        for transitions in state["on"].values():
            for one in transitions:
                if one["target"] not in states:
                    one["target"] = "a"
        if "TICK" not in state["on"]:
            state["on"]["TICK"] = [{"target": "a"}]
    return spec


class Sending(RuleBasedStateMachine):
    """Senders and workers on two stores in one place."""

    target = ":memory:"
    opened = 1

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = MachineModel(GUARDS)
        self.claimed: list[tuple[int, str, int]] = []
        """Jobs that were claimed: the model's number, the id, the fence."""

    @initialize(dense=DENSE, found=machine_files.files())
    def open(self, dense: Any, found: Any) -> None:
        self.stores = [
            holdfast.open(self.target, clock=self.clock) for _ in range(self.opened)
        ]
        plain = {"version": 1, "unknown": "ignore", "from_versions": {}}
        self.define("dense", fit(dense), plain)
        self.define("any", found, plain)
        for name, id in (("dense", "m"), ("any", "é")):
            self.alone(("create", {"name": name, "id": id, "context": {}}), 0)

    def teardown(self) -> None:
        report = self.stores[0].check()
        for store in self.stores:
            store.close()
        assert report.problems == ()

    @rule(spec=DENSE, more=DEFINE)
    def another_version(self, spec: Any, more: Any) -> None:
        self.define("dense", fit(spec), more)

    def define(self, name: str, spec: Any, more: Any) -> None:
        there = spec["states"]
        moved = {
            version: {was: now for was, now in states.items() if now in there}
            for version, states in more["from_versions"].items()
        }
        more = {**more, "from_versions": moved}
        brought = {"guards": GUARDS, "effects": spec_of(spec).tools}
        for store in self.stores:  # each process brings its guards
            self.compare(store, "define", {"name": name, "spec": spec, **more}, brought)

    @rule(command=COMMAND, which=st.integers(0, 1))
    def alone(self, command: Any, which: int) -> None:
        self.model.now = self.clock.now_us()
        self.act(self.stores[which % len(self.stores)], command)

    @rule(
        commands=st.lists(COMMAND, min_size=2, max_size=5),
        keep=st.sampled_from([True, True, False]),
        which=st.integers(0, 1),
    )
    def together(self, commands: Any, which: int, *, keep: bool) -> None:
        store, before = self.stores[which % len(self.stores)], self.model.copied()
        claimed, self.model.now = [*self.claimed], self.clock.now_us()
        try:
            with store.transaction() as tx:
                for command in commands:
                    with tx.savepoint():  # a refusal is no end of the transaction
                        self.act(tx, command)
                _end(keep=keep)
        except Failed:
            self.model, self.claimed = before, claimed

    @rule(seconds=st.sampled_from([0.5, 5, 30]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.target != ":memory:")
    @rule()
    def reopen(self) -> None:
        self.stores.pop(0).close()
        self.stores.append(holdfast.open(self.target, clock=self.clock))
        for name, versions in self.model.definitions.items():
            for version, content in versions.items():
                tools = spec_of(content["spec"]).tools
                self.stores[-1].machines.define(
                    name, version=version, guards=GUARDS, effects=tools, **content
                )

    @invariant()
    def every_machine_is_as_the_model_has_it(self) -> None:
        machines = self.stores[-1].machines
        assert {one.id: seen(one) for one in machines.list()} == {
            id: self.model.view(id) for id in self.model.machines
        }
        for id in self.model.machines:
            found = [
                (s.position, s.event, s.from_state, s.to_state, s.note is not None)
                for s in machines.history(id, limit=1_000)
            ]
            assert found == self.model.history(id)

    @invariant()
    def what_is_waited_for_is_as_the_model_has_it(self) -> None:
        rows = dump(self.stores[-1])
        ids = {row["no"]: row["id"] for row in rows["machine"]}
        kinds = {row["id"]: row["kind"] for row in rows["job"]}
        waited_for = [
            (ids[row["machine"]], kinds[row["job"]],
             None if row["event"] else row["step"], row["entered"], row["event"],
             row["last"])
            for row in rows["machine_effect"]
        ]  # fmt: skip
        assert sorted(map(repr, waited_for)) == sorted(
            map(repr, self.model.waited_for())
        )
        jobs = [
            (job.kind, job.body, job.lane, job.status == "active")
            for job in self.stores[-1].jobs.list(limit=1_000)
            if job.status in {"queued", "active"}
        ]
        assert sorted(map(repr, jobs)) == sorted(map(repr, self.model.open_jobs()))

    @invariant()
    def in_which_state_each_is_can_be_made_again(self) -> None:
        rows = dump(self.stores[-1])
        newest = {row["machine"]: row for row in rows["machine_step"]}
        for row in rows["machine_step"]:
            if row["position"] > newest[row["machine"]]["position"]:
                newest[row["machine"]] = row
        assert {row["no"]: row for row in rows["machine_now"]} == {
            row["no"]: {
                "no": row["no"],
                "owner": row["owner"],
                "name": row["name"],
                "version": newest[row["no"]]["version"],
                "state": newest[row["no"]]["to_state"],
                "created_at": row["created_at"],
            }
            for row in rows["machine"]
        }

    def act(self, target: Any, command: Any) -> None:
        """Do one command, and compare what it gives with what the model says."""
        name, args = command
        if name == "claim":
            self.claim(target, **args)
        elif name == "end":
            self.end(target, **args)
        elif name == "do":
            how, claim = args["how"], {**args}
            del claim["how"]
            self.claim(target, **claim)
            self.end(target, how=how, place=-1)
        elif name == "cancel":
            self.cancel(target, **args)
        else:
            self.compare(target, name, args)
            if name == "send" and args["id"] in self.model.machines:
                asked = {key: args[key] for key in ("id", "event", "payload")}
                self.compare(target, "can", asked)

    def compare(self, target: Any, name: str, args: Any, more: Any = None) -> None:
        wanted = self.modelled(lambda: getattr(self.model, name)(**args))
        method = getattr(target.machines, name)
        found = outcome(lambda: method(**args, **(more or {})))
        assert found == wanted, (name, args, found, wanted)

    def modelled(self, work: Any) -> Any:
        """What the model says, which is unchanged if that is an error."""
        before = self.model.copied()
        try:
            return work()
        except Wrong as wrong:
            self.model = before
            return wrong.error

    def claim(self, target: Any, *, lane: str | None, lease_seconds: float) -> None:
        given = {"lane": lane, "lease_seconds": lease_seconds}
        wanted = self.modelled(lambda: self.model.claim(**given))
        if wanted is errors.Refused:
            return
        asked = {"kinds": ["machine.after"]} if lane is None else {"lanes": [lane]}
        found = target.jobs.claim("w", lease_seconds=lease_seconds, limit=1, **asked)
        assert [(job.kind, job.body, job.attempt, job.fence) for job in found] == [
            one[1:] for one in wanted
        ]
        for job, (number, *_) in zip(found, wanted, strict=True):
            self.claimed.append((number, job.id, job.fence))

    def end(self, target: Any, *, how: str, place: int = 0) -> None:
        """End the job that was claimed first (or last), if any was, in some way."""
        if not self.claimed:
            return
        number, id, fence = self.claimed.pop(place)
        model, jobs = self.model, target.jobs
        result, retry = {"x": fence}, how == "again"
        ways = {
            "done": (
                lambda: model.complete(number, fence, result),
                lambda: jobs.complete(id, result, fence=fence),
            ),
            "released": (
                lambda: model.release(number, fence),
                lambda: jobs.release(id, fence=fence),
            ),
        }
        failing = (
            lambda: model.fail(number, fence, "no", retry=retry),
            lambda: jobs.fail(id, "no", retry=retry, delay_seconds=0, fence=fence),
        )
        said, done = ways.get(how, failing)
        wanted = self.modelled(said)
        if wanted is not errors.Refused:  # a circle: it would be told later, in vain
            found = outcome(done)
            assert found == wanted, (how, found, wanted)

    def cancel(self, target: Any, *, which: int) -> None:
        """Cancel a job that was claimed."""
        if which < len(self.claimed):
            number, id, _ = self.claimed[which]
            if number in self.model.jobs:
                wanted = self.modelled(lambda: self.model.cancel(number))
                if wanted is not errors.Refused:
                    assert outcome(lambda: target.jobs.cancel(id)) == wanted


def outcome(work: Any) -> Any:
    """What an operation gives, as far as it is compared; or its error's class."""
    try:
        result = work()
    except errors.HoldfastError as error:
        return type(error)
    if isinstance(result, (int, bool)):
        return result
    if hasattr(result, "outcome"):
        position = None if result.step is None else result.step.position
        return result.outcome.value, seen(result.machine), position
    return seen(result) if hasattr(result, "state") else None


def seen(machine: Any) -> tuple[Any, ...]:
    """What is compared of a machine."""
    return (
        machine.id,
        machine.name,
        machine.version,
        machine.state,
        machine.context,
        machine.steps,
        to_us(machine.entered_at),
    )


class Served(Sending):
    """Two stores on a server, in a schema of their own."""

    opened = 2

    def __init__(self) -> None:
        super().__init__()
        self.place = ExitStack()
        self.target = self.place.enter_context(fresh_schema())

    def teardown(self) -> None:
        with self.place:
            super().teardown()


def on_files(folder: Any) -> type[Sending]:
    """The machine on two stores that share a file, each example on one of its own."""

    class Filed(Sending):
        opened = 2

        def __init__(self) -> None:
            super().__init__()
            self.target = str(folder.mktemp("machines") / "agent.db")

    return Filed


def test_machines_stand_as_the_model_says_in_memory():
    run(Sending, examples=25, steps=30)


def test_machines_stand_as_the_model_says_on_a_file(tmp_path_factory):
    run(on_files(tmp_path_factory), examples=6, steps=30)


def test_machines_stand_as_the_model_says_on_a_server():
    run(Served, examples=2, steps=15)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_machines_stand_as_the_model_says_for_long(tmp_path_factory):
    run(Sending, examples=1_500, steps=60)
    run(on_files(tmp_path_factory), examples=300, steps=60)
    run(Served, examples=60, steps=50)
