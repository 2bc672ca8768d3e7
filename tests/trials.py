"""Trials: how a line of the table of promises is tried.

For each kind of state there is a write that can be told apart by its number, and what
is there then; for those in memory, in the memory of one process, `here`. The suite
(`test_promises.py`) kills, opens again and compares; the trials of kinds are in
`kind_trials.py`, those of what is no kind in `memory_trials.py`, `runtime_trials.py`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import holdfast

PATIENCE_SECONDS = 30.0
SOON = holdfast.Limits(event_seconds=0.1, state_seconds=0.1, checkpoint_seconds=0.1)
"""What is debounced is on disk soon, so that nobody waits long for it."""
Here = dict[str, Any]
"""What a trial keeps in the memory of one process."""
Leased = tuple[str, str, Callable[[Any], object]]
"""A kind, a record of it, and a write to that record."""


class Trial(NamedTuple):
    """How one line is tried; each write makes one item of what is there.

    With `settles`, a write is on disk by itself some time later; `settled` has what
    another one who opens the store finds, if `there` does not tell. `leased` makes a
    record, and says how it is written to. `again` is what comes back in a new process
    by what the line says of its recovery, if `there` does not tell. `past` is what of
    it the past has, if that is less. `besides` are tables of other kinds that the write
    goes to as well. `shared` shows that another owner has what is not owned: whether
    bob does, of a store in which there were writes.
    """

    write: Callable[[Any, int, Here], object]
    there: Callable[[Any, Here], Any]
    begin: Callable[[Any], object] = lambda store: None
    settles: bool = False
    settled: Callable[[Any, Here], Any] | None = None
    leased: Callable[[Any], Leased] | None = None
    again: Callable[[Any, Here], Any] | None = None
    past: Callable[[Any, Here], Any] | None = None
    shared: Callable[[Any, Any, Here], bool] | None = None
    limits: holdfast.Limits | None = None
    besides: frozenset[str] = frozenset()
    end: Callable[[Here], object] = lambda here: None


def kept(
    write: Callable[[Any, int], object],
    there: Callable[[Any], Any],
    **more: Any,
) -> Trial:
    """A trial of what is in the store alone."""
    return Trial(
        lambda store, number, here: write(store, number),
        lambda store, here: there(store),
        **more,
    )


def items(there: Any) -> list[Any]:
    """What is there, each by itself."""
    return list(there.items() if isinstance(there, dict) else there)
