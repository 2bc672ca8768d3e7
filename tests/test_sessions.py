"""Sessions: made once, listed newest first, changed at a version, deleted alone."""

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest

from examples import dump
from holdfast import errors
from holdfast.kinds.session_records import SessionStatus
from holdfast.page import Page


def ids(records):
    return [record.id for record in records]


def every(list_, **filters):
    """All of a list, page by page, and how long each page was."""
    found, sizes, cursor = [], [], None
    while True:
        page = list_(cursor=cursor, **filters)
        found += page
        sizes.append(len(page))
        cursor = page.cursor
        if cursor is None:
            return found, sizes


def test_a_session_comes_back_as_it_was_made(store, clock):
    made = store.sessions.create(
        "Plan",
        id="s",
        metadata={"a": [1, {"b": None}]},
        tags=["x", "y", "x"],
        max_context_messages=7,
    )
    assert store.sessions.get("s") == made
    assert (made.id, made.owner, made.title) == ("s", "", "Plan")
    assert (made.status, made.parent, made.orphaned) == ("active", None, False)
    assert (made.metadata, made.tags) == ({"a": [1, {"b": None}]}, ("x", "y"))
    assert (made.max_context_messages, made.version, made.message_count) == (7, 0, 0)
    now = datetime.fromtimestamp(clock.now_us() / 1e6, UTC)
    assert (made.created_at, made.updated_at) == (now, now)
    assert made.created_at.tzinfo is UTC


def test_a_session_without_an_id_gets_one_of_its_own(store):
    made = [store.sessions.create() for _ in range(5)]
    assert len({s.id for s in made}) == 5
    assert all(len(s.id) == 36 and s.id[14] == "7" for s in made)  # a UUID, version 7
    assert (made[0].title, made[0].metadata, made[0].tags) == ("", None, ())


def test_ids_of_newer_sessions_sort_after_those_of_older_ones(store, clock):
    made = []
    for _ in range(5):
        made.append(store.sessions.create().id)
        clock.advance(0.001)
    assert made == sorted(made)


CONTENT = {
    "title": "Plan",
    "parent": "p",
    "metadata": {"a": 1},
    "tags": ["x", "y"],
    "max_context_messages": 7,
}
OTHER = {
    "title": "Plans",
    "parent": None,
    "metadata": {"a": 2},
    "tags": ["y", "x"],
    "max_context_messages": None,
}


def test_an_id_used_twice_with_equal_content_gives_back_what_is_there(store, clock):
    store.sessions.create(id="p")
    made = store.sessions.create(id="s", **CONTENT)
    store.sessions.append("s", "user", "hi")
    clock.advance(5)
    before = dump(store)
    again = store.sessions.create(id="s", **CONTENT)
    assert again == store.sessions.get("s")
    assert (again.created_at, again.message_count) == (made.created_at, 1)
    assert dump(store) == before


@pytest.mark.parametrize("field", CONTENT)
def test_an_id_used_twice_with_other_content_already_exists(store, field):
    store.sessions.create(id="p")
    store.sessions.create(id="s", **CONTENT)
    before = dump(store)
    with pytest.raises(errors.AlreadyExists, match="session 's'") as caught:
        store.sessions.create(id="s", **{**CONTENT, field: OTHER[field]})
    assert (caught.value.kind, caught.value.id) == ("session", "s")
    assert dump(store) == before


def test_an_unknown_session_is_named_by_kind_and_id(store):
    for call in (
        store.sessions.get,
        store.sessions.update,
        store.sessions.close,
        store.sessions.pop,
        store.sessions.clear,
        store.sessions.messages,
        lambda at: list(store.sessions.history(at)),
        lambda at: store.sessions.append(at, "user", "x"),
        lambda at: store.sessions.extend(at, []),
        lambda at: store.sessions.create(parent=at),
    ):
        with pytest.raises(errors.NotFound, match="session 'gone'") as caught:
            call("gone")
        assert (caught.value.kind, caught.value.id) == ("session", "gone")


