"""Workspaces: who comes back finds things as they were left; what nobody uses goes."""

import threading

import psycopg
import pytest

import holdfast
from holdfast import errors
from holdfast.clock import to_datetime
from killing import Worker
from postgres import fresh_schema, shared_url

DAY = 86_400
WAITING = "select count(*) from pg_locks where not granted"


def ids(page):
    return [one.id for one in page]


def test_a_workspace_is_what_was_put_and_a_change_leaves_the_rest(store, clock):
    made = store.workspaces.put(
        "w", path="/src/shop", project="shop", persona="developer",
        tools=["git", "jira", "git"], issue="AAP-1", branch="aap-1", metadata={"n": 1},
    )  # fmt: skip
    assert (made.path, made.project, made.persona) == ("/src/shop", "shop", "developer")
    assert (made.tools, made.issue, made.branch) == (("git", "jira"), "AAP-1", "aap-1")
    assert (made.metadata, made.chat, made.version) == ({"n": 1}, None, 1)
    assert made == store.workspaces.get("w")
    clock.advance(9)
    changed = store.workspaces.put("w", persona="tester", issue=None)
    assert (changed.persona, changed.issue, changed.branch) == ("tester", None, "aap-1")
    assert (changed.tools, changed.version) == (made.tools, 2)
    assert changed.used_at == to_datetime(clock.now_us()) > changed.created_at
    again = store.workspaces.put("w", persona="tester")
    assert again.version == 2
    with pytest.raises(errors.NotFound):
        store.workspaces.get("gone")


def test_a_change_of_another_version_is_refused(store):
    with pytest.raises(errors.Conflict):
        store.workspaces.put("w", expect=1)
    store.workspaces.put("w", expect=0)
    store.workspaces.put("w", persona="dev", expect=1)
    for version in (0, 1, 3):
        with pytest.raises(errors.Conflict):
            store.workspaces.put("w", persona="x", expect=version)
    assert store.workspaces.get("w").persona == "dev"


def test_tools_are_loaded_and_unloaded_each_once(store):
    store.workspaces.put("w", tools=["a"])
    assert store.workspaces.load("w", ["b", "a", "c"]).tools == ("a", "b", "c")
    assert store.workspaces.unload("w", ["a", "z"]).tools == ("b", "c")
    version = store.workspaces.get("w").version
    assert store.workspaces.load("w", ["c"]).version == version
    with pytest.raises(errors.NotFound):
        store.workspaces.load("gone", ["a"])
    with pytest.raises(errors.TooLarge, match="limits"):
        store.workspaces.load("w", [f"t{n}" for n in range(101)])


def test_a_workspace_never_has_more_tools_than_it_may(store):
    store.workspaces.put("w", tools=[f"t{n}" for n in range(100)])
    with pytest.raises(errors.TooLarge, match=r"limits\.tags"):
        store.workspaces.load("w", ["one more"])
    assert len(store.workspaces.get("w").tools) == 100


def test_chats_are_led_in_a_workspace_the_newest_is_the_active_one(store, clock):
    store.workspaces.put("w", persona="dev", tools=["git"])
    first = store.workspaces.enter("w", "s1", name="Fix", issue="A-1", branch="a-1")
    assert (first.session, first.name, first.issue) == ("s1", "Fix", "A-1")
    assert (first.persona, first.tools) == (None, None)
    clock.advance(1)
    store.workspaces.enter("w", "s2", persona="tester", tools=[])
    assert store.workspaces.get("w").chat == "s2"
    clock.advance(1)
    again = store.workspaces.enter("w", "s1", issue="A-2")
    assert (again.issue, again.branch, again.started_at) == (
        "A-2", "a-1", first.started_at,
    )  # fmt: skip
    assert store.workspaces.get("w").chat == "s1"
    assert [chat.session for chat in store.workspaces.chats("w")] == ["s1", "s2"]
    assert store.workspaces.chats("w")[1].tools == ()
    page = store.workspaces.chats("w", limit=1)
    assert [chat.session for chat in page] == ["s1"]
    rest = store.workspaces.chats("w", limit=1, cursor=page.cursor)
    assert ([chat.session for chat in rest], rest.cursor) == (["s2"], None)
    assert store.workspaces.leave("w", "s1")
    assert not store.workspaces.leave("w", "s1")
    assert store.workspaces.get("w").chat == "s2"


