"""The index of compositions: what is in files, found; on each engine, by each face."""

import pytest

import holdfast
from compositions import counts, fill, names, settle, told, write
from holdfast.errors import BadInput, NotFound, Refused, TooLarge
from holdfast.kinds import index_resolving, index_rows
from holdfast.kinds.index_records import Dependency, ProblemKind
from holdfast.runtime.index import scanning
from holdfast.runtime.index.scanning import ScanReport


@pytest.fixture
def folder(tmp_path):
    """A folder, which need not be there yet."""
    return tmp_path / "compositions"


def everything(page_of, **asked):
    """All that a list has, in pages of one."""
    found, cursor = [], None
    while True:
        page = page_of(limit=1, cursor=cursor, **asked)
        assert len(page) <= 1
        found += page
        cursor = page.cursor
        if cursor is None:
            return found


def test_what_is_in_a_folder_is_found(store, folder):
    fill(folder)
    made = store.index.add_folder(folder)
    assert (made.path, made.type, made.files) == (str(folder), None, 0)
    assert names(store.index.find()) == []
    report = store.index.scan()
    assert isinstance(report, ScanReport)
    assert (report.folders, report.files, report.broken) == ((str(folder),), 4, 1)
    assert counts(report) == (4, 0, 0, 0)
    assert report.changed
    agent = store.index.get("agent")
    assert (agent.name, agent.version, agent.type) == ("agent", "1.10", "profile")
    assert (agent.description, agent.tags) == ("Does it All", ("fast", "no"))
    assert agent.dependencies == (Dependency("base", "^1.0"),)
    assert agent.file == folder / "agent.yaml"
    assert (agent.folder, agent.path) == (str(folder), "agent.yaml")
    assert len(agent.digest) == 64
    assert agent.content["extends"] == "base@^1.0"
    assert store.index.get("agent", "1.9").path == "old/agent.yml"
    with pytest.raises(NotFound, match=r"'agent 1\.8'"):
        store.index.get("agent", "1.8")
    with pytest.raises(NotFound):
        store.index.get("hidden")
    (there,) = store.index.folders()
    assert (there.files, there.broken, there.problem) == (4, 1, None)
    assert store.usage().tables["composition"].rows == 3


def test_compositions_are_found_by_type_tag_dependency_and_words(store, folder):
    fill(folder)
    store.index.add_folder(folder)
    store.index.scan()
    find = store.index.find
    assert [(e.name, e.version) for e in find()] == [
        ("agent", "1.10"),
        ("base", "1.2.0"),
    ]
    every = [("agent", "1.9"), ("agent", "1.10"), ("base", "1.2.0")]
    assert [(e.name, e.version) for e in find(every_version=True)] == every
    assert names(find(type="profile")) == ["agent"]
    assert names(find(type="nothing")) == []
    assert names(find(tag="no")) == ["agent"]
    assert names(find(tag="slow")) == []  # the newest has it no more
    assert names(find(tag="slow", every_version=True)) == ["agent"]
    assert names(find(depends_on="base")) == ["agent"]
    assert names(find(name="agent")) == ["agent"]
    assert len(find(name="agent", every_version=True)) == 2
    assert names(find(text="it aLL")) == ["agent"]
    assert names(find(text="a%e")) == []
    assert names(find(text="FAST")) == ["agent"]
    chosen = {"type": "profile", "tag": "no", "depends_on": "base", "text": "does"}
    assert names(find(name="agent", **chosen)) == ["agent"]
    for wrong in ("type", "tag", "depends_on", "text"):
        assert names(find(**{**chosen, wrong: "other"})) == []


def test_pages_go_on_where_the_last_one_ended(store, folder):
    for n in range(5):
        write(folder, f"{n}.json", {"name": f"n{n % 3}", "tags": ["t"]})
        write(folder, f"v{n}.json", {"name": f"n{n % 3}", "version": f"{n}"})
    store.index.add_folder(folder)
    write(folder / "more", "x.json", {})
    store.index.add_folder(folder / "more")
    store.index.scan()
    index = store.index
    for asked in ({}, {"every_version": True}, {"name": "n1", "every_version": True}):
        assert everything(index.find, **asked) == list(index.find(**asked))
    assert everything(index.find, tag="t") == list(index.find(tag="t"))
    assert everything(index.folders) == list(index.folders())
    assert everything(index.problems) == list(index.problems())
    assert len(index.find(every_version=True)) == 9
    assert len(everything(index.problems)) == 2


