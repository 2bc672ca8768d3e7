"""The index where things go wrong: killed, at once, amid changes, without rights."""

import errno
import os
import random
import stat
import tempfile
import threading
import time
from pathlib import Path

import pytest

import holdfast
from compositions import names, write
from conftest import place_on
from holdfast.kinds.index_rows import FilePut, FolderRow, FolderRows, known_page
from holdfast.runtime.index import composition_files, scanning
from killing import Worker

NOBODY = 65_534


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "compositions"
    made.mkdir()
    return made


def what_is_there(store):
    """Each name, and what its newest version is."""
    found, cursor = {}, None
    while True:
        page = store.index.find(limit=1_000, cursor=cursor)
        found |= {one.name: (one.version, one.tags, one.path) for one in page}
        cursor = page.cursor
        if cursor is None:
            return found


def links_of(store):
    """What is in the tables, to be looked over."""
    core = store._core
    tables = {
        "composition_file": "owner, folder, path, problem",
        "composition": "owner, folder, path, name, place, tags",
        "composition_link": "owner, what, value, name, place, folder, path",
    }

    def read(tx):
        return {
            name: [tuple(row) for row in tx.ask(f"select {columns} from {name}")]
            for name, columns in tables.items()
        }

    return core.engine.read(core.unit(read, store._terms))


def assert_sound(store):
    """Each file without a problem has its composition, each tag its link, none more."""
    rows = links_of(store)
    good = {row[:3] for row in rows["composition_file"] if row[3] is None}
    held = {row[:3] for row in rows["composition"]}
    assert good == held
    linked = {(*row[3:5], *row[5:]) for row in rows["composition_link"]}
    there = {(*row[3:5], *row[1:3]) for row in rows["composition"]}
    assert linked <= there


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_scan_that_is_killed_is_finished_by_the_next(tmp_path, folder, engine):
    for n in range(400):
        write(folder, f"{n}.json", {"version": "1", "tags": ["a", f"t{n}"]})
    with place_on(engine, tmp_path) as target:
        with holdfast.open(target) as store:
            store.index.add_folder(folder)

        def work(say):
            scanning._FILES_AT_ONCE = 10
            real = scanning._Store.write

            def said(*args):
                found = real(*args)
                say("a batch")
                return found

            scanning._Store.write = said
            holdfast.open(target).index.scan()

        for batches in (1, 7, 15):
            worker = Worker(work)
            try:
                worker.wait_for(batches)
                worker.kill()
            finally:
                worker.close()
            with holdfast.open(target) as store:
                assert store.check().problems == ()
                there = what_is_there(store)
                assert 10 * batches <= len(there) <= 400
                assert_sound(store)
                if batches == 7:
                    for n in range(100):
                        write(folder, f"{n}.json", {"version": "2", "tags": []})
                    for n in range(300, 400):
                        (folder / f"{n}.json").unlink()
        with holdfast.open(target) as store:
            store.index.scan()
            there = what_is_there(store)
            assert_sound(store)
            assert len(there) == 300
            assert {there[str(n)][0] for n in range(100)} == {"2"}
            assert there["100"] == ("1", ("a", "t100"), "100.json")


def change_some(folder, chance):
    """Write and delete files, one after another."""
    for version in range(300):
        name = f"{chance.randrange(20)}.json"
        if chance.random() < 0.3:
            (folder / name).unlink(missing_ok=True)
        else:
            write(folder, name, {"version": str(version), "tags": [f"t{version}"]})