def test_a_touch_says_that_it_is_in_use_and_changes_nothing_else(store, clock):
    store.workspaces.put("w")
    store.workspaces.enter("w", "s")
    clock.advance(5)
    touched = store.workspaces.touch("w")
    assert (touched.version, touched.used_at) == (1, to_datetime(clock.now_us()))
    assert store.workspaces.chats("w")[0].used_at < touched.used_at
    store.workspaces.touch("w", "s")
    assert store.workspaces.chats("w")[0].used_at == touched.used_at
    for gone in (("gone",), ("w", "gone")):
        with pytest.raises(errors.NotFound, match="gone"):
            store.workspaces.touch(*gone)


def test_lists_are_by_last_use_project_and_persona(store, clock):
    for n in range(6):
        clock.advance(1)
        store.workspaces.put(
            f"w{n}", project="p" if n % 2 else "q", persona="dev" if n < 4 else None
        )
    clock.advance(1)
    store.workspaces.touch("w1")
    lists = {
        (): "154320",
        (("project", "p"),): "153",
        (("persona", "dev"),): "1320",
        (("project", "q"), ("persona", "dev")): "20",
        (("stale", True),): "",
    }
    for asked, wanted in lists.items():
        for limit in (1, 2, 6, 50):
            found, cursor = [], None
            while True:
                page = store.workspaces.list(limit=limit, cursor=cursor, **dict(asked))
                found += ids(page)
                cursor = page.cursor
                if cursor is None:
                    break
            assert "".join(id[1:] for id in found) == wanted, (asked, limit)


def test_what_nobody_uses_for_24_hours_is_stale_and_cleaned_away(store, clock):
    for id in ("old", "new"):
        store.workspaces.put(id)
        store.workspaces.enter(id, "s1")
    clock.advance(DAY - 1)
    assert not store.workspaces.get("old").stale
    store.workspaces.enter("new", "s2")
    assert store.workspaces.clean().workspaces == ()
    clock.advance(1)
    assert store.workspaces.get("old").stale
    assert ids(store.workspaces.list(stale=True)) == ["old"]
    assert [chat.stale for chat in store.workspaces.chats("new")] == [False, True]
    cleaned = store.workspaces.clean()
    assert (cleaned.workspaces, cleaned.chats) == (("old",), 1)
    assert (cleaned.held, cleaned.left) == (0, False)
    assert ids(store.workspaces.list()) == ["new"]
    assert [chat.session for chat in store.workspaces.chats("new")] == ["s2"]
    with pytest.raises(errors.NotFound):
        store.workspaces.get("old")


def test_a_cleaning_is_limited_leaves_what_is_leased_and_goes_on(store, clock):
    for n in range(5):
        store.workspaces.put(f"w{n}")
        clock.advance(1)
    store.workspaces.put("used")
    for n in range(4):
        store.workspaces.enter("used", f"s{n}")
    clock.advance(100)
    store.workspaces.touch("used")
    lease = store.leases.acquire("workspaces", "w1", holder="me", seconds=60)
    first = store.workspaces.clean(50, limit=2)
    assert (first.workspaces, first.chats) == (("w0", "w2"), 2)
    assert (first.held, first.left) == (1, True)
    second = store.workspaces.clean(50, limit=9)
    assert (second.workspaces, second.chats) == (("w3", "w4"), 2)
    assert (second.held, second.left) == (1, False)
    store.leases.release("workspaces", "w1", fence=lease.fence)
    assert store.workspaces.clean(50).workspaces == ("w1",)


