"""Exporting events: a file of JSON lines for each day, in UTC.

`events-2026-11-22.jsonl` has what happened on that day, of what was asked for, one
event a line, the oldest first. A day that is exported again has its file replaced; a
day without events is left alone.

Answers for: the files, and what was written.
Leaves to others: reading the events page by page (whoever calls), a file that is there
as a whole or not at all (`whole_files`).
Always holds: memory does not grow with what is exported.
"""

import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import msgspec

from holdfast import edges
from holdfast.kinds.event_records import Event
from holdfast.whole_files import failure, made_whole

_encode = msgspec.json.Encoder().encode


class EventExport(msgspec.Struct, frozen=True, kw_only=True):
    """What an export of events wrote: its files' names, the oldest day first."""

    files: tuple[str, ...]
    events: int
    bytes: int


def folder_of(folder: object) -> Path:
    """The folder to export to, made if it is not there. Raises `CannotOpen`."""
    if not isinstance(folder, (str, os.PathLike)):
        raise edges.wrong_type("folder", "a path", folder)
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise failure(path, error) from error
    return path


def export_days(events: Iterable[Event], folder: Path) -> EventExport:
    """Write events, which come in the order of time, into their days' files."""
    names: list[str] = []
    count = size = 0
    for day, found in groupby(events, lambda event: event.at.date()):
        name = f"events-{day:%Y-%m-%d}.jsonl"
        assert not names or names[-1] < name, "events come in the order of time"
        with made_whole(folder / name) as file:
            for event in found:
                line = _encode(event) + b"\n"
                file.write(line)
                count += 1
                size += len(line)
        names.append(name)
    return EventExport(files=tuple(names), events=count, bytes=size)
