"""Patterns: which names are meant, and which data, said in one line each.

`*` stands for any run of characters, also for none, and everything else for itself;
case counts: `task:*`, `*:created`, `state:saved`, `*`. What data must hold is said by
dotted paths: `{"task.id": "t1"}` means a dict with a `task`, whose `id` is `t1`.

Answers for: whether a name is one that a pattern means, whether data holds what is
asked for, and what may be asked.
Leaves to others: what has a name (events, topics of a bus).
Always holds: no pattern takes longer than its length times the name's.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from holdfast import edges
from holdfast.errors import InvalidId, WrongType
from holdfast.limits import Limits

Scalar: TypeAlias = None | bool | int | float | str
_MOST_CHARACTERS = 200
_MOST_PATTERNS = 100
_SCALARS = (str, bool, int, float)


class Pattern:
    """Which names are meant; equal to any other of the same text."""

    __slots__ = ("exact", "matches", "prefix", "text")

    text: str
    prefix: str
    """What every name that is meant begins with."""
    exact: bool
    """Whether one name alone is meant: the text itself."""
    matches: Callable[[str], bool]
    """Whether a name is meant."""

    def __init__(self, text: str) -> None:
        first, *rest = text.split("*")
        self.text = text
        self.prefix = first
        self.exact = not rest
        self.matches = _matching(first, rest)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names that are meant, if they can be told; None for any number."""
        return (self.text,) if self.exact else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def __reduce__(self) -> tuple[type["Pattern"], tuple[str]]:
        return Pattern, (self.text,)


class AnyOf:
    """Which names are meant by several patterns: those that one of them means."""

    __slots__ = ("names", "patterns", "text")

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.patterns = tuple(dict.fromkeys(patterns))
        self.text = "\n".join(pattern.text for pattern in self.patterns)
        self.names: tuple[str, ...] | None = None
        """The names that are meant, if they can be told; None for any number."""
        if all(pattern.exact for pattern in self.patterns):
            self.names = tuple(pattern.text for pattern in self.patterns)

    def matches(self, name: str) -> bool:
        """Whether a name is meant."""
        return any(pattern.matches(name) for pattern in self.patterns)


def any_of(patterns: Iterable[Pattern]) -> Pattern | AnyOf:
    """What means the names that one of the patterns means."""
    found = AnyOf(patterns)
    if EVERYTHING in found.patterns:
        return EVERYTHING
    return found.patterns[0] if len(found.patterns) == 1 else found


def patterns_of(
    value: object, name: str, limits: Limits | None = None
) -> Pattern | AnyOf:
    """A pattern, or a list of 1 to 100, any of which may fit."""
    if isinstance(value, (str, Pattern)):
        return pattern_of(value, name)
    if isinstance(value, AnyOf):
        return value
    if not isinstance(value, (list, tuple)):
        raise edges.wrong_type(name, "text, or a list of texts", value)
    if not 0 < len(value) <= _MOST_PATTERNS:
        raise WrongType(f"{name}: 1 to {_MOST_PATTERNS} patterns are wanted")
    return any_of(
        pattern_of(one, f"{name}[{index}]") for index, one in enumerate(value)
    )


def pattern_of(value: object, name: str, limits: Limits | None = None) -> Pattern:
    """A pattern: 1 to 200 characters, none of which steers a terminal."""
    if isinstance(value, Pattern):
        return value
    if not isinstance(value, str):
        raise edges.wrong_type(name, "text", value)
    if not 0 < len(value) <= _MOST_CHARACTERS:
        raise InvalidId(
            f"{name}: a pattern has 1 to {_MOST_CHARACTERS} characters, not "
            f"{len(value)}"
        )
    if any(map(_is_unsafe, value)):
        raise InvalidId(f"{name}: {value!r} is no pattern (no control characters)")
    return Pattern(value)


def where_of(value: object, name: str, limits: Limits) -> dict[str, Scalar] | None:
    """What data must hold: dotted paths, and a text, a number, True, False or None."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise edges.wrong_type(name, "a dict of dotted paths", value)
    found: dict[str, Any] = edges.document_of(value, name, limits).value
    for path, wanted in found.items():
        if not all(path.split(".")):
            raise InvalidId(f"{name}: {path!r} is no dotted path, such as task.id")
        if not (wanted is None or isinstance(wanted, _SCALARS)):
            kind = type(wanted).__name__
            raise WrongType(
                f"{name}[{path!r}]: a text, a number, True, False or None is wanted, "
                f"not {kind}"
            )
    return found


def holds(data: object, where: Mapping[str, Scalar]) -> bool:
    """Whether data has, at each path, what is wanted; what is not there is None."""
    return all(_same(_at(data, path), wanted) for path, wanted in where.items())


def _matching(first: str, rest: list[str]) -> Callable[[str], bool]:
    """What tells whether a name begins so, and has the rest in this order, apart."""
    if not rest:
        return first.__eq__
    *inner, last = rest
    between = [part for part in inner if part]
    if between:
        return lambda name: _in_order(name, first, between, last)
    if not last:
        return lambda name: name.startswith(first)
    if not first:
        return lambda name: name.endswith(last)
    least = len(first) + len(last)
    return lambda name: (
        len(name) >= least and name.startswith(first) and name.endswith(last)
    )


def _in_order(name: str, first: str, between: list[str], last: str) -> bool:
    """Each part at the first place where it can be leaves most to those after it."""
    if not (name.startswith(first) and name.endswith(last)):
        return False
    place, end = len(first), len(name) - len(last)
    for part in between:
        found = name.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def _is_unsafe(char: str) -> bool:
    return char < " " or "\x7f" <= char < "\xa0" or "\ud800" <= char <= "\udfff"


def _at(data: object, path: str) -> object:
    for key in _keys(path):
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


@functools.lru_cache(maxsize=256)
def _keys(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _same(value: object, wanted: Scalar) -> bool:
    """Whether two values are equal as JSON: there, true is not 1."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return value == wanted


EVERYTHING = Pattern("*")
