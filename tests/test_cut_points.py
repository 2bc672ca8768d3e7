"""Every writing operation, cut before each of its statements: nothing remains."""

import asyncio
import itertools
import threading

import apsw
import pytest

import holdfast
from conftest import ENGINES, store_on
from cutting import Cut, Knife
from examples import WRITING, dump, example, furnish
from holdfast.clock import ManualClock
from holdfast.engine import Terms
from holdfast.engines.postgres.transaction import PostgresTransaction
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.errors import Fenced, HoldfastError
from holdfast.kinds.job_records import Ending
from holdfast.kinds.jobs import Jobs
from holdfast.runtime.jobs.claims import Claim
from holdfast.runtime.jobs.running import RunningJob


@pytest.fixture
def ada(store):
    """A furnished owner of a store on each engine, through each face."""
    mine = store.owned_by("ada")
    furnish(mine, "ada")
    return mine


def cut_everywhere(store, act, expected=Cut):
    """Do `act`, cut at every place in turn until none is left; how many there were."""
    knife = Knife(store)
    before = dump(store)
    for place in itertools.count(1):
        try:
            with knife.before(place):
                act()
        except expected:
            assert knife.fell
            assert dump(store) == before, f"cut before {knife.seen[place - 1]!r}"
        else:
            assert not knife.fell
            assert dump(store) != before
            return place - 1
    raise AssertionError


CUT = [name for name in WRITING if name not in {"events.emit", "agents.verify"}]
"""What changes rows; an event is told of when that is committed."""


@pytest.mark.parametrize("name", CUT)
def test_an_operation_that_is_cut_leaves_nothing_and_then_succeeds(ada, name):
    places = cut_everywhere(ada, lambda: ada.call(name, example(name).args))
    assert places >= 4  # begin, a look, a write, commit


@pytest.mark.parametrize("name", CUT)
def test_an_operation_that_is_cut_within_a_transaction_leaves_the_rest(name):
    cut, whole = (
        holdfast.open(":memory:", clock=ManualClock(), owner="ada") for _ in "ab"
    )
    with cut, whole:
        furnish(cut, "ada")
        furnish(whole, "ada")
        knife = Knife(cut)
        for place in itertools.count(2):  # 1 is the savepoint itself
            with whole.transaction() as tx:
                tx.sessions.create(id=f"kept-{place}")
            with cut.transaction() as tx:
                tx.sessions.create(id=f"kept-{place}")
                if not falls(knife, place, tx, name):
                    break
            assert dump(cut) == dump(whole), knife.seen
        assert place >= 4  # the savepoint, a write, its end


def falls(knife, place, tx, name):
    """Whether an operation, in a savepoint of its own, was cut at that place."""
    kind, operation = name.split(".")
    try:
        with knife.before(place), tx.savepoint():
            getattr(getattr(tx, kind), operation)(**example(name).args)
    except Cut:
        return True
    return knife.fell


def test_a_transaction_of_many_operations_leaves_nothing_wherever_it_is_cut(ada):
    def act():
        with ada.transaction() as tx:
            tx.sessions.append("talk", "user", "a")
            with tx.savepoint():
                tx.tasks.complete("doing", 1)
            tx.sessions.delete("child")

    assert cut_everywhere(ada, act) > 12


def test_a_keyed_run_that_is_cut_was_not_run(ada):
    def act():
        return ada.run(lambda tx: tx.sessions.append("talk", "user", "a").id, once="k")

    assert cut_everywhere(ada, act) > 5
    assert act() == ada.sessions.messages("talk")[-1].id
    assert ada.sessions.get("talk").message_count == 4


def test_a_follower_that_is_cut_keeps_neither_its_effect_nor_its_place(open_store):
    store = open_store(clock=ManualClock())
    furnish(store, "ada")

    def act():
        store.journal.follower("reader").apply(
            lambda tx, changes: tx.tasks.log("doing", f"saw {len(changes)}")
        )

    assert cut_everywhere(store, act) > 5


