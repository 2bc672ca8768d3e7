"""Consulting: asking a derived index, which is led on to the newest change before.

Answers for: the steps of a question (a look; if the index is behind, slices that lead
it on, each a transaction; a look again), the same for both faces.
Leaves to others: carrying a step out (store, astore), what a slice does (`indexes`).
Always holds: the answer has all that was there when it was asked for; a slice keeps
other writers waiting for some 50 ms at most; where nothing can be written, what the
index lacks is for the question to look at.
"""

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from holdfast.core import Core
from holdfast.engine import Engine, Table, Terms, Transaction, Unit, Work
from holdfast.indexes import Derived, State, advance, state_of

T = TypeVar("T")
Question: TypeAlias = Callable[[Transaction, State], T]
"""What is asked in a transaction, of an index that has come so far."""
_OURS = Terms(every_owner=True)
_FIRST_ROWS, _MOST_ROWS = 100, 5_000
_SLICE_SECONDS = 0.035


class Step(msgspec.Struct, frozen=True):
    """A unit to be run, and whether it only reads."""

    unit: Unit[Any]
    reads: bool


Steps: TypeAlias = Generator[Step, object, T]


def consulting(
    core: Core, terms: Terms, index: Derived, question: Question[T]
) -> Steps[T]:
    """The steps of a question; each is carried out, and its result sent in."""
    wanted: int | None = None
    tables = core.registry.fed(index)

    def look(tx: Transaction) -> tuple[State, list[T]]:
        state = state_of(tx, index, tables)
        enough = state.head if wanted is None else wanted
        if core.read_only or state.has(enough):
            return state, [question(tx, state)]
        return state, []

    rows = _FIRST_ROWS
    while True:
        state, answer = yield from _step(core.unit(look, terms), reads=True)
        if answer:
            return answer[0]
        wanted = state.head if wanted is None else wanted
        while not state.has(wanted):
            began = time.monotonic()
            unit = core.unit(_slice(index, tables, rows), _OURS)
            state = yield from _step(unit, reads=False)
            rows = _measured(rows, time.monotonic() - began)


def rebuilding(core: Core, index: Derived) -> Steps[None]:
    """The steps of making an index again from the rows."""

    def drop(tx: Transaction) -> None:
        tx.lock("derived", index.name)
        tx.put("derived_drop", name=index.name)

    yield from _step(core.unit(drop, _OURS), reads=False)
    yield from consulting(core, _OURS, index, lambda *_: None)


def carry_out(engine: Engine, steps: Steps[T]) -> T:
    """Carry steps out, one after another, on the caller's thread."""
    result: object = None
    while True:
        try:
            step = steps.send(result)
        except StopIteration as ended:
            return cast("T", ended.value)
        result = engine.read(step.unit) if step.reads else engine.write(step.unit)


async def carry_out_async(engine: Engine, steps: Steps[T]) -> T:
    """As `carry_out`, awaited."""
    import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

    loop = asyncio.get_running_loop()
    result: object = None
    while True:
        try:
            step = steps.send(result)
        except StopIteration as ended:
            return cast("T", ended.value)
        future = step.unit.awaited(loop)
        (engine.post_read if step.reads else engine.post)(step.unit)
        result = await future


def _step(unit: Unit[T], *, reads: bool) -> Steps[T]:
    return cast("T", (yield Step(unit, reads)))


def _slice(index: Derived, tables: Sequence[Table], rows: int) -> Work[State]:
    return lambda tx: advance(tx, index, tables, rows)


def _measured(rows: int, seconds: float) -> int:
    """How many rows the next slice may have, when the last one took so long."""
    fit = round(rows * _SLICE_SECONDS / max(seconds, _SLICE_SECONDS / 2))
    return min(_MOST_ROWS, max(1, rows // 2, fit))
