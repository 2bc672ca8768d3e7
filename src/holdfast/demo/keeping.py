"""What a way of keeping conversations must be able to do to take part.

Answers for: the words that the agent, the supervisor and the count share.
Leaves to others: how a step is kept (`with_holdfast`, `with_sqlite`).
Always holds: both ways are asked the same things, in the same order.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from holdfast.demo.load import Load, Step


class TakenAway(Exception):
    """The conversation belongs to another agent now; the step was not kept."""


class Kept(msgspec.Struct, frozen=True):
    """One message as the store has it."""

    number: int
    """Which step of its conversation it says it is, from 0; -1 if it does not say."""
    place: int
    """Where in its conversation the store has it, from 0."""
    step: Step


class Found(msgspec.Struct, frozen=True):
    """One conversation as the store has it."""

    kept: list[Kept]
    done: int
    """How many steps its task says were done."""
    finished: bool


class Taken(Protocol):
    """A conversation that an agent has in hand."""

    @property
    def index(self) -> int:
        """Which conversation of the load it is."""

    @property
    def messages(self) -> int:
        """How many messages the store had of it when it was taken."""

    @property
    def done(self) -> int:
        """How many steps its task said were done when it was taken."""

    def keep(self, number: int, step: Step) -> None:
        """Keep one step: its message, and its task's change. Raises `TakenAway`."""

    def finish(self) -> None:
        """Say that the conversation is complete. Raises `TakenAway`."""

    def close(self) -> None:
        """Let go of it, whatever became of it."""


class Desk(Protocol):
    """An agent's place at the store."""

    def take(self) -> Taken | None:
        """The next conversation to work at; None if there is none to be had now."""

    def is_over(self) -> bool:
        """Whether nothing is left that this agent could ever take."""

    def close(self) -> None:
        """Leave the store in order."""


class Keeping(Protocol):
    """A way of keeping conversations and tasks in one file."""

    title: str
    how: str
    """How a step is kept, in half a line."""

    def prepare(self, path: Path, load: Load) -> None:
        """Make the store, with a task for each conversation."""

    def open(self, path: Path, load: Load, agent: str) -> Desk:
        """Sit an agent down at it."""

    def read(self, path: Path, load: Load) -> list[Found]:
        """All that is there, in the load's order."""

    def problems(self, path: Path) -> tuple[str, ...]:
        """What the store's own check of the whole file finds wrong."""
