"""The table of promises, each line tried: write, kill -9, open again, compare.

Driven by `holdfast.declared.guarantees()`: a line that is there and has no trial, or a
promise or a way to come back that nothing here tries, is a failure. A kind of a user's
own is one of them, and stands under the same test as holdfast's.
"""

import importlib
import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import holdfast
from conftest import place_on
from holdfast import declared, memories
from holdfast.errors import Held, Refused
from holdfast.guarantees import MEANINGS, WAYS, Guarantee, Promise, Recovery
from killing import Worker
from kind_trials import JOTTINGS, KINDS, Jottings
from memory_trials import MEMORY
from postgres import fresh_schema, until
from runtime_trials import RUNTIME
from trials import Here, Trial, items

TRIALS = {**KINDS, **MEMORY, **RUNTIME}
"""A trial for each line, by the name of its kind of state."""
ANEW = {Recovery.SUBSCRIBED, Recovery.ANEW}
WHOLE = {"the journal's policy", "the events' policy"}
"""What is a whole store's, and so is tried in a store of its own."""


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch) -> Iterator[dict[str, Guarantee]]:
    """The table by its kinds of state, with a user's own kind in it."""
    monkeypatch.chdir(tmp_path)
    holdfast.kind("jottings", sql=JOTTINGS, promise=Promise.DURABLE)(Jottings)
    yield {found.kind: found for found in declared.guarantees()}
    declared._declared.pop("jottings")
    declared._current.clear()


@pytest.fixture(scope="module")
def schema() -> Iterator[str]:
    """A schema for all lines, each of which has an owner of its own in it."""
    with fresh_schema() as url:
        yield url


@pytest.fixture(params=["file", "postgres"])
def place(request, tmp_path, kind) -> Iterator[dict[str, str]]:
    """Where a line is tried: a target, and an owner."""
    if request.param == "postgres" and kind not in WHOLE:
        target = request.getfixturevalue("schema")
        yield {"target": target, "owner": kind}
    else:
        with place_on(request.param, tmp_path) as target:
            yield {"target": target, "owner": ""}


# What is there after a crash


def after_a_crash(trial: Trial, place: dict[str, str]) -> tuple[str, str, str]:
    """What was there when the last write was acknowledged, and after kill -9.

    In the new process: what is there by itself, and then what came back.
    """

    worker = Worker(lambda say: _write_on(trial, place, say))
    try:
        worker.wait_for(1)
        said = worker.kill()[-1]
    finally:
        worker.close()
    here: Here = {}
    with holdfast.open(**place, limits=trial.limits) as store:
        assert store.check().problems == ()
        found = _said(trial, store, here)
        again = json.dumps(trial.again(store, here)) if trial.again else found
        trial.end(here)
        return said, found, again


def _write_on(trial: Trial, place: dict[str, str], say: Callable[[str], None]) -> None:
    """In another process: say what is there, and write on until that is killed."""
    here: Here = {}
    store = holdfast.open(**place, limits=trial.limits)
    trial.begin(store)
    _written(trial, store, here, range(5), place)
    say(_said(trial, store, here))
    for number in range(5, 25):  # perhaps killed amid these
        trial.write(store, number, here)
    signal.pause()


def _written(
    trial: Trial, store: Any, here: Here, numbers: range, place: dict[str, str]
) -> None:
    """Some writes; they are on disk then, if they ever will be."""
    for number in numbers:
        trial.write(store, number, here)
    here["written"] = here.get("written", 0) + len(numbers)
    settled = trial.settled or trial.there
    if trial.settles:  # another one who opens the store finds them
        with holdfast.open(**{**place, "owner": store.owner}) as other:
            until(lambda: len(items(settled(other, {}))) >= here["written"])


def _said(trial: Trial, store: Any, here: Here) -> str:
    return json.dumps(trial.there(store, here), sort_keys=True, default=str)


def _all_of_it(said: str, found: str) -> bool:
    before, after = json.loads(said), json.loads(found)
    if isinstance(before, dict):
        return bool(before) and before.items() <= after.items()
    return bool(before) and all(item in after for item in before)


def _none_of_it(said: str, found: str) -> bool:
    return bool(json.loads(said)) and not json.loads(found)