def test_a_workers_turn_that_is_cut_has_ended_fired_and_claimed_nothing(ada, clock):
    ada.schedules.put("beat", "work", every_seconds=60, lane="beats")
    ada.jobs.put("work", id="lapsing", lane="a")
    ada.jobs.put("work", id="failing", lane="b", parent="held")
    for lane, lease_seconds in (("a", 1), ("b", 600)):
        ada.jobs.claim("me", lanes=[lane], lease_seconds=lease_seconds)
    ada.jobs.put("work", id="next", lane="a")
    ada.jobs.put("work", id="timed", delay_seconds=2)
    clock.advance(90)
    endings = [
        Ending(id="held", lane="busy", fence=1, outcome="done", result="1"),
        Ending(id="failing", lane="b", fence=1, outcome="failed", retry=False),
        Ending(id="lapsing", lane="a", fence=1, outcome="done"),
    ]

    def serve(tx):
        return Jobs(tx).serve(
            "me", endings, kinds=["work"], limit=10, lease_seconds=9, versions={}
        )

    core, found = ada._core, []

    def act():
        found.append(core.engine.write(core.unit(serve, Terms(owner="ada"))))

    assert cut_everywhere(ada, act) > 20
    (served,) = found
    done, dead, late = served.ended
    assert (done, dead, type(late)) == ("done", "dead", Fenced)
    claimed = {job.id for job in served.claimed}
    assert claimed >= {"lapsing", "timed", "ready"}
    assert [id for id in claimed if id.startswith("beat@")]
    assert "next" not in claimed


def in_finish(job):
    with job.finish({"ok": True}) as tx:
        tx.sessions.append("talk", "user", "done")
        tx.jobs.put("work", lane="free")


def in_step(job):
    job.run("step", lambda tx: tx.sessions.append("talk", "user", "done").id)


@pytest.mark.parametrize("way", [in_finish, in_step])
@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_handler_does_with_its_effects_is_cut_with_them(engine, way, tmp_path):
    with (
        store_on(engine, tmp_path) as target,
        holdfast.open(target, clock=ManualClock()) as store,
    ):
        ada = store.owned_by("ada")
        furnish(ada, "ada")
        (job,) = ada.jobs.claim("me", lanes=["free"])
        worker = holdfast.Worker(ada, {"work": way})
        setting, handling = worker._setting(), worker._plan.handlings["work"]

        def act():
            way(RunningJob(Claim(job, handling), setting))

        assert cut_everywhere(ada, act) > 8
        ended, kept = ada.jobs.get(job.id).status == "done", ada.jobs.steps(job.id)
        assert (ended, len(kept)) == ((True, 0) if way is in_finish else (False, 1))
        assert ada.sessions.messages("talk")[-1].content == "done"


@pytest.mark.parametrize("name", ["sessions.clear", "sessions.delete"])
def test_a_large_deletion_that_is_cut_leaves_every_message(ada, name, monkeypatch):
    monkeypatch.setattr("holdfast.kinds.histories._SWEPT_AT_ONCE", 2)
    for engine in (SqliteTransaction, PostgresTransaction):
        monkeypatch.setattr(engine, "untidy", lambda tx: None)
    cut_everywhere(ada, lambda: ada.call(name, {"id": "talk"}))
    assert [row["kind"] for row in dump(ada)["leftover"]] == ["sessions"]


@pytest.mark.parametrize("of", ["talk", "fork"])
@pytest.mark.parametrize("name", ["pop", "clear", "delete", "amend", "fork"])
def test_what_forks_share_is_whole_wherever_an_operation_is_cut(
    ada, of, name, monkeypatch
):
    for engine in (SqliteTransaction, PostgresTransaction):
        monkeypatch.setattr(engine, "untidy", lambda tx: None)
    ada.sessions.fork("talk", new_id="fork")
    other = {"talk": "fork", "fork": "talk"}[of]
    before = list(ada.sessions.history(other))
    given = {"id": of, **MORE.get(name, {})}
    assert cut_everywhere(ada, lambda: ada.call(f"sessions.{name}", given)) > 3
    assert list(ada.sessions.history(other)) == before


MORE = {
    "amend": {"message_id": "m2", "content": "amended"},
    "fork": {"at": 2, "new_id": "new"},
}


