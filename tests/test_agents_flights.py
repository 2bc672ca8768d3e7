"""Agents that are being made or that end: who waits, and whose they are by then."""

import asyncio
import gc
import threading
import time

import pytest

from holdfast import errors
from holdfast.runtime.agents.crew import crew_of
from test_agents_running import PATIENCE_SECONDS, QUICK, Body, at_once, until


@pytest.fixture
def two(open_store, clock):
    """Two stores on one file, as two processes would have them, with agents."""
    first, second = open_store(clock=clock), open_store(clock=clock)
    first.agents.create_all({"name": id, "id": id} for id in "ab")
    return first, second


# Made for long.


def test_an_agent_that_takes_long_to_make_is_nobody_elses_meanwhile(open_store, clock):
    first = open_store(limits=QUICK, clock=clock)  # which says so at a time that stands
    second = open_store(limits=QUICK, clock=clock)
    first.agents.create("Ada", id="a")
    held = []

    def slow(agent):
        clock.advance(QUICK.agent_seconds * 2 / 3)
        claimed = first.agents.run_of("a")
        until(lambda: first.agents.run_of("a").beat_at > claimed.beat_at)
        clock.advance(QUICK.agent_seconds * 2 / 3)
        with pytest.raises(errors.Held) as error:
            second.agents.run("a", Body)
        held.append(error)
        return Body(agent)

    running = first.agents.run("a", slow)
    assert (len(held), running.fence) == (1, 1)
    assert until(lambda: not running.stale)


@pytest.mark.parametrize("face", ["sync", "async"])
def test_one_that_was_taken_over_while_it_was_made_does_not_live(two, clock, face):
    first, second = two
    kept = first.agents.run("b", Body)
    crew, told = crew_of(first._core), []
    crew.beat("")

    def taken(agent):
        clock.advance(31)  # as if this process had been suspended
        second.agents.run("a", Body)
        crew.beat("")  # it learns that it lost something
        return Body(agent)

    async def ataken(agent):
        return await asyncio.to_thread(taken, agent)

    def ended(one):
        told.append(one.id)

    with pytest.raises(errors.Held, match="taken over while it was made"):
        if face == "sync":
            first.agents.run("a", taken, ended=ended)
        else:
            asyncio.run(first.aio.agents.run("a", ataken, ended=ended))
    assert (told, first.agents.crew(), kept.lost) == (["a"], (kept,), False)
    assert second.agents.running("a").fence == first.agents.run_of("a").fence == 2


def test_one_that_was_taken_over_and_stopped_while_it_was_made_does_not_live(
    two, clock
):
    first, second = two
    first.agents.run("b", Body)
    crew = crew_of(first._core)
    crew.beat("")

    def taken(agent):
        clock.advance(31)
        second.agents.run("a", Body)
        crew.beat("")
        second.agents.stop("a")
        return Body(agent)

    with pytest.raises(errors.Held, match="ask again"):
        first.agents.run("a", taken)
    assert first.agents.run("a", Body).fence == 3


def test_one_that_was_doubted_and_is_still_ours_lives(two, clock):
    first, second = two
    lost, crew = first.agents.run("b", Body), crew_of(first._core)
    crew.beat("")

    def factory(agent):
        clock.advance(31)
        second.agents.run("b", Body)
        crew.beat("")
        return Body(agent)

    running = first.agents.run("a", factory)
    assert (running.lost, lost.lost, first.agents.crew()) == (False, True, (running,))


def test_one_that_comes_to_live_while_others_are_looked_for_is_not_lost(two):
    first, _ = two
    crew = crew_of(first._core)
    looked = crew._look_through

    def meanwhile(owner, kept):  # read before the next one came to live
        del crew._look_through
        running.append(first.agents.run("a", Body))
        looked(owner, kept)

    running = [first.agents.run("b", Body)]
    crew._look_through = meanwhile
    crew.beat("")
    assert [one.id for one in running if not one.lost] == ["b", "a"]


def test_one_that_was_deleted_while_it_was_made_does_not_live(two):
    first, second = two
    first.agents.run("b", Body)
    crew = crew_of(first._core)
    crew.beat("")

    def factory(agent):
        second.agents.delete("a")
        crew.beat("")
        return Body(agent)

    with pytest.raises(errors.NotFound):
        first.agents.run("a", factory)
    assert first.agents.running("a") is None


