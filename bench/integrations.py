"""Integrations: what frameworks keep in holdfast, beside their own stores.

Goals: with one caller never slower than the framework's own store, on SQLite as on
PostgreSQL, in short conversations as in one of 200 turns; with 100 asyncio callers at
least 8 times as fast; 200 turns of 1 KB with a LangGraph graph of one node in at most
2 MB.
Reported without a goal: file sizes against theirs, for the same 200 turns.

A turn is the calls that the framework makes of what keeps for it, as `bench.turns` has
them; without the framework's own work, which is the same on both sides. LangGraph's
files are those of whole runs of a graph.

Always holds: both sides keep what is acknowledged through a power cut: SQLite's
`synchronous` is FULL over a write-ahead log, also where a peer would have chosen a
rollback journal, which is slower; PostgreSQL is as shipped. Conversations begin
empty. A lone caller has five of ten turns each, or a long one; of the others each has
one of three turns.
Left out: pydantic-ai and Claude's SDK, which have no store of their own on disk, and
LangChain, whose own is another package's.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from bench.beside import Peers
from bench.lines import AHEAD, FULL, Goal, Line, at_least, at_most, compared
from bench.rounds import Load, Run
from bench.server import DURABLE, running
from bench.turns import Side, lasting, played

CALLERS = 100
TURNS, FEW, LONG = 10, 3, 200
CONVERSATIONS = 5
ROUNDS, QUICK_ROUNDS = 3, 2
TIMES = at_least(8)
SMALL = at_most(2)

Placed: TypeAlias = Callable[[Callable[[str], float]], Load]
"""Makes a load of what is played at a path or a URL."""


class Pair(NamedTuple):
    """Our side and theirs, for the same turns."""

    what: str
    against: str
    sides: tuple[Side, Side]
    alone: tuple[Side, Side] | None = None
    """The sides for a lone caller, where those are others."""
    whole: tuple[Side, Side] | None = None
    """The sides whose files are compared, where those are others."""


class Played(NamedTuple):
    """What is played to both sides of a pair."""

    pair: Pair
    callers: int
    turns: int
    conversations: int

    @property
    def title(self) -> str:
        who = "one caller" if self.callers == 1 else f"{self.callers} callers"
        long = f", {LONG} turns" if self.turns == LONG else ""
        return f"{self.pair.what}, {who}{long}"

    @property
    def sides(self) -> tuple[Side, Side]:
        return (self.callers == 1 and self.pair.alone) or self.pair.sides

    @property
    def goal(self) -> Goal:
        return AHEAD if self.callers == 1 else TIMES

    def on(self, side: Side) -> Callable[[str], float]:
        """Turns a second of a side, at a place."""
        _, callers, turns, conversations = self
        return lambda place: asyncio.run(
            played(side, place, callers, turns, conversations)
        )


def on_sqlite() -> list[Pair]:
    """The frameworks and their stores in a file."""
    from bench.turns import adk, langgraph, openai_agents  # noqa: PLC0415  # slow

    return [
        Pair(
            "LangGraph turns",
            "SqliteSaver",
            (langgraph.our_saver, langgraph.sqlite_saver),
            alone=(langgraph.our_sync_saver, langgraph.sync_sqlite_saver),
            whole=(langgraph.our_graph, langgraph.sqlite_graph),
        ),
        Pair(
            "LangGraph memories",
            "SqliteStore",
            (langgraph.our_store, langgraph.sqlite_store),
            alone=(langgraph.our_sync_store, langgraph.sync_sqlite_store),
        ),
        Pair(
            "OpenAI turns", "SQLiteSession", (openai_agents.ours, openai_agents.sqlite)
        ),
        Pair("ADK turns", "SqliteSessionService", (adk.ours, adk.sqlite)),
    ]


def on_postgres() -> list[Pair]:
    """The frameworks and their stores on a server."""
    from bench.turns import adk, langgraph, openai_agents  # noqa: PLC0415  # as above

    on = "PostgreSQL: "
    return [
        Pair(
            f"{on}LangGraph turns",
            "AsyncPostgresSaver",
            (langgraph.our_saver, langgraph.postgres_saver),
        ),
        Pair(
            f"{on}LangGraph memories",
            "AsyncPostgresStore",
            (langgraph.our_store, langgraph.postgres_store),
        ),
        Pair(
            f"{on}OpenAI turns",
            "SQLAlchemySession",
            (openai_agents.ours, openai_agents.postgres),
        ),
        Pair(f"{on}ADK turns", "DatabaseSessionService", (adk.ours, adk.postgres)),
    ]


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Turns a second on both engines, and what the same turns take in a file."""
    lines = []
    for pair in on_sqlite():
        every = [_alone(pair), Played(pair, 1, LONG, 1), _crowd(pair)]
        lines += [_compared(run, each, _in_file, FULL) for each in every]
        lines.append(_size(run, pair))
    with run.fresh() as folder, running(folder) as server:
        for pair in on_postgres():
            every = [_alone(pair), _crowd(pair)]
            lines += [_compared(run, each, server.load, DURABLE) for each in every]
    return lines


def _alone(pair: Pair) -> Played:
    return Played(pair, 1, TURNS, CONVERSATIONS)


def _crowd(pair: Pair) -> Played:
    return Played(pair, CALLERS, FEW, 1)


def _in_file(work: Callable[[str], float]) -> Load:
    return lambda folder: work(str(folder / "kept.db"))


def _compared(run: Run, each: Played, placed: Placed, durability: str) -> Line:
    ours, theirs = each.sides
    figures = run.interleave(
        {"ours": placed(each.on(ours)), "theirs": placed(each.on(theirs))},
        rounds=QUICK_ROUNDS if run.quick else ROUNDS,
    )
    return compared(
        each.title,
        figures["ours"],
        figures["theirs"],
        against=each.pair.against,
        durability=durability,
        goal=each.goal,
    )


def _size(run: Run, pair: Pair) -> Line:
    """What the same conversation takes in our file and in theirs."""
    sides = pair.whole or pair.alone or pair.sides
    ours, theirs = (_megabytes(run, side) for side in sides)
    return Line(
        measure=f"{pair.what}: the file of {LONG}",
        ours=ours,
        unit="MB",
        goal=SMALL if pair.whole else None,
        note=f"{ours:.2f} MB against {theirs:.2f} MB of {pair.against}",
    )


def _megabytes(run: Run, side: Side) -> float:
    with run.fresh() as folder:
        asyncio.run(lasting(side, str(folder / "kept.db"), LONG))
        return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
