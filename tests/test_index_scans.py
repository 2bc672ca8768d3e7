"""Scans of folders: what has changed, what cannot be read, what is no file at all."""

import os
import stat
import time

import pytest

import holdfast
from compositions import counts, fill, names, replace, settle, told, write
from holdfast.errors import NotFound
from holdfast.kinds import index_rows
from holdfast.kinds.index_records import ProblemKind
from holdfast.runtime.index import composition_files, scanning


@pytest.fixture
def folder(tmp_path):
    """A folder, which need not be there yet."""
    return tmp_path / "compositions"


def test_a_scan_takes_in_what_has_changed_and_no_more(store, folder, monkeypatch):
    settle(monkeypatch)
    fill(folder)
    store.index.add_folder(folder)
    store.index.scan()
    moment = store.index.get("agent").indexed_at
    report = store.index.scan()
    assert counts(report) == (0, 0, 0, 4)
    assert not report.changed
    write(folder, "old/agent.yml", "name: agent\nversion: 2\n")
    write(folder, "new.json", {"tags": ["slow"]})
    (folder / "old/base.json").unlink()
    write(folder, "broken.yaml", "name: mended\n")
    report = store.index.scan()
    assert counts(report) == (1, 2, 1, 1)
    assert (report.files, report.broken) == (4, 0)
    assert store.index.get("agent").version == "2"
    assert store.index.get("agent", "1.10").indexed_at == moment
    assert names(store.index.find(tag="slow")) == ["new"]
    assert names(store.index.find(text="slow")) == ["new"]
    assert store.index.get("mended").path == "broken.yaml"
    with pytest.raises(NotFound):
        store.index.get("base")
    assert told(store) == [("agent.yaml", "missing")]


def test_a_scan_that_finds_nothing_changed_writes_nothing(store, folder, monkeypatch):
    settle(monkeypatch)
    fill(folder)
    store.index.add_folder(folder)
    store.index.scan()
    os.utime(folder / "agent.yaml", ns=(1, 1))
    assert counts(store.index.scan()) == (0, 0, 0, 4)  # it only looks otherwise

    def none(*_):
        raise AssertionError("a scan wrote")

    with monkeypatch.context() as patched:
        for made in ("write", "post"):
            patched.setattr(store._core.engine, made, none)
        for thorough in (False, True):
            assert counts(store.index.scan(thorough=thorough)) == (0, 0, 0, 4)


def test_files_that_look_alike_are_told_apart_by_inode_and_hash(
    store, folder, monkeypatch
):
    settle(monkeypatch)
    file = write(folder, "a.yaml", "version: 1\n")
    store.index.add_folder(folder)
    store.index.scan()
    replace(file, "version: 2\n")
    assert counts(store.index.scan()) == (0, 1, 0, 0)
    assert store.index.get("a").version == "2"


def test_a_file_that_was_just_written_is_read_again(store, folder, monkeypatch):
    """On a file system whose clock is coarse, it may have changed since unnoticed."""
    write(folder, "a.yaml", "version: 1\n")
    store.index.add_folder(folder)
    looks = 11, time.time_ns(), time.time_ns(), 5
    monkeypatch.setattr(composition_files, "stamp_of", lambda there: looks)
    store.index.scan()
    write(folder, "a.yaml", "version: 2\n")
    assert counts(store.index.scan()) == (0, 1, 0, 0)
    assert store.index.get("a").version == "2"


def test_what_an_older_reader_has_read_is_read_again(folder, monkeypatch):
    """A newer holdfast may find something else in the same file."""
    settle(monkeypatch)
    write(folder, "a.yaml", "{}")
    write(folder, "broken.yaml", "[")
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        store.index.scan()
        monkeypatch.setattr(index_rows, "READER", index_rows.READER + 1)
        report = store.index.scan()
        assert (report.broken, counts(report)) == (1, (0, 2, 0, 0))
        assert counts(store.index.scan()) == (0, 0, 0, 2)


def test_a_thorough_scan_reads_every_file(store, folder, monkeypatch):
    settle(monkeypatch)
    write(folder, "a.yaml", "version: 1\n")
    store.index.add_folder(folder)
    monkeypatch.setattr(composition_files, "stamp_of", lambda there: (11, 5, 5, 5))
    store.index.scan()
    write(folder, "a.yaml", "version: 2\n")
    assert counts(store.index.scan()) == (0, 0, 0, 1)
    assert counts(store.index.scan(thorough=True)) == (0, 1, 0, 0)
    assert store.index.get("a").version == "2"


