"""The format: versions, migrations, and old and new processes beside one another.

`tests/schema/version_N.sql` holds the tables of each version as a new store had them.
`python tests/test_format.py` writes the newest one again: do so as long as no released
holdfast has made stores of that version; from then on, add a migration instead.
"""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

import holdfast
from holdfast import errors
from holdfast.clock import ManualClock
from holdfast.declared import registry
from holdfast.engines.sqlite import schema
from holdfast.engines.sqlite.connection import APPLICATION_ID, connect
from holdfast.schema import format as formats
from later import EXPAND, LAST, NEXT, TODAY, holdfast_of

SNAPSHOTS = Path(__file__).parent / "schema"


@contextmanager
def looking(path):
    connection = connect(str(path), durability="process-crash")
    try:
        yield connection
    finally:
        connection.close()


def schema_text(path):
    """All that makes the tables, one statement a line, but for derived indexes."""
    with looking(path) as connection:
        found = connection.execute(
            "select sql from sqlite_schema where sql is not null "
            "and tbl_name <> 'derived' and tbl_name not glob 'search*' "
            "order by type <> 'table', type <> 'index', name"
        ).fetchall()
    return "\n".join(" ".join(sql.split()) + ";" for (sql,) in found) + "\n"


def shape(path):
    """The tables as SQLite sees them, however they came to be."""
    with looking(path) as connection:
        tables = connection.execute("pragma table_list").fetchall()
        names = [name for schema, name, *_ in tables if schema == "main"]
        indexes = {
            (name, index): connection.execute(
                "select * from pragma_index_xinfo(?)", (index,)
            ).fetchall()
            for name in names
            for (index,) in connection.execute(
                "select name from pragma_index_list(?)", (name,)
            ).fetchall()
        }
        made = connection.execute(
            "select name, sql from sqlite_schema where type in ('trigger', 'index') "
            "order by name"
        ).fetchall()
        columns = {
            name: connection.execute(
                "select * from pragma_table_xinfo(?)", (name,)
            ).fetchall()
            for name in names
        }
    words = {name: sql and " ".join(sql.split()) for name, sql in made}
    return sorted(tables), columns, indexes, words


def everything(path):
    """Every row of every table, and the schema."""
    with looking(path) as connection:
        names = connection.execute(
            "select name from sqlite_schema where type = 'table' order by name"
        ).fetchall()
        rows = {
            name: connection.execute(f"select * from {name}").fetchall()
            for (name,) in names
        }
        version = connection.pragma("user_version"), connection.pragma("application_id")
    return rows, schema_text(path), version


def test_the_tables_of_a_version_never_change(path):
    holdfast.open(path).close()
    kept = SNAPSHOTS / f"version_{formats.VERSION}.sql"
    assert schema_text(path) == kept.read_text(encoding="utf-8"), (
        f"the tables of version {formats.VERSION} are not those of {kept.name}: stores "
        "of that version would differ from one another. Raise VERSION and add a "
        "migration; or, if no released holdfast makes such stores yet, run "
        "`python tests/test_format.py`"
    )


def make_as_then(path, version):
    """A store as the holdfast of a version made it, with a session in it."""
    Path(path).touch()
    kept = SNAPSHOTS / f"version_{version}.sql"
    said = {"version": version, "reads_from": 1, "writes_from": 1}
    with looking(path) as connection:
        for line in kept.read_text(encoding="utf-8").splitlines():
            connection.execute(line)
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        for name, value in {**said, "id": "x", "journal_floor": 0}.items():
            connection.execute("insert into store values (?, ?)", (name, str(value)))
        for number in range(1, version + 1):
            connection.execute(
                "insert into migration values ('holdfast', ?, 0)", (number,)
            )
        connection.execute(
            "insert into session (no, owner, id, created_at, updated_at, status, "
            "title, tags, revision, first) "
            "values (1, '', 's', 0, 0, 'active', 'one', '[]', 0, 1)"
        )
        connection.execute("update change set at = 1 where seq = 1")


EVERY_VERSION = range(1, formats.VERSION + 1)


