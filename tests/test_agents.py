"""Agents: identities that outlive restarts, their statistics, links and runs."""

import threading
from itertools import pairwise

import psycopg
import pytest

import holdfast
from conftest import place_on
from holdfast import errors
from holdfast.clock import to_datetime
from holdfast.engine import Terms
from killing import Worker
from postgres import fresh_schema, shared_url

WAITING = "select count(*) from pg_locks where not granted"


def crew(store, *ids, parent=None):
    """Agents of these ids, spawned by one."""
    return store.agents.create_all(
        [{"name": id.title(), "id": id, "parent": parent} for id in ids]
    )


def every(store, list_of, *args, **asked):
    """All that a list has, page by page."""
    found, cursor = [], None
    while True:
        page = list_of(*args, cursor=cursor, **asked)
        found += page
        cursor = page.cursor
        if cursor is None:
            return found


# Who an agent is.


def test_an_agent_is_what_was_given(store, clock):
    made = store.agents.create(
        "Ada", id="ada", role="Tool Testing Agent / lead", traits=["calm", "x", "calm"],
        preferences={"tone": "dry"}, statistics={"tools_used": [], "n": 1},
        metadata={"icon": "🤖"}, status="resting",
    )  # fmt: skip
    assert (made.id, made.name, made.role) == (
        "ada",
        "Ada",
        "Tool Testing Agent / lead",
    )
    assert made.traits == ("calm", "x")
    assert made.preferences == {"tone": "dry"}
    assert made.statistics == {"tools_used": [], "n": 1}
    assert (made.status, made.metadata, made.parent) == (
        "resting",
        {"icon": "🤖"},
        None,
    )
    assert made.created_at == made.active_at == to_datetime(clock.now_us())
    assert made == store.agents.get("ada")
    plain = store.agents.create("Bob")
    assert (plain.role, plain.traits, plain.preferences) == (None, (), {})
    assert (plain.status, plain.version) == ("active", 1)


def test_an_equal_agent_is_there_once_and_another_is_not_put_in_its_place(store):
    crew(store, "boss")
    given = {"id": "a", "role": "r", "traits": ["t"], "parent": "boss"}
    made = store.agents.create("A", **given)
    store.agents.increment("a", {"n": 1})
    again = store.agents.create("A", **given)
    assert (again.version, again.statistics) == (1, {"n": 1})
    for other in ({"role": "s"}, {"traits": []}, {"parent": None}, {"metadata": {}}):
        with pytest.raises(errors.AlreadyExists):
            store.agents.create("A", **{**given, **other})
    with pytest.raises(errors.AlreadyExists):
        store.agents.create("B", **given)
    assert store.agents.get("a").name == made.name


def test_many_are_made_at_once_or_none(store):
    made = store.agents.create_all(
        {"name": f"N{n}", "id": f"n{n}", "parent": f"n{n - 1}" if n else None}
        for n in range(100)
    )
    assert [agent.id for agent in made] == [f"n{n}" for n in range(100)]
    assert [agent.parent for agent in made[:3]] == [None, "n0", "n1"]
    assert list(made[:2]) == [store.agents.get("n0"), store.agents.get("n1")]
    with pytest.raises(errors.NotFound, match="gone"):
        store.agents.create_all(
            [{"name": "x", "id": "x"}, {"name": "y", "parent": "gone"}]
        )
    with pytest.raises(errors.AlreadyExists, match="n5"):
        store.agents.create_all([{"name": "x", "id": "x"}, {"name": "y", "id": "n5"}])
    with pytest.raises(errors.NotFound):
        store.agents.get("x")
    assert store.agents.create_all([]) == ()