@pytest.mark.parametrize("engine", ["memory", "file", "postgres"])
def test_scans_at_once_while_files_change_end_with_what_is_there(
    tmp_path, folder, engine
):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with place_on(engine, tmp_path) as target, holdfast.open(target) as store:
        others = [] if engine == "memory" else [holdfast.open(target)]
        stores = [store, store, *others, *others]
        store.index.add_folder(folder)
        stop, failed = threading.Event(), []

        def scan(mine):
            while not stop.is_set():
                try:
                    mine.index.scan()
                except Exception as error:
                    failed.append(error)

        threads = [threading.Thread(target=scan, args=(one,)) for one in stores]
        for thread in threads:
            thread.start()
        change_some(folder, chance)
        stop.set()
        for thread in threads:
            thread.join()
        for other in others:
            other.close()
        assert failed == []
        store.index.scan()
        assert_sound(store)
        wanted = {}
        for file in folder.iterdir():
            said = composition_files.draft_in(
                file.read_bytes(), file.name, holdfast.Limits()
            )
            wanted[said.name] = (said.version, said.tags, file.name)
        assert what_is_there(store) == wanted


def test_what_was_read_earlier_does_not_take_the_place_of_what_is_newer(folder):
    """Two read one file; the one that read the older content comes last."""
    with holdfast.open(":memory:") as store:
        write(folder, "a.json", {"version": "1"})
        store.index.add_folder(folder)
        slow, go_on = threading.Event(), threading.Event()
        real = scanning._batched

        def batched(puts):
            found = list(puts)
            if threading.current_thread() is late:
                slow.set()
                go_on.wait(20)
            return real(iter(found))

        late = threading.Thread(target=store.index.scan)
        scanning._batched, reports = batched, []
        try:
            late.start()
            slow.wait(20)
            write(folder, "a.json", {"version": "22"})
            reports.append(store.index.scan())
            go_on.set()
            late.join()
        finally:
            scanning._batched = real
        assert store.index.get("a").version == "22"
        assert reports[0].added == 1


def test_a_row_that_another_changed_meanwhile_is_compared_again(folder, monkeypatch):
    """Who reads what is newer comes after who wrote what is older."""
    file, real, once = write(folder, "a.json", {}), scanning._Scan._known, iter([1])
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)

        def known(self):
            found = real(self)
            for _ in once:
                assert store.index.scan().added == 1
                file.write_text('{"version": "2"}')
            return found

        monkeypatch.setattr(scanning._Scan, "_known", known)
        report = store.index.scan()
        assert (report.updated, report.files) == (1, 1)
        assert store.index.get("a").version == "2"


def test_a_file_that_came_back_meanwhile_is_not_left_out(folder):
    """Who saw that it was gone comes later than who saw it there again."""
    write(folder, "a.json", {"version": "1"})
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        store.index.scan()
        core, row = store._core, FolderRow(1, str(folder), None)

        def dropped(was):
            rows = core.unit(
                lambda tx: FolderRows(tx, "", row).drop([("a.json", was)]), store._terms
            )
            return core.engine.write(rows)

        page = core.engine.read(
            core.unit(lambda tx: known_page(tx, "", 1, ""), store._terms)
        )
        revision = page[0][6]
        assert dropped(revision - 1) == 0
        assert store.index.get("a").version == "1"
        assert_sound(store)
        assert dropped(revision) == 1
        assert names(store.index.find()) == []
        assert_sound(store)


def test_rows_of_a_folder_that_was_removed_meanwhile_are_not_made(folder):
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        row, core = FolderRow(1, str(folder), None), store._core
        store.index.remove_folder(folder)
        store.index.add_folder(folder.parent)  # which has its number now
        put = FilePut(
            path="a", was=0, stamp=None, digest=None, kind="invalid", problem="x"
        )

        def work(tx):
            rows = FolderRows(tx, "", row)
            return rows.put([put]), rows.drop([("a", 0)]), rows.note("x", None, "y")

        assert core.engine.write(core.unit(work, store._terms)) == ([], 0, None)
        assert list(store.index.problems()) == []


def test_a_file_that_changes_while_it_is_read_is_read_again(folder, monkeypatch):
    write(folder, "a.json", {"version": "1"})
    os.utime(folder / "a.json", ns=(1, 1))
    monkeypatch.setattr(composition_files, "SETTLED_NS", -(10**18))
    real, changes = os.read, iter(["2"])

    def read(descriptor, size):
        data = real(descriptor, size)
        if data.startswith(b'{"version"'):
            for version in changes:
                write(folder, "a.json", {"version": version})
        return data

    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        with monkeypatch.context() as patched:
            patched.setattr(composition_files.os, "read", read)
            store.index.scan()
        store.index.scan()
        assert store.index.get("a").version == "2"
        assert not store.index.scan().changed


