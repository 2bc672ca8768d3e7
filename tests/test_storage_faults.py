"""A disk that is full, that fails, that loses its power: what was acknowledged stays.

Each fault is tried at every place where it can strike a small workload. A write that
was refused left nothing; one whose outcome is unknown says so; and the store goes on
when the disk does.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import holdfast
from broken_disk import BrokenDisk
from holdfast.engines.sqlite import engine
from holdfast.errors import HoldfastError, OutcomeUnknown, StorageFailed, StorageFull
from turns import turn_held

FULL, WRITE, SYNC = apsw.SQLITE_FULL, apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC


@pytest.fixture
def disk() -> Iterator[BrokenDisk]:
    made = BrokenDisk(syncs=False)
    yield made
    made.close()


class Ledger:
    """What a workload was answered, write by write."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.refused: list[str] = []
        self.unknown: list[str] = []
        self.errors: list[HoldfastError] = []

    def enter(self, name: str, write: Callable[[], object]) -> None:
        try:
            write()
        except OutcomeUnknown as error:
            self.unknown.append(name)
            self.errors.append(error)
        except HoldfastError as error:
            self.refused.append(name)
            self.errors.append(error)
        else:
            self.kept.append(name)

    def compare(self, store: holdfast.Store) -> None:
        """The store has what was kept, once, and nothing that was refused."""
        there = everything(store)
        assert len(there) == len(set(there))
        assert set(self.kept) <= set(there)
        assert not set(self.refused) & set(there)
        assert set(there) <= {*self.kept, *self.unknown}


def everything(store: holdfast.Store) -> list[str]:
    """The names of all units that are there; none of them is there by half."""
    messages = [m.id for m in store.sessions.history("talk")]
    tasks = {t.id for t in store.tasks.list(limit=1_000)}
    assert {name for name in messages if name.startswith("unit")} == {
        name for name in tasks if name.startswith("unit")
    }
    leased = [s.id for s in store.sessions.list() if _lease(store, s.id)]
    return [*messages, *leased, *(t for t in tasks if not t.startswith("unit"))]


def _lease(store: holdfast.Store, id: str) -> holdfast.Lease | None:
    return store.leases.get("sessions", id)


def unit(tx: holdfast.Transaction, name: str, content: Any = "x") -> None:
    tx.sessions.append("talk", "user", content, message_id=name)
    tx.tasks.create(name, id=name)


def workload(store: holdfast.Store, ledger: Ledger) -> None:
    """A few writes, each its own commit, and each of its own sort."""
    ledger.enter("unit-1", lambda: store.run(unit, "unit-1"))
    ledger.enter(
        "lease-1",
        lambda: store.leases.acquire("sessions", "lease-1", holder="h", seconds=999),
    )
    ledger.enter("unit-2", lambda: _by_transaction(store, "unit-2"))
    ledger.enter("task-1", lambda: store.tasks.create("do", id="task-1"))


def _by_transaction(store: holdfast.Store, name: str) -> None:
    with store.transaction() as tx:
        unit(tx, name)


def ready(target: str) -> holdfast.Store:
    store = holdfast.open(target)
    store.sessions.create(id="talk")
    store.sessions.create(id="lease-1")
    return store


def count(path: Path) -> dict[str, int]:
    """How many writes and syncs the workload makes on a disk that works."""
    disk = BrokenDisk(syncs=False)
    with ready(disk.target(path)) as store:
        disk.break_at(0, "none", FULL)
        workload(store, Ledger())
        done = [line.partition(" ")[0] for line in disk.done]
    disk.close()
    return {what: done.count(what) for what in ("write", "sync")}


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize(
    ("what", "code", "raised"),
    [
        ("write", FULL, (StorageFull,)),
        ("write", WRITE, (StorageFailed, OutcomeUnknown)),
        ("sync", SYNC, (StorageFailed, OutcomeUnknown)),
    ],
    ids=["full", "write-fails", "sync-fails"],
)
def test_a_fault_at_any_place_loses_nothing_and_keeps_nothing_by_half(
    tmp_path, what, code, raised, for_good
):
    places = count(tmp_path / "count.db")[what]
    assert places >= 4
    for place in range(1, places + 1):
        disk = BrokenDisk(syncs=False)
        path = tmp_path / f"{place}.db"
        ledger = Ledger()
        with ready(disk.target(path)) as store:
            disk.break_at(place, what, code, for_good=for_good)
            workload(store, ledger)
            disk.mend()
            assert ledger.errors
            assert all(isinstance(error, raised) for error in ledger.errors)
            ledger.enter("unit-3", lambda store=store: store.run(unit, "unit-3"))
            assert ledger.kept[-1] == "unit-3", "the store goes on when the disk does"
            ledger.compare(store)
        disk.close()
        with holdfast.open(path) as store:
            assert store.check().problems == ()
            ledger.compare(store)