TRIED = {
    Promise.DURABLE: _all_of_it,
    Promise.DEBOUNCED: _all_of_it,
    Promise.EPHEMERAL: _none_of_it,
    Promise.DERIVED: _all_of_it,
}
"""What each promise says of a store that was killed, as far as one is made yet: of what
was acknowledged, and, if that is debounced, was on disk some time after that."""


@pytest.mark.parametrize("kind", TRIALS)
def test_a_kind_of_state_keeps_its_promise_through_kill_9(table, place, kind):
    line = table[kind]
    said, found, again = after_a_crash(TRIALS[kind], place)
    by_checkpoint = line.recovery is Recovery.CHECKPOINT
    assert TRIED[line.promise](said, again if by_checkpoint else found)
    assert COMES_BACK[line.recovery](said, found, again)


def _by_itself(said: str, found: str, again: str) -> bool:
    """All of it is there, before anybody asks for anything."""
    return _all_of_it(said, found)


def _built_again(said: str, found: str, again: str) -> bool:
    """All of it is there, and still is when it was made again from its source."""
    return _all_of_it(said, found) and _all_of_it(said, again)


def _when_asked(said: str, found: str, again: str) -> bool:
    """Nothing is there; that it can be asked for again is tried apart."""
    return _none_of_it(said, found)


def _under_its_id(said: str, found: str, again: str) -> bool:
    """Nothing runs; what ran before is run again, under the same ids."""
    return _none_of_it(said, found) and _all_of_it(said, again)


def _from_a_checkpoint(said: str, found: str, again: str) -> bool:
    """Nothing is there; all of the newest checkpoint is, once that is restored."""
    return _none_of_it(said, found) and _all_of_it(said, again)


COMES_BACK = {
    Recovery.FULL: _by_itself,
    Recovery.REBUILT: _built_again,
    Recovery.SUBSCRIBED: _when_asked,
    Recovery.ANEW: _when_asked,
    Recovery.IDENTITY: _under_its_id,
    Recovery.CHECKPOINT: _from_a_checkpoint,
}
"""What each way to come back means, in what was, what is there, and what came back."""


def test_every_line_every_promise_and_every_way_to_come_back_is_tried(table):
    assert table.keys() == TRIALS.keys()
    assert {line.promise for line in table.values()} <= TRIED.keys()
    assert COMES_BACK.keys() == set(Recovery) == WAYS.keys()


def test_what_has_to_come_back_is_looked_for_and_nothing_else_is(table):
    told = {Recovery.IDENTITY, Recovery.CHECKPOINT}
    for kind, trial in TRIALS.items():
        way = table[kind].recovery
        assert trial.again is not None or way not in told, kind
        assert trial.again is None or way in {*told, Recovery.REBUILT}, kind


def test_only_what_is_debounced_is_waited_for(table):
    for kind, trial in TRIALS.items():
        assert trial.settles == (table[kind].promise is Promise.DEBOUNCED), kind


def test_a_promise_that_is_not_kept_would_be_noticed():
    assert not _all_of_it("[]", "[]")
    assert not _all_of_it("[1, 2]", "[1]")
    assert not _all_of_it('{"a": 1}', '{"a": 2}')
    assert not _none_of_it("[]", "[]")
    assert not _none_of_it("[1]", "[1]")
    assert not _under_its_id("[1, 2]", "[]", "[1]")


# What else a line says


@contextmanager
def trying(kind: str) -> Iterator[tuple[Trial, Any, Here, dict[str, str]]]:
    """A store in this process in which a trial has begun."""
    trial, place, here = TRIALS[kind], {"target": "agent.db", "owner": ""}, Here()
    with holdfast.open(**place, limits=trial.limits) as store:
        trial.begin(store)
        try:
            yield trial, store, here, place
        finally:
            trial.end(here)


@pytest.mark.parametrize("kind", TRIALS)
def test_a_line_says_what_holds_of_its_state(table, kind):
    """Each column that says yes or no, found out by trying it."""
    with trying(kind) as tried:
        found = {
            "journalled": _is_journalled(kind, *tried),
            "in_the_past": _is_in_the_past(*tried),
            "exported": _is_exported(kind, tried[1]),
            "owned": _is_owned(*tried),
            "leased": _is_leased(kind, *tried[:2]),
        }
    assert found == {name: getattr(table[kind], name) for name in found}


