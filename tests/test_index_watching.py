"""Folders that are watched: what changes in files is in the index moments later."""

import asyncio
import errno
import logging
import shutil
import sys
import threading
import time

import pytest
import watchfiles

import holdfast
from compositions import PATIENCE_SECONDS, names, until, write
from conftest import place_on
from holdfast.errors import Closed, Refused, TimedOut
from holdfast.runtime.index import folder_watching, scanning

NEVER = 10_000.0
"""So seldom everything is looked at, that what is found was told by the system."""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "compositions"
    made.mkdir()
    return made


def watched(store, watching):
    """Wait until the thread has its first look behind it; from there on it is told."""
    until(lambda: watching._looked_at > watching._begun_at)


def test_files_that_come_change_and_go_are_noticed(store, folder):
    write(folder, "first.yaml", "{}")
    store.index.add_folder(folder)
    with store.index.watch(every_seconds=NEVER) as watching:
        assert (watching.report.added, watching.error) == (1, None)
        write(folder, "sub/new.yaml", "tags: [a]")
        report = watching.next(timeout_seconds=PATIENCE_SECONDS)
        assert report.folders == (str(folder),)
        until(lambda: names(store.index.find(tag="a")) == ["new"])
        write(folder, "sub/new.yaml", "tags: [b]")
        until(lambda: names(store.index.find(tag="b")) == ["new"])
        (folder / "sub/new.yaml").rename(folder / "other.yaml")
        until(lambda: names(store.index.find(tag="b")) == ["other"])
        shutil.rmtree(folder / "sub")
        (folder / "other.yaml").unlink()
        until(lambda: names(store.index.find()) == ["first"])
        assert not watching.stopped
    assert watching.stopped
    with pytest.raises(Closed):
        watching.next(timeout_seconds=0), watching.next(timeout_seconds=0)
    watching.stop()


def test_each_report_is_given_once_and_none_is_waited_for_past_its_time(folder):
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        with store.index.watch() as watching:
            with pytest.raises(TimedOut):
                watching.next(timeout_seconds=0)
            write(folder, "a.yaml", "{}")
            until(lambda: names(store.index.find()) == ["a"])
            assert watching.next(timeout_seconds=PATIENCE_SECONDS).added == 1
            with pytest.raises(TimedOut):
                watching.next(timeout_seconds=0)


def test_folders_that_come_go_and_come_again_are_watched(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_watching, "_FOLDERS_SECONDS", 0.05)
    monkeypatch.setattr(folder_watching, "_LATER_SECONDS", 0.05)
    later = tmp_path / "later"
    with (
        holdfast.open(":memory:") as store,
        store.index.watch(every_seconds=NEVER),  # with no folder at all
    ):
        store.index.add_folder(folder)
        write(folder, "a.yaml", "{}")
        until(lambda: names(store.index.find()) == ["a"])
        store.index.add_folder(later)  # which is not there yet
        write(later, "b.yaml", "{}")
        until(lambda: names(store.index.find()) == ["a", "b"])
        shutil.rmtree(later)
        until(lambda: names(store.index.find()) == ["a"])
        write(later, "c.yaml", "{}")
        until(lambda: names(store.index.find()) == ["a", "c"])
        write(later, "d.yaml", "{}")
        until(lambda: names(store.index.find()) == ["a", "c", "d"])
        store.index.remove_folder(folder)
        write(folder, "e.yaml", "{}")
        write(later, "f.yaml", "{}")
        until(lambda: names(store.index.find()) == ["c", "d", "f"])


def test_a_folder_that_is_swapped_as_a_whole_is_noticed(folder, tmp_path):
    """As when what is mounted into a container is replaced: by a link that is moved."""
    for name in ("one", "two"):
        write(tmp_path, f"{name}/a.yaml", f"version: {name}")
    (folder / "..data").symlink_to(tmp_path / "one")
    (folder / "a.yaml").symlink_to("..data/a.yaml")
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        with store.index.watch(every_seconds=NEVER) as watching:
            watched(store, watching)
            assert store.index.get("a").version == "one"
            (folder / "..new").symlink_to(tmp_path / "two")
            (folder / "..new").rename(folder / "..data")
            until(lambda: store.index.get("a").version == "two")


def test_what_is_no_composition_wakes_nobody(folder, monkeypatch):
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        with store.index.watch(every_seconds=NEVER) as watching:
            watched(store, watching)
            scans = []
            real = folder_watching.scan

            def counted(*args, **more):
                scans.append(args)
                return real(*args, **more)

            monkeypatch.setattr(folder_watching, "scan", counted)
            for name in ("log.txt", ".hidden.yaml", ".git/x.yaml", "a.yaml.tmp"):
                write(folder, name, "x")
            time.sleep(0.6)  # longer than changes are gathered
            assert scans == []
            write(folder, "a.yaml", "{}")
            until(lambda: scans)


def test_everything_is_looked_at_now_and_then_whatever_is_told(folder, monkeypatch):
    monkeypatch.setattr(folder_watching._Meant, "__call__", lambda *_: False)
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        with store.index.watch(every_seconds=0.3) as watching:
            watched(store, watching)
            write(folder, "a.yaml", "{}")
            until(lambda: names(store.index.find()) == ["a"])


