"""Agents where there are 10,000, against raw SQL and against a few.

Answers for: making 10,000 identities in one call, beside raw inserts of the same rows
in one transaction; getting one and listing 50 of 10,000, against the same of 100; the
heartbeat of 10,000 that run, against that of one.

Always holds: raw inserts are on the same level of durability, in tables with the same
columns and indexes, and have no journal.
"""

import time
from pathlib import Path
from typing import Any

import apsw

import holdfast
from bench.beside import Peers
from bench.lines import Line, at_least, at_most, compared
from bench.rounds import Run
from holdfast.kinds.agents import Agents
from holdfast.schema.statements import TABLES, parse

MANY, FEW, LISTED, CALLS = 10_000, 100, 50, 50
TWICE = at_most(2)
A_TENTH = at_least(0.1)
ROUNDS = 15


def drafts(count: int) -> list[dict[str, Any]]:
    """Identities as KSI keeps them, each with a parent among the first hundred."""
    return [
        {
            "name": f"Agent {n}",
            "id": f"agent-{n}",
            "role": f"role {n % 20}",
            "traits": ["methodical", "calm"],
            "preferences": {"verbosity": "moderate", "formality": "balanced"},
            "statistics": {"messages_sent": 0},
        }
        for n in range(count)
    ]


def made(folder: Path, count: int = MANY) -> float:
    """Identities a second, by one call."""
    given = drafts(count)
    with holdfast.open(folder / "agents.db") as store:
        started = time.perf_counter()
        store.agents.create_all(given)
        return count / (time.perf_counter() - started)


def inserted(folder: Path) -> float:
    """Rows of the same tables a second, an agent and its tally, by raw SQL."""
    connection = apsw.Connection(str(folder / "raw.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    statements = parse(Agents.part().sql)
    connection.execute(statements[TABLES].text)
    agent, tally = (statements[name].text for name in ("agent_add", "agent_tally_add"))
    started = time.perf_counter()
    connection.execute("begin immediate")
    for n, draft in enumerate(drafts(MANY)):
        row = {"no": n, "owner": "", "now": n, "created_at": n, "metadata": None}
        row |= {name: draft[name] for name in ("id", "name", "role")}
        row |= {"traits": '["methodical","calm"]', "status": "active"}
        row["preferences"] = '{"verbosity":"moderate","formality":"balanced"}'
        connection.execute(agent, row)
        counted = {"no": MANY + n, "owner": "", "agent": n, "active_at": n}
        connection.execute(tally, counted | {"statistics": '{"messages_sent":0}'})
    connection.execute("commit")
    took = time.perf_counter() - started
    connection.close()
    return MANY / took


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Identities a second, and microseconds a call where there are many and few."""
    ours, raw = f"{MANY:,} agents in one call", "raw inserts of their rows"
    figures = run.interleave({ours: made, raw: inserted})
    with run.fresh() as folder:
        made(folder)
        (folder / "few").mkdir()
        made(folder / "few", FEW)
        places = folder / "agents.db", folder / "few" / "agents.db"
        with holdfast.open(places[0]) as many, holdfast.open(places[1]) as few:
            lines = [_called(name, many, few) for name in ("get", "list", "role")]
            lines.append(_beat(many, few))
    return [
        compared(ours, figures[ours], figures[raw], against=raw, goal=A_TENTH),
        *lines,
    ]


def _called(name: str, many: holdfast.Store, few: holdfast.Store) -> Line:
    calls = {
        "get": lambda store: store.agents.get("agent-50"),
        "list": lambda store: store.agents.list(limit=LISTED),
        "role": lambda store: store.agents.list(role="role 5", limit=5),
    }
    series: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for store, took in zip((many, few), series, strict=True):
            started = time.perf_counter()
            for _ in range(CALLS):
                calls[name](store)
            took.append((time.perf_counter() - started) * 1e6 / CALLS)
    what = {"get": "get one", "list": f"list {LISTED}", "role": "list 5 of a role"}[
        name
    ]
    return compared(
        f"{what} of {MANY:,} agents", *series, against=f"of {FEW}", unit="µs",
        durability="", goal=TWICE,
    )  # fmt: skip


def _beat(many: holdfast.Store, few: holdfast.Store) -> Line:
    """One sign of life of a holder that runs all, against one that runs one."""
    with many.transaction(timeout_seconds=60) as tx:
        for n in range(MANY):
            tx.agents.claim(f"agent-{n}", holder="all", seconds=900)
    few.agents.claim("agent-0", holder="all", seconds=900)
    series: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for store, took in zip((many, few), series, strict=True):
            started = time.perf_counter()
            for _ in range(CALLS):
                store.agents.beat("all", seconds=900)
            took.append((time.perf_counter() - started) * 1e6 / CALLS)
    return compared(
        f"a sign of life of {MANY:,} agents", *series, against="of one", unit="µs",
        goal=TWICE,
    )  # fmt: skip
