"""Differences: what a record's fields were, and what they became.

Answers for: which fields are worth telling, old and new value in one line or one above
the other, long ones cut around the place where they differ.
Leaves to others: when and by whom, and of which record (`changes`, `comparing`).
Always holds: two values that differ look different; a line fits into the columns that
there are, unless values were asked for in full.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from holdfast.cli.output import cut, one_line, safe, when

SILENT = {
    "owner",
    "id",
    "created_at",
    "updated_at",
    "version",
    "revision",
    "first",
    "given",
    "base",
}
"""Fields that are told beside the change, or change with it and say nothing more."""
_ABSENT = object()
_INDENT = 6
_GAP = 2
_OLD, _NEW = "red", "green"
_BEFORE = 3
"""This part of a line goes before the place where two values begin to differ."""

Fields = Mapping[str, Any]


def differences(
    before: Fields | None, after: Fields | None, width: int, *, full: bool = False
) -> Table | None:
    """The fields that differ, each with its old and its new value; None if none does.

    Of a record that was made: what its fields say.
    """
    found = list(_said(after or {}) if before is None else _changed(before, after))
    if not found:
        return None
    names = [cut(one_line(name), width // 2).plain for name, _, _ in found]
    room = max(width - _INDENT - max(map(cell_len, names)) - _GAP, 1)
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(width=_INDENT - _GAP)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, (_, old, new) in zip(names, found, strict=True):
        if before is None:
            value = Text(_value(new, full=full))
            grid.add_row("", name, value if full else _cut(value, room))
        else:
            for number, line in enumerate(_pair(old, new, room, full=full)):
                grid.add_row("", "" if number else name, line)
    return grid


def _said(after: Fields) -> Iterator[tuple[str, object, object]]:
    """The fields of a new record that say something."""
    for name, value in after.items():
        if name not in SILENT and (value or value is False):
            yield name, None, value


def _changed(before: Fields, after: Fields | None) -> Iterator[tuple[str, Any, Any]]:
    for name in {**before, **(after or {})}:
        if name not in SILENT:
            yield from _inside(name, before.get(name), (after or {}).get(name))


def _inside(name: str, was: object, now: object) -> Iterator[tuple[str, Any, Any]]:
    """What differs within two values, by its path; or the values themselves."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in {**was, **now}:
            old, new = was.get(key, _ABSENT), now.get(key, _ABSENT)
            yield from _inside(f"{name}.{key}", old, new)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, (old, new) in enumerate(zip(was, now, strict=True)):
            yield from _inside(f"{name}[{number}]", old, new)
    elif was != now or type(was) is not type(now):
        yield name, was, now


def _pair(was: object, now: object, room: int, *, full: bool) -> Iterator[Text | Table]:
    """The old and the new value, in one line if they fit, else in two."""
    old, new = _value(was, full=full), _value(now, full=full)
    if old == new:
        old, new = _spelt_out(was), _spelt_out(now)
    if "\n" not in old + new and cell_len(f"{old} → {new}") <= room:
        yield Text.assemble((old, _OLD), (" → ", "dim"), (new, _NEW))
    elif full:
        yield _marked("-", Text(old), _OLD)
        yield _marked("+", Text(new), _NEW)
    else:
        first, second = _around(old, new, room - len("- "))
        yield _marked("-", first, _OLD)
        yield _marked("+", second, _NEW)


def _value(value: object, *, full: bool) -> str:
    if value is _ABSENT:
        return "(absent)"
    if value is None:
        return "(none)"
    if isinstance(value, datetime):
        return f"{when(value)} UTC"
    if isinstance(value, str) and full:
        return safe(value)
    return one_line(value) or "(empty)"


def _spelt_out(value: object) -> str:
    """As JSON in ASCII, where two values that differ look the same as text."""
    return json.dumps(value, default=str).replace("\x7f", r"\u007f")


def _around(old: str, new: str, room: int) -> tuple[Text, Text]:
    """Both in one line each, from shortly before the place where they differ."""
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    longest = max(len(old), len(new))
    lead = max(min(start - room // _BEFORE, longest - room + 1), 0)

    def shown(text: str, style: str) -> Text:
        stop = len(text) - end
        parts = (text[lead:start], (text[start:stop], f"bold {style}"), text[stop:])
        return _cut(Text.assemble("…" if lead else "", *parts), room)

    return shown(old, _OLD), shown(new, _NEW)


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    return next((place for place, (a, b) in pairs if a != b), shorter)


def _marked(mark: str, line: RenderableType, style: str) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(style=style, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(mark, line)
    return grid


def _cut(line: Text, room: int) -> Text:
    line.truncate(max(room, 1), overflow="ellipsis")
    return line