def test_where_the_system_tells_no_changes_folders_are_polled(
    folder, monkeypatch, caplog
):
    real = watchfiles.watch

    def limited(*paths, force_polling, **more):
        if not force_polling:
            raise OSError("OS file watch limit reached")
        return real(*paths, force_polling=True, **more)

    monkeypatch.setattr(watchfiles, "watch", limited)
    monkeypatch.setattr(folder_watching, "_LATER_SECONDS", 0.01)
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        with store.index.watch(every_seconds=NEVER) as watching:
            write(folder, "a.yaml", "{}")
            until(lambda: names(store.index.find()) == ["a"])
            until(lambda: watching.error is None)
            write(folder, "b.yaml", "{}")
            until(lambda: names(store.index.find()) == ["a", "b"])
    assert "file watch limit" in caplog.text


def test_a_scan_that_fails_is_told_and_tried_again(folder, monkeypatch, caplog):
    monkeypatch.setattr(folder_watching, "_LATER_SECONDS", 0.01)
    caplog.set_level(logging.CRITICAL + 1, "holdfast.index")
    with holdfast.open(":memory:") as store:
        store.index.add_folder(folder)
        with store.index.watch(every_seconds=NEVER) as watching:
            real = scanning._Scan.run

            def failing(self, total):
                raise ZeroDivisionError

            monkeypatch.setattr(scanning._Scan, "run", failing)
            write(folder, "a.yaml", "{}")
            until(lambda: isinstance(watching.error, ZeroDivisionError))
            monkeypatch.setattr(scanning._Scan, "run", real)
            until(lambda: names(store.index.find()) == ["a"])
            until(lambda: watching.error is None)


def test_a_folder_whose_scans_fail_keeps_no_other_from_being_scanned(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(folder_watching, "_LATER_SECONDS", 0.01)
    monkeypatch.setattr(folder_watching, "_FOLDERS_SECONDS", 0.05)
    for name in ("bad", "good"):
        (tmp_path / name).mkdir()
    tried, run = [], scanning._Scan.run

    def failing(self, total):
        if self._folder.path.endswith("bad"):
            tried.append(self)
            raise OSError(errno.EMFILE, "Too many open files")
        run(self, total)

    with holdfast.open(":memory:") as store:
        with store.index.watch(every_seconds=NEVER) as watching:
            monkeypatch.setattr(scanning._Scan, "run", failing)
            for name in ("bad", "good"):
                store.index.add_folder(tmp_path / name)
            until(lambda: len(tried) > 2)
            write(tmp_path / "good", "a.yaml", "{}")
            until(lambda: names(store.index.find()) == ["a"])
            assert isinstance(watching.error, OSError)
        said = [one for one in caplog.records if "too many" in one.getMessage().lower()]
        assert len(said) == 1  # however often it was tried


def test_a_scan_that_hangs_does_not_hold_up_the_end(folder, monkeypatch):
    """As one does on a drive that answers no more."""
    monkeypatch.setattr(folder_watching, "_END_SECONDS", 0.1)
    hangs, goes_on = threading.Event(), threading.Event()

    def hanging(*_, **__):
        hangs.set()
        goes_on.wait(PATIENCE_SECONDS)
        raise Closed("it was closed meanwhile")

    store = holdfast.open(":memory:")
    store.index.add_folder(folder)
    watching = store.index.watch()
    try:
        monkeypatch.setattr(folder_watching, "scan", hanging)
        write(folder, "a.yaml", "{}")
        assert hangs.wait(PATIENCE_SECONDS)
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < PATIENCE_SECONDS / 2
        assert watching.stopped
    finally:
        goes_on.set()
        watching._thread.join()


def test_it_ends_with_the_store(folder, tmp_path):
    store = holdfast.open(tmp_path / "agent.db")
    store.index.add_folder(folder)
    watching = store.index.watch()
    waiting = threading.Thread(target=lambda: ended.append(_why(watching)))
    ended = []
    waiting.start()
    store.close()
    waiting.join(PATIENCE_SECONDS)
    assert (watching.stopped, ended) == (True, [Closed])
    watching.stop()
    with pytest.raises(Closed):
        store.index.watch()
    with pytest.raises(Closed):
        store.index.scan()


def _why(watching):
    try:
        return watching.next()
    except Closed as error:
        return type(error)


def test_two_stores_watch_one_folder(folder, tmp_path):
    with (
        place_on("file", tmp_path) as place,
        holdfast.open(place) as one,
        holdfast.open(place) as other,
    ):
        one.index.add_folder(folder)
        with one.index.watch(every_seconds=NEVER), other.index.watch():
            for n in range(30):
                write(folder, f"{n}.json", {"version": str(n)})
            until(lambda: len(one.index.find()) == 30)
            for n in range(30):
                write(folder, f"{n}.json", {"version": str(n + 1)})
            until(lambda: one.index.get("29").version == "30")
        one.index.scan()
        assert not other.index.scan().changed
        found = {e.name: e.version for e in other.index.find()}
        assert found == {str(n): str(n + 1) for n in range(30)}


def test_watching_in_a_transaction_or_in_the_past_is_refused(tmp_path):
    with holdfast.open(tmp_path / "agent.db") as store:
        past = store.as_of(store.moment())
        for call in (past.index.watch, past.index.scan):
            with pytest.raises(Refused):
                call()
        with store.transaction():
            for call in (store.index.watch, store.index.scan):
                with pytest.raises(Refused):
                    call()

    async def work():
        async with await holdfast.aopen(tmp_path / "agent.db") as store:
            past = await store.as_of(await store.moment())
            for index in (past.index, store.index):
                async with store.transaction():
                    with pytest.raises(Refused):
                        await index.scan()
                    with pytest.raises(Refused):
                        index.watch()

    asyncio.run(work())


def test_without_watchfiles_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with holdfast.open(":memory:") as store, pytest.raises(Refused) as caught:
        store.index.watch()
    assert "holdfast[index]" in str(caught.value)
