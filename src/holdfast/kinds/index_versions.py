"""Versions of compositions: which is newer, and which ones are asked for.

Numbers compare as numbers: `1.9` is before `1.10`. What Semantic Versioning 2.0.0 calls
a pre-release comes before its release: `2.0.0-beta.2`, `2.0.0-rc.1`, `2.0.0`. What
begins with no number (`draft`) comes before all that does, and no version at all first.

Answers for: the text by which a version is ordered, wherever texts are compared by
bytes; reading what is wanted of a version, and whether one is that.
Leaves to others: which composition has which version (`index`).
Always holds: two versions have the same place only if their texts are the same.
"""

import functools
import re
from collections.abc import Callable

import msgspec

from holdfast.errors import WrongType

VERSION_BYTES = 64
"""A longer text is no version."""
NO_VERSION = ""
"""The place of what has no version: before all others."""
_NUMBERED = re.compile(r"v?(\d+(?:\.\d+)*)(.*)", re.ASCII | re.DOTALL | re.IGNORECASE)
_WILD = re.compile(r"v?((?:\d+\.)*)[*x](?:\.[*x])*", re.ASCII | re.IGNORECASE)
_COMPARED = re.compile(r"(>=|<=|==|!=|~=|=|>|<|\^|~)?\s*([^\s,<>=!~^]+)")
_RUN = re.compile(r"\d+|\D+", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_AFTER, _END = "1", "0"
_UPTO = "\U0010ffff"
"""After everything that a place can go on with."""


class Wanted(msgspec.Struct, frozen=True):
    """What is wanted of a version: for each bound, a comparison and a place."""

    text: str
    bounds: tuple[tuple[str, str], ...]

    def meets(self, place: str) -> bool:
        """Whether a version that stands at a place is wanted."""
        return all(_COMPARE[sign](place, bound) for sign, bound in self.bounds)


def place_of_version(version: str | None) -> str:
    """Where a version stands among others: the greater text is the newer version."""
    if version is None:
        return NO_VERSION
    return f"{_ordered(version)}\x01{version}"


@functools.lru_cache(maxsize=4096)
def _ordered(version: str) -> str:
    """What two versions are compared by; `1.0` and `1.0.0` are alike in it."""
    numbered = _NUMBERED.fullmatch(version)
    if numbered is None:
        return f"0{version}"
    numbers, rest = numbered[1].split("."), numbered[2]
    rest = rest.partition("+")[0]  # how it was built says nothing of its order
    while len(numbers) > 1 and not numbers[-1].strip("0"):
        numbers.pop()
    said = "1" + "".join(_AFTER + _number(one) for one in numbers) + _END
    return said + (_before_release(rest) if rest else "1")


def _number(digits: str) -> str:
    """Digits, so that texts of them compare as their numbers do."""
    digits = digits.lstrip("0") or "0"
    return f"{len(digits):02}{digits}"


def _before_release(rest: str) -> str:
    """What follows the numbers: `-rc.1`, or `rc1` as Python's packages have it."""
    parts = rest.removeprefix("-").split(".")
    if rest[0] not in "-.":
        parts = [run for part in parts for run in _RUN.findall(part)]
    told = (
        f"1{_number(part)}" if _DIGITS.fullmatch(part) else f"2{part}" for part in parts
    )
    return "0" + "".join(f"{one}\x01" for one in told)


@functools.lru_cache(maxsize=4096)
def wanted_of(text: str) -> Wanted:
    """What a text wants: `1.2`, `>=1.2, <2`, `^1.2`, `~1.2`, `1.x`, `*`.

    A version alone means that one, and no other. Raises `WrongType`.
    """
    bounds: list[tuple[str, str]] = []
    rest = text.strip()
    while rest:
        found = _COMPARED.match(rest)
        if found is None or len(found[2].encode()) > VERSION_BYTES:
            raise WrongType(
                f"{text[:80]!r} says no versions (as 1.2, >=1.2, <2, ^1.2, ~1.2, 1.x, "
                "* do)"
            )
        bounds += _bounds(found[1] or "", found[2], text)
        rest = rest[found.end() :].lstrip(" ,")
    return Wanted(text.strip(), tuple(bounds))


def _bounds(sign: str, version: str, text: str) -> list[tuple[str, str]]:
    wild = _WILD.fullmatch(version)
    if wild is not None:
        if sign not in {"", "=", "=="}:
            raise WrongType(f"{text[:80]!r}: {sign} goes with no {version}")
        numbers = [one for one in wild[1].split(".") if one]
        return _between(numbers, len(numbers)) if numbers else []
    if sign in {"^", "~", "~="}:
        return [(">=", _ordered(version)), *_compatible(sign, version, text)]
    if sign in {"", "=", "=="}:
        return [("is", place_of_version(version))]
    if sign == "!=":
        return [("is not", place_of_version(version))]
    if sign == ">":
        return [(">", _ordered(version) + "\x01" + _UPTO)]
    return [(sign, _ordered(version) + ("\x01" + _UPTO if sign == "<=" else ""))]


def _compatible(sign: str, version: str, text: str) -> list[tuple[str, str]]:
    """Below which version `^` and `~` end (as npm has them), and `~=` (as pip)."""
    numbered = _NUMBERED.fullmatch(version)
    if numbered is None:
        raise WrongType(f"{text[:80]!r}: {sign} wants a version that has numbers")
    numbers = numbered[1].split(".")
    if sign == "^":
        kept = next((i + 1 for i, one in enumerate(numbers) if one.strip("0")), 0)
        kept = kept or len(numbers)
    elif sign == "~":
        kept = min(len(numbers), 2)
    else:
        kept = max(len(numbers) - 1, 1)
    return _between(numbers, kept)[1:]


def _between(numbers: list[str], kept: int) -> list[tuple[str, str]]:
    """From the numbers on, and as long as the first of them stay the same."""
    following = [*numbers[: kept - 1], str(int(numbers[kept - 1]) + 1)]
    first = _first(".".join(following))
    return [(">=", _first(".".join(numbers))), ("<", first)]


def _first(version: str) -> str:
    """Before a release and all that comes before it."""
    return _ordered(version)[:-1]


_COMPARE: dict[str, Callable[[str, str], bool]] = {
    ">=": lambda place, bound: place >= bound,
    "<": lambda place, bound: place < bound,
    ">": lambda place, bound: place > bound,
    "<=": lambda place, bound: place <= bound,
    "is": lambda place, bound: place == bound,
    "is not": lambda place, bound: place != bound,
}
