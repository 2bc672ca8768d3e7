"""Toolsets: told once, then by name; and what the original's cache got wrong."""

import asyncio
import threading

import pytest

import holdfast
from conftest import place_on
from driving import Driven
from holdfast import errors
from holdfast.engine import Terms
from holdfast.kinds.toolsets import Toolsets
from holdfast.runtime.cache.toolsets import making_of, memory_of
from killing import Worker
from test_cache import Making, never, until

HOUR = 3_600.0
TOOLS = [
    {"name": "look", "description": "Looks.", "inputSchema": {"type": "object"}},
    {"type": "function", "function": {"name": "book", "parameters": {}}},
]


def shakes(store, agent="ada", conversation="c", **more):
    """Whether a handshake gives all of it."""
    return store.toolsets.handshake(agent, conversation, **more).whole


def tidy(store):
    core = store._core
    core.engine.write(core.unit(core._tidy, Terms(every_owner=True)))


# Put, and told.


def test_tools_are_kept_as_they_were_put(store, clock):
    put = store.toolsets.put("ada", "c", TOOLS)
    assert (put.agent, put.conversation, put.owner) == ("ada", "c", "")
    assert put.names == ("look", "book")
    assert put.tools == tuple(TOOLS)
    assert put.whole
    assert store.toolsets.get("ada", "c") == put
    clock.advance(5)
    again = store.toolsets.put("ada", "c", iter(TOOLS))
    assert (again.digest, again.updated_at) == (put.digest, put.updated_at)
    assert again.seen_at > put.seen_at
    for agent, conversation in (("ada", "d"), ("bob", "c")):
        with pytest.raises(errors.NotFound, match=f"{agent}/{conversation}"):
            store.toolsets.get(agent, conversation)
        with pytest.raises(errors.NotFound):
            store.toolsets.handshake(agent, conversation)


def test_the_first_request_gives_all_and_later_ones_the_names(store):
    put = store.toolsets.put("ada", "c", TOOLS)
    first = store.toolsets.handshake("ada", "c")
    assert first.tools == put.tools
    thin = store.toolsets.handshake("ada", "c")
    assert (thin.tools, thin.whole) == (None, False)
    assert (thin.names, thin.digest) == (put.names, put.digest)
    assert not shakes(store)
    assert store.toolsets.get("ada", "c").tools == put.tools  # it is there all the same
    assert shakes(store, whole=True)
    assert not shakes(store)


def test_each_agent_and_each_conversation_is_told_by_itself(store):
    for agent, conversation in (("a", "b:c"), ("a:b", "c"), ("a", "b")):
        store.toolsets.put(agent, conversation, TOOLS)
    assert shakes(store, "a", "b:c")
    assert shakes(store, "a:b", "c")
    assert shakes(store, "a", "b")
    assert not shakes(store, "a", "b:c")
    assert store.toolsets.clear("a") == 2  # and nobody's whose name begins so
    assert [t.agent for t in store.toolsets.list()] == ["a:b"]


def test_each_owner_is_told_by_themselves(store):
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    for one in (ada, bob):
        one.toolsets.put("x", "c", [{"name": one.owner}])
    assert shakes(ada, "x")
    assert shakes(bob, "x")
    assert ada.toolsets.get("x", "c").names == ("ada",)
    assert bob.toolsets.get("x", "c").names == ("bob",)
    assert ada.toolsets.clear() == 1
    assert not shakes(bob, "x")


def test_other_tools_are_told_again(store):
    store.toolsets.put("ada", "c", TOOLS)
    assert shakes(store)
    changed = store.toolsets.put("ada", "c", TOOLS[:1])
    told = store.toolsets.handshake("ada", "c")
    assert told.tools == changed.tools == tuple(TOOLS[:1])
    assert not shakes(store)
    store.toolsets.put("ada", "c", [{**TOOLS[0], "description": "Looks far."}])
    assert shakes(store)


def test_the_same_tools_in_another_order_are_no_change(store):
    one = store.toolsets.put("ada", "c", TOOLS)
    assert shakes(store)
    keys = [dict(reversed(tool.items())) for tool in reversed(TOOLS)]
    assert store.toolsets.put("ada", "c", keys).digest == one.digest
    assert not shakes(store)


def test_tools_that_were_changed_back_before_they_were_told_are_known(store):
    store.toolsets.put("ada", "c", TOOLS)
    shakes(store)
    store.toolsets.put("ada", "c", [])
    store.toolsets.put("ada", "c", TOOLS)
    assert not shakes(store)


