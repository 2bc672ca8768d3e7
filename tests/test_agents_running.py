"""Running agents: each lives in one process, made once, taken over when that dies."""

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time

import pytest

import holdfast
from driving import Driven
from holdfast import errors
from holdfast.runtime.agents.crew import crew_of
from killing import Worker

PATIENCE_SECONDS = 20.0
QUICK = holdfast.Limits(agent_seconds=0.3)


class Body:
    """What lives of an agent."""

    def __init__(self, agent):
        self.name = agent.name


def until(condition):
    """Wait until something holds; what it is then."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.002)
    return found


def at_once(*calls):
    """Run calls on threads of their own; what they gave or raised."""
    found = [None] * len(calls)

    def run(place, call):
        try:
            found[place] = call()
        except BaseException as error:
            found[place] = error

    threads = [
        threading.Thread(target=run, args=(place, call))
        for place, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    return found


@pytest.fixture
def one(open_store):
    """A store with an agent."""
    store = open_store()
    store.agents.create("Ada", id="a")
    return store


# Made on demand, once.


def test_an_agent_is_made_from_who_it_is_and_lives_until_it_is_stopped(store):
    store.agents.create("Ada", id="a")
    assert store.agents.running("a") is None
    running = store.agents.run("a", Body)
    assert (running.object.name, running.agent.name, running.fence) == ("Ada", "Ada", 1)
    assert store.agents.run("a", None or Body) is running
    assert store.agents.running("a") is running
    assert store.agents.crew() == (running,)
    [run] = store.agents.runs()
    assert (run.id, run.fence, run.place) == ("a", 1, run.place)
    assert run.place.endswith(f":{os.getpid()}")
    assert (running.lost, running.stale) == (False, False)
    assert store.agents.stop("a")
    assert not store.agents.stop("a")
    assert (store.agents.running("a"), store.agents.crew()) == (None, ())
    assert list(store.agents.runs()) == []
    again = store.agents.run("a", Body)
    assert (again.fence, again is running) == (2, False)


def test_who_is_not_there_is_not_run(store):
    with pytest.raises(errors.NotFound):
        store.agents.run("gone", Body)
    with pytest.raises(errors.WrongType):
        store.agents.run("a", "no function")
    with pytest.raises(errors.InvalidId):
        store.agents.running("../a")
    assert list(store.agents.runs()) == []


def test_many_threads_that_ask_at_once_are_given_the_same(one):
    made, go = [], threading.Event()

    def factory(agent):
        assert go.wait(PATIENCE_SECONDS)
        made.append(agent.id)
        return Body(agent)

    def ask():
        return one.agents.run("a", factory)

    crew = crew_of(one._core)
    asking = threading.Thread(target=lambda: found.extend(at_once(*[ask] * 8)))
    found = []
    asking.start()
    until(lambda: crew._flights)
    go.set()
    asking.join(PATIENCE_SECONDS)
    assert made == ["a"]
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_tasks_and_threads_that_ask_at_once_are_given_the_same(one):
    async def factory(agent):
        made.append(agent.id)
        await asyncio.sleep(0.02)
        return Body(agent)

    async def main():
        asked = [one.aio.agents.run("a", factory) for _ in range(5)]
        asked += [asyncio.to_thread(one.agents.run, "a", Body) for _ in range(3)]
        return await asyncio.gather(*asked)

    made = []
    found = asyncio.run(main())
    assert made == ["a"]
    assert len(set(map(id, found))) == 1


def test_what_fails_is_told_to_all_who_ask_and_kept_by_nobody(store):
    store.agents.create("Ada", id="a")

    def factory(agent):
        raise ZeroDivisionError("no body")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="no body"):
            store.agents.run("a", factory)
        assert store.agents.running("a") is None
        assert store.agents.run_of("a") is None
    assert store.agents.run("a", Body).object.name == "Ada"


def test_what_is_broken_off_breaks_off_nobody_else(one):
    async def main():
        begun = asyncio.Event()

        async def hang(agent):
            begun.set()
            await asyncio.Event().wait()

        first = asyncio.create_task(one.aio.agents.run("a", hang))
        await begun.wait()
        second = asyncio.create_task(one.aio.agents.run("a", Body))
        third = asyncio.create_task(one.aio.agents.run("a", Body))
        await asyncio.sleep(0)
        third.cancel()
        first.cancel()
        running = await asyncio.wait_for(second, PATIENCE_SECONDS)
        assert await asyncio.gather(first, third, return_exceptions=True)
        assert first.cancelled()
        assert third.cancelled()
        return running

    running = asyncio.run(main())
    assert running.object.name == "Ada"
    assert one.agents.run_of("a").fence == running.fence


def test_one_that_is_cancelled_while_it_claims_gives_the_agent_back(one):
    async def main():
        for _ in range(20):
            task = asyncio.create_task(one.aio.agents.run("a", Body))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
                await one.aio.agents.stop("a")

    asyncio.run(main())
    assert one.agents.running("a") is None
    assert one.agents.run_of("a") is None


def test_a_factory_that_asks_for_what_it_makes_is_refused(one):
    def factory(agent):
        return one.agents.run(agent.id, Body)

    with pytest.raises(errors.Refused, match="wait for itself"):
        one.agents.run("a", factory)

    async def by_a_task(agent):
        return await asyncio.create_task(one.aio.agents.run(agent.id, Body))

    with pytest.raises(errors.Refused, match="wait for itself"):
        asyncio.run(one.aio.agents.run("a", by_a_task))
    assert one.agents.run_of("a") is None


def test_a_task_that_a_factory_began_may_ask_for_it_later(one):
    async def main():
        tasks = []

        async def live():
            await asyncio.sleep(0.01)
            await one.aio.agents.stop("a")
            return await one.aio.agents.run("a", Body)

        async def factory(agent):
            tasks.append(asyncio.create_task(live()))
            return Body(agent)

        first = await one.aio.agents.run("a", factory)
        again = await tasks[0]
        assert again.fence == first.fence + 1

    asyncio.run(main())


def test_a_sync_call_on_the_loop_that_makes_the_agent_is_refused(one):
    async def main():
        begun, go = asyncio.Event(), asyncio.Event()

        async def factory(agent):
            begun.set()
            await go.wait()
            return Body(agent)

        task = asyncio.create_task(one.aio.agents.run("a", factory))
        await begun.wait()
        with pytest.raises(errors.Refused, match="event loop"):
            one.agents.run("a", Body)
        go.set()
        return await task

    assert asyncio.run(main()).object.name == "Ada"


def test_an_agent_is_not_run_inside_a_transaction_nor_in_the_past(store):
    store.agents.create("Ada", id="a")
    if not isinstance(store, Driven):  # which is in another task by then
        with store.transaction(), pytest.raises(errors.Refused, match="transaction"):
            store.agents.run("a", Body)
    with pytest.raises(errors.Refused):
        store.as_of(store.moment()).agents.run("a", Body)
    assert list(store.agents.runs()) == []


def test_each_owner_has_a_crew_of_its_own(store):
    for owner in ("ada", "bob"):
        store.owned_by(owner).agents.create(owner, id="a")
    mine, theirs = (store.owned_by(o).agents.run("a", Body) for o in ("ada", "bob"))
    assert (mine.object.name, theirs.object.name) == ("ada", "bob")
    assert store.owned_by("ada").agents.crew() == (mine,)
    assert store.agents.running("a") is None
    assert store.owned_by("ada").agents.stop("a")
    assert store.owned_by("bob").agents.running("a") is theirs


def test_an_agent_that_would_be_stale_at_once_is_refused_at_opening():
    with pytest.raises(errors.WrongType, match=r"limits\.agent_seconds: more than 0"):
        holdfast.open(":memory:", limits=holdfast.Limits(agent_seconds=0))


# Its end.


def test_its_end_is_told_once_however_it_ends(open_store, loop):
    for face in ("sync", "async"):
        opened = open_store()
        store = opened if face == "sync" else Driven(opened.aio, loop)
        store.agents.create_all([{"name": id, "id": id} for id in ("a", "b")])
        told = []
        for id in ("a", "b"):
            store.agents.run(id, Body, ended=lambda one, told=told: told.append(one.id))
        store.agents.stop("a")
        store.agents.stop("a")
        assert told == ["a"]
        store.close()
        store.close()
        assert told == ["a", "b"], face
        open_store().agents.delete("a")


def test_at_close_agents_are_given_back(open_store):
    first = open_store()
    first.agents.create("Ada", id="a")
    looked = []
    first.agents.run(
        "a", Body, ended=lambda one: looked.append(first.agents.get(one.id).name)
    )
    first.close()
    assert looked == ["Ada"]  # the store is there until it was told
    second = open_store()
    assert second.agents.run_of("a") is None
    assert second.agents.run("a", Body).fence == 2


def test_an_awaited_end_is_waited_for_at_close(path):
    told = []

    async def main():
        store = await holdfast.aopen(path)
        await store.agents.create("Ada", id="a")

        async def ended(running):
            await asyncio.sleep(0.01)
            told.append((await store.agents.get(running.id)).name)

        await store.agents.run("a", Body, ended=ended)
        await store.close()

    asyncio.run(main())
    assert told == ["Ada"]


def test_what_its_end_raises_keeps_nobody_from_ending(one, caplog):
    one.agents.create("Bob", id="b")
    told = []

    def ended(running):
        told.append(running.id)
        raise ZeroDivisionError(running.id)

    for id in ("a", "b"):
        one.agents.run(id, Body, ended=ended)
    with pytest.raises(ZeroDivisionError):
        one.agents.stop("a")
    assert one.agents.run_of("a") is None
    one.close()
    assert told == ["a", "b"]
    assert "'b' ended badly" in caplog.text


# Others.


def test_another_process_sees_who_runs_where_and_is_held_off(one, open_store):
    running = one.agents.run("a", Body)
    other = open_store()
    [run] = other.agents.runs()
    assert (run.holder, run.stale) == (running.run.holder, False)
    with pytest.raises(errors.Held, match=run.place):
        other.agents.run("a", Body)
    assert other.agents.running("a") is None
    one.agents.stop("a")
    assert other.agents.run("a", Body).fence == 2


def test_a_process_that_lives_says_so_and_keeps_its_agents(open_store):
    store = open_store(limits=QUICK)
    store.agents.create("Ada", id="a")
    running = store.agents.run("a", Body)
    first = store.agents.run_of("a")
    until(lambda: store.agents.run_of("a").beat_at > first.until)
    assert not store.agents.run_of("a").stale
    assert (running.lost, running.stale) == (False, False)


def test_one_sign_of_life_is_given_for_all_agents(open_store):
    store = open_store()
    store.agents.create_all({"name": "x", "id": f"a{n}"} for n in range(50))
    for n in range(50):
        store.agents.run(f"a{n}", Body)
    crew = crew_of(store._core)
    crew.beat("")
    before = store._core.engine.read(
        store._core.unit(lambda tx: tx.fields("journal_head"), store._terms)
    )
    ran = []
    write = store._core.engine.write
    store._core.engine.write = lambda unit: ran.append(unit) or write(unit)
    crew.beat("")
    assert len(ran) == 1
    assert store._core.engine.read(
        store._core.unit(lambda tx: tx.fields("journal_head"), store._terms)
    ) == before  # fmt: skip
    assert len({run.beat_at for run in store.agents.runs()}) == 1


def test_an_agent_that_was_taken_over_has_ended_here(open_store, clock):
    first = open_store(clock=clock)
    first.agents.create_all({"name": id, "id": id} for id in ("a", "b"))
    told = []
    lost = first.agents.run("a", Body, ended=lambda one: told.append(one.id))
    kept = first.agents.run("b", Body)
    clock.advance(31)
    assert lost.stale
    second = open_store(clock=clock)
    taken = second.agents.run("a", Body)
    assert (taken.fence, lost.fence) == (2, 1)
    with first.transaction() as tx, pytest.raises(errors.Fenced):
        lost.verify(tx)
    with second.transaction() as tx:
        taken.verify(tx)
    crew_of(first._core).beat("")
    until(lambda: told)
    assert (told, lost.lost, kept.lost) == (["a"], True, False)
    assert first.agents.crew() == (kept,)
    assert not kept.stale
    with pytest.raises(errors.Held):
        first.agents.run("a", Body)


def test_who_asks_for_an_agent_that_may_be_lost_is_told_the_truth(open_store, clock):
    first = open_store(clock=clock)
    first.agents.create("Ada", id="a")
    running = first.agents.run("a", Body)
    clock.advance(31)
    assert first.agents.run("a", Body) is running  # nobody took it meanwhile
    clock.advance(31)
    second = open_store(clock=clock)
    second.agents.run("a", Body)
    with pytest.raises(errors.Held):
        first.agents.run("a", Body)
    assert running.lost


def test_an_agent_that_is_deleted_ends_where_it_runs(one, open_store):
    told = []
    running = one.agents.run("a", Body, ended=lambda one: told.append(one.id))
    crew_of(one._core).beat("")
    other = open_store()
    assert other.agents.delete("a")
    crew_of(one._core).beat("")
    until(lambda: told)
    assert running.lost
    with pytest.raises(errors.NotFound):
        one.agents.run("a", Body)


def test_what_hangs_at_one_agents_end_keeps_others_alive(open_store, clock):
    first = open_store(clock=clock)
    first.agents.create_all({"name": id, "id": id} for id in ("a", "b"))
    go, told = threading.Event(), []
    first.agents.run(
        "a", Body, ended=lambda one: told.append(go.wait(PATIENCE_SECONDS))
    )
    kept = first.agents.run("b", Body)
    clock.advance(31)
    open_store(clock=clock).agents.run("a", Body)
    crew = crew_of(first._core)
    crew.beat("")
    assert first.agents.running("a") is None
    clock.advance(31)
    crew.beat("")
    assert (kept.stale, told) == (False, [])
    go.set()
    assert until(lambda: told) == [True]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_agent_of_a_process_that_died_or_hangs_is_taken_over(path, number):
    def work(say):
        store = holdfast.open(path, limits=QUICK)
        store.agents.create("Ada", id="a", preferences={"tone": "dry"})
        store.agents.run("a", Body)
        for n in range(5):
            store.agents.increment("a", {"n": 1})
            say(str(n + 1))
        signal.pause()  # stopped while it writes, it would keep others from writing

    worker = Worker(work)
    worker.wait_for(5)
    with holdfast.open(path, limits=QUICK) as store:
        try:
            worker.send(number)
            until(lambda: store.agents.run_of("a").stale)
            assert [run.id for run in store.agents.runs(stale=True)] == ["a"]
            running = store.agents.run("a", Body)
            assert running.fence == 2
            assert running.agent.preferences == {"tone": "dry"}
            assert running.agent.statistics["n"] >= int(worker.lines[-1])
        finally:
            worker.close()


def test_a_program_that_ends_without_closing_gives_its_agents_back(path, tmp_path):
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    program = tmp_path / "program.py"
    program.write_text(
        "import sys, holdfast\n"
        "store = holdfast.open(sys.argv[1])\n"
        "store.agents.create('Ada', id='a')\n"
        "store.agents.run('a', lambda agent: agent, ended=lambda one: print(one.id))\n"
    )
    done = subprocess.run(
        [sys.executable, str(program), path], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("a\n", "")
    with holdfast.open(path) as store:
        assert store.agents.run_of("a") is None


def test_a_forked_process_runs_nobody_of_its_parents(one):
    running = one.agents.run("a", Body)
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        found = crew_of(one._core).living(("", "a"))
        os.write(write, b"nobody" if found is None else b"somebody")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"nobody"
    os.close(read)
    os.close(write)
    assert one.agents.running("a") is running


def test_a_crew_that_ran_nobody_is_collected(open_store):
    store = open_store()
    with pytest.raises(errors.NotFound):
        store.agents.run("gone", Body)
    from holdfast.runtime.agents import crew as agents_crew  # noqa: PLC0415

    gc.collect()
    assert id(store._core) not in agents_crew._crews
