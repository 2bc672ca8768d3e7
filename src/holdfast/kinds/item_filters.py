"""Filters: which values are meant, by their fields, the same on every engine.

`{"color": "red"}` means a field that is equal; `{"size": {"$gt": 3}}` one that compares
so. A dict without operators means a field that has at least what is in it. Numbers are
compared with numbers and texts with texts; what cannot be compared is not meant. A
field that is not there counts as None.

Answers for: what may be asked, and whether a value is what was asked for.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from holdfast import edges
from holdfast.errors import WrongType
from holdfast.limits import Limits

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = frozenset({"$eq", "$ne", *_ORDERED})


def filter_of(value: object, name: str, limits: Limits) -> dict[str, Any]:
    """A filter: a dict of fields; operators are `$eq $ne $gt $gte $lt $lte`."""
    if not isinstance(value, dict):
        raise edges.wrong_type(name, "a dict of fields", value)
    found: dict[str, Any] = edges.document_of(value, name, limits).value
    for field, wanted in found.items():
        _check_operators(wanted, f"{name}[{field!r}]")
    return found


def meets(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a value is what a filter asks for."""
    return all(_fits(value.get(field), asked) for field, asked in wanted.items())


def _check_operators(wanted: object, name: str) -> None:
    if not isinstance(wanted, dict):
        return
    if not any(key[:1] == "$" for key in wanted):
        for field, inner in wanted.items():
            _check_operators(inner, f"{name}[{field!r}]")
        return
    unknown = sorted(wanted.keys() - _OPERATORS)
    if unknown:
        known = " ".join(sorted(_OPERATORS))
        raise WrongType(f"{name}: {unknown[0]!r} is no operator; these are: {known}")


def _fits(value: object, wanted: object) -> bool:
    if not isinstance(wanted, dict):
        return _same(value, wanted)
    if any(key in _OPERATORS for key in wanted):
        return all(_compares(value, name, other) for name, other in wanted.items())
    return isinstance(value, dict) and meets(value, wanted)


def _compares(value: object, name: str, other: object) -> bool:
    if name == "$eq":
        return _same(value, other)
    if name == "$ne":
        return not _same(value, other)
    kinds = _sort_of(value), _sort_of(other)
    return kinds[0] == kinds[1] is not None and _ORDERED[name](value, other)


def _sort_of(value: object) -> type | None:
    """What sort of thing a value is, of those that have an order."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float
    return str if isinstance(value, str) else None


def _same(value: object, other: object) -> bool:
    """Whether two values are equal as JSON: there, true is not 1."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_same, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(
            _same(item, other[key]) for key, item in value.items()
        )
    return value == other
