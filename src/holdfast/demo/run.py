"""The demonstration from its first word to its last.

Answers for: the order of things, the files, and the exit status.
Leaves to others: everything that a file of its own answers for.
Always holds: both ways get the same load, the same planned kills and the same count;
what is made here besides the store that is kept is removed again.
"""

import random
import shutil
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console

from holdfast.demo import report
from holdfast.demo.agent import WAYS
from holdfast.demo.crew import Crew, Kill, Orders, plan
from holdfast.demo.ledger import Ledger
from holdfast.demo.load import Load
from holdfast.demo.reading import from_file, shipped
from holdfast.demo.report import Outcome
from holdfast.demo.screen import Screen
from holdfast.errors import BadInput, CannotOpen

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


class Run(msgspec.Struct, frozen=True):
    """What both ways have in common."""

    load: Load
    kills: list[Kill]
    agents: int
    work: Path
    """A folder for what the agents need, removed at the end."""


def run(source: Path | None, agents: int, kills: int, keep: Path | None) -> int:
    """Run both ways, and tell how they did; the exit status."""
    if agents < 1 or kills < 0:
        raise BadInput("agents: 1 or more; kills: 0 or more; nothing was started")
    load = from_file(source, agents=agents) if source else shipped()
    planned = plan(kills, load.steps, random.Random())
    console = Console(highlight=False, markup=False)
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as work:
        common = Run(load, planned, agents, Path(work))
        stores = _stores(keep, common.work)
        report.opening(console, load, agents, kills)
        try:
            outcomes = _both(common, stores, console)
        except KeyboardInterrupt:
            console.print("\nStopped. All agents were ended.")
            _remove(stores["holdfast"], unless=keep)
            return INTERRUPTED
    report.closing(console, outcomes)
    report.hints(console, stores["holdfast"], load)
    return 0 if outcomes[0].is_clean else 1


def _stores(keep: Path | None, work: Path) -> dict[str, Path]:
    """Where each way keeps its file; raises `CannotOpen` where one is already."""
    if keep is None:
        kept = Path(tempfile.mkdtemp(prefix="holdfast-demo-")) / "demo.db"
        return {"holdfast": kept, "sqlite": work / "plain.db"}
    places = {
        "holdfast": keep.absolute(),
        "sqlite": keep.absolute().with_name(f"{keep.stem}-plain-sqlite3.db"),
    }
    for place in places.values():
        if place.exists():
            raise CannotOpen(f"{place} is there already; --keep names a new file")
    try:
        places["holdfast"].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotOpen(f"{keep}: {error.strerror}; nothing was started") from error
    return places


def _remove(store: Path, *, unless: Path | None) -> None:
    """Leave no temporary store that nobody asked for."""
    if unless is None:
        shutil.rmtree(store.parent, ignore_errors=True)


def _both(common: Run, stores: dict[str, Path], console: Console) -> list[Outcome]:
    """One way after the other, so that neither slows the other down."""
    load_file = common.work / "load.json"
    common.load.save(load_file)
    with Screen(console, common.load, len(common.kills)) as screen:
        return [_one(common, way, store, screen) for way, store in stores.items()]


def _one(common: Run, way: str, store: Path, screen: Screen) -> Outcome:
    """Prepare a store, let the agents work and die, and count."""
    keeping, ledger = WAYS[way], Ledger(common.load)
    keeping.prepare(store, common.load)
    orders = Orders(
        way=way,
        store=store,
        load_file=common.work / "load.json",
        errors_file=common.work / f"{way}-errors.txt",
        agents=common.agents,
    )
    screen.begin(keeping.title)
    crew = Crew(orders, ledger, common.kills, screen.show)
    crew.run()
    screen.end(crew)
    return Outcome(
        title=keeping.title,
        tally=ledger.tally(keeping.read(store, common.load)),
        planned=len(common.kills),
        kills=crew.kills,
        falls=crew.falls,
        last_error=_last_line(orders.errors_file),
        seconds=crew.seconds,
        problems=keeping.problems(store),
    )


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