def test_no_tools_are_tools_too(store):
    assert store.toolsets.put("ada", "c", []).names == ()
    assert store.toolsets.handshake("ada", "c").tools == ()
    assert not shakes(store)


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([{"description": "nameless"}], r"tools\[0\]: a tool has a name"),
        ([{"name": "a"}, {"name": ""}], r"tools\[1\]"),
        ([{"name": "a"}, {"function": {"name": "a"}}], "two of them are called 'a'"),
        ([5], "a dict that describes a tool is wanted, not int"),
        ("abc", "a list of tools is wanted"),
        ({"name": "a"}, "a list of tools is wanted"),
        ([{"name": "a", "x": {1}}], "cannot be carried by JSON"),
    ],
)
def test_what_describes_no_tools_is_refused(tools, words):
    with holdfast.open(":memory:") as store:
        with pytest.raises(errors.BadInput, match=words):
            store.toolsets.put("ada", "c", tools)
        with pytest.raises(errors.BadInput, match=words):
            store.toolsets.handshake("ada", "c", lambda: tools)
        assert len(store.toolsets.list()) == 0


# The session of the conversation.


def test_a_session_that_was_cleared_is_told_again(store):
    store.sessions.create(id="c")
    store.toolsets.put("ada", "c", TOOLS)
    assert shakes(store)
    store.sessions.append("c", "user", "hello")
    assert not shakes(store)
    store.sessions.pop("c")
    store.sessions.append("c", "user", "hello")
    assert not shakes(store)
    store.sessions.clear("c")
    assert shakes(store)
    assert not shakes(store)


def test_a_session_that_was_deleted_is_told_again(store):
    store.sessions.create(id="c")
    store.toolsets.put("ada", "c", TOOLS)
    assert shakes(store)
    store.sessions.delete("c")
    assert shakes(store)
    assert not shakes(store)
    store.sessions.create(id="c")  # which begins with what was told
    assert not shakes(store)
    store.sessions.delete("c")
    store.sessions.create(id="c")  # and this is another
    assert shakes(store)


def test_a_session_that_comes_after_it_was_told_is_no_reason_to_tell_again(store):
    for conversation in "bc":
        store.toolsets.put("ada", conversation, TOOLS)
        assert shakes(store, conversation=conversation)
        store.sessions.create(id=conversation)
    store.sessions.append("b", "user", "hello")
    store.sessions.clear("b")  # before anyone asked again
    assert shakes(store, conversation="b")
    assert not shakes(store, conversation="b")
    store.sessions.append("c", "user", "hello")
    assert not shakes(store)
    store.sessions.clear("c")
    assert shakes(store)


def test_another_owners_session_of_the_same_name_is_no_matter(store):
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    bob.sessions.create(id="c")
    ada.toolsets.put("x", "c", TOOLS)
    assert shakes(ada, "x")
    bob.sessions.delete("c")
    assert not shakes(ada, "x")


# For how long.


def test_what_nobody_asks_for_in_a_day_is_forgotten(store, clock):
    store.toolsets.put("ada", "c", TOOLS)
    shakes(store)
    clock.advance(23 * HOUR)
    assert not shakes(store)  # which counts as asking
    clock.advance(23 * HOUR)
    assert not shakes(store)
    clock.advance(24 * HOUR)
    with pytest.raises(errors.NotFound):
        store.toolsets.handshake("ada", "c")
    with pytest.raises(errors.NotFound):
        store.toolsets.get("ada", "c")
    assert len(store.toolsets.list()) == 0
    assert not store.toolsets.delete("ada", "c")
    store.toolsets.put("ada", "c", TOOLS)
    assert shakes(store)  # nobody knows it any more


def test_what_was_forgotten_and_not_swept_yet_is_put_anew(store, clock):
    first = store.toolsets.put("ada", "c", TOOLS)
    shakes(store)
    clock.advance(24 * HOUR)
    again = store.toolsets.put("ada", "c", TOOLS)
    assert again.created_at > first.created_at
    assert shakes(store)


