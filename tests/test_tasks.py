"""Tasks: their moves, their log and figures, and who works on them."""

import itertools
from datetime import timedelta

import pytest

from examples import dump
from holdfast import errors
from holdfast.kinds.task_records import TRANSITIONS, Progress, TaskStatus
from holdfast.page import Page

S = TaskStatus
PATHS = {
    S.PENDING: (),
    S.IN_PROGRESS: ("start",),
    S.WAITING: ("hold",),
    S.COMPLETED: ("start", "complete"),
    S.FAILED: ("start", "fail"),
    S.CANCELLED: ("cancel",),
}
"""By which moves a task comes to each status."""
MOVES = {
    "start": S.IN_PROGRESS,
    "hold": S.WAITING,
    "complete": S.COMPLETED,
    "fail": S.FAILED,
    "cancel": S.CANCELLED,
}
ALLOWED = {
    (S.PENDING, "start"), (S.PENDING, "hold"), (S.PENDING, "cancel"),
    (S.IN_PROGRESS, "hold"), (S.IN_PROGRESS, "complete"), (S.IN_PROGRESS, "fail"),
    (S.IN_PROGRESS, "cancel"),
    (S.WAITING, "start"), (S.WAITING, "fail"), (S.WAITING, "cancel"),
    (S.FAILED, "start"),
}  # fmt: skip
"""What the documentation promises, written here a second time."""


def ids(records):
    return [record.id for record in records]


def move(tasks, name, id="t"):
    return tasks.fail(id, "broken") if name == "fail" else getattr(tasks, name)(id)


def bring(tasks, status, id="t"):
    """A task in a given status."""
    tasks.create(f"to be {status}", id=id)
    for name in PATHS[status]:
        move(tasks, name, id)
    return tasks.get(id)


@pytest.mark.parametrize(("status", "name"), [*itertools.product(S, MOVES)], ids=str)
def test_a_status_moves_only_where_the_table_lets_it(store, status, name):
    there = bring(store.tasks, status)
    assert there.status is status
    before = dump(store)
    allowed = MOVES[name] in TRANSITIONS[status]
    assert allowed == ((status, name) in ALLOWED)
    if allowed:
        moved = move(store.tasks, name)
        assert moved == store.tasks.get("t")
        assert (moved.status, moved.version) == (MOVES[name], there.version + 1)
        return
    with pytest.raises(errors.Refused) as caught:
        move(store.tasks, name)
    said = str(caught.value)
    assert f"is {status.value} and cannot become {MOVES[name].value}" in said
    assert dump(store) == before


def test_the_table_speaks_of_every_status():
    assert set(TRANSITIONS) == set(S)
    assert all(status not in moves for status, moves in TRANSITIONS.items())


@pytest.mark.parametrize("status", list(S))
def test_times_and_outcome_say_what_became_of_a_task(store, clock, status):
    made = store.tasks.create("work", id="t")
    clock.advance(1)
    for name in PATHS[status]:
        clock.advance(2)
        move(store.tasks, name)
    task = store.tasks.get("t")
    started, finished = "start" in PATHS[status], status in {"completed", "failed"}
    at = made.created_at + timedelta(seconds=3)
    assert task.started_at == (at if started else None)
    if finished or status is S.CANCELLED:
        later = timedelta(seconds=2 * (len(PATHS[status]) - 1))
        assert task.completed_at == at + later
    else:
        assert task.completed_at is None
    assert task.error == ("broken" if status is S.FAILED else None)
    assert task.created_at == made.created_at


def test_a_failed_task_that_is_tried_again_starts_afresh(store, clock):
    bring(store.tasks, S.FAILED)
    clock.advance(9)
    again = store.tasks.start("t")
    assert (again.error, again.completed_at) == (None, None)
    assert again.started_at == again.updated_at
    done = store.tasks.complete("t", {"n": [1, None]})
    assert (done.result, done.status) == ({"n": [1, None]}, S.COMPLETED)


