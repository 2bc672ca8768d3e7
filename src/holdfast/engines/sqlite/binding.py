"""Binding: statements with their parameters by place, which SQLite finds faster.

Answers for: turning `:name` into `?1`, and a call's named values into their order.
Leaves to others: that the names agree (a test holds it for every statement).
"""

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, TypeAlias

from holdfast.schema.statements import PARAMETER, Statement

Values: TypeAlias = tuple[Any, ...]
Bound: TypeAlias = tuple[str, Callable[[Mapping[str, Any]], Values]]
"""A statement's text, and what puts named values into its order."""


def bound(statement: Statement) -> Bound:
    """A statement as SQLite runs it."""
    names = list(dict.fromkeys(PARAMETER.findall(statement.text)))

    def place(found: re.Match[str]) -> str:
        return f"?{names.index(found[1]) + 1}"

    return PARAMETER.sub(place, statement.text), _in_order(names)


def _in_order(names: list[str]) -> Callable[[Mapping[str, Any]], Values]:
    if not names:
        return lambda _: ()
    if len(names) == 1:
        (name,) = names
        return lambda values: (values[name],)
    return itemgetter(*names)
