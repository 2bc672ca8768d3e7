"""Opening and closing: what is no store of ours is left alone; an end is orderly."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest

import examples
import holdfast
from conftest import place_on
from holdfast.clock import to_us
from holdfast.engines.sqlite.place import refuse_network
from holdfast.errors import (
    CannotOpen,
    Closed,
    HoldfastError,
    NeedsMigration,
    NotAStore,
    Refused,
    TooNew,
    WrongType,
)
from holdfast.schema import format as formats
from killing import Worker
from later import NEXT, holdfast_of
from turns import joined, turn_held


def everything_in(folder: Path) -> dict[str, bytes]:
    """Every file's bytes; for folders in which this process has no store open.

    Without what SQLite makes for looking at a log: its index, and a log that is empty.
    """
    found = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    return {
        name: content
        for name, content in found.items()
        if not name.endswith("-shm") and not (name.endswith("-wal") and not content)
    }


THEIRS = """
import os, sqlite3, sys
theirs = sqlite3.connect(sys.argv[1], isolation_level=None)
theirs.execute("pragma journal_mode = " + sys.argv[2])
theirs.execute("create table theirs (x)")
theirs.execute("insert into theirs values (1)")
os._exit(0)
"""
"""Another program, which does not tidy its log away."""
NEWER = """
import sqlite3, sys
newer = sqlite3.connect(sys.argv[1], isolation_level=None)
newer.execute("update store set value = '9' where name = 'writes_from'")
"""
"""A process of a newer version, which migrates the store while it is open."""


def other_process(code: str, *args: object) -> None:
    command = [sys.executable, "-c", code, *(str(arg) for arg in args)]
    subprocess.run(command, check=True)


@pytest.mark.parametrize(
    "content",
    [b"x", b"hello\n" * 50, b"\0" * 5_000, b"SQLite format 3\0" + b"\xff" * 5_000],
    ids=["one-byte", "text", "zeros", "header-only"],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_left_as_it_was(tmp_path, content, read_only):
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(NotAStore):
        holdfast.open(tmp_path / "notes.txt", read_only=read_only)
    assert everything_in(tmp_path) == {"notes.txt": content}


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("read_only", [False, True])
def test_another_programs_database_is_left_byte_for_byte(tmp_path, mode, read_only):
    other_process(THEIRS, tmp_path / "other.db", mode)
    before = everything_in(tmp_path)
    assert ("other.db-wal" in before) == (mode == "wal")
    with pytest.raises(NotAStore, match="another program"):
        holdfast.open(tmp_path / "other.db", read_only=read_only)
    assert everything_in(tmp_path) == before
    with sqlite3.connect(tmp_path / "other.db") as theirs:
        assert theirs.execute("select x from theirs").fetchall() == [(1,)]
    theirs.close()


def test_a_path_that_is_none_is_refused_in_words(tmp_path, monkeypatch):
    with pytest.raises(CannotOpen, match="NUL"):
        holdfast.open("agent\0.db")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(CannotOpen, match="folder.* is gone"):
        holdfast.open("agent.db")


def test_an_empty_file_becomes_a_store(path):
    Path(path).touch()
    with holdfast.open(path) as store:
        assert store.check().problems == ()
        store.sessions.create("first")


def test_what_cannot_be_a_store_is_named(tmp_path):
    (tmp_path / "file").touch()
    for target in (
        tmp_path,  # a folder
        tmp_path / "missing" / "a.db",
        tmp_path / "file" / "a.db",  # below a file, where nobody can write
        "/proc/holdfast.db",
        "postgres:///nowhere",
    ):
        with pytest.raises(CannotOpen, match=str(target).rpartition(":")[0] or None):
            holdfast.open(target)
    with pytest.raises(CannotOpen):
        holdfast.open(tmp_path / "none.db", read_only=True)
    assert sorted(os.listdir(tmp_path)) == ["file"]


@pytest.mark.parametrize(
    "options",
    [{"durability": "none"}, {"migrate": "never"}, {"owner": "a/b"}, {"owner": 1}],
    ids=str,
)
def test_an_option_of_a_wrong_kind_is_refused_before_a_file_is_made(path, options):
    with pytest.raises((WrongType, holdfast.errors.InvalidId)):
        holdfast.open(path, **options)
    assert not Path(path).exists()


def test_a_target_of_a_wrong_type_is_refused():
    with pytest.raises(WrongType):
        holdfast.open(7)


def restamp(path: str, **said: int) -> None:
    """Have a file say another format of itself."""
    with sqlite3.connect(path) as file:
        file.executemany(
            "update store set value = ? where name = ?",
            [(str(value), name) for name, value in said.items()],
        )
    file.close()


def test_a_store_that_only_a_newer_reader_may_use_is_left_untouched(tmp_path, path):
    holdfast.open(path).close()
    restamp(path, version=9, reads_from=9, writes_from=9)
    before = everything_in(tmp_path)
    for read_only in (False, True):
        with pytest.raises(TooNew, match="9"):
            holdfast.open(path, read_only=read_only)
    assert everything_in(tmp_path) == before


def test_a_store_that_only_a_newer_writer_may_use_can_be_read(tmp_path, path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
    restamp(path, version=9, reads_from=formats.VERSION, writes_from=9)
    before = everything_in(tmp_path)
    with pytest.raises(TooNew, match="read_only"):
        holdfast.open(path)
    assert everything_in(tmp_path) == before
    with holdfast.open(path, read_only=True) as store:
        assert store.sessions.get("talk").id == "talk"


def test_a_writer_that_became_too_old_while_it_was_open_writes_nothing_more(path):
    store = holdfast.open(path)
    store.sessions.create(id="talk")
    other_process(NEWER, path)
    with pytest.raises(TooNew):
        store.sessions.append("talk", "user", "late")
    with pytest.raises(TooNew), store.transaction() as tx:
        tx.sessions.append("talk", "user", "late")
    assert list(store.sessions.history("talk")) == []
    store.close()


@pytest.mark.parametrize(
    "options", [{"migrate": "check"}, {"read_only": True}], ids=str
)
def test_an_older_store_is_only_told_of_and_left_as_it_was(tmp_path, path, options):
    holdfast.open(path).close()
    with sqlite3.connect(path) as file:
        file.execute("delete from migration")
    file.close()
    before = everything_in(tmp_path)
    with pytest.raises(NeedsMigration):
        holdfast.open(path, **options)
    assert everything_in(tmp_path) == before


def test_a_store_that_is_up_to_date_opens_under_check(path):
    holdfast.open(path, migrate="check").close()
    holdfast.open(path, migrate="check").close()


def test_a_read_only_store_reads_and_refuses_every_write(path):
    with holdfast.open(path) as writer:
        writer.sessions.create(id="talk")
        with holdfast.open(path, read_only=True) as store:
            writer.sessions.append("talk", "user", "seen")
            assert [m.content for m in store.sessions.history("talk")] == ["seen"]
            assert store.check().ok
            for write in (
                lambda: store.sessions.append("talk", "user", "no"),
                lambda: store.run(lambda tx: None),
                lambda: store.transaction().__enter__(),
            ):
                with pytest.raises(Refused, match="read-only"):
                    write()
            assert writer.sessions.get("talk").message_count == 1


MOUNTS = """\
22 1 0:20 / / rw,relatime - ext4 /dev/root rw
23 22 0:21 / /data rw - {kind} server:/data rw
24 22 0:22 / /data/local rw shared:1 - xfs /dev/sdb rw
25 22 0:23 / /with\\040space rw - {kind} server:/space rw
26 22 0:24 / /dataset rw - ext4 /dev/sdc rw
a line that has no such form
"""


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "ceph"])
def test_a_network_file_system_is_refused(kind):
    mounts = MOUNTS.format(kind=kind)
    for path in ("/data/a.db", "/data/deep/a.db", "/with space/a.db"):
        with pytest.raises(CannotOpen, match=kind):
            refuse_network(path, mounts)
    for path in ("/home/a.db", "/data/local/a.db", "/dataset/a.db", "/a.db"):
        refuse_network(path, mounts)
    refuse_network("/data/a.db", "")


def test_a_store_on_a_network_file_system_is_not_made(path, monkeypatch):
    monkeypatch.setattr(
        "holdfast.engines.sqlite.place._mounts",
        lambda: "22 1 0:20 / / rw - nfs4 server:/ rw",
    )
    with pytest.raises(CannotOpen, match="nfs4"):
        holdfast.open(path)
    assert not Path(path).exists()


def test_the_files_of_a_store_are_its_users_alone(path):
    old = os.umask(0)
    try:
        with holdfast.open(path) as store:
            store.sessions.create("x")
            names = [path, f"{path}-wal", f"{path}-shm"]
            modes = {stat.S_IMODE(os.stat(name).st_mode) for name in names}
    finally:
        os.umask(old)
    assert modes == {0o600}


def test_without_a_target_the_environment_says_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STORE", "sqlite:///named.db")
    with holdfast.open() as store:
        assert store.place == str(tmp_path / "named.db")
    monkeypatch.delenv("HOLDFAST_STORE")
    with holdfast.open() as store:
        assert store.place == str(tmp_path / "holdfast.db")


def test_a_question_mark_may_stand_in_a_files_name(tmp_path):
    with holdfast.open(tmp_path / "what?.db") as store:
        assert store.place == str(tmp_path / "what?.db")


def test_processes_that_make_the_same_store_at_once_all_get_it(tmp_path):
    for attempt in range(6):
        path = str(tmp_path / f"{attempt}.db")
        workers = [Worker(lambda say, p=path: _make(p, say)) for _ in range(4)]
        try:
            for worker in workers:
                assert worker.finish() == ["made"]
        finally:
            for worker in workers:
                worker.close()
        with holdfast.open(path) as store:
            assert store.check().problems == ()
            assert len(store.sessions.list()) == 4


def _make(path: str, say) -> None:
    with holdfast.open(path) as store:
        store.sessions.create("mine")
        say("made")


def test_threads_that_make_the_same_store_at_once_all_get_it(path):
    start = threading.Barrier(6)
    failed: list[BaseException] = []

    def make() -> None:
        start.wait()
        try:
            with holdfast.open(path) as store:
                store.sessions.create("mine")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    joined(*threads)
    assert failed == []
    with holdfast.open(path) as store:
        assert len(store.sessions.list()) == 6


def test_time_in_a_store_never_goes_backwards(path, clock):
    with holdfast.open(path, clock=clock) as store:
        store.sessions.create(id="talk")
        for seconds in (10, -3600, 5, -86_400, 1):
            clock.advance(seconds)
            store.sessions.append("talk", "user", seconds)
            with store.transaction() as tx:
                tx.sessions.append("talk", "user", seconds)
        times = [to_us(change.at) for change in store.journal.read()]
        assert times == sorted(times)
        last = to_us(store.sessions.get("talk").updated_at)
    with holdfast.open(path, clock=clock) as store:  # and after opening it again
        store.sessions.append("talk", "user", "later")
        assert to_us(store.sessions.get("talk").updated_at) >= last
        assert store.check().problems == ()


def test_an_exit_without_a_close_is_orderly(path):
    code = (
        "import holdfast, sys; s = holdfast.open(sys.argv[1]); "
        "s.sessions.create(id='talk'); s.aio; s.sessions.append('talk', 'user', 'kept')"
    )
    other_process(code, path)
    assert sorted(os.listdir(Path(path).parent)) == ["agent.db"], "the log is put away"
    with holdfast.open(path) as store:
        assert [m.content for m in store.sessions.history("talk")] == ["kept"]


def test_closing_twice_and_from_two_threads_is_safe(path):
    store = holdfast.open(path)
    with turn_held(store):
        closing = [threading.Thread(target=store.close) for _ in range(2)]
        for thread in closing:
            thread.start()
    joined(*closing)
    store.close()
    with pytest.raises(Closed):
        store.sessions.create("late")


def test_a_store_that_cannot_be_opened_keeps_no_file_open(path, monkeypatch):
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("holdfast.engines.sqlite.engine.bring_up", fail)
    with pytest.raises((MemoryError, HoldfastError)):
        holdfast.open(path)


def test_a_look_at_a_store_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "agent.db"
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
    with holdfast.open(path, read_only=True) as store:
        assert store.sessions.get("talk").id == "talk"
        with pytest.raises(Refused):
            store.sessions.create(id="more")
    assert [found.name for found in tmp_path.iterdir()] == ["agent.db"]
    holdfast.open(path, read_only=True).close()  # which looked at nothing within
    assert [found.name for found in tmp_path.iterdir()] == ["agent.db"]


def formats_said(place: str) -> tuple[int, int]:
    """The oldest versions that may read a store, and write it."""
    with holdfast.open(place) as store:
        found = examples.dump(store)["store"]
    said = {str(row["name"]): row["value"] for row in found}
    return int(said["reads_from"]), int(said["writes_from"])


@pytest.mark.parametrize("engine", ["file", "postgres"])
@pytest.mark.parametrize("what", ["fork", "partial"])
def test_what_an_older_holdfast_would_not_see_keeps_it_away(tmp_path, engine, what):
    with place_on(engine, tmp_path) as place:
        with holdfast.open(place) as store:
            store.sessions.create(id="talk")
            store.sessions.fork("talk")
            store.sessions.append("talk", "user", "said")
            store.sessions.amend("talk", store.sessions.messages("talk")[0].id, "so")
        assert formats_said(place) == (1, 1)
        with holdfast.open(place) as store:
            if what == "fork":
                store.sessions.fork("talk")
            else:
                store.sessions.begin_reply("talk", text="so far")
            with (
                mock.patch.object(formats, "VERSION", formats.SHARING - 1),
                pytest.raises(TooNew),
            ):
                holdfast.open(place, read_only=True)
            store.sessions.fork("talk")
        assert formats_said(place) == (formats.SHARING, formats.SHARING)


def test_an_older_writer_writes_nothing_more_after_a_fork(path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        store.sessions.append("talk", "user", "said")
        with mock.patch.object(formats, "VERSION", formats.SHARING - 1):
            store.sessions.append("talk", "user", "too")
            store.sessions.fork("talk")
            with pytest.raises(TooNew):
                store.sessions.append("talk", "user", "late")


def test_who_was_kept_away_stays_away_in_copies_and_after_migrations(path, tmp_path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        store.sessions.append("talk", "user", "said")
        store.sessions.fork("talk")
    copy = str(tmp_path / "copy.db")
    holdfast.copy(path, copy)
    with holdfast_of(NEXT):
        holdfast.open(path).close()
    with sqlite3.connect(path) as file:
        (version,) = file.execute("select value from store where name = 'version'")
    file.close()
    assert version == (str(NEXT),)
    for place in (path, copy):
        with sqlite3.connect(place) as file:
            said = dict(file.execute("select name, value from store"))
        file.close()
        assert (said["reads_from"], said["writes_from"]) == ("3", "3")