def _is_journalled(
    kind: str, trial: Trial, store: Any, here: Here, place: dict[str, str]
) -> bool:
    """Whether the journal has a change of its own tables."""
    head = store.journal.head()
    _written(trial, store, here, range(2), place)
    found = {change.kind for change in store.journal.read(head)}
    if declared_kind := declared._declared.get(kind):
        found &= {one.name for one in declared_kind.tables}
    return bool(found - trial.besides)


def _is_in_the_past(
    trial: Trial, store: Any, here: Here, place: dict[str, str]
) -> bool:
    """Whether it is shown as it was, after it became another."""
    view = trial.past or trial.there
    before = items(view(store, here))
    then = store.as_of(store.moment()) if store.moment() else None
    _written(trial, store, here, range(2, 4), place)
    assert before
    assert items(view(store, here)) != before
    try:
        return then is not None and items(view(then, here)) == before
    except Refused:
        return False


def _is_exported(kind: str, store: Any) -> bool:
    """Whether it can be written to files of its own, with what was written in them."""
    export = getattr(getattr(store, kind, None), "export_to", None)
    if export is None:
        return False
    export("exported")
    found = Path("exported")
    files = found.iterdir() if found.is_dir() else [found]
    return any("no" in file.read_text(encoding="utf-8") for file in files)


def _is_owned(trial: Trial, store: Any, here: Here, place: dict[str, str]) -> bool:
    """Whether each of two owners has what they wrote, and nothing of the other's."""
    bob, theirs = store.owned_by("bob"), Here()
    if trial.shared:
        return not trial.shared(store, bob, here)
    before = items(trial.there(store, here))
    trial.begin(bob)
    _written(trial, bob, theirs, range(10, 12), place)
    _written(trial, store, here, range(20, 21), place)
    mine, bobs = items(trial.there(store, here)), items(trial.there(bob, theirs))
    trial.end(theirs)
    apart = not [item for item in bobs if item in mine]
    return apart and (len(mine), len(bobs)) == (len(before) + 1, 2)


def _is_leased(kind: str, trial: Trial, store: Any) -> bool:
    """Whether another's lease holds writes off, and not its holder's."""
    if trial.leased is None:  # nothing of it can be leased
        with pytest.raises(Refused, match="could be leased"):
            store.leases.acquire(re.sub(r"\W", "_", kind), "x", holder="a", seconds=9)
        return False
    name, id, write = trial.leased(store)
    lease = store.leases.acquire(name, id, holder="somebody", seconds=9_999)
    try:
        write(store)
    except Held:
        write(store.holding(lease))
        return True
    return False


@pytest.mark.parametrize(
    "kind", [k.kind for k in memories.MEMORIES if k.recovery in ANEW]
)
def test_what_begins_anew_can_be_asked_for_again(kind):
    for numbers in (range(2), range(2, 4)):
        with trying(kind) as (trial, store, here, place):
            _written(trial, store, here, numbers, place)
            assert items(trial.there(store, here))


# The table itself


def test_each_kind_of_ours_says_why_and_what_changes_it():
    for kind in declared.OURS:
        assert kind.why, f"{kind.__name__} says not why it promises what it does"
        assert kind.changed_by, f"{kind.__name__} says not what changes it"
        assert not kind.why.endswith(".")
        assert kind.why[:1].islower() or not kind.why[:2].istitle()


def test_each_line_names_a_module_that_answers_for_it(table):
    for kind, line in table.items():
        assert line.why, kind
        assert line.changed_by, kind
        assert importlib.import_module(line.owner).__doc__, kind


def test_no_line_is_there_twice_and_none_is_mirrored_as_yet(table):
    every = declared.guarantees()
    assert len(every) == len(table)
    assert not [line.kind for line in every if line.mirrored]
    assert declared.others() == memories.MEMORIES
    assert {line.kind for line in declared.others()}.isdisjoint(declared._declared)


def test_the_table_says_of_each_kind_what_its_promise_means(table):
    for line in declared.guarantees():
        meaning = MEANINGS[line.promise]
        assert (line.acknowledged, line.after_a_crash) == (
            meaning.acknowledged,
            meaning.after_a_crash,
        )


def test_a_kind_of_a_users_own_has_its_line_without_saying_more(table):
    line = table["jottings"]
    assert line.why == "Notes of a user's own"
    assert line.changed_by == "put"
    assert (line.owner, line.recovery) == ("kind_trials", Recovery.FULL)
    assert (line.journalled, line.owned, line.leased) == (True, True, False)
