"""Compositions: scanning a folder, beside reading and parsing its files.

Goals: 10,000 files are scanned at start in at most three times what reading them and
parsing them with PyYAML's loader in C takes, and in a fifth of that if nothing has
changed. Nine in ten are YAML and one is JSON, in fifty folders, each with tags and two
that it needs. Reported without a goal: files that are all JSON, which is parsed so fast
that the disk and SQLite are most of it; finding among them; PostgreSQL.
"""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import yaml

import holdfast
from bench import postgres
from bench.beside import Peers
from bench.lines import Goal, Line, at_most, compared
from bench.rounds import Run
from bench.server import running
from holdfast.runtime.index.composition_files import SETTLED_NS

FILES = 10_000
FOLDERS = 50
FIRST = f"{FILES:,} compositions scanned"
UNCHANGED = f"{FILES:,} compositions scanned, none changed"
PARSED = "reading and parsing them"
TEXT = """name: agent_{n}
type: profile
version: 1.{n}.0
description: >-
  An agent that looks things up, says where it found them, and asks when it is not sure.
author: somebody
extends: agent_{half}
tags: [web, careful, team-{team}]
metadata:
  created: 2026-01-05
  reviewed: true
dependencies:
  - name: agent_{third}
    version: ">=1.0"
components:
  - name: identity
    inline:
      role: researcher
      capabilities: [search, reading, writing]
  - name: prompt
    template: |
      You are {{{{name}}}}, and work on {{{{task}}}}.
      Look things up before you say them.
      - say where you found it
      - ask when you are not sure
variables:
  task: {{description: what to work on, default: nothing}}
  limit: {{description: how many sources, default: {n}}}
"""


def write(folder: Path, count: int, json_each: int) -> list[Path]:
    """Files of compositions, one of so many JSON; at rest when this returns."""
    written = []
    for n in range(count):
        text = TEXT.format(n=n, half=n // 2, third=n // 3, team=n % 20)
        form = "json" if n % json_each == 0 else "yaml"
        file = folder / f"{n % FOLDERS}" / f"{n}.{form}"
        file.parent.mkdir(parents=True, exist_ok=True)
        if form == "json":
            text = json.dumps(yaml.load(text, yaml.CBaseLoader))
        file.write_text(text, encoding="utf-8")
        written.append(file)
    time.sleep(SETTLED_NS / 1e9)
    return written


def took(work: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def parse(files: Iterable[Path]) -> None:
    """Read and parse files, and keep nothing of them."""
    for file in files:
        with file.open("rb") as opened:
            data = opened.read()
        if file.suffix == ".json":
            json.loads(data)
        else:
            yaml.load(data, yaml.CSafeLoader)


def scanned(target: str, folder: Path, count: int) -> tuple[float, float]:
    """Milliseconds of the first scan on a new store, and of one that finds nothing."""
    with holdfast.open(target) as store:
        store.index.add_folder(folder)
        first = took(store.index.scan)
        unchanged = took(store.index.scan)
        assert store.index.folders()[0].files == count
        assert not store.index.scan().changed
        return first, unchanged


def of_a_folder(run: Run, json_each: int, what: str, *, judged: bool) -> list[Line]:
    """The first scan and an unchanged one, each beside reading and parsing."""
    count = run.count(FILES)
    with run.fresh() as folder:
        files = write(folder / "compositions", count, json_each)
        parse(files)  # they are in the system's cache from here on
        figures: dict[str, list[float]] = {FIRST: [], UNCHANGED: [], PARSED: []}
        for _ in range(run.rounds):
            with run.fresh() as fresh:
                figures[PARSED].append(took(lambda: parse(files)))
                place = str(fresh / "agent.db")
                first, unchanged = scanned(place, folder / "compositions", count)
                figures[FIRST].append(first)
                figures[UNCHANGED].append(unchanged)
    goals: dict[str, Goal] = {FIRST: at_most(3), UNCHANGED: at_most(0.2)}
    return [
        compared(
            measure + what,
            figures[measure],
            figures[PARSED],
            against=PARSED,
            unit="ms",
            their_durability="",
            goal=goal if judged else None,
        )
        for measure, goal in goals.items()
    ]


def finding(run: Run) -> list[Line]:
    """One by its name, and a page by a tag, among all of them."""
    count = run.count(FILES)
    with run.fresh() as folder, holdfast.open(folder / "agent.db") as store:
        write(folder / "compositions", count, json_each=1)
        store.index.add_folder(folder / "compositions")
        store.index.scan()
        by_name = [took(lambda: store.index.get("agent_77")) for _ in range(200)]
        by_tag = [took(lambda: store.index.find(tag="team-7")) for _ in range(200)]
    return [
        Line(measure=f"{what} among {count:,}", ours=median(ms) * 1000, unit="µs")
        for what, ms in (
            ("a composition by its name", by_name),
            ("50 compositions by a tag", by_tag),
        )
    ]


def on_postgres(run: Run) -> list[Line]:
    """The scans, on a server of its own."""
    count = run.count(FILES)
    with run.fresh() as folder, running(folder / "server") as server:
        write(folder / "compositions", count, json_each=10)
        with server.database() as url:
            place = postgres.target(url)
            first, unchanged = scanned(place, folder / "compositions", count)
    return [
        Line(measure=f"{FIRST}, PostgreSQL", ours=first, unit="ms"),
        Line(measure=f"{UNCHANGED}, PostgreSQL", ours=unchanged, unit="ms"),
    ]


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Scans of folders, and finding in them."""
    lines = of_a_folder(run, 10, "", judged=True)
    lines += of_a_folder(run, 1, ", all JSON", judged=False)
    return [*lines, *finding(run), *on_postgres(run)]