def test_an_update_changes_what_is_named_and_leaves_the_rest(store, clock):
    made = store.sessions.create(id="s", **{**CONTENT, "parent": None})
    clock.advance(3)
    changed = store.sessions.update("s", title="New")
    assert (changed.title, changed.metadata) == ("New", {"a": 1})
    assert (changed.tags, changed.max_context_messages) == (("x", "y"), 7)
    assert changed.created_at == made.created_at
    assert changed.updated_at == made.created_at + timedelta(seconds=3)
    cleared = store.sessions.update(
        "s", metadata=None, tags=[], max_context_messages=None
    )
    assert (cleared.title, cleared.metadata, cleared.tags) == ("New", None, ())
    assert cleared.max_context_messages is None
    assert store.sessions.get("s") == cleared


@pytest.mark.parametrize("status", list(SessionStatus))
def test_a_session_may_have_any_status_from_any_other(store, status):
    store.sessions.create(id="s")
    for before in SessionStatus:
        store.sessions.update("s", status=before)
        assert store.sessions.update("s", status=status.value).status is status


def test_closing_completes_a_session_once(store):
    store.sessions.create(id="s")
    closed = store.sessions.close("s")
    assert (closed.status, closed.version) == (SessionStatus.COMPLETED, 1)
    assert store.sessions.close("s") == closed
    assert store.sessions.append("s", "user", "a label binds nobody").position == 1


def test_an_update_at_another_version_is_a_conflict_that_tells_both(store):
    store.sessions.create(id="s")
    version = store.sessions.update("s", title="a", expect=0).version
    assert version == 1
    before = dump(store)
    with pytest.raises(errors.Conflict, match="version 1, not 0") as caught:
        store.sessions.update("s", title="b", tags=["t"], expect=0)
    assert (caught.value.expected, caught.value.found) == (0, 1)
    assert (caught.value.kind, caught.value.id) == ("session", "s")
    assert dump(store) == before


def test_the_version_grows_with_every_change_and_never_comes_back(store):
    store.sessions.create(id="s")
    sessions, seen = store.sessions, [0]
    draft = {"role": "user", "content": "x"}
    changes = [
        lambda: sessions.append("s", "user", "1"),
        lambda: sessions.pop("s"),
        lambda: sessions.append("s", "user", "2"),
        lambda: sessions.extend("s", [draft] * 3),
        lambda: sessions.clear("s"),
        lambda: sessions.append("s", "user", "3"),
        lambda: sessions.update("s", title="t"),
        lambda: sessions.pop("s"),
        lambda: sessions.close("s"),
        lambda: sessions.extend("s", [draft]),
    ]
    for change in changes:
        change()
        seen.append(sessions.get("s").version)
    assert seen == sorted(set(seen))
    for stale in seen[:-1]:
        with pytest.raises(errors.Conflict):
            sessions.append("s", "user", "late", expect=stale)
    assert sessions.append("s", "user", "now", expect=seen[-1]).content == "now"


def test_what_changes_nothing_leaves_the_version(store):
    store.sessions.create(id="s")
    store.sessions.append("s", "user", "x", message_id="m")
    version = store.sessions.get("s").version
    store.sessions.append("s", "user", "x", message_id="m")
    store.sessions.extend("s", [])
    store.sessions.create(id="s")
    with pytest.raises(errors.AlreadyExists):
        store.sessions.append("s", "user", "y", message_id="m")
    assert store.sessions.get("s").version == version
    store.sessions.create(id="empty")
    assert store.sessions.pop("empty") is None
    assert store.sessions.clear("empty") == 0
    assert store.sessions.get("empty").version == 0


def test_a_list_is_newest_first_whatever_the_page(store, clock):
    for n in range(7):
        store.sessions.create(id=f"s{n}")
        clock.advance(n % 2)  # some of them at the same time
    wanted = [f"s{n}" for n in reversed(range(7))]
    for limit in (1, 2, 3, 6, 7, 8):
        found, sizes = every(store.sessions.list, limit=limit)
        assert ids(found) == wanted
        assert all(size == limit for size in sizes[:-1])
        assert 0 < sizes[-1] <= limit
    assert store.sessions.list(limit=7).cursor is None
    assert store.owned_by("nobody").sessions.list() == Page([])


def test_a_list_goes_on_after_its_cursor_whatever_happens_meanwhile(store, clock):
    for n in range(6):
        store.sessions.create(id=f"s{n}")
        clock.advance(1)
    page = store.sessions.list(limit=2)
    store.sessions.create(id="newer")
    store.sessions.delete("s4")
    store.sessions.delete("s3")
    store.sessions.update("s0", title="moved?")
    rest, _ = every(lambda cursor: store.sessions.list(cursor=cursor or page.cursor))
    assert ids(rest) == ["s2", "s1", "s0"]


