"""The format on PostgreSQL: versions, migrations, and old and new beside one another.

What `test_format` asks of a file, asked of a schema on a server.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import tuple_row

import holdfast
from holdfast import errors
from holdfast.clock import ManualClock
from holdfast.declared import registry
from holdfast.engines.postgres import schema
from holdfast.engines.postgres.target import target_of
from later import EXPAND, LAST, NEXT, TODAY, holdfast_of
from postgres import fresh_schema, shared_url, until
from test_postgres_owners import as_agent


@pytest.fixture
def url():
    """Where a store may be made."""
    with fresh_schema() as made:
        yield made


@pytest.fixture
def store(url):
    """A store of today's, with a session that was changed since."""
    with holdfast.open(url) as opened:
        opened.sessions.create("one", id="s")
        yield opened


def name_of(url):
    return url.partition("schema=")[2].partition("&")[0]


@contextmanager
def looking(url):
    """A connection of nobody's, that finds the store's tables by their names."""
    opened = psycopg.connect(shared_url(), autocommit=True, row_factory=tuple_row)
    with closing(opened) as connection:
        connection.execute(f"set search_path = {name_of(url)}")
        yield connection


SHAPE = {
    "columns": """
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
            a.attnotnull, l.collname
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        left join pg_collation l on l.oid = a.attcollation
        where c.relnamespace = current_schema()::regnamespace
            and c.relkind in ('r', 'p', 'S') and a.attnum > 0 and not a.attisdropped
        order by c.relname, a.attnum""",
    "indexes": """
        select indexname, indexdef from pg_indexes
        where schemaname = current_schema() order by indexname""",
    "constraints": """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        from pg_constraint
        where connamespace = current_schema()::regnamespace order by 1, 2""",
    "triggers": """
        select tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(t.oid)
        from pg_trigger t join pg_class c on c.oid = tgrelid
        where c.relnamespace = current_schema()::regnamespace order by 1, 2""",
    "functions": """
        select proname, proconfig, prosrc from pg_proc
        where pronamespace = current_schema()::regnamespace order by proname""",
}


def shape(url):
    """The tables as PostgreSQL sees them, however they came to be."""
    with looking(url) as connection:
        seen = {
            what: connection.execute(text).fetchall() for what, text in SHAPE.items()
        }
    return {what: plainly(rows, url) for what, rows in seen.items()}


def plainly(rows, url):
    """Without what follows from the schema's name: its own, and its locks' numbers."""
    return re.sub(r"\(\d+, -?\d+\)", "(lock)", str(rows).replace(name_of(url), "here"))


def everything(url):
    """Every row of every table, and the tables."""
    with looking(url) as connection:
        names = connection.execute(
            "select relname from pg_class where relkind in ('r', 'p') "
            "and relnamespace = current_schema()::regnamespace order by 1"
        ).fetchall()
        rows = {
            name: connection.execute(f"select t::text from {name} t order by 1")
            for (name,) in names
        }
        rows = {name: found.fetchall() for name, found in rows.items()}
    return rows, shape(url)


@pytest.mark.parametrize("options", [{}, {"partitions": 2}], ids=["whole", "parted"])
@pytest.mark.parametrize(("start", "end"), [(TODAY, NEXT), (NEXT, LAST), (TODAY, LAST)])
def test_a_made_up_migration_gives_the_tables_of_a_new_store(start, end, options):
    with fresh_schema(**options) as old, fresh_schema(**options) as new:
        with holdfast_of(start), holdfast.open(old) as store:
            store.sessions.create("one", id="s")
        with holdfast_of(end):
            for place in (old, new):
                holdfast.open(place).close()
                holdfast.open(place, migrate="check").close()
        for what, found in shape(old).items():
            assert found == shape(new)[what], what
        assert versions_run(old) == [("holdfast", n) for n in range(1, end + 1)]


