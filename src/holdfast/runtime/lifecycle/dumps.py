"""Dumps: what is known of a program, written beside its store when it is in trouble.

Answers for: the file: where it is, what is in it, how many there may be.
Leaves to others: when one is written (`lifecycle`), what participants have in memory
(`checkpoints`).
Always holds: the file is whole or not there, for its owner's eyes only, and without
what looks like a secret; writing it raises nothing.
"""

import json
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.clock import Clock, to_datetime
from holdfast.config.masking import MASK, is_secret_name, masked, shown_of
from holdfast.logs import logger
from holdfast.runtime.lifecycle.phases import LifecycleReport
from holdfast.whole_files import made_whole

if TYPE_CHECKING:
    from holdfast.runtime.lifecycle.modules import Plan

A_LIFE = 5
"""So many dumps are written in one life; errors after that are in the log only."""
KEPT = 10
"""So many dumps of one store are kept, the newest."""
_SHOWN_CHARACTERS = 1_000
_SECRET_CHARACTERS = 6


class Trouble(msgspec.Struct, frozen=True):
    """What a dump is written for."""

    what: str
    error: BaseException | None = None


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
        """Delete all but the newest."""
        there = sorted(self.folder.glob(f"{_plain(self.name)}-dump-*.json"))
        for path in there[:-KEPT]:
            path.unlink(missing_ok=True)


def place_of(store_place: str, folder: Path | None) -> Place:
    """Beside a store in a file; else in the current folder, or in the one given."""
    if store_place == ":memory:" or "://" in store_place:
        return Place(folder or Path.cwd(), "holdfast")
    path = Path(store_place).absolute()
    return Place(folder or path.parent, path.name)


def write(
    path: Path,
    trouble: Trouble,
    report: LifecycleReport,
    plans: Mapping[str, "Plan"],
    told: Mapping[str, object],
) -> bool:
    """Write a dump; False if that failed, which the log says."""
    try:
        text = _text(trouble, report, plans, told)
        with made_whole(path) as file:
            file.write(text.encode("utf-8", "replace"))
    except Exception as error:
        logger("holdfast.lifecycle").exception(
            "no emergency dump could be written to %s: %s", path, error
        )
        return False
    logger("holdfast.lifecycle").critical("%s: see %s", trouble.what, path)
    return True


def _text(
    trouble: Trouble,
    report: LifecycleReport,
    plans: Mapping[str, "Plan"],
    told: Mapping[str, object],
) -> str:
    data = {
        "what": trouble.what,
        "error": _said(trouble.error),
        "traceback": _trace(trouble.error),
        **told,
        "process": {
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "holdfast": getattr(sys.modules.get("holdfast"), "__version__", None),
            "command": sys.argv,
        },
        "phase": report.phase,
        "why": report.why,
        "modules": [_module(plan, report) for plan in plans.values()],
        "steps": [msgspec.structs.asdict(step) for step in report.steps],
        "threads": _threads(),
    }
    text = json.dumps(_shown(data), indent=1, ensure_ascii=False, default=_other)
    for name, value in os.environ.items():
        if is_secret_name(name) and len(value) >= _SECRET_CHARACTERS:
            text = text.replace(json.dumps(value, ensure_ascii=False)[1:-1], MASK)
    return text


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


def _module(plan: "Plan", report: LifecycleReport) -> dict[str, object]:
    return {
        "name": plan.name,
        "begun": plan.name in report.begun,
        "left_out": report.left_out.get(plan.name),
        "needs": list(plan.needs),
        "optional": plan.optional,
    }


def _said(error: BaseException | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"


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


def _plain(name: str) -> str:
    """A name that stands for itself in a pattern of paths."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