STATUSES = list(SessionStatus)


def furnish_forty(store, clock):
    """Forty sessions, of every status, tag and parent, in every combination."""
    with store.transaction() as tx:
        tx.sessions.create(id="p0")
        tx.sessions.create(id="p1")
    for n in range(40):
        clock.advance(1)
        with store.transaction() as tx:
            parent = None if n % 5 == 4 else f"p{n % 2}"
            tx.sessions.create(id=f"s{n:02}", parent=parent, tags=[f"t{n % 3}", "all"])
            tx.sessions.update(f"s{n:02}", status=STATUSES[n % 4])


def test_every_combination_of_filters_finds_what_fits(store, clock):
    furnish_forty(store, clock)
    there, _ = every(store.sessions.list)
    bound = store.sessions.get("s25").created_at
    for status, tag, parent, before in itertools.product(
        [None, "active", "archived"],
        [None, "t1", "all", "none"],
        [None, "p0", "gone"],
        [None, bound],
    ):
        wanted = [
            s.id
            for s in there
            if status in {None, s.status.value}
            and (tag is None or tag in s.tags)
            and parent in {None, s.parent}
            and (before is None or s.created_at < before)
        ]
        filters = {"status": status, "tag": tag, "parent": parent}
        found, _ = every(store.sessions.list, created_before=before, limit=7, **filters)
        assert ids(found) == wanted


def test_a_list_before_a_time_leaves_out_that_time_itself(store, clock):
    for n in range(3):
        store.sessions.create(id=f"s{n}")
        clock.advance(1)
    at = store.sessions.get("s1").created_at
    assert ids(store.sessions.list(created_before=at)) == ["s0"]
    just_after = at + timedelta(microseconds=1)
    assert ids(store.sessions.list(created_before=just_after)) == ["s1", "s0"]
    away = just_after.astimezone(timezone(timedelta(hours=-7)))
    assert ids(store.sessions.list(created_before=away)) == ["s1", "s0"]
    assert ids(store.sessions.list(created_before=away.isoformat())) == ["s1", "s0"]


def test_a_session_is_listed_by_the_tags_that_it_has_now(store):
    store.sessions.create(id="s", tags=["old", "kept"])
    store.sessions.update("s", tags=["kept", "new"])
    assert ids(store.sessions.list(tag="old")) == []
    assert ids(store.sessions.list(tag="kept")) == ["s"]
    assert ids(store.sessions.list(tag="new")) == ["s"]
    store.sessions.update("s", title="tags stay")
    assert ids(store.sessions.list(tag="new")) == ["s"]
    store.sessions.delete("s")
    assert ids(store.sessions.list(tag="new")) == []


def test_deleting_is_true_only_where_there_was_one(store):
    store.sessions.create(id="s")
    assert store.sessions.delete("s") is True
    assert store.sessions.delete("s") is False
    with pytest.raises(errors.NotFound):
        store.sessions.get("s")


def test_a_deleted_session_leaves_its_children_and_tasks_which_say_so(store):
    store.sessions.create(id="s")
    store.sessions.create(id="child", parent="s")
    store.tasks.create("a task", id="task", session="s")
    assert store.sessions.get("child").orphaned is False
    assert store.tasks.get("task").orphaned is False
    store.sessions.delete("s")
    child, task = store.sessions.get("child"), store.tasks.get("task")
    assert (child.parent, child.orphaned) == ("s", True)
    assert (task.session, task.orphaned) == ("s", True)
    assert ids(store.sessions.list(parent="s")) == ["child"]
    assert ids(store.tasks.list(session="s")) == ["task"]
    assert store.sessions.list()[0].orphaned


def test_an_id_that_was_deleted_can_be_used_anew(store):
    store.sessions.create("old", id="s", tags=["t"])
    store.sessions.append("s", "user", "old", message_id="m")
    store.sessions.delete("s")
    made = store.sessions.create("new", id="s")
    assert (made.version, made.message_count, made.tags) == (0, 0, ())
    assert store.sessions.append("s", "user", "new", message_id="m").position == 1
    assert [m.content for m in store.sessions.history("s")] == ["new"]
