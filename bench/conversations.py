"""Conversations: long sessions against short ones, and a fork of forks against neither.

Goals: the context of a session of 100,000 messages in at most twice the time of one of
100; forking it takes at most 5 ms more.
Reported without a goal: a fork that is fifty generations deep, each of which has said
one thing of its own, so that its newest 20 messages stand in 20 places.

Always holds: the long session is in a store of a million messages, the short one in a
store of its own; both have summaries where contexts with summaries are made.
"""

import time
from statistics import median

import holdfast
from bench import million
from bench.beside import Peers
from bench.lines import FULL, Line, at_most, compared
from bench.reading import NEWEST, SHORT, of_both, timed_in_turn
from bench.rounds import Run

ID = "s0"
TOKENS = 2_000
SUMMED_UP, LEFT = 1_000, 40
FORKS, MORE_MS = 1_000, 5
DEEP = 50


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """What long sessions and forks cost, beside short and plain ones."""
    forks = run.count(FORKS)
    with (
        million.copy_of_much(run) as path,
        run.fresh() as folder,
        holdfast.open(path) as much,
        holdfast.open(folder / "little.db") as little,
    ):
        million.fill(little, [SHORT])
        lines = [_context("context of a session of 100,000", much, little)]
        sum_up(much, million.LONG)
        sum_up(little, SHORT)
        return [
            *lines,
            _context("context of a session of 100,000, summed up", much, little),
            *_forking(much, little, forks),
            *_deep(little, forks),
        ]


def sum_up(store: holdfast.Store, count: int) -> None:
    """Store a summary of every thousand messages, and one near the end."""
    for upto in [*range(SUMMED_UP, count, SUMMED_UP), count - LEFT]:
        store.sessions.summarize(ID, upto, "What was said so far.")


def deep_fork(store: holdfast.Store) -> str:
    """The last of fifty forks, one of the other; each has said something."""
    id = ID
    for number in range(DEEP):
        id = store.sessions.fork(id).id
        store.sessions.append(id, "user", f"This is fork {number}.")
    return id


def forked_in_turn(
    places: list[tuple[holdfast.Store, str]], count: int
) -> list[list[float]]:
    """Fork each session so often, in turn; the milliseconds that each fork took."""
    took: list[list[float]] = [[] for _ in places]
    for _ in range(count):
        for (store, id), series in zip(places, took, strict=True):
            started = time.perf_counter()
            store.sessions.fork(id)
            series.append((time.perf_counter() - started) * 1000)
    return took


def _context(title: str, much: holdfast.Store, little: holdfast.Store) -> Line:
    ours, theirs = timed_in_turn(
        [
            lambda: much.sessions.context(ID, tokens=TOKENS),
            lambda: little.sessions.context(ID, tokens=TOKENS),
        ]
    )
    return of_both(title, ours, theirs)


def _forking(much: holdfast.Store, little: holdfast.Store, count: int) -> list[Line]:
    title = "forking a session of 100,000"
    ours, theirs = forked_in_turn([(much, ID), (little, ID)], count)
    more = [one - other for one, other in zip(ours, theirs, strict=True)]
    return [
        compared(title, ours, theirs, against="of 100", unit="ms"),
        Line(
            measure=f"{title}, more than one of 100",
            ours=median(more),
            unit="ms",
            durability=FULL,
            goal=at_most(MORE_MS),
        ),
    ]


def _deep(store: holdfast.Store, count: int) -> list[Line]:
    deep = deep_fork(store)
    read, plainly = timed_in_turn(
        [
            lambda: store.sessions.messages(deep, NEWEST),
            lambda: store.sessions.messages(ID, NEWEST),
        ]
    )
    forked, once = forked_in_turn([(store, deep), (store, ID)], count)
    title = f"of a fork {DEEP} deep"
    against = "of a session that is no fork"
    return [
        compared(
            f"newest {NEWEST} messages {title}",
            read,
            plainly,
            against=against,
            unit="µs",
            durability="",
        ),
        compared(f"a fork {title}", forked, once, against=against, unit="ms"),
    ]
