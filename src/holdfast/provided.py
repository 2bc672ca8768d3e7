"""Provided: what this process brings to a store, functions above all.

Answers for: guards and effects of machines, by their names, and what a definition was
compiled to; where sections are found that are held in memory.
Leaves to others: when they are called (`kinds/machine_steps`, `runtime/jobs`).
Always holds: nothing of it is stored, and each open store has its own.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from holdfast.errors import Refused

if TYPE_CHECKING:
    from holdfast.sections.unsaved import Unsaved

Guard: TypeAlias = Callable[[dict[str, Any], Any], object]
"""Whether a transition may be made: of a machine's context and the event's payload."""
Effect: TypeAlias = Callable[[Any], Any]
"""What does a tool's work: a function of a running job, plain or async."""


class Provided:
    """Functions by name; changed by definitions, read by whoever meets a name."""

    def __init__(self) -> None:
        self.effects: dict[str, Effect] = {}
        self.compiled: dict[str, Any] = {}
        self.unsaved: Unsaved | None = None
        """The sections of this open store, once somebody uses any."""
        self._guards: dict[tuple[str, str], dict[str, Guard]] = {}

    @property
    def defined(self) -> bool:
        """Whether this process has defined any machine."""
        return bool(self._guards)

    def guards(self, owner: str, machine: str) -> Mapping[str, Guard]:
        """The guards of an owner's definition, or else of the store's own."""
        own = self._guards.get((owner, machine))
        return self._guards.get(("", machine), {}) if own is None else own

    def bring(
        self,
        owner: str,
        machine: str,
        guards: Mapping[str, Guard],
        effects: Mapping[str, Effect],
    ) -> None:
        """Keep a definition's functions at hand.

        Raises `Refused` if a tool has another function: its jobs are everyone's.
        """
        for tool, function in effects.items():
            there = self.effects.get(tool, function)
            if not _alike(there, function):
                raise Refused(
                    f"tool {tool!r} is done by {_name(there)} already, and cannot be "
                    f"done by {_name(function)} as well; nothing was written: give the "
                    "tool another name"
                )
        self.effects.update(effects)
        self._guards.setdefault((owner, machine), {}).update(guards)


def _alike(there: object, function: object) -> bool:
    """Whether a function is another one's place in the program, and so stands for it.

    Functions within functions share their name: they are told apart by their code.
    """
    if there is function or "<" not in _name(there):
        return _name(there) == _name(function)
    return getattr(there, "__code__", there) == getattr(function, "__code__", function)


def _name(function: object) -> str:
    module = getattr(function, "__module__", "")
    return f"{module}.{getattr(function, '__qualname__', repr(function))}"
