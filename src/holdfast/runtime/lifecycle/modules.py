"""Modules: what a program is made of, and what each does in each phase.

Answers for: what may be said of a module, and the sentence for what may not.
Leaves to others: their order (`ordering`), their turns (`sequence`).
Always holds: nothing can be said any more once the life has begun.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from holdfast import edges
from holdfast.errors import AlreadyExists, Refused, WrongType
from holdfast.limits import Limits
from holdfast.runtime.lifecycle.phases import HANDLED, Phase

F = TypeVar("F", bound=Callable[..., Any])
Handler: TypeAlias = Callable[..., object]
"""Plain or async; takes the `Module` in hand, or nothing."""
CHECKPOINTS = "checkpoints"
OURS = ("store", CHECKPOINTS, "state", "events")
"""Names of what the lifecycle does itself; a module may need them, and not be one."""
_LIMITS = Limits()


class Turn(msgspec.Struct, frozen=True):
    """A handler, whether it wants the module in hand, and its time in seconds."""

    function: Handler
    takes_module: bool
    seconds: float


class Plan(msgspec.Struct):
    """A module, as it was registered."""

    name: str
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    optional: bool = False
    turns: dict[Phase, Turn] = {}

    @property
    def starts(self) -> bool:
        """Whether it has a handler before the shutdown."""
        return any(phase is not Phase.SHUTDOWN for phase in self.turns)


class Plans:
    """Every module that was registered, by name, in that order."""

    def __init__(self, seconds: float) -> None:
        self.by_name: dict[str, Plan] = {}
        self.closed = False
        self.seconds: float = edges.seconds_of(seconds, "seconds", _LIMITS)

    def add(
        self,
        name: str,
        handlers: Mapping[Phase, Handler],
        *,
        needs: Iterable[str],
        after: Iterable[str],
        optional: bool,
        seconds: float | None,
    ) -> None:
        """Register a module as a whole. Raises what `Lifecycle.module` says."""
        self._refuse_late(_name(name))
        if name in self.by_name:
            raise AlreadyExists(
                "module", name, instead="give it another name, or add to it with on()"
            )
        plan = Plan(name, names_of(needs, "needs"), names_of(after, "after"))
        plan.optional = edges.truth_of(optional, "optional", _LIMITS)
        limit = self._limit(seconds)
        plan.turns = {
            phase: self._turn(f"{name}.{phase}", handler, limit)
            for phase, handler in handlers.items()
        }
        self.by_name[name] = plan

    def extend(
        self,
        name: str,
        phase: Phase,
        handler: Handler,
        *,
        needs: Iterable[str],
        after: Iterable[str],
        optional: bool,
        seconds: float | None,
    ) -> None:
        """Register a handler of a module, which is made if it is not there."""
        self._refuse_late(_name(name))
        optional = edges.truth_of(optional, "optional", _LIMITS)
        turn = self._turn(f"{name}.{phase}", handler, self._limit(seconds))
        more = names_of(needs, "needs"), names_of(after, "after")
        plan = self.by_name.get(name) or Plan(name)
        if phase in plan.turns:
            raise AlreadyExists(
                f"{phase} handler of module",
                name,
                instead="give the module another name: on(phase, name)",
            )
        plan.needs, plan.after = (*plan.needs, *more[0]), (*plan.after, *more[1])
        plan.optional = plan.optional or optional
        plan.turns = {**plan.turns, phase: turn}
        self.by_name[name] = plan

    def _turn(self, what: str, handler: Handler, seconds: float) -> Turn:
        if not callable(handler):
            raise edges.wrong_type(what, "a function", handler)
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise WrongType(
                f"{what}: a call of a generator function does nothing; nothing was "
                "registered: make it a context manager (contextlib.contextmanager), "
                "and enter that in a handler: module.enter(…)"
            )
        return Turn(handler, takes_argument(handler, what), seconds)

    def _limit(self, seconds: float | None) -> float:
        """The time of a handler; the lifecycle's, if none is said."""
        if seconds is None:
            return self.seconds
        return edges.seconds_of(seconds, "seconds", _LIMITS)

    def _refuse_late(self, name: str) -> None:
        if self.closed:
            raise Refused(
                f"module {name!r} comes too late: the life has begun; nothing was "
                "changed: register modules before it starts"
            )


def phase_of(value: object) -> Phase:
    """A phase that has handlers. Raises `WrongType`."""
    if isinstance(value, str) and value in HANDLED:
        return Phase(value)
    raise WrongType(f"phase: {value!r} is none of: {', '.join(HANDLED)}")


def names_of(value: Iterable[str], what: str) -> tuple[str, ...]:
    """Names of modules. Raises `WrongType`, `InvalidId`."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise edges.wrong_type(what, 'a list of names, such as ("db",)', value)
    return tuple(edges.name_of(name, what, _LIMITS) for name in value)


def takes_argument(function: Handler, what: str) -> bool:
    """Whether a function wants an argument. Raises `WrongType` if it wants more."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # written in C, and it does not say
        return False
    bare = [p for p in parameters if p.default is p.empty]
    wanted = [p for p in bare if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    if len(wanted) > 1 or any(p.kind is p.KEYWORD_ONLY for p in bare):
        raise WrongType(
            f"{what}: a function of one argument, or of none, is wanted; it has "
            f"{len(bare)} to fill"
        )
    return bool(wanted)


def _name(name: object) -> str:
    checked = edges.name_of(name, "name", _LIMITS)
    if checked in OURS:
        raise Refused(
            f"{checked!r} is what the lifecycle does itself; nothing was registered: "
            "give the module another name"
        )
    return checked