def test_a_unit_that_does_not_fit_fails_alone_in_its_group(tmp_path, disk):
    big = "x" * 9_000_000

    def too_big(tx: holdfast.Transaction) -> None:
        for number in range(4):  # past SQLite's cache, so that it is written early
            tx.sessions.append("talk", "user", big, message_id=f"big-{number}")

    async def callers(store: holdfast.Store) -> list[Any]:
        aio = store.aio
        with turn_held(store):
            units = [
                asyncio.ensure_future(aio.run(unit, f"unit-{number}"))
                for number in range(6)
            ]
            units.insert(3, asyncio.ensure_future(aio.run(too_big)))
            await asyncio.sleep(0)  # every one of them is in the queue now
        return await asyncio.gather(*units, return_exceptions=True)

    with ready(disk.target(tmp_path / "agent.db")) as store:
        disk.room = 10_000_000
        answers = asyncio.run(callers(store))
        assert isinstance(answers.pop(3), StorageFull)
        assert answers == [None] * 6
        assert sorted(everything(store)) == [f"unit-{number}" for number in range(6)]
        disk.mend()
        store.run(too_big)
        assert store.sessions.get("talk").message_count == 10


@pytest.mark.parametrize("face", ["run", "transaction", "savepoint"])
def test_a_caller_that_catches_a_full_disk_cannot_go_on_in_that_unit(
    tmp_path, disk, face
):
    def stubborn(tx: holdfast.Transaction) -> None:
        tx.sessions.append("talk", "user", "before")
        try:
            with tx.savepoint():
                for _ in range(4):
                    tx.sessions.append("talk", "user", "x" * 9_000_000)
        except Exception as error:
            assert isinstance(error, HoldfastError)  # noqa: PT017
        tx.sessions.append("talk", "user", "after")

    with ready(disk.target(tmp_path / "agent.db")) as store:
        disk.room = 10_000_000
        with pytest.raises(StorageFull):
            if face == "run":
                store.run(stubborn)
            else:
                with store.transaction() as tx:
                    stubborn(tx)
        assert list(store.sessions.history("talk")) == []
        disk.mend()
        store.sessions.append("talk", "user", "whole")
        assert store.check().problems == ()


def test_a_full_disk_is_told_while_opening_and_opens_when_there_is_room(tmp_path, disk):
    path = tmp_path / "agent.db"
    disk.room = 20_000
    with pytest.raises(StorageFull):
        holdfast.open(disk.target(path))
    disk.mend()
    with ready(disk.target(path)) as store:
        assert store.check().problems == ()


# A power cut.


def _names(number: int) -> str:
    return f"unit-{number:02}"


def images(
    disk: BrokenDisk, folder: Path, durability: str, seed: int, share: float = 0.1
) -> list[tuple[int, Path]]:
    """The disk as it may be after a power cut at a share of its writes and syncs.

    With each image comes how many units were acknowledged before the cut.
    """
    chance = random.Random(seed)
    made: list[tuple[int, Path]] = []
    acknowledged = 0

    def cut(_: str) -> None:
        with disk.lock:
            if chance.random() < share:
                image, kept = folder / f"image-{len(made)}", acknowledged
                disk.after_power_cut(image, chance)
                made.append((kept, image / "agent.db"))

    disk.before = cut
    (folder / "disk").mkdir()
    target = disk.target(folder / "disk" / "agent.db")
    with holdfast.open(target, durability=durability) as store:
        store.sessions.create(id="talk")
        for number in range(30):
            store.run(unit, _names(number), "x" * chance.randrange(1, 9_000))
            acknowledged = number + 1
            cut("")
    disk.mend()
    return made


def found_after(image: Path) -> list[str]:
    """The units in a store that lost its power, which must be sound."""
    with holdfast.open(image) as store:
        assert store.check().problems == ()
        store.sessions.create(id="talk")
        return everything(store)


@pytest.fixture
def small_log(monkeypatch) -> None:
    """Let the log be checkpointed often."""
    connect = engine.connect

    def connected(*args, **options):
        connection = connect(*args, **options)
        connection.wal_autocheckpoint(60)
        return connection

    monkeypatch.setattr(engine, "connect", connected)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_power_cut_takes_nothing_that_was_acknowledged(
    tmp_path, disk, small_log, seed
):
    made = images(disk, tmp_path, "power-loss", seed)
    assert len(made) > 50
    each_has_what_was_acknowledged(made)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(10, 20))
def test_a_power_cut_anywhere_takes_nothing_that_was_acknowledged(
    tmp_path, disk, small_log, seed
):
    each_has_what_was_acknowledged(
        images(disk, tmp_path, "power-loss", seed, share=1.0)
    )


def each_has_what_was_acknowledged(made: list[tuple[int, Path]]) -> None:
    for acknowledged, image in made:
        found = found_after(image)
        assert found[:acknowledged] == [_names(n) for n in range(acknowledged)]
        assert len(found) <= acknowledged + 1


def test_a_power_cut_may_take_the_newest_only_where_the_store_was_opened_with_less(
    tmp_path, disk, small_log
):
    lost = 0
    for acknowledged, image in images(disk, tmp_path, "process-crash", seed=3):
        found = found_after(image)
        assert found == [_names(n) for n in range(len(found))]
        lost += len(found) < acknowledged
    assert lost