def test_ten_thousand_are_made_in_one_call_and_found(open_store):
    store = open_store()
    store.agents.create("Root", id="root")
    drafts = [
        {"name": "x", "id": f"a{n}", "role": f"r{n % 10}", "parent": "root"}
        for n in range(10_000)
    ]
    assert len(store.agents.create_all(drafts)) == 10_000
    assert len(every(store, store.agents.list, role="r3", limit=1_000)) == 1_000
    assert store.agents.get("a9999").parent == "root"
    found = every(store, store.agents.descendants, "root", limit=1_000)
    assert len({one.agent.id for one in found}) == 10_000
    with pytest.raises(errors.TooLarge, match=r"limits\.batch"):
        store.agents.create_all([*drafts, {"name": "one more"}])
    store.agents.delete("root")
    assert store.agents.get("a0").parent is None


def test_those_who_were_there_before_keep_their_times(store):
    [made] = store.agents.create_all(
        [{"name": "Old", "created_at": "2024-02-29T12:00:00Z",
          "active_at": "2025-01-01T00:00:00+01:00"}]
    )  # fmt: skip
    assert made == store.agents.get(made.id)
    assert str(made.created_at) == "2024-02-29 12:00:00+00:00"
    assert str(made.active_at) == "2024-12-31 23:00:00+00:00"
    assert made.updated_at > made.active_at


def test_a_change_leaves_the_rest_and_is_refused_for_another_version(store, clock):
    store.agents.create(
        "Ada", id="a", role="r", preferences={"x": 1}, metadata={"y": 2}
    )
    clock.advance(5)
    changed = store.agents.update(
        "a", expect=1, role=None, traits=["new"], status="gone"
    )
    assert (changed.role, changed.traits, changed.status) == (None, ("new",), "gone")
    assert (changed.name, changed.preferences, changed.metadata, changed.version) == (
        "Ada", {"x": 1}, {"y": 2}, 2,
    )  # fmt: skip
    assert changed.updated_at > changed.created_at
    with pytest.raises(errors.Conflict, match="version"):
        store.agents.update("a", expect=1, name="Other")
    cleared = store.agents.update("a", preferences=None, metadata=None)
    assert (cleared.preferences, cleared.metadata) == ({}, None)


def test_lists_are_by_role_status_and_parent_newest_first(store, clock):
    for n in range(7):
        clock.advance(1)
        store.agents.create(
            "x", id=f"a{n}", role="odd" if n % 2 else "even", parent="a0" if n else None
        )
    for n in (2, 3):
        store.agents.update(f"a{n}", status="resting")
    lists = {
        (): "6543210",
        (("role", "odd"),): "531",
        (("role", "odd"), ("status", "resting")): "3",
        (("status", "resting"),): "32",
        (("parent", "a0"),): "654321",
        (("parent", "a0"), ("role", "even")): "642",
        (("parent", "a0"), ("status", "resting"), ("role", "even")): "2",
        (("parent", "a1"),): "",
        (("role", "none"),): "",
    }
    for asked, wanted in lists.items():
        for limit in (1, 2, 50):
            found = every(store, store.agents.list, limit=limit, **dict(asked))
            assert "".join(agent.id[1:] for agent in found) == wanted, asked
    with pytest.raises(errors.NotFound):
        store.agents.list(parent="nobody")


# What it has done.


def test_counts_are_added_and_others_stay(store, clock):
    store.agents.create("A", id="a", statistics={"tools_used": ["saw"], "n": 2})
    clock.advance(9)
    assert store.agents.increment("a", {"n": 3, "cost": 0.25}) == {
        "tools_used": ["saw"], "n": 5, "cost": 0.25,
    }  # fmt: skip
    found = store.agents.get("a")
    assert found.statistics == {"tools_used": ["saw"], "n": 5, "cost": 0.25}
    assert type(found.statistics["n"]) is int
    assert (found.version, found.active_at) == (1, to_datetime(clock.now_us()))
    assert store.agents.increment("a", {"n": -5})["n"] == 0


def test_every_number_that_can_be_counted_is_read_back(store):
    numbers = {str(number): number for number in (1e-07, 2**53, -(2**53), 0.1, 1e-300)}
    store.agents.create("A", id="a", statistics={"n": 1e16})
    store.agents.increment("a", numbers)
    assert store.agents.get("a").statistics == {"n": 1e16, **numbers}
    with pytest.raises(errors.WrongType, match="out of range"):
        store.agents.increment("a", {"n": 1e16})


