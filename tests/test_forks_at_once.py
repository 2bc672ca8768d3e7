"""Forks under many writers at once: what comes out is what their moments' order gives.

Each step is a transaction that says its number as its cause. Those that changed
something are done once more in a model, in the order of the journal.
"""

import random
import threading
from typing import Any

import pytest

import holdfast
from conftest import store_on
from conversing import Said, Talks, finished, seen
from holdfast.errors import AlreadyExists, HoldfastError, NotFound, Refused
from turns import joined

THREADS = 4
STEPS = 120
IDS = [f"s{n}" for n in range(4)]
UNDERSTOOD = (NotFound, Refused, AlreadyExists)
"""What a step may get that comes too late, or too early."""


def step(chance: random.Random, number: int) -> dict[str, Any]:
    """A step that needs to know nothing of what is there."""
    name = chance.choices(
        ["fork", "append", "pop", "amend", "clear", "delete", "create"],
        [24, 32, 17, 20, 2, 3, 8],
    )[0]
    args = {"id": chance.choice(IDS)}
    if name == "fork":
        args |= {"at": chance.randint(0, 6), "new_id": chance.choice(IDS)}
    elif name == "append":
        args |= {"role": "user", "content": number, "message_id": f"m{number}"}
    elif name == "amend":
        args |= {"message_id": f"m{number - chance.randint(0, 60)}", "content": number}
    return {"name": name, **args}


def done(tx: Any, name: str, **args: Any) -> Any:
    return getattr(tx.sessions, name)(**args)


def again(talks: Talks, name: str, id: str, **args: Any) -> None:
    """A step that changed something, in the model."""
    if name == "append":
        talks.said[id].append(Said(args["message_id"], args["content"]))
    elif name == "pop":
        talks.said[id].pop()
    elif name == "create":
        talks.create(id)
    else:
        getattr(talks, name)(id, **args)


def work(
    store: Any, first: int, taken: dict[int, Any], failed: list[BaseException]
) -> None:
    chance = random.Random(first)
    try:
        for number in range(first, first + STEPS * THREADS, THREADS):
            chosen = step(chance, number)
            try:
                store.run(lambda tx, s=chosen: done(tx, **s), cause=str(number))
            except UNDERSTOOD:
                continue
            taken[number] = chosen
    except (HoldfastError, AssertionError) as error:
        failed.append(error)


def causes(store: Any) -> list[str]:
    """The causes of all moments that had one, in their order."""
    found: dict[str, None] = {}
    cursor = 0
    while page := store.journal.read(after=cursor, limit=1_000):
        found |= dict.fromkeys(change.cause for change in page if change.cause)
        cursor = page[-1].seq
    return list(found)


@pytest.mark.parametrize("engine", ["file", "postgres"])
@pytest.mark.parametrize("seed", range(2))
def test_what_many_do_at_once_is_what_one_does_in_their_order(tmp_path, engine, seed):
    taken: dict[int, Any] = {}
    failed: list[BaseException] = []
    with store_on(engine, tmp_path) as place, holdfast.open(place) as store:
        store.run(lambda tx: done(tx, "create", id="s0"), cause="first")
        with holdfast.open(place) as other:
            threads = [
                threading.Thread(
                    target=work,
                    args=((store, other)[n % 2], 1_000 * seed + n, taken, failed),
                )
                for n in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            joined(*threads)
        assert failed == []
        order = causes(store)
        talks = Talks()
        talks.create("s0")
        for cause in order[1:]:
            again(talks, **taken[int(cause)])
        for id in IDS:
            if id in talks.said:
                assert seen(store.sessions, id) == talks.seen(id)
            else:
                with pytest.raises(NotFound):
                    store.sessions.get(id)
        assert len(finished(store)["message"]) == talks.rows()
        assert len(order) > STEPS / 2
        assert store.check().problems == ()