@pytest.mark.parametrize("unused", ["the workspace", "its chat"])
def test_one_that_somebody_comes_back_to_is_not_cleaned_away(unused, clock):
    with fresh_schema() as place, holdfast.open(place, clock=clock) as store:
        for id in ("left", "used"):
            store.workspaces.put(id)
            store.workspaces.enter(id, "s")
        clock.advance(DAY)
        if unused == "its chat":
            store.workspaces.touch("used")
        found = []
        cleaning = threading.Thread(
            target=lambda: found.append(store.workspaces.clean())
        )
        with store.transaction() as tx, psycopg.connect(shared_url()) as server:
            tx.workspaces.touch("used", "s")
            tx.workspaces.get("used")  # what was sent has been done
            cleaning.start()
            while not server.execute(WAITING, prepare=False).fetchone()[0]:
                server.rollback()
        cleaning.join()
        assert (found[0].workspaces, found[0].chats) == (("left",), 0)
        assert store.workspaces.get("used").chat == "s"


def test_a_lease_holds_others_off(store):
    store.workspaces.put("w")
    store.workspaces.enter("w", "s")
    lease = store.leases.acquire("workspaces", "w", holder="me", seconds=60)
    for write in (
        lambda found: found.put("w", persona="x"),
        lambda found: found.touch("w"),
        lambda found: found.load("w", ["a"]),
        lambda found: found.enter("w", "t"),
        lambda found: found.leave("w", "s"),
        lambda found: found.delete("w"),
    ):
        with pytest.raises(errors.Held):
            write(store.workspaces)
        write(store.holding(lease).workspaces)


def test_workspaces_are_read_and_put_back_as_they_were(store, clock):
    store.workspaces.put("w", persona="dev", tools=["a"])
    store.workspaces.enter("w", "s", issue="A-1")
    moment = store.moment()
    clock.advance(5)
    store.workspaces.put("w", persona="tester")
    store.workspaces.enter("w", "s", issue="A-2")
    store.workspaces.enter("w", "t")
    then = store.as_of(moment)
    assert (then.workspaces.get("w").persona, then.workspaces.get("w").chat) == (
        "dev", "s",
    )  # fmt: skip
    assert [chat.issue for chat in then.workspaces.chats("w")] == ["A-1"]
    store.workspaces.delete("w")
    store.revert(moment)
    back = store.workspaces.get("w")
    assert (back.persona, back.tools, back.chat) == ("dev", ("a",), "s")
    assert back.version == 3
    assert [chat.issue for chat in store.workspaces.chats("w")] == ["A-1"]


def test_what_a_revert_does_to_workspaces_is_told(store):
    store.events.keep(max_age_seconds=600)
    store.workspaces.put("changed")
    store.workspaces.put("gone")
    moment = store.moment()
    store.workspaces.put("changed", persona="tester")
    store.workspaces.enter("changed", "s")
    store.workspaces.put("new")
    store.workspaces.delete("gone")
    store.revert(moment)
    told = list(store.events.query("workspace:*"))[-3:]
    assert {(event.name, event.data["id"], event.data["chat"]) for event in told} == {
        ("workspace:updated", "changed", None),
        ("workspace:created", "gone", None),
        ("workspace:deleted", "new", None),
    }


def test_who_takes_a_chat_out_uses_the_workspace(store, clock):
    store.workspaces.put("w")
    store.workspaces.enter("w", "s")
    clock.advance(DAY)
    store.workspaces.leave("w", "s")
    assert not store.workspaces.get("w").stale


def test_how_long_until_it_is_stale_is_a_limit(open_store, clock):
    store = open_store(clock=clock, limits=holdfast.Limits(workspace_seconds=10))
    store.workspaces.put("w")
    clock.advance(10)
    assert store.workspaces.get("w").stale
    assert store.workspaces.clean().workspaces == ("w",)


def test_what_was_acknowledged_outlives_kill_9(path):
    def work(say):
        store = holdfast.open(path)
        store.workspaces.put("w")
        for n in range(1_000):
            store.workspaces.enter("w", f"s{n}", issue=f"A-{n}")
            say(str(n))

    worker = Worker(work)
    worker.wait_for(20)
    said = int(worker.kill()[-1])
    with holdfast.open(path) as store:
        assert store.workspaces.get("w").chat in {f"s{said}", f"s{said + 1}"}
        assert store.check().problems == ()
