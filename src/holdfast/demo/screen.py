"""What a person sees while the agents work.

Answers for: the bars while agents work.
Leaves to others: what is said before and after (`report`), the figures (`crew`).
Always holds: 80 columns are enough; where there is no terminal, a few plain lines.
"""

import contextlib
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from holdfast.demo.crew import Crew
from holdfast.demo.load import Load

PLAIN_LINES = 4
"""So many lines tell of a run's progress where there is no terminal."""


class Screen(contextlib.AbstractContextManager["Screen"]):
    """The bars of both runs, on a console."""

    def __init__(self, console: Console, load: Load, kills: int) -> None:
        self._console = console
        self._steps = load.steps
        self._kills = kills
        self._title = ""
        self._bar = TaskID(0)
        self._quarters = 0
        self._progress = Progress(
            TextColumn("{task.description:<13}"),
            BarColumn(bar_width=15),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fate]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, title: str) -> None:
        """A run begins."""
        self._title, self._quarters = title, 0
        self._bar = self._progress.add_task(title, total=self._steps, fate="starting")

    def show(self, crew: Crew) -> None:
        """A run goes on."""
        done, fate = crew.reached, self._fate(crew)
        self._progress.update(self._bar, completed=done, fate=fate)
        quarters = done * PLAIN_LINES // self._steps
        if self._progress.disable and quarters > self._quarters:
            self._quarters = quarters
            self._console.print(f"{self._title}: {done:,} steps, {fate}")

    def end(self, crew: Crew) -> None:
        """A run has ended."""
        self.show(crew)
        self._progress.stop_task(self._bar)

    def _fate(self, crew: Crew) -> str:
        return f"{crew.kills}/{self._kills} kills, {crew.restarts} restarts"