def test_what_was_made_for_a_store_that_was_closed_meanwhile_has_ended(open_store):
    store = open_store()
    store.agents.create("Ada", id="a")
    told = []

    def factory(agent):
        store.close()
        return Body(agent)

    with pytest.raises(errors.Closed, match="closed while the agent was made"):
        store.agents.run("a", factory, ended=lambda one: told.append(one.object.name))
    assert told == ["Ada"]
    assert open_store().agents.run_of("a") is None


def test_who_is_cancelled_while_a_making_fails_leaves_no_complaint(open_store):
    store, told = open_store(), []
    store.agents.create("Ada", id="a")

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        begun, go = asyncio.Event(), asyncio.Event()

        async def factory(agent):
            begun.set()
            await go.wait()
            raise ZeroDivisionError

        first = asyncio.create_task(store.aio.agents.run("a", factory))
        await begun.wait()
        second = asyncio.create_task(store.aio.agents.run("a", Body))
        await asyncio.sleep(0)
        second.cancel()
        go.set()
        found = await asyncio.gather(first, second, return_exceptions=True)
        return [type(one) for one in found]

    assert asyncio.run(main()) == [ZeroDivisionError, asyncio.CancelledError]
    gc.collect()
    assert told == []


# Waiting in a circle.


def test_two_that_make_each_other_are_refused_and_do_not_wait_for_ever(two):
    store, _ = two
    both = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def asking_for(id):
        def factory(agent):
            both.wait()
            return store.agents.run(id, Body)

        return factory

    found = at_once(
        lambda: store.agents.run("a", asking_for("b")),
        lambda: store.agents.run("b", asking_for("a")),
    )
    assert {type(one) for one in found} == {errors.Refused}
    assert "each would wait for ever" in str(found[0])
    assert store.agents.crew() == ()
    assert list(store.agents.runs()) == []


def test_three_tasks_that_make_one_another_are_refused(two):
    two[0].agents.create("c", id="c")
    store = two[0].aio

    async def main():
        begun = {id: asyncio.Event() for id in "abc"}

        def asking_for(mine, other):
            async def factory(agent):
                begun[mine].set()
                await begun[other].wait()
                return await store.agents.run(other, Body)

            return factory

        asked = [
            store.agents.run(mine, asking_for(mine, other))
            for mine, other in ("ab", "bc", "ca")
        ]
        found = asyncio.gather(*asked, return_exceptions=True)
        return await asyncio.wait_for(found, PATIENCE_SECONDS)

    assert {type(one) for one in asyncio.run(main())} == {errors.Refused}


def test_an_agent_may_make_another_that_waits_for_nobody(two):
    store, _ = two

    def factory(agent):
        return store.agents.run("b", Body).object

    assert store.agents.run("a", factory).object is store.agents.running("b").object


# While it ends.


@pytest.mark.parametrize("face", ["sync", "async"])
def test_an_agent_is_not_made_again_before_its_end_was_told(two, face):
    store, _ = two
    ending, go, lived = threading.Event(), threading.Event(), []

    def ended(one):
        ending.set()
        lived.append(go.wait(PATIENCE_SECONDS))

    def factory(agent):
        lived.append(agent.id)
        return Body(agent)

    def stop():
        if face == "sync":
            return store.agents.stop("a")
        return asyncio.run(store.aio.agents.stop("a"))

    def again():
        assert ending.wait(PATIENCE_SECONDS)
        threading.Timer(0.01, go.set).start()
        return store.agents.run("a", factory)

    store.agents.run("a", Body, ended=ended)
    stopped, running = at_once(stop, again)
    assert (stopped, lived) == (True, [True, "a"])
    assert store.agents.running("a") is running
    assert store.agents.run_of("a").fence == running.fence == 2


def test_who_asks_for_an_agent_from_its_own_end_is_refused(two):
    store, _ = two
    with pytest.raises(errors.Refused, match="makes or ends it"):
        store.agents.run("a", Body, ended=lambda one: store.agents.run("a", Body))
        store.agents.stop("a")
    assert store.agents.run_of("a") is None
    assert store.agents.run("a", Body).fence == 2


