"""A store that is moved, replaced, or kept by another: no write is told to be kept.

Every way to write is tried, through both faces.
"""

import asyncio
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.engines.sqlite import commit, connection
from holdfast.errors import Busy, Moved
from killing import Worker


def _in_transaction(store: holdfast.Store) -> None:
    with store.transaction() as tx:
        tx.sessions.append("talk", "user", "lost")


WRITES = {
    "call": lambda store: store.sessions.append("talk", "user", "lost"),
    "run": lambda store: store.run(lambda tx: tx.tasks.create("lost").id),
    "transaction": _in_transaction,
    "async call": lambda store: asyncio.run(_awaited(store, "call")),
    "async run": lambda store: asyncio.run(_awaited(store, "run")),
    "async transaction": lambda store: asyncio.run(_awaited(store, "transaction")),
}


async def _awaited(store: holdfast.Store, way: str) -> None:
    if way == "call":
        await store.aio.sessions.append("talk", "user", "lost")
    elif way == "run":
        await store.aio.run(lambda tx: tx.tasks.create("lost").id)
    else:
        async with store.aio.transaction() as tx:
            await tx.sessions.append("talk", "user", "lost")


@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize("fate", ["moved", "replaced", "deleted"])
def test_a_store_that_is_moved_acknowledges_nothing_more(talk, path, way, fate):
    talk.sessions.append("talk", "user", "kept")
    away = Path(path).with_name("away")
    os.rename(path, away)
    if fate == "replaced":
        shutil.copy(away, path)
    try:
        with pytest.raises(Moved):
            WRITES[way](talk)
        assert talk.sessions.get("talk").message_count == 1
    finally:
        os.replace(away, path)
    WRITES[way](talk)  # it was put back
    assert talk.sessions.get("talk").message_count + len(talk.tasks.list()) == 2


@pytest.mark.parametrize("read_only", [False, True])
def test_what_stands_in_a_moved_stores_place_is_never_read(talk, path, read_only):
    with holdfast.open(path, read_only=read_only) as store:
        away = Path(path).with_name("away")
        os.rename(path, away)
        shutil.copy(away, path)
        store._core.engine._readers._let_go()  # those that were open read their own
        try:
            with pytest.raises(Moved):
                store.sessions.get("talk")
        finally:
            os.replace(away, path)
        assert store.sessions.get("talk").id == "talk"


@pytest.mark.parametrize("way", WRITES)
def test_a_store_that_another_process_keeps_for_too_long_is_busy(
    path, way, monkeypatch
):
    def keep(say: Any) -> None:
        with holdfast.open(path).transaction(timeout_seconds=600):
            say("mine")
            signal.pause()

    holdfast.open(path).close()
    other = Worker(keep)
    other.wait_for(1)
    for module in (commit, connection):
        monkeypatch.setattr(module, "patience", lambda *_: lambda _: False)
    try:
        with holdfast.open(path) as store:
            with pytest.raises(Busy):
                WRITES[way](store)
            other.kill()
            store.sessions.create(id="talk")
            WRITES[way](store)
    finally:
        other.close()