@pytest.mark.parametrize("version", EVERY_VERSION)
def test_migrating_from_every_version_gives_the_tables_of_a_new_store(
    tmp_path, version
):
    old, new = str(tmp_path / "old.db"), str(tmp_path / "new.db")
    make_as_then(old, version)
    for path in (old, new):
        holdfast.open(path).close()
    assert shape(old) == shape(new)


@pytest.mark.parametrize("version", EVERY_VERSION)
def test_a_store_of_every_version_keeps_what_it_had_and_goes_on(path, version):
    make_as_then(path, version)
    with holdfast.open(path) as store:
        assert store.sessions.get("s").title == "one"
        store.sessions.update("s", title="two")
        first, second = store.journal.read()
        assert store.check().problems == ()
    assert (first.op, first.after["title"]) == ("create", "one")
    assert (second.before["title"], second.after["title"]) == ("one", "two")


@pytest.mark.parametrize("start", [TODAY, NEXT])
@pytest.mark.parametrize("end", [NEXT, LAST])
def test_a_made_up_migration_gives_the_tables_of_a_new_store(tmp_path, start, end):
    old, new = str(tmp_path / "old.db"), str(tmp_path / "new.db")
    with holdfast_of(start):
        holdfast.open(old).close()
    with holdfast_of(end):
        for path in (old, new):
            holdfast.open(path).close()
            holdfast.open(path, migrate="check").close()
    assert shape(old) == shape(new)
    with looking(old) as connection:
        ran = connection.execute(
            "select version from migration where kind = 'holdfast' order by 1"
        ).fetchall()
    assert ran == [(number,) for number in range(1, end + 1)]


def test_images_follow_a_new_column_and_old_changes_stay_readable(path):
    with holdfast.open(path) as store:
        store.sessions.create("one", id="s")
        store.sessions.update("s", title="two")
    with holdfast_of(NEXT), holdfast.open(path) as store:
        assert store.check().problems == ()
        assert store.journal.head() == 2
        store.sessions.update("s", title="three")
        first, second, third = store.journal.read()
    assert (first.after["title"], first.after["mood"]) == ("one", None)
    assert (second.before["title"], second.before["mood"]) == ("one", None)
    assert (third.before["title"], third.before["mood"]) == ("two", "calm")
    assert (third.after["title"], third.after["mood"]) == ("three", "calm")


def test_migrations_may_only_be_told(path):
    holdfast.open(path).close()
    before = everything(path)
    with holdfast_of(LAST):
        for options in ({"migrate": "check"}, {"read_only": True}):
            with pytest.raises(
                errors.NeedsMigration, match=f"from version {TODAY} to {LAST}"
            ):
                holdfast.open(path, **options)
    assert everything(path) == before


def test_a_migration_that_fails_half_way_leaves_everything_as_it_was(path):
    with holdfast.open(path) as store:
        store.sessions.create("one", id="s")
    before = everything(path)
    broken = (
        EXPAND,
        "create table nap2 (id text) strict; insert into nowhere values (1)",
    )
    with holdfast_of(LAST, broken), pytest.raises(errors.HoldfastError) as raised:
        holdfast.open(path)
    assert isinstance(raised.value.__cause__, apsw.Error)
    assert everything(path) == before
    with holdfast.open(path) as store:
        store.sessions.update("s", title="two")
        assert store.check().problems == ()


def test_an_old_writer_goes_on_beside_a_new_one_while_the_format_lets_it(open_store):
    old = open_store()
    old.sessions.create("one", id="s")
    with holdfast_of(NEXT):
        new = open_store()
    old.sessions.update("s", title="old")
    new.sessions.update("s", title="new")
    assert old.sessions.get("s").title == "new"
    found = list(new.journal.read())
    assert [c.before and c.before["title"] for c in found] == [None, "one", "old"]
    assert found[-1].before["mood"] == "calm"  # the old writer kept what it knows not
    assert old.check().problems == new.check().problems == ()


