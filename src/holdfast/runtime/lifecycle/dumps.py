"""Dumps: what is known of a program, written beside its store when it is in trouble.

Answers for: the file: where it is, what is in it, how many there may be.
Leaves to others: when one is written (`control`, `uncaught`), what participants have in
memory (`checkpoints`).
Always holds: the file is whole or not there, for its owner's eyes only, and without
what looks like a secret; writing it raises nothing.
"""

import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from holdfast.clock import Clock, to_datetime
from holdfast.config.masking import is_secret_name, masked, shown_of
from holdfast.config.secret import MASK
from holdfast.logs import logger
from holdfast.runtime.lifecycle.modules import Plan, Plans
from holdfast.runtime.lifecycle.phases import LifecycleReport
from holdfast.runtime.lifecycle.sequence import Sequence
from holdfast.runtime.lifecycle.store_steps import StoreSteps
from holdfast.whole_files import made_whole

A_LIFE = 5
"""So many dumps are written in one life; errors after that are in the log only."""
KEPT = 10
"""So many dumps of one store are kept, the newest."""
_OURS = r"-dump-\d{8}T\d{6}\.\d{6}Z-\d+-\d+\.json"
"""What a dump's name ends with."""
_SHOWN_CHARACTERS = 1_000
_SECRET_CHARACTERS = 6


class Dumps:
    """Writes the dumps of one life."""

    def __init__(
        self,
        sequence: Sequence,
        store_steps: StoreSteps,
        plans: Plans,
        folder: Path | bool,
    ) -> None:
        self._sequence = sequence
        self._store_steps = store_steps
        self._plans = plans
        self._folder = folder
        self._numbers = count(1)
        self._errors = count(1)

    @property
    def place(self) -> "Place":
        """Where dumps are written."""
        folder = self._folder if isinstance(self._folder, Path) else None
        return place_of(self._store_steps.place, folder)

    def write(self, what: str, error: BaseException | None) -> Path | None:
        """Write one, unless that is not wanted, or enough were; its path."""
        if error is not None and self._folder is False:
            return None
        if error is not None and next(self._errors) > A_LIFE:
            return None
        try:
            return self._write(what, error)
        except Exception as problem:
            logger("holdfast.lifecycle").exception(
                "no emergency dump could be written: %s", problem
            )
            return None

    def _write(self, what: str, error: BaseException | None) -> Path:
        place = self.place
        path = place.path(self._store_steps.clock, next(self._numbers))
        text = _text(self._told(what, error))
        with made_whole(path) as file:
            file.write(text.encode("utf-8", "replace"))
        self._sequence.dumps.append(str(path))
        logger("holdfast.lifecycle").critical("%s: see %s", what, path)
        with suppress(OSError):
            place.drop_old()
        return path

    def _told(self, what: str, error: BaseException | None) -> dict[str, object]:
        """All that is told."""
        report, steps = self._sequence.report(), self._store_steps
        return {
            "what": what,
            "error": None if error is None else f"{type(error).__name__}: {error}",
            "traceback": _trace(error),
            "at": to_datetime(steps.clock.now_us()).isoformat(),
            "store": steps.place,
            "owner": steps.owner,
            "participants": self._participants(),
            "process": _process(),
            "phase": report.phase,
            "why": report.why,
            "modules": [_module(p, report) for p in self._plans.by_name.values()],
            "steps": [msgspec.structs.asdict(step) for step in report.steps],
            "threads": _threads(),
        }

    def _participants(self) -> Any:
        """What participants of checkpoints have in memory; or why that is not known."""
        try:
            return self._store_steps.collected()
        except Exception as error:
            return f"they could not be asked: {type(error).__name__}: {error}"


class Place(msgspec.Struct, frozen=True):
    """Where dumps are written: a folder, and what their names begin with."""

    folder: Path
    name: str

    def path(self, clock: Clock, number: int) -> Path:
        """The path of a new one: its name sorts by time."""
        at = f"{to_datetime(clock.now_us()):%Y%m%dT%H%M%S.%fZ}"
        return self.folder / f"{self.name}-dump-{at}-{os.getpid()}-{number}.json"

    def faults(self) -> Path:
        """The path of Python's own report of a crash."""
        return self.folder / f"{self.name}-fault-{os.getpid()}.txt"

    def drop_old(self) -> None:
        """Delete all but the newest, and nothing that only has a name like theirs."""
        named = re.compile(re.escape(self.name) + _OURS)
        there = [path for path in self.folder.iterdir() if named.fullmatch(path.name)]
        for path in sorted(there)[:-KEPT]:
            path.unlink(missing_ok=True)


def place_of(store_place: str, folder: Path | None) -> Place:
    """Beside a store in a file; else in the current folder, or in the one given."""
    if store_place == ":memory:" or "://" in store_place:
        return Place(folder or Path.cwd(), "holdfast")
    path = Path(store_place).absolute()
    return Place(folder or path.parent, path.name)


def _text(told: Mapping[str, object]) -> str:
    """What is written; values of secret variables are masked wherever they stand."""
    text = json.dumps(_shown(told), indent=1, ensure_ascii=False, default=_other)
    for name, value in os.environ.items():
        if is_secret_name(name) and len(value) >= _SECRET_CHARACTERS:
            text = text.replace(json.dumps(value, ensure_ascii=False)[1:-1], MASK)
    return text


def _process() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "holdfast": getattr(sys.modules.get("holdfast"), "__version__", None),
        "command": _command(sys.argv),
    }


def _command(words: list[str]) -> list[str]:
    """The command, without what stands behind a secret's option: `--token hush`."""
    return [
        MASK if before.startswith("-") and is_secret_name(before) else word
        for before, word in zip(["", *words], words, strict=False)
    ]


def _shown(data: Mapping[str, object]) -> dict[str, Any]:
    """Plain data, its secrets masked; what cannot be shown says so, and is one part."""
    shown: dict[str, Any] = {}
    for name, value in data.items():
        try:
            found = masked(value)
            json.dumps(found, default=_other)
        except Exception as error:
            found = f"it cannot be shown: {type(error).__name__}"
        shown[name] = found
    return shown


def _other(value: object) -> str:
    """What JSON does not have, as far as it can be shown."""
    return shown_of(repr(value)[:_SHOWN_CHARACTERS])


def _module(plan: Plan, report: LifecycleReport) -> dict[str, object]:
    return {
        "name": plan.name,
        "begun": plan.name in report.begun,
        "left_out": report.left_out.get(plan.name),
        "needs": list(plan.needs),
        "optional": plan.optional,
    }


def _trace(error: BaseException | None) -> list[str]:
    if error is None:
        return []
    return "".join(traceback.format_exception(error)).splitlines()


def _threads() -> dict[str, list[str]]:
    """Where each thread stands."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        f"{names.get(ident, '?')} ({ident})": "".join(
            traceback.format_stack(frame)
        ).splitlines()
        for ident, frame in sys._current_frames().items()  # noqa: SLF001  # documented
    }
