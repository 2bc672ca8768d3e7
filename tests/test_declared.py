"""Declared kinds: a user's own kind has all that holdfast's have."""

import pytest

import holdfast
from holdfast import codec, declared, errors
from holdfast.edges import Id, PageSize, Value
from holdfast.engines.postgres.transaction import PostgresTransaction
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.page import Page, cursor_of, place_of

SQL = """
-- tables --
-- A note is a value under a key.
create table note (
    no integer primary key,
    owner text not null,
    id text not null,
    body text not null,
    at integer not null,
    unique (owner, id)
) strict;
create index note_newest on note (owner, at);

-- note_get --
-- One note.
select no, body from note where owner = :owner and id = :id

-- note_add --
-- Keep a note.
insert into note (no, owner, id, body, at) values (:no, :owner, :id, :body, :now)

-- note_change --
-- Put a note's text as it now is.
update note set body = :body, at = :now where no = :no

-- note_drop --
-- Forget a note.
delete from note where no = :no

-- note_list --
-- Notes of an owner, by key.
select id, body from note where owner = :owner and id > :after order by id limit :limit
"""
MOODY = SQL.replace(
    "    at integer not null,\n", "    at integer not null,\n    mood text,\n"
)
NEEDS_MOOD = "alter table note add column mood text"


class Notes(holdfast.Kind):
    """Values under keys."""

    @holdfast.operation
    def put(self, id: Id, body: Value) -> int:
        """Keep a value under a key; how many bytes of text it is."""
        row = self.tx.one("note_get", owner=self.owner, id=id)
        self.guard(id)
        if row is None:
            no = self.tx.new_no()
            values = {"owner": self.owner, "id": id, "now": self.tx.now}
            self.tx.run("note_add", no=no, body=body.text, **values)
        else:
            self.tx.run("note_change", no=row[0], body=body.text, now=self.tx.now)
        return len(body.text)

    @holdfast.operation
    def move(self, id: Id, to: Id) -> bool:
        """Put a note under another key: several statements, all of them or none."""
        body = self.get(id)
        self.drop(id)
        self.put(to, body)
        return True

    @holdfast.operation
    def drop(self, id: Id) -> bool:
        """Forget a note."""
        row = self.tx.one("note_get", owner=self.owner, id=id)
        if row is None:
            raise self.not_found(id)
        self.guard(id)
        return self.tx.run("note_drop", no=row[0]) == 1

    @holdfast.query
    def get(self, id: Id) -> object:
        """The value under a key."""
        row = self.tx.one("note_get", owner=self.owner, id=id)
        if row is None:
            raise self.not_found(id)
        return codec.decode(row[1])

    @holdfast.query
    def list(self, *, limit: PageSize = 50, cursor: str | None = None) -> Page[str]:
        """Keys, in order."""
        after = "" if cursor is None else place_of(cursor, str)[0]
        rows = self.tx.all("note_list", owner=self.owner, after=after, limit=limit + 1)
        more = cursor_of(rows[limit - 1][0]) if len(rows) > limit else None
        return Page((row[0] for row in rows[:limit]), more)


@pytest.fixture(autouse=True)
def forgotten():
    """Declarations of a test are taken back at its end."""
    before = dict(declared._declared)
    yield
    declared._declared.clear()
    declared._declared.update(before)
    declared._current.clear()


def declare(sql=SQL, name="notes", **options):
    made = type("Notes", (Notes,), {"__doc__": Notes.__doc__})
    made.__qualname__ = "Notes"
    return holdfast.kind(name, sql=sql, json=["body"], **options)(made)


@pytest.fixture
def notes(forgotten):
    """The kind `notes`, declared before the test's store is opened."""
    return declare()


def test_it_is_there_on_every_engine_and_face(notes, store):
    assert store.notes.put("a", {"x": [1]}) == 9
    assert store.notes.get("a") == {"x": [1]}
    assert store.call("notes.put", {"id": "b", "body": "text"}) == 6
    assert list(store.notes.list()) == ["a", "b"]
    first = store.notes.list(limit=1)
    assert list(store.notes.list(limit=1, cursor=first.cursor)) == ["b"]
    assert store.notes.drop("a") is True
    with pytest.raises(errors.NotFound, match="no note 'a'"):
        store.notes.get("a")
    assert {"notes.put", "notes.get", "notes.list"} <= set(store.operations())


def test_its_arguments_are_checked_as_ours_are(notes, store):
    for error, args in (
        (errors.InvalidId, ("../a", 1)),
        (errors.WrongType, (1, 1)),
        (errors.NotStorable, ("a", {1})),
        (errors.TooLarge, ("a", "x" * 10_000_001)),
    ):
        with pytest.raises(error):
            store.notes.put(*args)
    with pytest.raises(errors.WrongType):
        store.call("notes.put", {"id": "a"})
    assert store.journal.head() == 0