def versions_run(url):
    with looking(url) as connection:
        return connection.execute(
            "select kind, version from migration "
            "where kind not in ('derived', 'search', 'events') order by 1, 2"
        ).fetchall()


def test_a_migration_reaches_the_rows_behind_row_level_security():
    with fresh_schema(row_security="on") as url:
        mine = as_agent(url)
        with holdfast.open(mine) as store:
            store.owned_by("ada").sessions.create("one", id="s")
        with holdfast_of(NEXT), holdfast.open(mine) as later:
            assert later.check().problems == ()
        with looking(url) as connection:
            found = connection.execute("select owner, mood from session").fetchall()
    assert found == [("ada", "calm")]


def test_a_migration_passes_although_a_reader_is_in_its_way(url, store):
    """It waits for tables in another order than the reader: one of them gives way."""
    with looking(url) as reader, looking(url) as other, ThreadPoolExecutor(1) as aside:
        reader.execute("begin")
        reader.execute("select * from change")
        migrated = aside.submit(migrate, url)
        until(lambda: other.execute(WAITING, (name_of(url),)).fetchall())
        with suppress(psycopg.errors.DeadlockDetected):
            reader.execute("select * from session")
        reader.execute("rollback")
        migrated.result(timeout=10)
    with holdfast_of(NEXT), holdfast.open(url, migrate="check"):
        assert store.check().problems == ()


WAITING = """
    select 1 from pg_locks l join pg_class c on c.oid = l.relation
    where not l.granted and c.relnamespace = %s::regnamespace"""


def migrate(url):
    with holdfast_of(NEXT):
        holdfast.open(url).close()


def test_images_follow_a_new_column_and_old_changes_stay_readable(url, store):
    store.sessions.update("s", title="two")
    with holdfast_of(NEXT), holdfast.open(url) as later:
        assert later.check().problems == ()
        assert later.journal.head() == 2
        later.sessions.update("s", title="three")
        first, second, third = later.journal.read()
    assert (first.after["title"], first.after["mood"]) == ("one", None)
    assert (second.before["title"], second.before["mood"]) == ("one", None)
    assert (third.before["title"], third.before["mood"]) == ("two", "calm")
    assert (third.after["title"], third.after["mood"]) == ("three", "calm")


def test_migrations_may_only_be_told(url, store):
    before = everything(url)
    with holdfast_of(LAST):
        for options in ({"migrate": "check"}, {"read_only": True}):
            with pytest.raises(
                errors.NeedsMigration, match=f"from version {TODAY} to {LAST}"
            ):
                holdfast.open(url, **options)
    assert everything(url) == before


def test_a_migration_that_fails_half_way_leaves_everything_as_it_was(url, store):
    before = everything(url)
    broken = (
        EXPAND,
        "create table nap2 (id text) strict; insert into nowhere values (1)",
    )
    with holdfast_of(LAST, broken), pytest.raises(errors.HoldfastError) as raised:
        holdfast.open(url)
    assert isinstance(raised.value.__cause__, psycopg.Error)
    assert everything(url) == before
    store.sessions.update("s", title="two")
    assert store.check().problems == ()


def test_an_old_writer_goes_on_beside_a_new_one_while_the_format_lets_it(url, store):
    with holdfast_of(NEXT):
        new = holdfast.open(url)
    with new:
        store.sessions.update("s", title="old")
        new.sessions.update("s", title="new")
        assert store.sessions.get("s").title == "new"
        found = list(new.journal.read())
        assert [c.before and c.before["title"] for c in found] == [None, "one", "old"]
        assert found[-1].before["mood"] == "calm"  # the old one kept what it knows not
        assert store.check().problems == new.check().problems == ()


