"""Reverts of agents: what they are to others comes back as far as it can be so."""

import pytest

import holdfast
from conftest import store_on
from holdfast import errors


@pytest.fixture(params=["file", "postgres"])
def agents(request, tmp_path, clock):
    """Agents `a`, `b` of `a`, and `c`; the store is sound at the end."""
    with (
        store_on(request.param, tmp_path) as target,
        holdfast.open(target, clock=clock) as store,
    ):
        store.events.keep(max_age_seconds=600)
        store.agents.create_all(
            {"name": id.title(), "id": id, "parent": parent}
            for id, parent in (("a", None), ("b", "a"), ("c", None))
        )
        store.agents.link("c", "observes", "b", metadata={"n": 1})
        store.agents.link("b", "observes", "c")
        yield store.agents
        assert store.check().problems == ()
        for agent in store.agents.list():
            links = every_link(store.agents)
            assert all(store.agents.get(link.target) for link in links)
            spawned = [one for one in links if one.relation == "spawned"]
            assert [one.target for one in spawned].count(agent.id) <= 1


def every_link(agents):
    found = [link for agent in agents.list() for link in agents.links(agent.id)]
    return sorted(found, key=lambda link: (link.source, link.relation, link.target))


def shown(agents):
    """Every link, as text."""
    return {f"{one.source} {one.relation} {one.target}" for one in every_link(agents)}


def store_of(agents):
    return agents._target


def reverted(agents, moment, *ids):
    done = store_of(agents).revert(moment, kinds=["agents"], ids=ids or None)
    return [(record.id, record.op) for record in done.records]


EVERY = {"a spawned b", "c observes b", "b observes c"}


def test_an_agent_that_was_deleted_comes_back_with_its_links_from_both_ends(
    agents, clock
):
    before, moment = every_link(agents), store_of(agents).moment()
    clock.advance(60)
    agents.delete("b")
    assert reverted(agents, moment, "b") == [("b", "create")]
    assert agents.get("b").parent == "a"
    assert every_link(agents) == before  # with what was said, and when
    agents.delete("b")
    agents.delete("a")
    assert reverted(agents, moment, "b") == [("b", "create")]
    assert shown(agents) == {"c observes b", "b observes c"}
    assert reverted(agents, moment, "a") == [("a", "create")]
    assert shown(agents) == EVERY


def test_agents_that_come_back_together_have_their_links_in_any_order(agents):
    moment = store_of(agents).moment()
    for id in "abc":
        agents.delete(id)
    assert len(reverted(agents, moment)) == 3
    assert shown(agents) == EVERY


def test_an_agent_that_was_not_there_leaves_no_link_to_it(agents):
    moment = store_of(agents).moment()
    agents.create("D", id="d", parent="a")
    agents.link("c", "observes", "d")
    agents.claim("d", holder="h", seconds=60)
    assert reverted(agents, moment, "d") == [("d", "delete")]
    assert shown(agents) == EVERY
    assert agents.run_of("d") is None
    agents.create("D", id="d")
    assert list(agents.links("d", direction="in")) == []


def test_a_link_to_one_that_is_gone_stays_gone(agents):
    moment = store_of(agents).moment()
    agents.delete("b")
    agents.update("c", name="Other")
    assert reverted(agents, moment, "c") == [("c", "update")]
    assert (agents.get("c").name, shown(agents)) == ("C", set())


def test_an_agent_has_the_parent_of_then_again_and_no_second_one(agents):
    moment = store_of(agents).moment()
    agents.unlink("a", "spawned", "b")
    agents.link("c", "spawned", "b")
    assert reverted(agents, moment, "a") == [("a", "update")]
    parents = agents.links("b", "spawned", direction="in")
    assert [link.source for link in parents] == ["c"]  # it was not asked for
    assert reverted(agents, moment, "b") == [("b", "update")]
    assert shown(agents) == EVERY
    agents.unlink("a", "spawned", "b")
    agents.link("c", "spawned", "b")
    assert len(reverted(agents, moment)) == 2
    assert shown(agents) == EVERY
    assert reverted(agents, moment, "a", "b", "c") == []


def test_nobody_comes_from_itself_after_a_revert(agents):
    moment = store_of(agents).moment()
    agents.unlink("a", "spawned", "b")
    agents.link("b", "spawned", "a")
    reverted(agents, moment, "a")
    assert (agents.get("a").parent, agents.get("b").parent) == (None, "a")
    agents.link("c", "spawned", "a")
    moment = store_of(agents).moment()
    agents.unlink("a", "spawned", "b")
    agents.link("b", "spawned", "c")
    reverted(agents, moment, "a")  # which comes from `b` by now
    assert [agents.get(id).parent for id in "abc"] == ["c", None, "b"]


def test_a_lease_on_another_holds_off_what_would_change_its_links(agents):
    store, moment = store_of(agents), store_of(agents).moment()
    agents.unlink("a", "spawned", "b")
    agents.link("c", "spawned", "b")
    agents.update("b", name="Other")
    store.leases.acquire("agents", "c", holder="me", seconds=60)
    with pytest.raises(errors.Held, match="'c'"):
        reverted(agents, moment, "b")
    assert agents.get("b").name == "Other"


def test_what_a_revert_does_to_agents_is_told(agents):
    moment = store_of(agents).moment()
    agents.delete("b")
    agents.update("a", name="x")
    agents.create("D", id="d")
    before = len(list(store_of(agents).events.query("agent:*")))
    reverted(agents, moment)
    told = list(store_of(agents).events.query("agent:*"))[before:]
    assert {(event.name, event.data.get("id")) for event in told} == {
        ("agent:deleted", "d"), ("agent:updated", "a"), ("agent:created", "b"),
        ("agent:linked", None),
    }  # fmt: skip


def test_a_hubs_links_come_back_beyond_one_page(open_store):
    store = open_store(limits=holdfast.Limits(page=7))
    store.agents.create("Hub", id="hub")
    store.agents.create_all(
        {"name": "x", "id": f"c{n}", "parent": "hub"} for n in range(30)
    )
    for n in range(30):
        store.agents.link(f"c{n}", "observes", "hub")
    moment = store.moment()
    store.agents.delete("hub")
    store.revert(moment, kinds=["agents"], ids=["hub"])
    assert shown(open_store().agents) == {
        text for n in range(30) for text in (f"hub spawned c{n}", f"c{n} observes hub")
    }