def test_what_is_no_number_is_counted_for_nobody(store):
    store.agents.create("A", id="a", statistics={"text": "x", "true": True, "n": 1})
    for number in (float("inf"), float("nan"), "1", True, None):
        with pytest.raises(errors.WrongType):
            store.agents.increment("a", {"n": number})
    for counts in ({"text": 1}, {"true": 1}, {"n": 1, "text": 1}):
        with pytest.raises(errors.WrongType):
            store.agents.increment("a", counts)
    assert store.agents.get("a").statistics["n"] == 1


def test_no_count_is_lost_however_many_add_at_once(tmp_path):
    for engine in ("file", "postgres"):
        folder = tmp_path / engine
        folder.mkdir()
        with place_on(engine, folder) as place, holdfast.open(place) as store:
            store.agents.create("A", id="a")

            def count(store=store):
                for _ in range(25):
                    store.agents.increment("a", {"n": 1})

            threads = [threading.Thread(target=count) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert store.agents.get("a").statistics == {"n": 100}, engine


def test_counting_does_not_write_the_whole_agent_again(open_store):
    store = open_store()
    store.agents.create("A", id="a", metadata={"x": "y" * 100_000})
    for _ in range(50):
        store.agents.increment("a", {"n": 1})
    tables = store.journal.stats().tables
    assert tables["agent_tally"].images == 50
    assert tables["agent"].images == 0


# What agents are to each other.


def test_links_lead_both_ways_in_the_order_in_which_they_were_made(store, clock):
    crew(store, "a", "b", "c")
    for source, relation, target in (
        ("a", "observes", "b"), ("b", "observes", "a"), ("a", "reports-to", "c"),
        ("c", "observes", "a"), ("a", "observes", "a"),
    ):  # fmt: skip
        clock.advance(1)
        store.agents.link(source, relation, target, metadata={"of": source})

    def shown(*args, **asked):
        found = every(store, store.agents.links, *args, **asked)
        return [f"{link.source}{link.target}" for link in found]

    for limit in (1, 50):
        assert shown("a", limit=limit) == ["ab", "ac", "aa"]
        assert shown("a", "observes", limit=limit) == ["ab", "aa"]
        assert shown("a", direction="in", limit=limit) == ["ba", "ca", "aa"]
        assert shown("a", "observes", direction="in", limit=limit) == ["ba", "ca", "aa"]
        assert shown("c", "observes", direction="in", limit=limit) == []
    assert store.agents.links("b")[0].metadata == {"of": "b"}
    assert store.agents.unlink("a", "observes", "a")
    assert not store.agents.unlink("a", "observes", "a")
    assert not store.agents.unlink("nobody", "observes", "a")
    assert shown("a") == ["ab", "ac"]


def test_a_link_is_there_once_with_what_was_said_last(store):
    crew(store, "a", "b")
    first = store.agents.link("a", "observes", "b")
    assert store.agents.link("a", "observes", "b") == first
    said = store.agents.link("a", "observes", "b", metadata={"since": 1})
    assert said == store.agents.links("a")[0]
    assert said.metadata == {"since": 1}
    assert len(store.agents.links("a")) == 1


def test_both_ends_of_a_link_are_agents(store):
    crew(store, "a", "b")
    for source, target in (("a", "gone"), ("gone", "a")):
        with pytest.raises(errors.NotFound, match="gone"):
            store.agents.link(source, "observes", target)
    store.agents.link("a", "observes", "b")
    store.agents.link("b", "observes", "a")
    store.agents.delete("b")
    for direction in ("out", "in"):
        assert list(store.agents.links("a", direction=direction)) == []
    crew(store, "b")
    for direction in ("out", "in"):
        assert list(store.agents.links("b", direction=direction)) == []


def test_an_agent_has_one_parent_and_never_itself(store):
    crew(store, "a", "other")
    crew(store, "b", parent="a")
    crew(store, "c", parent="b")
    assert store.agents.link("a", "spawned", "b").target == "b"
    with pytest.raises(errors.Refused, match="was spawned by 'a'"):
        store.agents.link("other", "spawned", "b")
    for id in ("a", "b", "c"):
        with pytest.raises(errors.Refused, match="cannot have spawned"):
            store.agents.link(id, "spawned", "a")
    store.agents.unlink("a", "spawned", "b")
    assert store.agents.get("b").parent is None
    store.agents.link("other", "spawned", "b")
    assert store.agents.get("b").parent == "other"


def test_descendants_are_found_nearest_first_each_once(store):
    crew(store, "a")
    crew(store, "b", "c", parent="a")
    crew(store, "d", "e", parent="b")
    crew(store, "f", parent="d")

    def shown(*args, **asked):
        found = every(store, store.agents.descendants, *args, **asked)
        return [f"{one.agent.id}{one.depth}{one.through}" for one in found]

    wanted = ["b1a", "c1a", "d2b", "e2b", "f3d"]
    for limit in (1, 2, 5, 50):
        assert shown("a", limit=limit) == wanted
    assert shown("a", depth=2) == wanted[:4]
    assert shown("a", depth=0) == shown("f") == []
    assert store.agents.descendants("a")[0].agent == store.agents.get("b")
    for source, target in (*pairwise("abca"), ("a", "c")):
        store.agents.link(source, "observes", target)
    assert shown("a", "observes") == ["b1a", "c1a"]
    store.agents.delete("b")
    assert shown("a") == ["c1a"]
    with pytest.raises(errors.NotFound):
        store.agents.descendants("b")


def test_more_descendants_than_a_page_and_more_sources_than_at_once(open_store):
    store = open_store(limits=holdfast.Limits(page=7))
    crew(store, "root")
    crew(store, *(f"c{n}" for n in range(30)), parent="root")
    for n in range(30):
        crew(store, *(f"g{n}-{m}" for m in range(9)), parent=f"c{n}")
    found = every(store, store.agents.descendants, "root", limit=7)
    assert len({one.agent.id for one in found}) == len(found) == 300


def test_a_hub_is_deleted_with_links_beyond_one_slice(open_store, monkeypatch):
    from holdfast.kinds import agents  # noqa: PLC0415

    monkeypatch.setattr(agents, "_SWEPT_AT_ONCE", 3)
    store = open_store()
    crew(store, "hub", "other")
    crew(store, *(f"c{n}" for n in range(10)), parent="hub")
    store.agents.delete("hub")
    assert store.agents.get("c5").parent is None
    assert list(store.agents.links("c5", direction="in")) == []
    crew(store, "hub")
    assert list(store.agents.list(parent="hub")) == []
    store.close()
    again = open_store()  # what was left is swept
    again.agents.update("other", status="gone")
    again._core.engine.write(again._core.unit(again._core._tidy, again._terms))
    assert again.usage().tables["agent_link"].rows == 0


# Its past, its owner, its leases.


def test_agents_are_read_and_put_back_as_they_were(store):
    crew(store, "a")
    crew(store, "b", parent="a")
    store.agents.increment("b", {"n": 1})
    store.agents.link("b", "observes", "a")
    moment = store.moment()
    store.agents.increment("b", {"n": 5})
    store.agents.update("b", name="Other")
    store.agents.delete("a")
    then = store.as_of(moment)
    assert (then.agents.get("b").name, then.agents.get("b").parent) == ("B", "a")
    assert then.agents.get("b").statistics == {"n": 1}
    assert [one.agent.id for one in then.agents.descendants("a")] == ["b"]
    assert [link.target for link in then.agents.links("b")] == ["a"]
    assert store.agents.get("b").parent is None
    store.revert(moment)
    back = store.agents.get("b")
    assert (back.name, back.parent, back.statistics) == ("B", "a", {"n": 1})
    assert back.version == 3
    assert [link.target for link in store.agents.links("b")] == ["a"]
    with pytest.raises(errors.Refused):
        then.agents.update("b", name="x")


def test_a_lease_on_an_agent_holds_others_off(store):
    crew(store, "a", "b")
    lease = store.leases.acquire("agents", "a", holder="me", seconds=60)
    for write in (
        lambda agents: agents.update("a", name="x"),
        lambda agents: agents.increment("a", {"n": 1}),
        lambda agents: agents.link("a", "observes", "b"),
        lambda agents: agents.create("C", parent="a"),
        lambda agents: agents.delete("a"),
    ):
        with pytest.raises(errors.Held):
            write(store.agents)
        write(store.holding(lease).agents)


def test_an_agent_is_part_of_a_transaction_or_not_there(store):
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.agents.create("A", id="a")
        tx.agents.claim("a", holder="h", seconds=9)
        raise ZeroDivisionError
    assert store.agents.run_of("a") is None
    with pytest.raises(errors.NotFound):
        store.agents.get("a")


def test_what_becomes_of_agents_is_told(store):
    store.events.keep(max_age_seconds=600)
    crew(store, "a")
    crew(store, "b", parent="a")
    store.agents.claim("b", holder="h", seconds=9, place="here")
    store.agents.update("b", status="resting")
    store.agents.release("b", fence=1)
    store.agents.delete("b")
    told = [event.name for event in store.events.query("agent:*")]
    assert told == [
        "agent:created", "agent:linked", "agent:created", "agent:started",
        "agent:updated", "agent:stopped", "agent:deleted",
    ]  # fmt: skip


# Who runs it.


def test_one_runs_an_agent_until_it_gives_no_sign_of_life(store, clock):
    crew(store, "a", "b")
    run = store.agents.claim("a", holder="one", seconds=30, place="here:1")
    assert (run.holder, run.place, run.fence, run.stale) == ("one", "here:1", 1, False)
    assert run == store.agents.run_of("a") == store.agents.runs()[0]
    with pytest.raises(errors.Held, match="here:1"):
        store.agents.claim("a", holder="two", seconds=30)
    clock.advance(29)
    store.agents.beat("one", seconds=30, place="here:1")
    clock.advance(29)
    assert not store.agents.run_of("a").stale
    assert list(store.agents.runs(stale=True)) == []
    clock.advance(1)
    assert [run.id for run in store.agents.runs(stale=True)] == ["a"]
    taken = store.agents.claim("a", holder="two", seconds=30, place="there:2")
    assert (taken.holder, taken.fence) == ("two", 2)
    assert not store.agents.release("a", fence=1)
    assert store.agents.release("a", fence=2)
    assert store.agents.run_of("a") is None
    assert store.agents.claim("a", holder="one", seconds=30).fence == 3
    with pytest.raises(errors.NotFound):
        store.agents.claim("gone", holder="one", seconds=30)


def test_a_process_learns_from_its_mark_that_it_lost_an_agent(store, clock):
    crew(store, "a", "b", "c")
    for id in "abc":
        store.agents.claim(id, holder="one", seconds=30)
    mark = store.agents.beat("one", seconds=30)
    assert store.agents.beat("one", seconds=30) == mark
    clock.advance(31)
    store.agents.claim("a", holder="two", seconds=30)
    lost = store.agents.beat("one", seconds=30)
    assert lost != mark
    assert [run.id for run in store.agents.runs(holder="one")] == ["b", "c"]
    store.agents.delete("b")
    assert store.agents.beat("one", seconds=30) != lost
    clock.advance(31)
    store.agents.claim("c", holder="two", seconds=30)
    gone = store.agents.beat("one", seconds=30)  # it was forgotten with its last one
    assert gone not in {mark, lost}
    assert store.agents.release_all("two") == 2
    assert list(store.agents.runs()) == []


@pytest.mark.parametrize("how", ["delete", "release"])
def test_a_process_that_claims_one_as_it_loses_another_is_not_forgotten(how, clock):
    with fresh_schema() as place, holdfast.open(place, clock=clock) as store:
        crew(store, "a", "b")
        fence = store.agents.claim("a", holder="one", seconds=60).fence
        given = {"fence": fence} if how == "release" else {}
        losing = threading.Thread(
            target=lambda: getattr(store.agents, how)("a", **given)
        )
        with store.transaction() as tx, psycopg.connect(shared_url()) as server:
            tx.agents.claim("b", holder="one", seconds=60)
            tx.agents.run_of("b")  # what was sent has been done
            losing.start()
            while not server.execute(WAITING, prepare=False).fetchone()[0]:
                server.rollback()
        losing.join()
        assert [run.id for run in store.agents.runs() if not run.stale] == ["b"]


def test_a_process_that_runs_nothing_any_more_leaves_nothing(store, clock):
    crew(store, "a", "b")

    def runner(tx):
        return tx.one("agent_runner_get", owner="", holder="one")

    def there():
        core = getattr(store, "_target", store)._core
        return core.engine.read(core.unit(runner, Terms())) is not None

    for id in "ab":
        store.agents.claim(id, holder="one", seconds=60)
    store.agents.release("a", fence=1)
    assert there()
    store.agents.delete("b")
    assert not there()
    store.agents.claim("a", holder="one", seconds=60)
    store.agents.release("a", fence=2)
    assert not there()
    store.agents.claim("a", holder="one", seconds=60)
    clock.advance(60)
    store.agents.claim("a", holder="two", seconds=60)
    assert not there()


def test_a_stale_run_writes_nothing_more(store, clock):
    crew(store, "a")
    store.agents.claim("a", holder="one", seconds=30)
    assert store.agents.verify("a", fence=1).holder == "one"
    clock.advance(30)

    def work(fence):
        with store.transaction() as tx:
            tx.agents.verify("a", fence=fence)
            tx.agents.increment("a", {"n": 1})

    with pytest.raises(errors.Fenced, match="no sign of life"):
        work(1)
    store.agents.claim("a", holder="two", seconds=30, place="there:2")
    with pytest.raises(errors.Fenced, match="there:2"):
        work(1)
    work(2)
    store.agents.delete("a")
    with pytest.raises(errors.Fenced, match="nobody"):
        work(2)


def test_runs_are_listed_page_by_page(store):
    crew(store, *(f"a{n}" for n in range(9)))
    for n in range(9):
        store.agents.claim(f"a{n}", holder="even" if n % 2 == 0 else "odd", seconds=9)
    for limit in (1, 3, 50):
        found = every(store, store.agents.runs, limit=limit)
        assert [run.id for run in found] == [f"a{n}" for n in range(9)]
        odd = every(store, store.agents.runs, limit=limit, holder="odd")
        assert [run.id for run in odd] == ["a1", "a3", "a5", "a7"]


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_of_many_who_claim_a_stale_agent_one_gets_it(engine, tmp_path):
    with place_on(engine, tmp_path) as place, holdfast.open(place) as store:
        crew(store, "a")
        store.agents.claim("a", holder="dead", seconds=0.001)
        while not store.agents.run_of("a").stale:
            pass
        won, held = [], []

        def claim(holder):
            try:
                won.append(store.agents.claim("a", holder=holder, seconds=60).fence)
            except errors.Held:
                held.append(holder)

        threads = [threading.Thread(target=claim, args=(f"h{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (won, len(held)) == ([2], 7)


def test_what_was_acknowledged_outlives_kill_9(path):
    def work(say):
        store = holdfast.open(path)
        store.agents.create("A", id="a")
        for n in range(1_000):
            store.agents.increment("a", {"n": 1})
            say(str(n + 1))

    worker = Worker(work)
    worker.wait_for(20)
    said = int(worker.kill()[-1])
    with holdfast.open(path) as store:
        assert store.agents.get("a").statistics["n"] in {said, said + 1}
        assert store.check().problems == ()