def test_of_two_files_with_one_name_the_first_counts_and_the_other_is_told(
    store, folder
):
    for path in ("b.yaml", "a.yaml", "sub/c.yaml"):
        write(folder / "first", path, "name: x\nversion: '1'\n")
    write(folder / "second", "0.yaml", "name: x\nversion: '1'\ntags: [late]\n")
    for name in ("first", "second"):
        store.index.add_folder(folder / name)
    store.index.scan()
    assert store.index.get("x").path == "a.yaml"
    assert store.index.get("x", "1").path == "a.yaml"
    assert [e.path for e in store.index.find(every_version=True)] == ["a.yaml"]
    assert names(store.index.find(tag="late")) == []
    assert told(store) == [
        ("b.yaml", "duplicate"), ("sub/c.yaml", "duplicate"), ("0.yaml", "duplicate"),
    ]  # fmt: skip
    (folder / "first/a.yaml").unlink()
    store.index.scan()
    assert store.index.get("x").path == "b.yaml"
    store.index.remove_folder(folder / "first")
    assert store.index.get("x").path == "0.yaml"
    assert names(store.index.find(tag="late")) == ["x"]
    assert told(store) == []


def test_a_composition_that_cannot_be_read_is_not_there_and_says_why(store, folder):
    write(folder, "a.yaml", "name: agent\nversion: '1'\n")
    store.index.add_folder(folder)
    store.index.scan()
    write(folder, "a.yaml", "name: agent\nversion: [1\n")
    store.index.scan()
    with pytest.raises(NotFound, match=r"'agent'.*a\.yaml, line \d, which had 'agent'"):
        store.index.get("agent")
    assert names(store.index.find()) == []
    (problem,) = store.index.problems()
    assert (problem.kind, problem.name) == (ProblemKind.INVALID, "agent")
    assert (problem.folder, problem.path) == (str(folder), "a.yaml")
    assert str(problem).startswith(f"{folder}/a.yaml, line ")
    write(folder, "a.yaml", "name: agent\nversion: '2'\n")
    store.index.scan()
    assert store.index.get("agent").version == "2"
    assert told(store) == []