def test_an_end_is_called_on_the_loop_that_the_agent_was_made_on(open_store):
    store = open_store()
    store.agents.create("Ada", id="a")
    begun, over, loops = threading.Event(), threading.Event(), []

    async def ended(one):
        loops.append(asyncio.get_running_loop())

    async def live():
        await store.aio.agents.run("a", Body, ended=ended)
        loops.append(asyncio.get_running_loop())
        begun.set()
        await asyncio.to_thread(over.wait, PATIENCE_SECONDS)

    living = threading.Thread(target=lambda: asyncio.run(live()))
    living.start()
    assert begun.wait(PATIENCE_SECONDS)
    assert asyncio.run(store.aio.agents.stop("a"))
    over.set()
    living.join()
    assert loops[0] is loops[1]


def test_a_sync_call_on_the_loop_that_an_end_goes_on_is_refused(open_store):
    store = open_store()
    store.agents.create("Ada", id="a")

    async def main():
        begun, go = asyncio.Event(), asyncio.Event()

        async def ended(one):
            begun.set()
            await go.wait()

        await store.aio.agents.run("a", Body, ended=ended)
        stopping = asyncio.create_task(asyncio.to_thread(store.agents.stop, "a"))
        await begun.wait()
        with pytest.raises(errors.Refused, match="ends, on this event loop"):
            store.agents.run("a", Body)
        go.set()
        return await stopping

    assert asyncio.run(main())


def test_many_whose_ends_hang_keep_a_close_waiting_no_longer_than_one(
    open_store, monkeypatch
):
    from holdfast.runtime.agents import crew as agents_crew  # noqa: PLC0415

    monkeypatch.setattr(agents_crew, "END_SECONDS", 0.3)
    store = open_store()
    store.agents.create_all({"name": "x", "id": f"a{n}"} for n in range(100))

    async def hang(one):
        await asyncio.Event().wait()

    async def main():
        for n in range(100):
            await store.aio.agents.run(f"a{n}", Body, ended=hang)
        begun = time.monotonic()
        await asyncio.to_thread(store.close)
        return time.monotonic() - begun

    assert asyncio.run(main()) < 0.3 * 50
    assert list(open_store().agents.runs()) == []


def test_the_end_of_a_lost_agent_may_close_the_store(two, clock):
    first, second = two
    closed = []

    def ended(one):
        first.close()
        closed.append(one.lost)

    first.agents.run("a", Body, ended=ended)
    clock.advance(31)
    second.agents.run("a", Body)
    crew_of(first._core).beat("")
    assert until(lambda: closed) == [True]


# What could not be given back.


def away(unit):
    raise errors.Unreachable("the server is away; nothing was written")


@pytest.mark.parametrize("how", ["stopped", "not made"])
def test_what_could_not_be_given_back_is_given_back_later(open_store, how):
    store = open_store(limits=QUICK)
    store.agents.create_all({"name": id, "id": id} for id in "ab")
    store.agents.run("b", Body)
    engine, write = store._core.engine, store._core.engine.write

    def factory(agent):
        engine.write = away
        raise ZeroDivisionError

    if how == "stopped":
        store.agents.run("a", Body)
        engine.write = away
        with pytest.raises(errors.Unreachable):
            store.agents.stop("a")
    else:
        with pytest.raises(ZeroDivisionError):
            store.agents.run("a", factory)
    engine.write = write
    assert store.agents.running("a") is None
    until(lambda: store.agents.run_of("a") is None)
    assert store.agents.run("a", Body).fence == 2


def test_what_lives_again_before_it_was_given_back_is_not_given_back(open_store):
    store = open_store()
    store.agents.create("Ada", id="a")
    store.agents.run("a", Body)
    engine, write = store._core.engine, store._core.engine.write
    engine.write = away
    with pytest.raises(errors.Unreachable):
        store.agents.stop("a")
    engine.write = write
    again = store.agents.run("a", Body)
    crew_of(store._core)._pay(("", "a"))
    assert store.agents.run_of("a").fence == again.fence == 2