def test_what_was_forgotten_is_swept_away_a_slice_at_a_time(store, clock):
    sync = store._target.sync if isinstance(store, Driven) else store
    mine = sync.owned_by("bob")
    for number in range(5):
        clock.advance(1)
        mine.toolsets.put("old", f"c{number}", TOOLS)
    clock.advance(24 * HOUR)
    mine.toolsets.put("new", "c", TOOLS)
    kind = next(k for n, k in sync._core.registry.kinds.items() if n == "toolsets")

    def slice_of(limit):
        unit = sync._core.unit(lambda tx: kind(tx).tidy(limit), Terms(every_owner=True))
        return sync._core.engine.write(unit)

    def rows():
        return mine.usage().tables["toolset"].rows

    assert rows() == 6
    assert slice_of(2)
    assert rows() == 4
    tidy(sync)
    assert rows() == 1
    assert not slice_of(2)


def test_asking_is_written_down_now_and_then_only(store, clock):
    store.toolsets.put("ada", "c", TOOLS)
    shakes(store)
    first = store.toolsets.list()[0].seen_at
    clock.advance(599)
    shakes(store)
    assert store.toolsets.list()[0].seen_at == first
    clock.advance(1)
    shakes(store)
    assert store.toolsets.list()[0].seen_at > first


def test_descriptions_are_in_memory_for_two_hours(store, clock):
    target = store._target if isinstance(store, Driven) else store
    store.toolsets.put("ada", "c", TOOLS)
    first = store.toolsets.get("ada", "c")
    read = memory_of(target).stats
    assert (store.toolsets.get("ada", "c"), read().misses) == (first, 1)
    clock.advance(2 * HOUR - 1)
    assert (store.toolsets.get("ada", "c"), read().misses) == (first, 1)
    clock.advance(1)
    assert (store.toolsets.get("ada", "c"), read().misses) == (first, 2)
    store.toolsets.put("ada", "c", TOOLS[:1])
    assert store.toolsets.get("ada", "c").names == ("look",)
    assert read().misses == 3
    store.toolsets.put("ada", "c", TOOLS[::-1])  # what was there, in another order
    assert store.toolsets.get("ada", "c").tools == tuple(TOOLS[::-1])


def test_what_a_caller_does_with_tools_is_nobody_elses(store):
    put = store.toolsets.put("ada", "c", TOOLS)
    for _ in range(2):
        found = store.toolsets.get("ada", "c")
        assert found.tools == put.tools == tuple(TOOLS)
        found.tools[0]["strict"] = True


def test_tools_that_were_changed_while_they_were_read_are_not_taken_for_the_old(
    store, clock
):
    target = store._target if isinstance(store, Driven) else store
    other = target.sync if isinstance(store, Driven) else store
    store.toolsets.put("ada", "c", TOOLS)

    class Late:
        """The memory, into which somebody puts something before it is asked."""

        def __init__(self, memory):
            self._memory, self.drop = memory, memory.drop

        def change(self):
            clock.advance(1)
            other.toolsets.put("ada", "c", TOOLS[:1])

        def get(self, key, make):
            self.change()
            return self._memory.get(key, make)

        async def aget(self, key, make):
            await asyncio.to_thread(self.change)
            return await self._memory.aget(key, make)

    kept = target._core.kept
    kept["toolsets"] = Late(memory_of(target))
    assert store.toolsets.get("ada", "c").names == ("look",)
    kept["toolsets"] = kept["toolsets"]._memory
    clock.advance(1)
    store.toolsets.put("ada", "c", TOOLS)
    assert store.toolsets.get("ada", "c").tools == tuple(TOOLS)


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_what_another_process_put_is_not_hidden_by_memory(tmp_path, clock, engine):
    with (
        place_on(engine, tmp_path) as place,
        holdfast.open(place, clock=clock) as here,
        holdfast.open(place, clock=clock) as there,
    ):
        here.toolsets.put("ada", "c", TOOLS)
        assert here.toolsets.get("ada", "c").names == ("look", "book")
        assert shakes(here)
        assert not shakes(there)
        there.toolsets.put("ada", "c", TOOLS[1:])
        assert here.toolsets.get("ada", "c").names == ("book",)
        assert shakes(here)
        there.toolsets.delete("ada", "c")
        with pytest.raises(errors.NotFound):
            here.toolsets.get("ada", "c")


def test_a_restart_forgets_nothing(path):
    """The original deletes its sessions when it starts."""

    def work(say):
        store = holdfast.open(path)
        store.toolsets.put("ada", "c", TOOLS)
        store.toolsets.put("ada", "d", TOOLS)
        assert shakes(store)
        say("told")
        threading.Event().wait()

    worker = Worker(work)
    try:
        worker.wait_for(1)
        worker.kill()
    finally:
        worker.close()
    with holdfast.open(path) as store:
        assert not shakes(store)
        assert shakes(store, "ada", "d")
        assert store.toolsets.get("ada", "c").tools == tuple(TOOLS)
        assert store.check().problems == ()