def test_an_old_writer_is_refused_at_its_next_write_when_the_format_says_so(path):
    with holdfast.open(path) as old:
        old.sessions.create("one", id="s")
        with holdfast_of(NEXT, writes_from=NEXT):
            holdfast.open(path).close()
        before = everything(path)
        for attempt in (
            lambda: old.sessions.update("s", title="old"),
            lambda: old.run(lambda tx: tx.sessions.create()),
            lambda: old.transaction().__enter__(),
        ):
            with pytest.raises(errors.TooNew, match="only a newer holdfast writes"):
                attempt()
        assert old.sessions.get("s").title == "one"
    with pytest.raises(errors.TooNew, match="read_only=True"):
        holdfast.open(path)
    with holdfast.open(path, read_only=True) as reader:
        assert reader.sessions.get("s").title == "one"
    assert everything(path) == before


def test_a_file_that_only_newer_readers_may_use_is_left_untouched(path):
    with holdfast_of(NEXT, reads_from=NEXT, writes_from=NEXT):
        holdfast.open(path).close()
    before = Path(path).read_bytes()
    for options in ({}, {"read_only": True}, {"migrate": "check"}):
        with pytest.raises(errors.TooNew, match="only a newer holdfast reads"):
            holdfast.open(path, **options)
    assert Path(path).read_bytes() == before


def test_an_old_process_never_writes_an_older_format_over_a_newer_one(path, declared):
    with holdfast_of(NEXT):
        holdfast.open(path).close()
    with looking(path) as connection:
        before = connection.execute("select * from store order by name").fetchall()
    declared("naps")
    with holdfast.open(path) as old:  # it has tables of its own to add
        assert old.check().problems == ()
    with looking(path) as connection:
        after = connection.execute("select * from store order by name").fetchall()
        assert connection.execute("select count(*) from naps").fetchall() == [(0,)]
    assert after == before


def test_a_file_that_became_too_new_since_it_was_looked_at_is_not_brought_up(path):
    with holdfast_of(NEXT, writes_from=NEXT):
        holdfast.open(path).close()
    before = everything(path)
    with looking(path) as connection, pytest.raises(errors.TooNew):
        schema.make(connection, registry().parts(), ManualClock())
    assert everything(path) == before


@pytest.fixture
def declared():
    """Declares a kind with one table of its name, and forgets it at the end."""
    from holdfast import declared as declarations  # noqa: PLC0415

    def declare(name):
        columns = "no integer primary key,\n owner text not null,\n id text not null,\n"
        sql = f"create table {name} (\n{columns} unique (owner, id)\n) strict;"
        made = type(name.title(), (holdfast.Kind,), {})
        holdfast.kind(name, sql=f"-- tables --\n-- A table.\n{sql}")(made)

    before = dict(declarations._declared)
    yield declare
    declarations._declared.clear()
    declarations._declared.update(before)
    declarations._current.clear()


RACE = """
import sys
sys.path[:0] = [{tests!r}, {source!r}]
import holdfast
from later import LAST, holdfast_of
print("ready", flush=True)
sys.stdin.readline()
with holdfast_of(LAST):
    with holdfast.open({path!r}) as store:
        print(store.check().problems, flush=True)
"""


def test_of_many_processes_that_migrate_at_once_one_does(path):
    with holdfast.open(path) as store:
        store.sessions.create("one", id="s")
    tests, source = Path(__file__).parent, Path(holdfast.__file__).parents[1]
    code = RACE.format(tests=str(tests), source=str(source), path=path)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 3
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert [racer.communicate(timeout=60)[0] for racer in racers] == ["()\n"] * 3
    with looking(path) as connection:
        ran = connection.execute("select kind, version from migration").fetchall()
    ours = [("holdfast", version) for version in range(1, LAST + 1)]
    assert ran == [("derived", 1), ("events", 1), *ours, ("search", 1)]


def main():
    """Write the snapshot of the newest version."""
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/new.db"
        holdfast.open(path).close()
        kept = SNAPSHOTS / f"version_{formats.VERSION}.sql"
        kept.write_text(schema_text(path), encoding="utf-8")


if __name__ == "__main__":
    main()
