"""Where the load comes from: the package's own conversations, or a user's file.

Answers for: which conversations are replayed, in which order, under which ids.
Leaves to others: the forms of transcript files (`importers`).
Always holds: conversations come in the order of the file, each with all its messages;
what is neither conversation nor message is named in `Load.set_aside`.
"""

import io
import math
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import msgspec

from holdfast.demo.load import MARK, Load, Step, Talk
from holdfast.errors import BadInput
from holdfast.importers.chat_files import Transcripts
from holdfast.importers.intake import Turn
from holdfast.importers.json_stream import open_seekable
from holdfast.importers.report import SetAside

Found: TypeAlias = tuple[str, list[Step]]
"""A conversation as it was read: its title and its steps."""

ENOUGH_STEPS = 5_000
"""So many steps last long enough for kills to spread over them."""

SHORTEST_SECONDS = 4.0
"""How long a smaller file is stretched to, by pauses that both ways make alike."""

LONGEST_PAUSE_SECONDS = 0.2


def shipped() -> Load:
    """The package's own conversations, each replayed often enough for a fair run."""
    text = resources.files("holdfast.demo").joinpath("conversations.json").read_bytes()
    talks, _ = _read(io.BytesIO(text))
    rounds = math.ceil(ENOUGH_STEPS / sum(len(steps) for _, steps in talks))
    source = f"the package's own {len(talks)}, {rounds} times each"
    return _load(source, talks * rounds)


def from_file(path: Path, *, agents: int) -> Load:
    """A user's transcripts. Raises `BadInput` if nothing of it can be replayed."""
    try:
        with open_seekable(path) as file:
            talks, aside = _read(file)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; nothing was started") from error
    if not talks:
        reason = f"{aside[0].position}: {aside[0].reason}" if aside else "it is empty"
        raise BadInput(f"{path}: no conversation: {reason}; nothing was started")
    load = _load(path.name, talks)
    pause = SHORTEST_SECONDS * agents / load.steps if load.steps < ENOUGH_STEPS else 0.0
    return msgspec.structs.replace(
        load,
        pause_seconds=min(pause, LONGEST_PAUSE_SECONDS),
        set_aside=[f"{one.position}: {one.reason}" for one in aside],
    )


def _read(file: BinaryIO) -> tuple[list[Found], list[SetAside]]:
    """The conversations of a file that have messages, and what is none."""
    talks: dict[object, Found] = {}
    aside: list[SetAside] = []
    for event in Transcripts(file).events():
        if isinstance(event, Turn):
            _, steps = talks.setdefault(event.talk, (event.talk.title, []))
            steps.append(_step(event.row))
        elif isinstance(event, SetAside):
            aside.append(event)
    return list(talks.values()), aside


def _load(source: str, talks: list[Found]) -> Load:
    """Number the conversations, in the order of the file."""
    digits = len(str(len(talks)))
    numbered = [
        Talk(id=f"conversation-{number:0{digits}}", title=title, steps=steps)
        for number, (title, steps) in enumerate(talks, start=1)
    ]
    return Load(source, numbered)


def _step(row: dict[str, Any]) -> Step:
    metadata = dict(row.get("metadata") or {})
    metadata.pop(MARK, None)  # where an earlier demonstration's store is the input
    return Step(row["role"], row["content"], metadata)
