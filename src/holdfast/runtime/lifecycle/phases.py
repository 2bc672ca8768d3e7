"""Phases: what a program goes through, and what is told of it.

Answers for: the names of the phases, the record of one step, the report of a life.
Leaves to others: what is done in a phase (`sequence`).
"""

from enum import StrEnum
from typing import Literal

import msgspec

Outcome = Literal["done", "failed", "timed out", "cut off"]


class Phase(StrEnum):
    """How far a life has come. It stays `ready` for as long as the program works."""

    NEW = "new"
    CORE = "core"
    STARTUP = "startup"
    CONTEXT = "context"
    READY = "ready"
    SHUTDOWN = "shutdown"
    ENDED = "ended"


STARTING = (Phase.CORE, Phase.STARTUP, Phase.CONTEXT, Phase.READY)
HANDLED = (*STARTING, Phase.SHUTDOWN)
"""The phases that a module may have a handler for."""


class LifecycleStep(msgspec.Struct, frozen=True):
    """One handler's turn, or one of the lifecycle's own, and how it went.

    `module` is `store`, `checkpoints`, `state` or `events` for the lifecycle's own.
    `what` is `handler`, the type of what was entered and is closed, or what the
    lifecycle does. `error` says what went wrong.
    """

    module: str
    phase: Phase
    what: str
    outcome: Outcome
    seconds: float
    error: str | None = None


class LifecycleReport(msgspec.Struct, frozen=True):
    """How a life went so far.

    `why` says what ended it: `end`, `error`, `stop`, `SIGTERM`, `SIGINT`, `exit` (the
    process ended without a close), `loop` (the event loop did) or `start` (it never
    was ready); None while it lasts. `left_out` says why, by module; `dumps` has the
    paths of emergency dumps.
    """

    phase: Phase
    why: str | None
    begun: tuple[str, ...]
    left_out: dict[str, str]
    steps: tuple[LifecycleStep, ...]
    dumps: tuple[str, ...]

    @property
    def orderly(self) -> bool:
        """Whether it has ended, and every step of the shutdown was done."""
        return self.phase is Phase.ENDED and all(
            step.outcome == "done"
            for step in self.steps
            if step.phase is Phase.SHUTDOWN
        )