def test_an_interrupt_leaves_nothing_either(open_store):
    store = open_store(clock=ManualClock())
    furnish(store, "ada")
    knife = Knife(store)
    before = dump(store)
    for place in range(1, 8):
        with pytest.raises(KeyboardInterrupt), knife.before(place, KeyboardInterrupt()):
            store.sessions.append("talk", "user", "a", message_id="new")
        assert dump(store) == before
    assert store.sessions.append("talk", "user", "a", message_id="new").position == 4


ONE_STATEMENT = {"agents.beat", "agents.release_all", "inbox.purge", "toolsets.clear"}


def test_what_shares_a_commit_with_an_operation_that_is_cut_is_kept(
    open_store, loop, monkeypatch
):
    store = open_store(clock=ManualClock())
    furnish(store, "ada")
    store.sessions.create(id="beside")
    for name in CUT:
        doomed = _cut_units(monkeypatch, 1 if name in ONE_STATEMENT else 2)
        before = dump(store)
        first, cut, last = loop.run_until_complete(_in_one_group(store.aio, name))
        monkeypatch.undo()
        assert doomed == ["cut"], name
        assert isinstance(cut, Cut), name
        assert [first.content, last.content] == ["before", "after"]
        assert _without(dump(store), [first, last]) == _without(before, [])


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError, apsw.NoMemError])
def test_every_caller_of_a_group_is_answered_truly_wherever_it_is_cut(
    open_store, loop, error
):
    store = open_store(clock=ManualClock())
    furnish(store, "ada")
    store.sessions.create(id="beside")
    kept = []
    for place in itertools.count(1):
        knife = Knife(store)  # a connection that failed in a commit was replaced
        with knife.before(place, error("cut")):
            answers = loop.run_until_complete(_in_one_group(store.aio, "sessions.pop"))
        assert all(isinstance(a, (HoldfastError, holdfast.Message)) for a in answers)
        kept += [a.id for a in answers[::2] if isinstance(a, holdfast.Message)]
        assert [m.id for m in store.sessions.messages("beside", 1000)] == kept
        popped = isinstance(answers[1], holdfast.Message)
        assert store.sessions.get("talk").message_count == (2 if popped else 3)
        if popped:
            store.sessions.append("talk", "user", "again")
        if not knife.fell:
            break
    assert place > 10


def _cut_units(monkeypatch, place):
    """Cut units whose cause is `cut` before a statement; says when that was done."""
    seen, done = [], []

    def counting(method):
        def counted(tx, name, /, **values):
            if tx.terms.cause == "cut":
                seen.append(name)
                if len(seen) == place:
                    done.append("cut")
                    raise Cut
            return method(tx, name, **values)

        return counted

    for name in ("one", "all", "run", "put", "fields"):
        method = getattr(SqliteTransaction, name)
        monkeypatch.setattr(SqliteTransaction, name, counting(method))
    return done


async def _in_one_group(store, name):
    """What an operation gives, and the appends before and after it in its group."""
    begun, go = asyncio.Event(), threading.Event()
    here = asyncio.get_running_loop()

    def wait(tx):
        here.call_soon_threadsafe(begun.set)
        go.wait()

    def act(tx):
        kind, operation = name.split(".")
        return getattr(getattr(tx, kind), operation)(**example(name).args)

    turn = asyncio.ensure_future(store.run(wait))
    await asyncio.wait([turn, asyncio.ensure_future(begun.wait())], **_FIRST)
    waiting = [
        asyncio.ensure_future(work)
        for work in (
            store.sessions.append("beside", "user", "before"),
            store.run(act, cause="cut"),
            store.sessions.append("beside", "user", "after"),
        )
    ]
    await asyncio.sleep(0)  # each has posted its unit
    go.set()
    begun.set()
    await asyncio.wait([turn])
    assert turn.exception() is None or isinstance(turn.exception(), HoldfastError)
    async with asyncio.timeout(5):
        return await asyncio.gather(*waiting, return_exceptions=True)


_FIRST = {"return_when": asyncio.FIRST_COMPLETED}


def _without(dumped, messages):
    """A dump without messages and without the journal's record of them."""
    ids = {message.id for message in messages}
    return {
        table: [row for row in rows if row.get("id") not in ids]
        for table, rows in dumped.items()
        if table not in {"change", "tx"}
    }
