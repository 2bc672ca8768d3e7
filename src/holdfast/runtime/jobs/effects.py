"""Effects: what a worker does for the machines that its process has defined.

Answers for: their tools' functions and their timers, beside the handlers that a worker
is given.
Leaves to others: what a machine is told of a job's end (`kinds/machine_answers`).
"""

from collections.abc import Mapping
from typing import Any

from holdfast.kinds.machine_records import AFTER
from holdfast.provided import Provided
from holdfast.runtime.jobs.handlers import Handler


def with_effects(handlers: object, provided: Provided) -> object:
    """Handlers, and what machines need beside them; what is given by name comes first.

    A process that has defined no machine leaves them to others.
    """
    if not isinstance(handlers, Mapping) or not provided.defined:
        return handlers
    return {**provided.effects, AFTER: Handler(_ring, version=AFTER), **handlers}


def _ring(_: Any) -> None:
    """A timer is done when its time has come: its machine is told of its end."""