def test_a_file_that_goes_while_it_is_scanned_is_not_there(folder, monkeypatch):
    write(folder, "a.json", {})
    write(folder, "b.json", {})
    real = scanning.read_file

    def read(found, *args):
        (folder / "b.json").unlink(missing_ok=True)
        return real(found, *args)

    monkeypatch.setattr(scanning, "read_file", read)
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        report = store.index.scan()
        assert (report.files, report.broken) == (1, 0)
        assert names(store.index.find()) == ["a"]
        assert list(store.index.problems()) == []


def test_a_process_with_too_many_files_open_takes_nothing_out(folder, monkeypatch):
    """It is no fault of the files, and none of them has changed."""
    for n in range(3):
        write(folder, f"{n}.json", {})
    real = os.open

    def none(file, *args, **more):
        if str(file).endswith(".json"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(file, *args, **more)

    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        store.index.scan()
        with monkeypatch.context() as patched:
            patched.setattr(composition_files.os, "open", none)
            with pytest.raises(OSError, match="Too many open files"):
                store.index.scan(thorough=True)
        assert names(store.index.find()) == ["0", "1", "2"]
        assert list(store.index.problems()) == []
        assert not store.index.scan(thorough=True).changed


def test_a_pipe_that_comes_in_a_files_place_is_not_waited_for(folder, monkeypatch):
    write(folder, "a.json", {})
    real = scanning.read_file

    def read(found, *args):
        (folder / "a.json").unlink()
        os.mkfifo(folder / "a.json")
        return real(found, *args)

    monkeypatch.setattr(scanning, "read_file", read)
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        began = time.monotonic()
        assert store.index.scan().broken == 1
        assert time.monotonic() - began < 10
        assert "ordinary" in store.index.problems()[0].what


@pytest.fixture
def open_folder():
    """A folder that every user may come to."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        folder = Path(made, "compositions")
        folder.mkdir()
        yield folder


def test_what_may_not_be_read_is_told_and_what_was_known_of_it_stays(open_folder):
    """In a process without the rights of root, who may read everything."""
    folder = open_folder
    write(folder, "open.json", {})
    write(folder, "shut.json", {})
    write(folder, "room/inside.json", {})

    def work(say):
        if os.geteuid() == 0:
            for path in (folder, folder / "room", *folder.rglob("*.json")):
                os.chown(path, NOBODY, NOBODY)
            os.chdir("/")
            os.setuid(NOBODY)
        with holdfast.open(":memory:") as store:
            store.index.add_folder(folder)
            store.index.scan()
            assert names(store.index.find()) == ["inside", "open", "shut"]
            os.chmod(folder / "shut.json", 0)
            os.chmod(folder / "room", 0)
            store.index.scan(thorough=True)
            say(repr([names(store.index.find()), store.index.scan().changed]))
            for problem in store.index.problems():
                say(f"{problem.kind} {problem.path} {problem.what}")
            os.chmod(folder / "room", stat.S_IRWXU)
            os.chmod(folder, 0)
            store.index.scan()
            say(repr([names(store.index.find()), len(store.index.problems("folder"))]))
            os.chmod(folder, stat.S_IRWXU)
            os.chmod(folder / "shut.json", 0o600)
            store.index.scan()
            say(repr([names(store.index.find()), list(store.index.problems())]))

    worker = Worker(work)
    try:
        first, *problems, third, last = worker.finish()
    finally:
        worker.close()
    assert first == "[['inside', 'open'], False]"
    assert len(problems) == 2
    assert problems[0].startswith("folder  room/ was not looked through: Permission")
    assert problems[1].startswith("unreadable shut.json cannot be read: Permission")
    assert third == "[['inside', 'open'], 1]"
    assert last == "[['inside', 'open', 'shut'], []]"