def test_each_file_that_cannot_be_read_is_named_and_the_others_are_in(store, folder):
    write(folder, "null.json", "null")
    write(folder, "bytes.yaml", b"a: \xff")
    write(folder, "good.yaml", "{}")
    (folder / "nowhere.yaml").symlink_to("gone.yaml")
    (folder / "circle.json").symlink_to("circle.json")
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.json")
    os.mkfifo(folder / "other.fifo")
    with open(os.fsencode(folder) + b"/\xff.yaml", "wb"):
        pass
    with open(folder / "sparse.yaml", "wb") as file:
        file.truncate(10**12)
    store.index.add_folder(folder)
    for _ in range(2):
        report = store.index.scan()
        assert (report.files, report.broken) == (9, 8)
        assert names(store.index.find()) == ["good"]
        assert told(store) == [
            ("\\xff.yaml", "unreadable"),
            ("bytes.yaml", "invalid"),
            ("circle.json", "unreadable"),
            ("folder.yaml", "unreadable"),
            ("nowhere.yaml", "unreadable"),
            ("null.json", "invalid"),
            ("pipe.json", "unreadable"),
            ("sparse.yaml", "unreadable"),
        ]
    assert counts(report) == (0, 0, 0, 9)
    assert told(store, kind="invalid") == [
        ("bytes.yaml", "invalid"), ("null.json", "invalid"),
    ]  # fmt: skip
    (large,) = (p for p in store.index.problems() if p.path == "sparse.yaml")
    assert "limits.composition_bytes" in large.what


def test_whatever_a_file_says_what_is_wrong_with_it_can_be_kept(store, folder):
    """Its own words are in some problems: no engine keeps all that they may hold."""
    for path, key in (("null", "a\x00b"), ("half", "\ud800"), ("long", "x" * 90_000)):
        write(folder, f"{path}.json", {"dependencies": {key: 1}})
    write(folder, "line.json", {"dependencies": {"a\nb": 1}})
    write(folder, "good.json", {})
    store.index.add_folder(folder)
    assert counts(store.index.scan()) == (5, 0, 0, 0)
    assert names(store.index.find()) == ["good"]
    what = {one.path: one.what for one in store.index.problems()}
    assert what["null.json"].startswith("dependencies.a\\x00b: the text")
    assert what["half.json"].startswith("dependencies.\\ud800: the text")
    assert what["line.json"].startswith("dependencies.a\\nb: the text")
    assert len(what["long.json"]) < 600
    assert what["long.json"].endswith("has more than 200 bytes")


def test_two_names_that_are_shown_alike_are_one_file(store, folder):
    write(folder, "\\xff.yaml", "name: real")
    with open(os.fsencode(folder) + b"/\xff.yaml", "wb"):
        pass
    store.index.add_folder(folder)
    assert counts(store.index.scan()) == (1, 0, 0, 0)
    assert names(store.index.find()) == ["real"]
    assert told(store) == []


def test_links_are_followed_and_never_in_circles(store, folder):
    real = write(folder.parent / "elsewhere", "deep/real.yaml", "{}")
    write(folder, "here.yaml", "{}")
    (folder / "linked.yaml").symlink_to(real)
    (folder / "sub").symlink_to(real.parent.parent)
    (real.parent / "back").symlink_to(folder)
    (real.parent / "again").symlink_to(real.parent)
    store.index.add_folder(folder)
    store.index.scan()
    assert [e.path for e in store.index.find()] == [
        "here.yaml", "linked.yaml", "sub/deep/real.yaml",
    ]  # fmt: skip


def test_a_folder_that_goes_takes_its_compositions_and_comes_back(store, folder):
    write(folder, "a.yaml", "{}")
    store.index.add_folder(folder)
    store.index.scan()
    away = folder.rename(folder.with_name("away"))
    report = store.index.scan()
    assert counts(report) == (0, 0, 1, 0)
    assert names(store.index.find()) == []
    (problem,) = store.index.problems()
    assert (problem.kind, problem.folder) == (ProblemKind.FOLDER, str(folder))
    assert "No such file" in problem.what
    assert store.index.folders()[0].problem == problem.what
    away.rename(folder)
    assert counts(store.index.scan()) == (1, 0, 0, 0)
    assert told(store) == []
    assert store.index.folders()[0].problem is None