# Told, and not passed on.


def test_who_says_what_they_have_is_told_by_that_alone(store):
    digest = store.toolsets.put("ada", "c", TOOLS).digest
    assert not shakes(store, known=digest)  # from elsewhere
    assert not shakes(store)
    for known in ("", "another"):
        assert shakes(store, known=known)
        assert not shakes(store)
    assert shakes(store, known=digest, whole=True)
    store.sessions.create(id="c")
    store.toolsets.put("ada", "c", [])
    assert shakes(store, known=digest)
    for make in (None, never):
        with pytest.raises(errors.WrongType, match="known: text is wanted"):
            store.toolsets.handshake("ada", "d", make, known=5)


def test_who_says_what_they_have_costs_no_write_once_that_is_known(path):
    with holdfast.open(path) as store:
        digest = store.toolsets.put("ada", "c", TOOLS).digest
        assert shakes(store, known="")
        with holdfast.open(path, read_only=True) as reader:
            assert not shakes(reader, known=digest)


def test_what_was_told_and_never_passed_on_is_told_to_who_says_so(path):
    """A process that dies between the handshake and the prompt."""

    def work(say):
        store = holdfast.open(path)
        store.sessions.create(id="c")
        store.toolsets.put("ada", "c", TOOLS)
        assert shakes(store)
        store.toolsets.put("bob", "c", TOOLS)
        with store.transaction() as tx:
            told = tx.toolsets.handshake("bob", "c")
            tx.sessions.append("c", "system", told.tools)
            say("told")
            threading.Event().wait()

    worker = Worker(work)
    try:
        worker.wait_for(1)
        worker.kill()
    finally:
        worker.close()
    with holdfast.open(path) as store:
        assert shakes(store, "bob")  # it was told with what is not there either
        assert list(store.sessions.history("c")) == []
        assert not shakes(store)
        assert store.toolsets.handshake("ada", "c", known="").tools == tuple(TOOLS)


def test_killed_amid_puts_every_set_is_whole(path):
    def work(say):
        store, number = holdfast.open(path), 0
        while True:
            number += 1
            tools = [{"name": f"t{number}", "n": n} for n in range(1)]
            store.toolsets.put("ada", "c", tools)
            say(f"t{number}")

    worker = Worker(work)
    try:
        worker.wait_for(50)
        said = worker.kill()[-1]
    finally:
        worker.close()
    with holdfast.open(path) as store:
        found = store.toolsets.get("ada", "c")
        assert int(found.names[0][1:]) >= int(said[1:])
        assert found.tools == ({"name": found.names[0], "n": 0},)
        assert store.toolsets.put("ada", "c", found.tools).digest == found.digest


# Made by one caller.


def test_tools_are_made_where_none_are_kept(store):
    make = Making(TOOLS)
    assert store.toolsets.handshake("ada", "c", make).tools == tuple(TOOLS)
    assert not store.toolsets.handshake("ada", "c", make).whole
    assert make.count == 1
    store.toolsets.delete("ada", "c")
    assert store.toolsets.handshake("ada", "c", make).whole
    assert make.count == 2