def test_it_is_part_of_a_transaction(notes, store):
    with store.transaction(actor="me") as tx:
        tx.notes.put("a", 1)
        tx.sessions.create(id="s")
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            tx.notes.put("b", 2)
            1 / 0  # noqa: B018
    assert list(store.notes.list()) == ["a"]
    assert store.run(lambda tx: tx.notes.get("a"), once="k") == 1
    assert {c.actor for c in store.journal.read()} == {"me"}


def test_it_is_journalled(notes, store):
    store.notes.put("a", [1])
    store.sessions.create()
    store.notes.put("a", [2])
    store.notes.drop("a")
    for kinds in (["notes"], ["note"]):
        found = store.journal.read(kinds=kinds)
        assert [(c.kind, c.op, c.id) for c in found] == [
            ("note", "create", "a"), ("note", "update", "a"), ("note", "delete", "a"),
        ]  # fmt: skip
    assert [c.before and c.before["body"] for c in found] == [None, [1], [2]]
    assert [c.after and c.after["body"] for c in found] == [[1], [2], None]
    assert found[0].after["at"].tzinfo is not None


def test_its_owners_are_kept_apart(notes, store):
    ada = store.owned_by("ada")
    ada.notes.put("a", "hers")
    store.notes.put("a", "mine")
    assert (ada.notes.get("a"), store.notes.get("a")) == ("hers", "mine")
    with pytest.raises(errors.NotFound):
        store.owned_by("bob").notes.get("a")
    assert list(store.owned_by("bob").notes.list()) == []
    assert store.owners() == ["", "ada"]
    assert list(store.across_owners().notes.list()) == ["a", "a"]
    assert [c.owner for c in ada.journal.read()] == ["ada"]


def test_its_records_are_leased_and_guarded(notes, store, clock):
    store.notes.put("a", 1)
    with store.lease("notes", "a", seconds=10) as lease:
        with pytest.raises(errors.Held):
            store.notes.put("a", 2)
        lease.store.notes.put("a", 3)
        late = lease.store
        clock.advance(11)
        with pytest.raises(errors.Fenced):
            late.notes.put("a", 4)
        store.notes.put("a", 5)
    assert store.notes.get("a") == 5
    with pytest.raises(errors.NotFound):
        store.leases.acquire("notes", "none", holder="h", seconds=1)


class CutHere(Exception):
    """Where a test cuts an operation."""


MARKED = SQL.replace(
    "create index note_newest",
    """create table stain (
    no integer primary key,
    owner text not null,
    color text not null,
    unique (owner, color)
) strict;
create index note_newest""",
)
MARKED += """
-- stain_add --
-- Keep a stain.
insert into stain (no, owner, color) values (:no, :owner, :color)

-- stain_drop --
-- Forget a stain.
delete from stain where owner = :owner and color = :color
"""


class Marks(Notes):
    """Values under keys, and stains of which no one says what they are of."""

    @holdfast.operation
    def stain(self, color: str) -> None:
        """Keep a stain."""
        no = self.tx.new_no()
        self.tx.put("stain_add", no=no, owner=self.owner, color=color)

    @holdfast.operation
    def wipe(self, color: str) -> None:
        """Forget a stain."""
        self.tx.put("stain_drop", owner=self.owner, color=color)


@pytest.fixture
def stains(forgotten):
    """The kind `notes` with stains, declared before the test's store is opened."""
    return holdfast.kind("notes", sql=MARKED, json=["body"])(Marks)


def test_a_row_that_belongs_to_no_record_differs_by_itself(stains, store):
    store.notes.stain("red")
    moment = store.moment()
    store.notes.stain("blue")
    store.notes.wipe("red")
    store.notes.put("a", 1)
    found = [(d.kind, d.op, d.id, d.before, d.after) for d in store.diff(moment)]
    red, blue = ({"owner": "", "color": color} for color in ("red", "blue"))
    assert found[:2] == [
        ("stain", "create", None, None, blue),
        ("stain", "delete", None, red, None),
    ]
    assert found[2][:3] == ("note", "create", "a")


@pytest.fixture
def cut(monkeypatch):
    """Has the n-th statement from now fail before it runs (0: none does)."""
    left = [0]

    def cutting(engine, method):
        real = getattr(engine, method)

        def run(self, name, /, **values):
            if name.startswith("note_"):
                left[0] -= 1
                if left[0] == 0:
                    raise CutHere
            return real(self, name, **values)

        return run

    for method in ("all", "run", "put", "fields"):
        for engine in (SqliteTransaction, PostgresTransaction):
            monkeypatch.setattr(engine, method, cutting(engine, method))
    monkeypatch.setattr(SqliteTransaction, "one", cutting(SqliteTransaction, "one"))
    return lambda number: left.__setitem__(0, number)


def test_cut_before_any_statement_an_operation_leaves_nothing(notes, store, cut):
    store.notes.put("a", "kept")
    for number in range(1, 50):
        cut(number)
        try:
            store.notes.move("a", "b")
        except CutHere:
            cut(0)
            assert list(store.notes.list()) == ["a"]
            assert store.notes.get("a") == "kept"
            assert store.journal.head() == 1
        else:
            break
    cut(0)
    assert number == 6  # five statements, each of which was cut
    assert list(store.notes.list()) == ["b"]