def test_a_file_in_the_place_of_a_folder_is_told(store, tmp_path):
    file = write(tmp_path, "file.yaml", "{}")
    store.index.add_folder(file)
    store.index.scan()
    assert "Not a directory" in store.index.problems()[0].what


def test_one_folder_can_be_scanned_alone(store, folder):
    for name in ("one", "two"):
        write(folder / name, f"{name}.yaml", "{}")
        store.index.add_folder(folder / name)
    assert store.index.scan(folder / "two").folders == (str(folder / "two"),)
    assert names(store.index.find()) == ["two"]
    with pytest.raises(NotFound, match="folder of compositions"):
        store.index.scan(folder / "three")


def test_what_a_scan_changed_is_told(store, folder):
    fill(folder)
    store.index.add_folder(folder)
    store.index.scan()
    store.index.scan()
    (folder / "broken.yaml").unlink()
    store.index.scan()
    seen = [event.data for event in store.events.query("index:*")]
    assert seen == [
        {"folder": str(folder), "added": 4, "updated": 0, "removed": 0},
        {"folder": str(folder), "added": 0, "updated": 0, "removed": 1},
    ]


def test_more_files_than_are_allowed_are_refused_and_nothing_is_lost(tmp_path, folder):
    limits = holdfast.Limits(compositions=3)
    with holdfast.open(":memory:", limits=limits) as store:
        for n in range(3):
            write(folder, f"{n}.json", {})
        store.index.add_folder(folder)
        store.index.scan()
        write(folder, "4.json", {})
        report = store.index.scan()
        assert (report.files, counts(report)) == (3, (0, 0, 0, 3))
        assert len(store.index.find()) == 3
        said = str(store.index.problems()[0])
        assert said.startswith(f"{folder} has more than 3 files that might be")
        assert "limits.compositions" in said
        (folder / "0.json").unlink()
        store.index.scan()
        assert (names(store.index.find()), told(store)) == (["1", "2", "4"], [])


def test_the_stores_own_file_is_not_opened(tmp_path):
    """To close it again would drop the locks that this process holds on it."""
    with holdfast.open(tmp_path / "store.json") as store:
        write(tmp_path, "a.json", {})
        store.index.add_folder(tmp_path)
        store.index.scan()
        assert told(store) == [("store.json", "unreadable")]
        assert "own file" in store.index.problems()[0].what
        assert names(store.index.find()) == ["a"]


def test_nothing_is_written_to_the_files(store, folder):
    fill(folder)
    before = {
        path: (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
        for path in folder.rglob("*")
    }
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    store.index.add_folder(folder)
    store.index.scan(thorough=True)
    store.index.remove_folder(folder)
    folder.chmod(stat.S_IRWXU)
    after = {
        path: (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
        for path in folder.rglob("*")
    }
    assert after == before


def test_a_scan_in_batches_is_the_same(monkeypatch, folder):
    monkeypatch.setattr(scanning, "_FILES_AT_ONCE", 2)
    for n in range(7):
        write(folder, f"{n}.json", {"tags": ["t"]})
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        assert counts(store.index.scan()) == (7, 0, 0, 0)
        assert len(store.index.find(tag="t")) == 7
        for n in range(5):
            (folder / f"{n}.json").unlink()
        assert counts(store.index.scan()) == (0, 0, 5, 2)


def test_real_profiles_without_names_or_versions_are_read(tmp_path):
    """As they are in the wild: a name or none, roles, prompts, lists of abilities."""
    for name, said in (
        ("student", {"role": "student", "capabilities": ["asking"]}),
        ("coder", {"name": "coder", "role": "Software", "model": "x"}),
    ):
        write(tmp_path, f"{name}.json", said)
    with holdfast.open(":memory:") as store:
        store.index.add_folder(tmp_path, type="profile")
        store.index.scan()
        assert names(store.index.find(type="profile")) == ["coder", "student"]
        assert store.index.get("student").content["capabilities"] == ["asking"]
        assert store.index.get("student").version is None
