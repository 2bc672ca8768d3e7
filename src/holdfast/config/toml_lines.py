"""On which line of a TOML file each key stands.

Answers for: the lines of keys, which Python's own reader of TOML does not tell.
Leaves to others: whether the text is TOML at all: it has been read as such before.
"""

import re
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]
"""The names that lead to a key, from the top."""
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:\'{0,2})'
    r'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[{]|[\]}]|\n',
    re.DOTALL,
)
"""Texts and comments, which may hold anything; brackets; the ends of lines."""
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def lines_of(text: str) -> dict[Path, int]:
    """The line of each table and each key of a text, counted from 1.

    What stands within a value that goes over several lines has the first of these.
    """
    import tomllib  # noqa: PLC0415  # few need it

    found: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        paths = list(_paths(tomllib.loads(statement)))
        if statement.lstrip().startswith("["):
            table = paths[-1]
            paths = [table]
        else:
            paths = [table + path for path in paths]
        for path in paths:
            found.setdefault(path, number)
    return found


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a key; of the table that it is in, if it has none of its own."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement, and the line where it begins."""
    begun, line, start, depth = 1, 1, 0, 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        line += token.count("\n")
        depth += _STEPS.get(token, 0)
        if token == "\n" and not depth:  # noqa: S105  # no password
            yield begun, text[start : match.end()]
            begun, start = line, match.end()
    yield begun, text[start:]


def _paths(said: Any, before: Path = ()) -> Iterator[Path]:
    """Every key of what was read, those of inner tables too, outer ones first."""
    if isinstance(said, list):
        for part in said:
            yield from _paths(part, before)
    elif isinstance(said, dict):
        for name, part in said.items():
            yield (*before, name)
            yield from _paths(part, (*before, name))