def test_many_callers_have_them_made_once_and_one_of_them_is_told(path):
    with holdfast.open(path) as store:
        make, found = Making(TOOLS, held=True), []
        threads = [
            threading.Thread(target=lambda: found.append(shakes(store, make=make)))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        until(lambda: making_of(store).stats().waits == 9)
        make.go.set()
        for thread in threads:
            thread.join()
        assert sorted(found) == [False] * 9 + [True]
        assert make.count == 1
        assert len(making_of(store)) == 0


def test_many_tasks_have_them_made_once(path):
    async def work():
        count = 0

        async def make():
            nonlocal count
            count += 1
            await asyncio.sleep(0)
            return TOOLS

        async with await holdfast.aopen(path) as store:
            asked = [store.toolsets.handshake("ada", "c", make) for _ in range(20)]
            found = await asyncio.gather(*asked)
        return sorted(one.whole for one in found), count

    assert asyncio.run(work()) == ([False] * 19 + [True], 1)


def test_what_cannot_be_made_is_told_and_tried_again(store):
    with pytest.raises(OSError, match="away"):
        store.toolsets.handshake("ada", "c", Making(OSError("away")))
    assert shakes(store, make=lambda: TOOLS)


def test_what_is_cleared_amid_a_call_is_not_there(tmp_path, monkeypatch):
    """On a server, where `clear` locks none: as if it had come before, or after."""
    there = Toolsets._there
    with (
        place_on("postgres", tmp_path) as place,
        holdfast.open(place) as store,
        holdfast.open(place) as other,
    ):

        def amid(kind, agent, conversation):
            found = there(kind, agent, conversation)
            assert other.toolsets.clear() == 1
            return found

        make = Making(TOOLS)
        store.toolsets.handshake("ada", "c", make)
        with monkeypatch.context() as patch:
            patch.setattr(Toolsets, "_there", amid)
            put = store.toolsets.put("ada", "c", TOOLS[:1])
        assert put.tools == tuple(TOOLS[:1])
        assert len(store.toolsets.list()) == 0
        store.toolsets.put("ada", "c", TOOLS)
        with monkeypatch.context() as patch:
            patch.setattr(Toolsets, "_there", amid)
            with pytest.raises(errors.NotFound, match="ada/c"):
                store.run(lambda tx: tx.toolsets.handshake("ada", "c"))
        assert shakes(store, make=make)
        assert make.count == 2


def test_a_making_that_asks_for_itself_is_refused(path):
    with holdfast.open(path) as store:

        def make():
            return store.toolsets.handshake("ada", "c", make).tools

        with pytest.raises(errors.Refused, match="itself"):
            store.toolsets.handshake("ada", "c", make)


def test_tools_that_others_forget_at_once_are_told_of_in_the_end(path):
    with holdfast.open(path) as store:
        count = []

        def make():
            count.append(1)
            return TOOLS

        class Forgetful:
            """The cache of what is being made, where somebody forgets it at once."""

            def get(self, key, make):
                make()
                store.toolsets.clear()

            def drop(self, key):
                pass

        store._core.kept["toolsets being made"] = Forgetful()
        with pytest.raises(errors.NotFound):
            store.toolsets.handshake("ada", "c", make)
        assert len(count) == 5


# In a transaction, and of the past.


def test_in_a_transaction_all_of_it_is_undone_with_the_rest(store):
    with pytest.raises(RuntimeError), store.transaction() as tx:
        tx.toolsets.put("ada", "c", TOOLS)
        assert tx.toolsets.handshake("ada", "c").whole
        raise RuntimeError
    with pytest.raises(errors.NotFound):
        store.toolsets.get("ada", "c")
    with store.transaction() as tx:
        tx.toolsets.put("ada", "c", TOOLS)
    assert shakes(store)


def test_from_inside_a_transaction_the_stores_own_are_refused(path):
    with holdfast.open(path) as store, store.transaction() as tx:
        tx.toolsets.put("ada", "c", TOOLS)
        for call in (store.toolsets.get, store.toolsets.handshake):
            with pytest.raises(errors.Refused, match="use tx.toolsets"):
                call("ada", "c")

    async def work():
        async with await holdfast.aopen(path) as store, store.transaction() as tx:
            await tx.toolsets.put("ada", "c", TOOLS)
            for call in (store.toolsets.get, store.toolsets.handshake):
                with pytest.raises(errors.Refused, match="use tx.toolsets"):
                    await call("ada", "c")

    asyncio.run(work())


def test_toolsets_have_no_past(store):
    store.toolsets.put("ada", "c", TOOLS)
    store.tasks.create("t")
    past = store.as_of(store.moment())
    for call in (past.toolsets.get, past.toolsets.handshake):
        with pytest.raises(errors.Refused, match="toolsets has no past"):
            call("ada", "c")
    assert "toolset" not in {c.kind for c in store.journal.read()}


def test_lists_come_page_by_page_and_of_one_agent(store, clock):
    for number in range(5):
        clock.advance(number % 2)
        store.toolsets.put("ab"[number % 2], f"c{number}", TOOLS)
    for agent, wanted in (
        (None, ["c4", "c3", "c2", "c1", "c0"]),
        ("a", ["c4", "c2", "c0"]),
        ("z", []),
    ):
        page = store.toolsets.list(agent, limit=2)
        found = [t.conversation for t in page]
        while page.cursor is not None:
            page = store.toolsets.list(agent, limit=2, cursor=page.cursor)
            found += [t.conversation for t in page]
        assert sorted(found) == sorted(wanted)
        assert len(found) == len(set(found))
    assert all(t.tools is None for t in store.toolsets.list())
    assert store.usage().tables["toolset"].rows == 5
