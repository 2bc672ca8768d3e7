"""Images: rows as they are, and rows as they were, make every past state again.

The proof for `as_of`: views that shadow the tables stand at one moment, and holdfast's
own statements, run on them, give what they gave at that moment. A row is in sight if
it was born by then and not touched since; an image, if it was born by then and is the
first of its row to die after. A row's `no` is the `seq` of its creation.
"""

import contextlib
import random

import apsw
import pytest

import holdfast
from holdfast import core, errors
from holdfast.declared import registry
from holdfast.engine import Terms
from holdfast.engines.sqlite.binding import bound
from holdfast.engines.sqlite.connection import connect
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.kinds import messages, tasks
from holdfast.limits import Limits
from holdfast.schema.catalog import catalog

OWNERS = ("", "ada")
HISTORIES = 200
STEPS = 25
PARTS = 4


class Past:
    """A connection that stands at a moment, and holdfast's kinds on it."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.execute("create temp table moment (seq integer)")
        self.connection.execute("insert into moment values (0)")
        parts = registry().parts()
        self.texts = {name: bound(found) for name, found in catalog(parts).items()}
        for table in (table for part in parts for table in part.tables):
            if table.journalled:
                self.shadow(table.name)

    def shadow(self, table):
        info = self.connection.execute(f"select name from pragma_table_info('{table}')")
        names = [name for (name,) in info]
        now, was = (", ".join(f"{a}.{name}" for name in names) for a in "tw")
        self.connection.execute(
            f"create temp view {table} as select {now} from main.{table} t "
            "where t.no <= (select seq from moment) and not exists ("
            "  select 1 from main.change j where j.no = t.no and j.op <> 'create' "
            "  and j.seq > (select seq from moment)) "
            f"union all select {was} from main.was_{table} w where w.died = ("
            f"  select min(x.died) from main.was_{table} x where x.no = w.no "
            "  and x.died > (select seq from moment)) "
            "and w.born <= (select seq from moment)"
        )

    def state(self, moment):
        self.connection.execute("update moment set seq = ?", (moment,))
        return {owner: seen(self.of(owner)) for owner in OWNERS}

    def of(self, owner):
        tx = SqliteTransaction(
            self.connection,
            self.connection.cursor(),
            self.texts,
            Terms(owner),
            Limits(),
            0,
            0,
        )
        return holdfast.Transaction(tx, registry())


def seen(store):
    """All that an owner can see, as records."""
    talks = store.sessions.list(limit=1000)
    jobs = store.tasks.list(limit=1000)
    return {
        "sessions": list(talks),
        "messages": {s.id: list(store.sessions.history(s.id)) for s in talks},
        "last": {s.id: list(store.sessions.messages(s.id, 2)) for s in talks},
        "children": [s.id for s in store.sessions.list(parent="s0")],
        "closed": [s.id for s in store.sessions.list(status="completed")],
        "tasks": list(jobs),
        "logs": {task.id: list(store.tasks.logs(task.id)) for task in jobs},
        "running": [t.id for t in store.tasks.list(status="in_progress")],
        "of a session": [t.id for t in store.tasks.list(session="s1")],
        "metrics": store.tasks.metrics(),
    }


def change_something(tx, chance):
    talk, task = chance.choice(["s0", "s0", "s1"]), chance.choice(["t0", "t0", "t1"])
    content = chance.choice(["hi", {"a": [1, None]}, "x" * 50])
    some = [{"role": "user", "content": n} for n in range(chance.randrange(9))]
    chance.choice([
        lambda: tx.sessions.create("", id=talk),
        lambda: tx.sessions.create("", id=talk, tags=["b"]),
        lambda: tx.sessions.create(id=talk, parent="s0", tags=["a"]),
        lambda: tx.sessions.append(talk, "user", content),
        lambda: tx.sessions.append(talk, "user", content, message_id="m"),
        lambda: tx.sessions.extend(talk, some),
        lambda: tx.sessions.extend(talk, some),
        lambda: tx.sessions.update(talk, title=chance.choice("abc"), metadata={"a": 1}),
        lambda: tx.sessions.pop(talk),
        lambda: tx.sessions.clear(talk),
        lambda: tx.sessions.close(talk),
        lambda: tx.sessions.delete(talk),
        lambda: tx.tasks.create("task", id=task, session=talk),
        lambda: tx.tasks.create("other", id=task),
        lambda: tx.tasks.start(task),
        lambda: tx.tasks.complete(task, content),
        lambda: tx.tasks.fail(task, "no"),
        lambda: tx.tasks.progress(task, chance.randrange(9)),
        lambda: tx.tasks.log(task, "line"),
        lambda: tx.tasks.delete(task),
    ])()  # fmt: skip


def live_through(path, seed, clock):
    """A random history: what there was after each step, and whose each moment was."""
    chance = random.Random(seed)
    said = {0: {owner: seen_of_nothing() for owner in OWNERS}}
    with holdfast.open(path, clock=clock, durability="process-crash") as store:
        for owner in OWNERS:
            begin(store.owned_by(owner))
            said[store.journal.head()] = {o: seen(store.owned_by(o)) for o in OWNERS}
        for _ in range(STEPS):
            clock.advance(chance.random())
            mine = store.owned_by(chance.choice(OWNERS))
            with mine.transaction("me") as tx:
                for _ in range(chance.choice([1, 1, 1, 3])):
                    with contextlib.suppress(errors.HoldfastError), tx.savepoint():
                        change_something(tx, chance)
            said[store.journal.head()] = {o: seen(store.owned_by(o)) for o in OWNERS}
        every = store.across_owners().journal.read(limit=1000)
        assert every.cursor is None
    return said, {change.moment: change.actor for change in every}


def begin(mine):
    with mine.transaction("me") as tx:
        tx.sessions.create(id="s0")
        tx.sessions.extend("s0", [{"role": "user", "content": n} for n in range(5)])
        tx.tasks.create("task", id="t0", session="s0")


def seen_of_nothing():
    with holdfast.open(":memory:") as store:
        return seen(store)


@pytest.fixture(autouse=True)
def little_at_once(monkeypatch):
    """Much is deleted in slices, each a moment of its own, out of sight."""
    monkeypatch.setattr(messages, "_SWEPT_AT_ONCE", 3)
    monkeypatch.setattr(tasks, "_SWEPT_AT_ONCE", 3)
    monkeypatch.setattr(core, "_TIDIED_AT_ONCE", 2)


@contextlib.contextmanager
def looking(path):
    connection = connect(path, durability="process-crash")
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("part", range(PARTS))
def test_rows_and_images_make_every_past_state_again(tmp_path, clock, part):
    compared = 0
    for seed in range(part, HISTORIES, PARTS):
        path = str(tmp_path / f"{seed}.db")
        said, moments = live_through(path, seed, clock)
        expected = said[0]
        with looking(path) as connection:
            past = Past(connection)
            for moment, actor in {0: None, **moments}.items():
                if actor == "me":  # the others only swept up what was out of sight
                    expected = said[min(head for head in said if head >= moment)]
                assert past.state(moment) == expected, f"seed {seed}, moment {moment}"
                compared += 1
    assert compared > HISTORIES / PARTS * 12


def test_every_version_of_a_row_has_one_image_and_they_do_not_overlap(tmp_path, clock):
    kept = 0
    for seed in range(10):
        path = str(tmp_path / f"{seed}.db")
        live_through(path, seed, clock)
        with looking(path) as connection:
            for table in ("session", "message", "task", "task_log"):
                kept += images_of(connection, table)
    assert kept > 150


def images_of(connection, table):
    lives = connection.execute(
        f"select no, born, died from was_{table} order by no, died"
    ).fetchall()
    changed = connection.execute(
        "select seq from change where kind = ? and op <> 'create'", (table,)
    ).fetchall()
    assert sorted((died,) for _, _, died in lives) == sorted(changed)
    ends = {}
    for no, born, died in lives:
        assert ends.get(no, no) == born < died
        ends[no] = died
    return len(lives)


def test_a_connection_in_the_past_takes_no_writes(tmp_path, clock):
    path = str(tmp_path / "one.db")
    live_through(path, 7, clock)
    with looking(path) as connection:
        Past(connection)
        with pytest.raises(
            apsw.SQLError, match="cannot modify .* because it is a view"
        ):
            connection.execute("delete from session")