def test_a_task_comes_back_as_it_was_made(store):
    store.sessions.create(id="s")
    made = store.tasks.create(
        "Book",
        id="t",
        tool="browser",
        session="s",
        assigned_to="ada",
        metadata={"a": [1]},
    )
    assert store.tasks.get("t") == made
    assert (made.tool, made.session, made.assigned_to) == ("browser", "s", "ada")
    assert (made.status, made.version, made.metadata) == ("pending", 1, {"a": [1]})
    assert (made.result, made.error, made.progress) == (None, None, None)
    assert store.tasks.create("another").id != store.tasks.create("another").id


@pytest.mark.parametrize("length", [1, 2_555])
def test_a_description_has_1_to_2555_characters(store, length):
    assert len(store.tasks.create("é" * length).description) == length
    with pytest.raises(errors.WrongType, match="at least 1"):
        store.tasks.create("")
    with pytest.raises(errors.TooLarge, match="2,555"):
        store.tasks.create("é" * 2_556)
    with pytest.raises(errors.TooLarge, match="2,555"):
        store.tasks.update(store.tasks.list()[0].id, description="x" * 2_556)


SAME = {"description": "d", "tool": "x", "assigned_to": "ada", "metadata": {"a": 1}}
OTHER = {"description": "e", "tool": None, "assigned_to": "bob", "metadata": None}


def test_an_id_used_twice_with_equal_content_gives_back_what_is_there(store):
    store.tasks.create(id="t", **SAME)
    there = store.tasks.start("t")
    before = dump(store)
    assert store.tasks.create(id="t", **SAME) == there
    assert dump(store) == before


@pytest.mark.parametrize("field", list(OTHER))
def test_an_id_used_twice_with_other_content_already_exists(store, field):
    store.tasks.create(id="t", **SAME)
    before = dump(store)
    with pytest.raises(errors.AlreadyExists, match="task 't'"):
        store.tasks.create(id="t", **{**SAME, field: OTHER[field]})
    assert dump(store) == before


def test_an_unknown_task_is_named_by_kind_and_id(store):
    tasks = store.tasks
    calls = [
        getattr(tasks, name) for name in ("get", "update", "logs", "start", "hold")
    ]
    calls += [tasks.cancel, tasks.complete, lambda at: tasks.fail(at, "x")]
    calls += [lambda at: tasks.log(at, "x"), lambda at: tasks.progress(at, 1)]
    for call in calls:
        with pytest.raises(errors.NotFound, match="task 'gone'"):
            call("gone")
    assert tasks.delete("gone") is False
    with pytest.raises(errors.NotFound, match="session 'gone'"):
        tasks.create("x", session="gone")


def test_an_update_changes_what_is_named_and_leaves_the_rest(store):
    store.sessions.create(id="s")
    store.tasks.create(id="t", **SAME)
    store.tasks.start("t")
    changed = store.tasks.update("t", session="s", tool=None, metadata={"b": 2})
    assert (changed.session, changed.tool, changed.metadata) == ("s", None, {"b": 2})
    assert (changed.description, changed.assigned_to) == ("d", "ada")
    assert (changed.status, changed.version) == (S.IN_PROGRESS, 3)
    with pytest.raises(errors.NotFound, match="session 'gone'"):
        store.tasks.update("t", session="gone")
    assert store.tasks.update("t", session=None).session is None


def test_an_update_at_another_version_is_a_conflict(store):
    store.tasks.create("a", id="t")
    store.tasks.update("t", description="b", expect=1)
    before = dump(store)
    with pytest.raises(errors.Conflict, match="version 2, not 1") as caught:
        store.tasks.update("t", description="c", expect=1)
    assert (caught.value.kind, caught.value.expected, caught.value.found) == (
        "task",
        1,
        2,
    )
    assert dump(store) == before


def test_every_change_of_a_task_moves_its_version(store):
    tasks = store.tasks
    seen = [
        tasks.create("a", id="t").version,
        tasks.start("t").version,
        tasks.progress("t", 1).version,
        tasks.update("t", tool="x").version,
        tasks.hold("t").version,
        tasks.cancel("t").version,
    ]
    assert seen == [1, 2, 3, 4, 5, 6]