def test_it_promises_what_it_was_declared_with():
    declare(promise=holdfast.Promise.EPHEMERAL)
    (promised,) = [found for found in declared.guarantees() if found.kind == "notes"]
    assert (promised.promise, promised.journalled) == ("ephemeral", True)


def test_a_store_that_was_opened_before_goes_on_without_it(open_store):
    before = open_store()
    before.sessions.create(id="s")
    declare()
    with pytest.raises(AttributeError, match="declare it before opening"):
        before.notes.put("a", 1)
    after = open_store()
    after.notes.put("a", 1)
    before.sessions.append("s", "user", "still here")
    seen = [(c.kind, c.id, c.after is None) for c in before.journal.read()]
    assert seen == [("session", "s", False), ("note", None, True), (*seen[2],)]
    assert [c.kind for c in before.journal.read(kinds=["sessions"])] == [
        "session",
        "message",
    ]
    assert [c.kind for c in after.journal.read()] == ["session", "note", "message"]
    assert before.check().problems == after.check().problems == ()


def test_a_store_whose_kind_is_not_declared_any_more_opens_all_the_same(open_store):
    declare()
    with_it = open_store()
    with_it.notes.put("a", 1)
    declared._declared.pop("notes")
    declared._current.clear()
    without = open_store()
    without.sessions.create()
    assert [c.kind for c in without.journal.read()] == ["note", "session"]
    assert without.owners() == [""]


def test_its_migrations_lead_older_tables_to_todays(open_store, path):
    declare()
    with holdfast.open(path) as store:
        store.notes.put("a", 1)
    declare(MOODY, migrations=[NEEDS_MOOD])
    with pytest.raises(errors.NeedsMigration, match="notes from version 1 to 2"):
        holdfast.open(path, migrate="check")
    store = open_store()
    store.notes.put("a", 2)
    store.notes.drop("a")
    moods = [c.before and c.before["mood"] for c in store.journal.read(kinds=["notes"])]
    assert moods == [None, None, None]
    assert "mood" in store.journal.read()[0].after
    assert store.check().problems == ()
    assert open_store(migrate="check").journal.head() == 3


def test_a_migration_of_its_own_that_fails_leaves_everything_as_it_was(path):
    declare()
    with holdfast.open(path) as store:
        store.notes.put("a", 1)
    declare(MOODY, migrations=[NEEDS_MOOD + "; insert into nowhere values (1)"])
    with pytest.raises(errors.HoldfastError):
        holdfast.open(path)
    declare()
    with holdfast.open(path, migrate="check") as store:
        assert store.notes.get("a") == 1
        assert "mood" not in store.journal.read()[0].after


@pytest.mark.parametrize(
    "name",
    ["", "Notes", "1notes", "no-tes", "notes ", "n" * 41, "_notes", "ünotes",
     "sessions", "tasks", "leases", "journal", "run", "transaction", "check", "close",
     "owner", "owned_by", "aio", "sync", "now", "savepoint", "perform"],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(errors.Refused, match="name"):
        declare(name=name)
    holdfast.open(":memory:").close()


def test_a_name_is_declared_once_unless_it_is_the_same_kind_again():
    declare()
    declare()
    other = type("Others", (holdfast.Kind,), {})
    other.__qualname__ = "Others"
    with pytest.raises(errors.Refused, match="a store has 'notes' already"):
        holdfast.kind("notes", sql=SQL)(other)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("no integer primary key", "no integer", "needs `no integer primary key`"),
        ("owner text not null", "owner text", "needs `owner text not null`"),
        ("    unique (owner, id)", "    unique (id)", "needs `unique"),
        ("create table note (", "create view note (", "no `create table"),
        ("create table note (", "create table session (", "name 'session'"),
        ("create table note (", "create table Change (", "name 'change'"),
        ("create table note (", "create table was_note (", "name 'was_note'"),
        ("create index note_newest", "create index task_newest", "name 'task_newest'"),
        ("-- note_get --", "-- session_get --", "a statement 'session_get'"),
        ("-- note_get --", "-- notes_exists --", "a statement 'notes_exists'"),
        ("-- tables --", "-- others --", "no `create table"),
    ],
)
def test_tables_and_statements_that_cannot_be_are_refused(old, new, said):
    with pytest.raises(errors.Refused, match=said):
        declare(SQL.replace(old, new))
    with holdfast.open(":memory:") as store:
        assert "notes.put" not in store.operations()


def test_no_name_of_a_stores_own_is_free_for_a_kind():
    from holdfast.astore import AsyncStore  # noqa: PLC0415

    own = {
        name
        for shown in (holdfast.Store, AsyncStore, holdfast.Transaction)
        for name in dir(shown)
        if not name.startswith("_")
    }
    assert own <= declared.RESERVED
