"""Folders that are watched, and scans, from tasks: each waits, and can be cancelled."""

import asyncio
import threading

import pytest

import holdfast
from compositions import PATIENCE_SECONDS, names, until, write
from holdfast.errors import NotFound, TimedOut
from holdfast.runtime.index import folder_watching, scanning


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "compositions"
    made.mkdir()
    return made


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


def test_each_report_goes_to_one_task_and_the_others_wait_on(folder, tmp_path):
    async def work():
        async with await holdfast.aopen(tmp_path / "agent.db") as store:
            await store.index.add_folder(folder)
            watching = await store.index.watch()
            waiting = {asyncio.create_task(watching.next()) for _ in range(2)}
            for left in (1, 0):
                write(folder, f"{left}.yaml", "{}")
                done, waiting = await asyncio.wait(
                    waiting,
                    timeout=PATIENCE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                assert [task.result().added for task in done] == [1]
                assert len(waiting) == left

    asyncio.run(work())


def test_what_is_begun_twice_is_one_thread(folder, tmp_path):
    async def work():
        async with await holdfast.aopen(tmp_path / "agent.db") as store:
            watching = await store.index.watch()
            async with watching as same:
                assert same is watching
                ours = [t for t in threading.enumerate() if t.name == "holdfast-index"]
                assert len(ours) == 1
            assert watching.stopped

    asyncio.run(work())


def test_a_task_that_is_cancelled_twice_while_it_begins_leaves_no_thread(
    folder, tmp_path, monkeypatch
):
    scans, go_on = threading.Event(), threading.Event()
    real = folder_watching.scan

    def slow(*args, **more):
        scans.set()
        go_on.wait(PATIENCE_SECONDS)
        return real(*args, **more)

    monkeypatch.setattr(folder_watching, "scan", slow)

    async def work():
        async with await holdfast.aopen(tmp_path / "agent.db") as store:

            async def begin():
                await store.index.watch()

            beginning = asyncio.create_task(begin())
            await asyncio.to_thread(scans.wait, PATIENCE_SECONDS)
            for _ in range(2):
                beginning.cancel()
                await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await beginning
            running = lambda: [t.name for t in threading.enumerate()]  # noqa: E731
            await asyncio.to_thread(until, lambda: "holdfast-index" not in running())
            assert "holdfast-index" not in running()

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