def test_progress_says_how_far_a_task_has_come(store):
    store.tasks.create("a", id="t")
    assert store.tasks.progress("t", 1).progress == Progress(1, None, None)
    task = store.tasks.progress("t", 2.5, 10, "halfway")
    assert task.progress == Progress(2.5, 10, "halfway")
    assert store.tasks.get("t").progress == task.progress
    assert store.tasks.start("t").progress == task.progress
    for id, status in enumerate((S.COMPLETED, S.FAILED, S.CANCELLED)):
        bring(store.tasks, status, f"t{id}")
        with pytest.raises(errors.Refused, match=status.value):
            store.tasks.progress(f"t{id}", 1)


def test_a_log_keeps_its_lines_in_order_page_by_page(store, clock):
    store.tasks.create("a", id="t")
    store.tasks.create("b", id="other")
    store.tasks.log("other", "elsewhere")
    version = store.tasks.get("t").version
    for n in range(7):
        kept = store.tasks.log("t", f"line {n}", "debug" if n else "info", "note")
        clock.advance(1)
    assert (kept.message, kept.level, kept.type) == ("line 6", "debug", "note")
    assert store.tasks.logs("t")[-1] == kept
    found, cursor = [], None
    while True:
        page = store.tasks.logs("t", limit=3, cursor=cursor)
        found += page
        cursor = page.cursor
        if cursor is None:
            break
    assert [line.message for line in found] == [f"line {n}" for n in range(7)]
    assert [line.at for line in found] == sorted({line.at for line in found})
    assert store.tasks.get("t").version == version
    assert store.tasks.log("other", "x").level == "info"
    assert store.tasks.logs("other")[-1].type == "system"


def test_a_finished_task_still_takes_log_lines_and_loses_them_when_deleted(store):
    bring(store.tasks, S.CANCELLED)
    store.tasks.log("t", "why it was cancelled")
    assert store.tasks.delete("t") is True
    assert store.tasks.delete("t") is False
    with pytest.raises(errors.NotFound):
        store.tasks.logs("t")
    store.tasks.create("anew", id="t")
    assert store.tasks.logs("t") == Page([])


def test_metrics_count_by_status_and_average_what_was_completed(store, clock):
    empty = store.tasks.metrics()
    assert (empty.total, empty.average_completion_ms) == (0, None)
    assert empty.by_status == dict.fromkeys(S, 0)
    for n, seconds in enumerate((1, 2, 6)):
        store.tasks.create("a", id=f"done{n}")
        clock.advance(100)  # before it starts, which does not count
        store.tasks.start(f"done{n}")
        clock.advance(seconds)
        store.tasks.complete(f"done{n}")
    for status in S:
        bring(store.tasks, status, f"t-{status.value}")
        clock.advance(1)
    metrics = store.tasks.metrics()
    assert metrics.total == 9
    assert metrics.by_status == {**dict.fromkeys(S, 1), S.COMPLETED: 4}
    assert metrics.average_completion_ms == (1_000 + 2_000 + 6_000 + 0) / 4


def test_every_combination_of_filters_finds_what_fits(store, clock):
    for session in ("s0", "s1"):
        store.sessions.create(id=session)
    for n, status in enumerate([*S] * 4):
        id, session = f"t{n:02}", f"s{n % 2}" if n % 5 else None
        bring(store.tasks, status, id)
        store.tasks.update(id, session=session, tool=f"x{n % 3}" if n % 4 else None)
        clock.advance(n % 2)
    there = list(store.tasks.list())
    assert ids(there) == sorted(ids(there), reverse=True)
    for status, session, tool in itertools.product(
        [None, *S], [None, "s0", "s1", "none"], [None, "x1", "none"]
    ):
        wanted = [
            t.id
            for t in there
            if status in {None, t.status}
            and session in {None, t.session}
            and tool in {None, t.tool}
        ]
        found, cursor = [], None
        while True:
            page = store.tasks.list(
                status=status, session=session, tool=tool, limit=5, cursor=cursor
            )
            found += ids(page)
            cursor = page.cursor
            if cursor is None:
                break
        assert found == wanted