def test_an_old_writer_is_refused_at_its_next_write_when_the_format_says_so(url, store):
    with holdfast_of(NEXT, writes_from=NEXT):
        holdfast.open(url).close()
    before = everything(url)
    for attempt in (
        lambda: store.sessions.update("s", title="old"),
        lambda: store.run(lambda tx: tx.sessions.create()),
        lambda: write_in_a_transaction(store),
    ):
        with pytest.raises(errors.TooNew, match="only a newer holdfast may write"):
            attempt()
    assert store.sessions.get("s").title == "one"
    with pytest.raises(errors.TooNew, match="read_only=True"):
        holdfast.open(url)
    with holdfast.open(url, read_only=True) as reader:
        assert reader.sessions.get("s").title == "one"
    assert everything(url) == before


def write_in_a_transaction(store):
    with store.transaction() as tx:
        tx.sessions.update("s", title="old")


def test_a_new_writer_of_a_raised_format_writes(url, store):
    with holdfast_of(NEXT, writes_from=NEXT), holdfast.open(url) as new:
        new.sessions.update("s", title="new")
        assert new.check().problems == ()


def test_a_schema_that_only_newer_readers_may_use_is_left_untouched(url):
    with holdfast_of(NEXT, reads_from=NEXT, writes_from=NEXT):
        holdfast.open(url).close()
    before = everything(url)
    for options in ({}, {"read_only": True}, {"migrate": "check"}):
        with pytest.raises(errors.TooNew, match="only a newer holdfast reads"):
            holdfast.open(url, **options)
    assert everything(url) == before


def test_a_schema_that_became_too_new_since_it_was_looked_at_is_not_brought_up(url):
    with holdfast_of(NEXT, writes_from=NEXT):
        holdfast.open(url).close()
    before = everything(url)
    target = target_of(url.partition("://")[2], read_only=False)
    with looking(url) as connection, pytest.raises(errors.TooNew):
        schema.make(connection, target, registry().parts(), ManualClock())
    assert everything(url) == before


def test_an_old_process_never_writes_an_older_format_over_a_newer_one(url, monkeypatch):
    with holdfast_of(NEXT):
        holdfast.open(url).close()
    ask = "select name, value from store order by name"
    with looking(url) as connection:
        before = connection.execute(ask).fetchall()
    declare_naps(monkeypatch)
    with holdfast.open(url) as old:  # it has tables of its own to add
        assert old.check().problems == ()
    with looking(url) as connection:
        assert connection.execute(ask).fetchall() == before
        assert connection.execute("select count(*) from naps").fetchall() == [(0,)]


def declare_naps(monkeypatch):
    """A kind of a user's own, until the test ends."""
    from holdfast import declared as declarations  # noqa: PLC0415

    monkeypatch.setattr(declarations, "_declared", dict(declarations._declared))
    monkeypatch.setattr(declarations, "_current", [])
    columns = (
        "    no integer primary key,\n    owner text not null,\n    id text not null"
    )
    table = f"create table naps (\n{columns},\n    unique (owner, id)\n) strict;"
    holdfast.kind("naps", sql=f"-- tables --\n-- Naps.\n{table}")(
        type("Naps", (holdfast.Kind,), {})
    )


RACE = """
import sys
sys.path[:0] = [{tests!r}, {source!r}]
import holdfast
from later import LAST, holdfast_of
print("ready", flush=True)
sys.stdin.readline()
with holdfast_of(LAST), holdfast.open({url!r}) as store:
    print(store.check().problems, flush=True)
"""


@pytest.mark.parametrize("made", [False, True], ids=["make", "migrate"])
def test_of_many_processes_that_make_or_migrate_a_schema_at_once_one_does(url, made):
    if made:
        holdfast.open(url).close()
    tests, source = Path(__file__).parent, Path(holdfast.__file__).parents[1]
    code = RACE.format(tests=str(tests), source=str(source), url=url)
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
    with looking(url) as connection:
        told = connection.execute("select count(*) from store where name = 'id'")
        assert told.fetchall() == [(1,)]
    assert versions_run(url) == [("holdfast", n) for n in range(1, LAST + 1)]
