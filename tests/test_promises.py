"""The table of promises, each line tried: write, kill -9, open again, compare.

Driven by `holdfast.declared.guarantees()`: a line that is there and has no trial, or a
promise or a way to come back that nothing here tries, is a failure. A kind of a user's
own is one of them, and stands under the same test as holdfast's.
"""

import importlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from conftest import place_on
from holdfast import declared, memories
from holdfast.contract import Kind
from holdfast.errors import Held, Refused
from holdfast.guarantees import MEANINGS, WAYS, Guarantee, Promise, Recovery
from holdfast.shown import shown
from killing import Worker
from trials import JOTTINGS, TRIALS, Here, Jottings, Trial

LONGER = 1.5
"""So many times the time that a promise states is waited for it."""


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch) -> Iterator[dict[str, Guarantee]]:
    """The table by its kinds of state, with a user's own kind in it."""
    monkeypatch.chdir(tmp_path)
    holdfast.kind("jottings", sql=JOTTINGS, promise=Promise.DURABLE)(Jottings)
    yield {found.kind: found for found in declared.guarantees()}
    declared._declared.pop("jottings")
    declared._current.clear()


# What is there after a crash


def after_a_crash(target: str, trial: Trial) -> tuple[str, str, str]:
    """What was there when the last write was acknowledged, and after kill -9.

    In the new process: what is there by itself, and then what came back.
    """

    def work(say: Callable[[str], None]) -> None:
        here: Here = {}
        store = holdfast.open(target, limits=trial.limits)
        trial.begin(store)
        for number in range(5):
            trial.write(store, number, here)
            say(_said(trial, store, here))
        time.sleep(trial.seconds * LONGER)
        say(_said(trial, store, here))
        for number in range(5, 25):  # perhaps killed amid these
            trial.write(store, number, here)
        signal.pause()

    worker = Worker(work)
    try:
        worker.wait_for(6)
        said = worker.kill()[-1]
    finally:
        worker.close()
    here: Here = {}
    with holdfast.open(target, limits=trial.limits) as store:
        assert store.check().problems == ()
        found = _said(trial, store, here)
        again = json.dumps(trial.again(store, here)) if trial.again else found
        trial.end(here)
        return said, found, again


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
was acknowledged, and, if that is debounced, given the time that it states."""


@pytest.mark.parametrize("engine", ["file", "postgres"])
@pytest.mark.parametrize("kind", TRIALS)
def test_a_kind_of_state_keeps_its_promise_through_kill_9(
    table, tmp_path, kind, engine
):
    line, trial = table[kind], TRIALS[kind]
    with place_on(engine, tmp_path) as target:
        said, found, again = after_a_crash(target, trial)
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


def test_only_what_is_debounced_is_given_time(table):
    for kind, trial in TRIALS.items():
        by_time = table[kind].recovery is not Recovery.CHECKPOINT
        debounced = table[kind].promise is Promise.DEBOUNCED and by_time
        assert bool(trial.seconds) == debounced, kind


def test_a_promise_that_is_not_kept_would_be_noticed():
    assert not _all_of_it("[]", "[]")
    assert not _all_of_it("[1, 2]", "[1]")
    assert not _all_of_it('{"a": 1}', '{"a": 2}')
    assert not _none_of_it("[]", "[]")
    assert not _none_of_it("[1]", "[1]")
    assert not _under_its_id("[1, 2]", "[]", "[1]")


# What else a line says


@pytest.fixture
def trying(tmp_path) -> Iterator[Callable[[str], tuple[Any, Trial, Here]]]:
    """A store in this process in which a trial has begun; ended when the test ends."""
    begun: list[tuple[Any, Trial, Here]] = []

    def begin(kind: str) -> tuple[Any, Trial, Here]:
        store = holdfast.open(tmp_path / "agent.db", limits=TRIALS[kind].limits)
        begun.append((store, TRIALS[kind], {}))
        TRIALS[kind].begin(store)
        return begun[-1]

    yield begin
    for store, trial, here in begun:
        trial.end(here)
        store.close()


def _written(store: Any, trial: Trial, here: Here, numbers: range) -> list[Any]:
    """What is there after some more writes, once they are on disk."""
    for number in numbers:
        trial.write(store, number, here)
    time.sleep(trial.seconds * LONGER)
    return _items(trial.there(store, here))


def _items(there: Any) -> list[Any]:
    return list(there.items() if isinstance(there, dict) else there)


@pytest.mark.parametrize("kind", TRIALS)
def test_a_line_says_whether_changes_are_in_the_journal(table, trying, kind):
    store, trial, here = trying(kind)
    head = store.journal.head()
    _written(store, trial, here, range(2))
    found = {change.kind for change in store.journal.read(head)}
    if declared_kind := _kind(kind):
        found &= {one.name for one in declared_kind.tables}
    assert bool(found - trial.besides) == table[kind].journalled


@pytest.mark.parametrize("kind", TRIALS)
def test_a_line_says_whether_it_can_be_looked_at_as_it_was(table, trying, kind):
    store, trial, here = trying(kind)
    view = trial.past or trial.there
    _written(store, trial, here, range(2))
    before = _items(view(store, here))
    then = store.as_of(store.moment()) if store.moment() else None
    _written(store, trial, here, range(2, 4))
    assert before
    assert _items(view(store, here)) != before
    try:
        shows_it = then is not None and _items(view(then, here)) == before
    except Refused:
        shows_it = False
    assert shows_it == table[kind].in_the_past


@pytest.mark.parametrize("kind", TRIALS)
def test_a_line_says_whether_others_are_kept_away_from_it(table, trying, kind):
    store, trial, here = trying(kind)
    mine = _written(store, trial, here, range(2))
    bob = store.owned_by("bob")
    assert mine
    if table[kind].owned:
        theirs = _items(trial.there(bob, {}))
        assert not [item for item in theirs if item in mine]
    elif kind == "the journal's policy":
        with pytest.raises(Refused):  # it is everyone's, and not one owner's to ask
            trial.there(bob, here)
    else:
        assert _items(trial.there(bob, here)) == mine


@pytest.mark.parametrize("kind", TRIALS)
def test_a_line_says_whether_a_lease_holds_writes_off(table, trying, kind):
    store, trial, _ = trying(kind)
    if trial.leased is None:
        assert not table[kind].leased
        return
    name, id, write = trial.leased(store)
    lease = store.leases.acquire(name, id, holder="somebody", seconds=9_999)
    if table[kind].leased:
        with pytest.raises(Held):
            write(store)
        write(store.holding(lease))
    else:
        write(store)


@pytest.mark.parametrize("kind", TRIALS)
def test_a_line_says_whether_it_goes_into_files_of_its_own(table, kind):
    found = _kind(kind)
    exports = found is not None and hasattr(shown(found), "export_to")
    assert table[kind].exported == exports


@pytest.mark.parametrize("kind", TRIALS)
def test_what_begins_anew_can_be_asked_for_again(table, trying, kind):
    if table[kind].recovery not in {Recovery.SUBSCRIBED, Recovery.ANEW}:
        return
    store, trial, here = trying(kind)
    assert _written(store, trial, here, range(2))
    trial.end(here)
    store.close()
    store, trial, here = trying(kind)
    assert _written(store, trial, here, range(2, 4))


def _kind(name: str) -> type[Kind] | None:
    return declared._declared.get(name)


# The table itself


@pytest.mark.parametrize("kind", [k.name for k in declared.OURS])
def test_each_kind_of_ours_says_why_and_what_changes_it(kind):
    (found,) = [one for one in declared.OURS if one.name == kind]
    assert found.why, f"{found.__name__} says not why it promises what it does"
    assert found.changed_by, f"{found.__name__} says not what changes it"
    assert not found.why.endswith(".")
    assert found.why[:1].islower() or not found.why[:2].istitle()


@pytest.mark.parametrize("kind", TRIALS)
def test_each_line_names_a_module_that_answers_for_it(table, kind):
    line = table[kind]
    assert line.why
    assert line.changed_by
    assert importlib.import_module(line.owner).__doc__ or kind == "jottings"


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
    assert (line.owner, line.recovery) == ("trials", Recovery.FULL)
    assert (line.journalled, line.owned, line.leased) == (True, True, False)
