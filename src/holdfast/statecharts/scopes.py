"""Scopes: what expressions can see, and how much they may make of it.

Answers for: a context, a payload, a loop's items; paths into them; the limit on what
one list of actions makes.
Leaves to others: what is made (`expressions`, `operators`).
Always holds: nothing that a scope shows is changed; who has made too much makes no
more.
"""

import re
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from holdfast.errors import TooLarge

Make: TypeAlias = Callable[["Scope"], Any]
"""Works a value out, in a scope."""
Steps: TypeAlias = tuple[tuple[str, int | None], ...]
"""Keys, each with the number that it stands for in a list."""

_MOST = 2**24
"""How much one scope's expressions may make: characters, and what they are put into."""
_FREE_LOOKS = 16
"""So many values are taken out of a scope unmeasured, however large they are."""
_NODE = 10
_KEY = r"[^\s.,;()\[\]{}<>=?!&|\"'`]+"
_PATH = re.compile(rf"{_KEY}(\.{_KEY})*")
_INDEX_DIGITS = 9


class Makes(Protocol):
    """What has a value in a scope."""

    @property
    def make(self) -> Make:
        """What works it out."""
        ...


class Meter:
    """How much may still be made, and how often a value was taken out."""

    __slots__ = ("left", "looks")

    def __init__(self) -> None:
        self.left = _MOST
        self.looks = 0

    def spend(self, much: int) -> None:
        """Count what is made. Raises `TooLarge`."""
        self.left -= much
        if self.left < 0:
            raise TooLarge(
                f"an expression makes more than {_MOST:,} characters and values; "
                "nothing was written"
            )

    def look(self, value: Any) -> Any:
        """A value that is taken out, measured if it is one of many."""
        self.looks += 1
        if self.looks > _FREE_LOOKS:
            self._weigh(value)
        return value

    def _weigh(self, value: Any) -> None:
        todo = [value]
        while todo:
            one = todo.pop()
            self.spend(_NODE)
            if type(one) is str:
                self.spend(len(one))
            elif type(one) is list:
                todo.extend(one)
            elif type(one) is dict:
                self.spend(sum(map(len, one)))
                todo.extend(one.values())


class Scope:
    """What expressions can see: a context, a payload, and in a loop its items."""

    __slots__ = ("context", "item", "meter", "named", "now", "payload")

    def __init__(
        self,
        context: dict[str, Any],
        payload: Any,
        now: int | None,
        meter: Meter,
        named: dict[str, Any],
    ) -> None:
        self.context = context
        self.payload = payload
        self.now = now
        self.meter = meter
        self.named = named
        self.item = payload

    @classmethod
    def of(
        cls, context: dict[str, Any], payload: Any, now: int | None = None
    ) -> "Scope":
        """A scope of its own; `now` in microseconds, for `$now`."""
        return cls(context, payload, now, Meter(), {})

    def value_of(self, expression: Makes) -> Any:
        """An expression's value. Raises `TooLarge`, if it makes too much."""
        return expression.make(self)

    def inner(self) -> "Scope":
        """The scope of a loop, whose item is still to be set."""
        return Scope(self.context, self.payload, self.now, self.meter, {**self.named})


def is_path(text: str) -> bool:
    """Whether a text is keys with dots between them."""
    return _PATH.fullmatch(text) is not None


def steps_of(path: str) -> Steps:
    """A path's keys."""
    return tuple((key, _index(key)) for key in path.split("."))


def walked(value: Any, steps: Steps) -> Any:
    """What is found along a path; None where there is nothing."""
    for key, index in steps:
        if type(value) is dict:
            value = value.get(key)
        elif type(value) is list and index is not None and index < len(value):
            value = value[index]
        else:
            return None
    return value


def context_path(path: str) -> Make:
    """What `$path` gives: of the context, or the context itself as `$context`."""
    steps = steps_of(path)
    first, rest = steps[0][0], steps[1:]
    if first == "context":

        def whole(scope: Scope) -> Any:
            own = first in scope.context
            return scope.meter.look(walked(scope.context, steps if own else rest))

        return whole
    if not rest:
        return lambda scope: scope.meter.look(scope.context.get(first))
    return lambda scope: scope.meter.look(walked(scope.context, steps))


def item_path(path: str, names: frozenset[str]) -> Make:
    """What `$$path` gives: of an item, which outside of loops is the payload.

    `names` are what the loops around it call their items. `$$result` is always the
    payload's, `$$payload` is the payload itself.
    """
    steps = steps_of(path)
    first, rest = steps[0][0], steps[1:]
    if first in names:
        return lambda scope: scope.meter.look(walked(scope.named[first], rest))
    if first == "result":
        return lambda scope: scope.meter.look(walked(scope.payload, steps))
    if first == "payload":

        def whole(scope: Scope) -> Any:
            own = type(scope.item) is dict and first in scope.item
            found = walked(scope.item, steps) if own else walked(scope.payload, rest)
            return scope.meter.look(found)

        return whole
    return lambda scope: scope.meter.look(walked(scope.item, steps))


def _index(key: str) -> int | None:
    digits = key.isascii() and key.isdigit() and len(key) <= _INDEX_DIGITS
    return int(key) if digits else None
