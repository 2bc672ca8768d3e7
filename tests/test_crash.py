"""Killed with SIGKILL at any moment: what was acknowledged is there, once and whole.

Each worker says on a pipe what a commit has answered for, and is killed at a random
moment of opening, writing or committing. The seed of the moments is in the test's
parameters, so that a failure can be had again.
"""

import asyncio
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import holdfast
from killing import Worker

KILLS_A_STORE = 6
SESSION = "talk"
Say = Callable[[str], None]
Work = Callable[[str, str, Say], None]


def _unit(tx: holdfast.Transaction, name: str) -> str:
    """One unit over two kinds: a message and a task of the same name."""
    tx.sessions.append(SESSION, "user", {"of": name}, message_id=name)
    tx.tasks.create(name, id=name, session=SESSION)
    return name


def by_transactions(path: str, prefix: str, say: Say) -> None:
    """One caller: a transaction, a keyed run and a plain call, by turns."""
    store = holdfast.open(path)
    store.sessions.create(id=SESSION)
    for number in itertools.count():
        name = f"{prefix}-{number}"
        if number % 3 == 0:
            with store.transaction(actor=prefix) as tx:
                _unit(tx, name)
        elif number % 3 == 1:
            store.run(_unit, name, once=name)
        else:
            store.sessions.append(SESSION, "user", {"of": name}, message_id=name)
            store.tasks.create(name, id=name, session=SESSION)
        say(name)


def by_tasks(path: str, prefix: str, say: Say) -> None:
    """Many asyncio callers, whose units share their commits."""

    async def caller(store: holdfast.store.Store, number: int) -> None:
        for count in itertools.count():
            say(await store.run(_unit, f"{prefix}-{number}-{count}"))

    async def callers() -> None:
        async with holdfast.aopen(path) as store:
            await store.sessions.create(id=SESSION)
            await asyncio.gather(*(caller(store, number) for number in range(20)))

    asyncio.run(callers())


def by_threads(path: str, prefix: str, say: Say) -> None:
    """Many threads, some with transactions and some with units that share a commit."""
    store = holdfast.open(path)
    store.sessions.create(id=SESSION)

    def caller(number: int) -> None:
        for count in itertools.count():
            name = f"{prefix}-{number}-{count}"
            if number:
                store.run(_unit, name)
            else:
                with store.transaction() as tx:
                    _unit(tx, name)
            say(name)

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_deletes(path: str, prefix: str, say: Say) -> None:
    """Units that leave rows to be purged in slices, later."""
    store = holdfast.open(path)
    store.sessions.create(id=SESSION)
    lines = [{"role": "user", "content": n} for n in range(1_200)]
    for number in itertools.count():
        name = f"{prefix}-{number}"
        big = store.sessions.create(name).id
        store.sessions.extend(big, lines)
        with store.transaction() as tx:
            tx.sessions.delete(big)
            _unit(tx, name)
        say(name)


WORKS: dict[str, Work] = {
    "transactions": by_transactions,
    "tasks": by_tasks,
    "threads": by_threads,
    "deletes": by_deletes,
}


def kill_at_random_moments(
    folder: Path, work: Work, *, kills: int, seed: int, processes: int = 1
) -> None:
    """Start, kill, look; a new store after every few kills."""
    chance = random.Random(seed)
    done = 0
    for store_number in itertools.count():
        path = str(folder / f"{store_number}.db")
        said: list[str] = []
        for _ in range(KILLS_A_STORE):
            said += _one_round(path, f"r{done}", work, chance, processes)
            done += processes
            whole_and_once(path, said)
        if done >= kills:
            return


def _one_round(
    path: str, prefix: str, work: Work, chance: random.Random, processes: int
) -> list[str]:
    """Let processes work on one store, and kill them one after the other."""
    workers = [
        Worker(lambda say, n=n: work(path, f"{prefix}.{n}", say))
        for n in range(processes)
    ]
    said = []
    try:
        for worker in workers:
            if chance.random() < 0.7:  # else while it may be opening
                worker.wait_for(chance.randrange(1, 12))
            time.sleep(chance.random() * 0.012)  # a random moment, nothing waited for
            said += worker.kill()
    finally:
        for worker in workers:
            worker.close()
    return said


def whole_and_once(path: str, said: list[str]) -> None:
    """Open the store again: it is sound, has all that was said, and no half of it."""
    assert len(said) == len(set(said))
    with holdfast.open(path) as store:
        assert store.check().problems == ()
        store.sessions.create(id=SESSION)
        messages = list(store.sessions.history(SESSION))
        tasks = list(_every_task(store))
    names = [message.id for message in messages]
    assert [m.position for m in messages] == list(range(1, len(messages) + 1))
    assert all(message.content == {"of": message.id} for message in messages)
    assert set(said) <= set(names)
    assert len(names) == len(set(names))
    assert set(said) <= set(tasks)
    missing = set(names) - set(tasks)
    assert not [name for name in missing if not _is_plain(name)], "half a unit"


def _is_plain(name: str) -> bool:
    """Whether a message and its task were two calls, killed perhaps in between."""
    number = name.rpartition("-")[2]
    return name.count("-") == 1 and int(number) % 3 == 2


def _every_task(store: holdfast.Store) -> Iterator[str]:
    cursor = None
    while True:
        page = store.tasks.list(limit=1_000, cursor=cursor)
        yield from (task.id for task in page)
        cursor = page.cursor
        if cursor is None:
            return


@pytest.mark.parametrize(
    ("name", "kills", "processes"),
    [
        ("transactions", 36, 1),
        ("tasks", 24, 1),
        ("threads", 18, 1),
        ("deletes", 6, 1),
        ("transactions", 24, 4),
        ("tasks", 12, 2),
    ],
)
def test_what_was_acknowledged_survives_kill_9_once_and_whole(
    tmp_path, name, kills, processes
):
    kill_at_random_moments(
        tmp_path, WORKS[name], kills=kills, seed=kills, processes=processes
    )


@pytest.mark.soak
@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("name", WORKS)
def test_any_number_of_kills_loses_nothing(tmp_path, name, processes):
    kills = int(os.environ.get("HOLDFAST_KILLS", "1000"))
    seed = int(os.environ.get("HOLDFAST_SEED", "1"))
    kill_at_random_moments(
        tmp_path, WORKS[name], kills=kills // 8, seed=seed, processes=processes
    )