def test_folders_are_added_once_and_removed(store, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    write(folder, "a.yaml", "{}")
    assert store.index.add_folder("compositions").path == str(folder)
    assert store.index.add_folder(str(folder) + "/").path == str(folder)
    assert len(store.index.folders()) == 1
    store.index.scan()
    assert store.index.remove_folder("compositions") is True
    assert store.index.remove_folder("compositions") is False
    assert (names(store.index.find()), len(store.index.folders())) == ([], 0)
    assert store.usage().tables["composition"].rows == 0
    assert (folder / "a.yaml").exists()
    assert store.index.scan().folders == ()


def test_a_folder_says_the_type_of_what_says_none(store, folder, monkeypatch):
    settle(monkeypatch)
    write(folder, "a.yaml", "{}")
    write(folder, "b.yaml", "type: own")
    store.index.add_folder(folder, type="profile")
    store.index.scan()
    assert names(store.index.find(type="profile")) == ["a"]
    assert names(store.index.find(type="own")) == ["b"]
    store.index.add_folder(folder, type="other")
    assert counts(store.index.scan()) == (0, 2, 0, 0)
    assert names(store.index.find(type="profile")) == []
    assert names(store.index.find(type="other")) == ["a"]
    store.index.add_folder(folder, type="other")
    assert counts(store.index.scan()) == (0, 0, 0, 2)


def test_everything_that_a_composition_needs_comes_before_it(store, folder):
    write(folder, "top.yaml", "dependencies: [left, right@^1, base]")
    write(folder, "left.yaml", "extends: base")
    write(folder, "right.yaml", "version: '1.5'\nextends: base <2")
    write(folder, "right2.yaml", "name: right\nversion: '2'")
    for version in ("1", "1.9", "2", "3"):
        write(folder, f"base{version}.yaml", f"name: base\nversion: '{version}'")
    store.index.add_folder(folder)
    store.index.scan()
    found = store.index.resolve("top")
    assert found.ok
    assert [(e.name, e.version) for e in found.order] == [
        ("base", "3"), ("left", None), ("base", "1.9"), ("right", "1.5"), ("top", None),
    ]  # fmt: skip
    assert names(store.index.resolve("base", "1").order) == ["base"]
    with pytest.raises(NotFound):
        store.index.resolve("gone")
    with pytest.raises(NotFound):
        store.index.resolve("base", "9")


def test_what_is_missing_and_what_goes_in_circles_is_told(store, folder):
    write(folder, "a.yaml", "extends: b")
    write(folder, "b.yaml", "dependencies: [c, gone]")
    write(folder, "c.yaml", "dependencies: ['a', 'old >=2', 'bare@1']")
    write(folder, "old.yaml", "version: '1.5'")
    write(folder, "bare.yaml", "{}")
    write(folder, "self.yaml", "extends: self")
    write(folder, "0.yaml", "extends: gone")
    write(folder, "z.yaml", "[")
    store.index.add_folder(folder)
    store.index.scan()
    found = store.index.resolve("a")
    assert not found.ok
    assert names(found.order) == ["c", "b", "a"]
    said = {(p.path, p.what) for p in found.missing}
    assert said == {
        ("b.yaml", "needs 'gone', which is in no folder of the index"),
        ("c.yaml", "needs 'old' >=2; there is 1.5"),
        ("c.yaml", "needs 'bare' 1; it says no version"),
    }
    assert found.cycles == (("a", "b", "c", "a"),)
    assert store.index.resolve("self").cycles == (("self", "self"),)
    assert told(store, kind="missing") == [
        ("0.yaml", "missing"), ("b.yaml", "missing"),
        ("c.yaml", "missing"), ("c.yaml", "missing"),
    ]  # fmt: skip
    circles = store.index.problems("cycle")
    assert [p.what for p in circles] == [
        "'a' needs 'b' needs 'c' needs 'a': a circle",
        "'self' needs 'self': a circle",
    ]
    assert told(store) == [
        ("0.yaml", "missing"), ("a.yaml", "cycle"), ("b.yaml", "missing"),
        ("c.yaml", "missing"), ("c.yaml", "missing"), ("self.yaml", "cycle"),
        ("z.yaml", "invalid"),
    ]  # fmt: skip


def test_a_long_chain_is_resolved(store, folder):
    for n in range(300):
        write(folder, f"c{n}.json", {"dependencies": [f"c{n + 1}"] if n < 299 else []})
    store.index.add_folder(folder)
    store.index.scan()
    found = store.index.resolve("c0")
    assert names(found.order) == [f"c{n}" for n in range(299, -1, -1)]
    assert (found.ok, told(store)) == (True, [])
    write(folder, "c299.json", {"dependencies": ["c0"]})
    store.index.scan()
    assert len(store.index.resolve("c0").cycles[0]) == 301
    (circle,) = store.index.problems()
    assert circle.what.startswith("'c0' needs 'c1' needs 'c2' needs")
    assert circle.what.endswith("'c18' needs 281 more needs 'c0': a circle")


def test_an_owner_sees_its_own_folders_alone(store, folder):
    fill(folder)
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    ada.index.add_folder(folder)
    ada.index.scan()
    assert bob.index.scan().folders == ()
    assert names(bob.index.find()) == []
    assert told(bob) == []
    bob.index.add_folder(folder, type="theirs")
    bob.index.scan()
    assert ada.index.get("base").type is None
    assert bob.index.get("base").type == "theirs"
    bob.index.remove_folder(folder)
    assert names(ada.index.find()) == ["agent", "base"]
    assert store.owners() == ["ada"]


def test_it_is_read_and_changed_within_a_transaction_and_never_scanned(store, folder):
    fill(folder)
    store.index.add_folder(folder)
    store.index.scan()
    found = store.run(lambda tx: (tx.index.get("base").name, len(tx.index.find())))
    assert found == ("base", 2)

    def removed(tx):
        tx.index.remove_folder(folder)
        assert names(tx.index.find()) == []
        raise RuntimeError("undo it")

    with pytest.raises(RuntimeError):
        store.run(removed)
    assert names(store.index.find()) == ["agent", "base"]
    with pytest.raises(Refused):
        store.as_of(store.moment()).index.find()
    with pytest.raises(Refused):
        store.as_of(store.moment()).index.scan()


def test_it_is_no_part_of_the_journal(store, folder):
    fill(folder)
    before = store.moment()
    store.index.add_folder(folder)
    store.index.scan()
    store.index.remove_folder(folder)
    assert store.moment() == before


def test_a_name_of_more_versions_than_a_page_is_resolved_by_all_of_them(folder):
    for n in range(8):
        write(folder, f"{n}.json", {"name": "base", "version": f"1.{n}"})
    write(folder, "top.json", {"dependencies": ["base", "base@<1.6"]})
    with holdfast.open(":memory:", limits=holdfast.Limits(page=3)) as store:
        store.index.add_folder(folder)
        store.index.scan()
        order = store.index.resolve("top").order
        assert [one.version for one in order] == ["1.7", "1.5", None]
        assert store.index.resolve("base").order[0].version == "1.7"


def test_a_file_in_two_folders_is_no_other_file(store, folder):
    write(folder, "sub/a.json", {})
    store.index.add_folder(folder)
    store.index.add_folder(folder / "sub", type="profile")
    store.index.scan()
    assert told(store) == []
    assert store.index.get("a").path == "sub/a.json"
    assert store.index.remove_folder(folder) is True
    assert store.index.get("a").type == "profile"


def test_a_folder_goes_some_files_at_a_time_and_one_that_is_left_is_whole_again(
    store, folder, monkeypatch
):
    for module in (index_rows, scanning):
        monkeypatch.setattr(module, "DROPPED_AT_ONCE", 2)
    for n in range(7):
        write(folder / "one", f"{n}.json", {"tags": ["t"]})
    write(folder / "other", "x.json", {"tags": ["t"]})
    for name in ("one", "other"):
        store.index.add_folder(folder / name)
    store.index.scan()
    emptied, seen = index_rows.emptied, []

    def counted(*args):
        found = emptied(*args)
        seen.append(found)
        if len(seen) == 2:
            raise RuntimeError("the process ends here")
        return found

    monkeypatch.setattr(scanning, "emptied", counted)
    with pytest.raises(RuntimeError):
        store.index.remove_folder(folder / "one")
    assert len(store.index.find(tag="t")) == 6
    assert store.index.scan().added == 2
    assert len(store.index.find(tag="t")) == 8
    assert store.index.remove_folder(folder / "one") is True
    assert seen == [2, 2, 2, 2, 2, 1]
    assert names(store.index.find(tag="t")) == ["x"]
    assert store.usage().tables["composition"].rows == 1


def test_a_composition_that_needs_too_many_is_refused(monkeypatch, folder):
    monkeypatch.setattr(index_resolving, "NEEDED_AT_MOST", 5)
    with holdfast.open(":memory:") as store:
        write(folder, "a.json", {"dependencies": [f"n{n}" for n in range(6)]})
        for n in range(6):
            write(folder, f"n{n}.json", {})
        store.index.add_folder(folder)
        store.index.scan()
        with pytest.raises(TooLarge):
            store.index.resolve("a")


@pytest.mark.parametrize("wrong", [5, b"x", "", "a\x00b"])
def test_a_folder_that_is_no_path_is_refused(wrong):
    with holdfast.open(":memory:") as store:
        for call in (
            store.index.add_folder,
            store.index.remove_folder,
            store.index.scan,
        ):
            with pytest.raises(BadInput):
                call(wrong)
