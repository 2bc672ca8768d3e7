"""Folders that are watched: what changes in files is in the index moments later."""

import asyncio
import logging
import shutil
import sys
import threading
import time

import pytest
import watchfiles

import holdfast
from compositions import names, write
from conftest import place_on
from holdfast.errors import Closed, NotFound, Refused, TimedOut
from holdfast.runtime import folder_watching, scanning

PATIENCE_SECONDS = 20.0
NEVER = 10_000.0
"""So seldom everything is looked at, that what is found was told by the system."""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "compositions"
    made.mkdir()
    return made


def until(condition):
    """Wait until something holds; what it is then."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)
    return found


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


def test_folders_that_come_go_and_come_again_are_watched(folder, tmp_path):
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
        with store.index.watch(every_seconds=0.3):
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


def test_tasks_wait_for_changes_and_can_be_cancelled(folder, tmp_path):
    async def work():
        async with await holdfast.aopen(tmp_path / "agent.db") as store:
            await store.index.add_folder(folder)
            watching = store.index.watch()
            with pytest.raises(RuntimeError, match="await it first"):
                watching.report  # noqa: B018
            async with watching:
                waiting = asyncio.create_task(watching.next())
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                with pytest.raises(TimedOut):
                    await watching.next(timeout_seconds=0.01)
                write(folder, "a.yaml", "{}")
                assert (await watching.next(timeout_seconds=20)).added == 1
                assert (await store.index.get("a")).path == "a.yaml"
                write(folder, "b.yaml", "{}")
                async for report in watching:
                    assert report.added == 1
                    await watching.stop()
            assert watching.stopped
            again = await store.index.watch()
        assert again.stopped

    asyncio.run(work())


def test_a_task_that_is_cancelled_while_it_begins_leaves_no_thread(folder, tmp_path):
    async def work():
        async with await holdfast.aopen(tmp_path / "agent.db") as store:
            await store.index.add_folder(folder)

            async def begin():
                await store.index.watch()

            beginning = asyncio.create_task(begin())
            await asyncio.sleep(0)
            beginning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await beginning
            ours = [t.name for t in threading.enumerate()]
            assert "holdfast-index" not in ours

    asyncio.run(work())


def test_a_scan_that_is_cancelled_leaves_what_it_has_taken_in(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(scanning, "_FILES_AT_ONCE", 1)
    for n in range(50):
        write(folder, f"{n:02}.json", {})
    reached, go_on = threading.Event(), threading.Event()
    real = scanning.read_file

    def slow(found, *args):
        if found.path == "05.json":
            reached.set()
            go_on.wait(PATIENCE_SECONDS)
        return real(found, *args)

    monkeypatch.setattr(scanning, "read_file", slow)
    run, ended = scanning._Scan.run, threading.Event()

    def running(self, total):
        try:
            run(self, total)
        finally:
            ended.set()

    monkeypatch.setattr(scanning._Scan, "run", running)

    async def work():
        async with await holdfast.aopen(tmp_path / "agent.db") as store:
            await store.index.add_folder(folder)
            running = asyncio.create_task(store.index.scan())
            await asyncio.to_thread(reached.wait, PATIENCE_SECONDS)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            go_on.set()
            await asyncio.to_thread(ended.wait, PATIENCE_SECONDS)

    asyncio.run(work())
    with holdfast.open(tmp_path / "agent.db") as store:
        found = names(store.index.find())
        assert 5 <= len(found) <= 7
        assert store.index.scan().added == 50 - len(found)
        with pytest.raises(NotFound):
            store.index.get("gone")
