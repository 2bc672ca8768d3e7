"""`holdfast worker`: does a store's jobs with the handlers of a program's module.

Answers for: finding the handlers, saying what is served, the report at the end.
Leaves to others: doing the jobs (`runtime/jobs`).
Always holds: no store is created; what a module raises while it is imported is shown
with the lines of that module.
"""

import importlib
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter, validators
from rich.text import Text

from holdfast.cli import output
from holdfast.cli.opening import Where, writable
from holdfast.errors import BadInput
from holdfast.runtime.jobs.worker import Worker, WorkerReport
from holdfast.store import Store

_FORM = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_QUIET = {"name", "running", "unhandled"}
_POSITIVE = validators.Number(gt=0)


Handlers = Annotated[
    str,
    Parameter(
        help="MODULE:HANDLERS, a dict in a module: functions by kind; or a function of "
        "the store that gives one, and defines machines."
    ),
]
Whose = Annotated[str, Parameter(help="Whose jobs.", show_default=False)]
AcrossOwners = Annotated[
    bool, Parameter(help="All owners' jobs, in turn.", negative="")
]
Concurrency = Annotated[
    int, Parameter(help="So many jobs at once.", validator=_POSITIVE)
]
Lanes = Annotated[
    list[str] | None,
    Parameter(help="Only jobs of this lane (may be repeated).", negative=""),
]
Name = Annotated[
    str | None, Parameter(help="The worker's name; else host, process, a number.")
]
LeaseSeconds = Annotated[
    float,
    Parameter(
        help="A job that it has goes to others so long after it died.",
        validator=_POSITIVE,
    ),
]
GraceSeconds = Annotated[
    float,
    Parameter(
        help="So long it waits, when it is stopped, for jobs that run.",
        validator=validators.Number(gte=0),
    ),
]


def worker(
    handlers: Handlers,
    /,
    *,
    store: Where,
    owner: Whose = "",
    across_owners: AcrossOwners = False,
    concurrency: Concurrency = 10,
    lane: Lanes = None,
    name: Name = None,
    lease_seconds: LeaseSeconds = 30.0,
    grace_seconds: GraceSeconds = 30.0,
) -> None:
    """Do the jobs of a store, until SIGTERM or Ctrl-C.

    MODULE is looked for in the current folder too. Once stopped, it takes no more jobs,
    finishes those that it has or gives them back, and says what it has done.
    """
    found = handlers_of(handlers)
    logging.basicConfig(level=logging.INFO, format=_FORM)
    with writable(store) as there:
        mine = there.owned_by(owner)
        working = Worker(
            mine,
            found if isinstance(found, Mapping) else given_by(found, mine, handlers),
            concurrency,
            name=name,
            lanes=lane,
            lease_seconds=lease_seconds,
            grace_seconds=grace_seconds,
            across_owners=across_owners,
        )
        _say(_begun(working, there.place, concurrency))
        working.run()
    _say(_told(working.report()))


def handlers_of(text: str) -> Mapping[str, Any] | Callable[[Store], Any]:
    """The handlers that MODULE:HANDLERS names, or what gives them of a store.

    Raises `BadInput`.
    """
    name, _, path = text.partition(":")
    if not all(part.isidentifier() for part in [*name.split("."), *path.split(".")]):
        raise BadInput(
            f"{text!r} names no handlers: write MODULE:HANDLERS, such as app:handlers"
        )
    module = _imported(name)
    try:
        found = reduce(getattr, path.split("."), module)
    except AttributeError:
        raise BadInput(
            f"the module {name!r} ({_place(module)}) has no {path!r}: a dict of "
            "functions by kind is looked for"
        ) from None
    if not isinstance(found, Mapping) and not callable(found):
        raise _no_handlers(text, found)
    return found


def given_by(
    function: Callable[[Store], Any], store: Store, text: str
) -> Mapping[str, Any]:
    """The handlers that a function gives of a store. Raises `BadInput`."""
    found = function(store)
    if not isinstance(found, Mapping):
        raise _no_handlers(f"what {text} gives", found)
    return found


def _no_handlers(what: str, found: object) -> BadInput:
    return BadInput(
        f"{what} is of type {type(found).__name__}: a dict of functions by kind is "
        'looked for, such as {"research": research}, or a function of the store that '
        "gives one"
    )


def _imported(name: str) -> ModuleType:
    """A module, looked for in the current folder first. Raises `BadInput`."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise BadInput(
                f"there is no module {error.name!r}, neither in {here} nor installed"
            ) from None
        raise _broken(name, error) from None
    except Exception as error:
        raise _broken(name, error) from None


def _broken(name: str, error: Exception) -> BadInput:
    """What is told of a module that cannot be imported: its own lines, then why."""
    trace = error.__traceback__
    while trace and _is_importing(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    lines = traceback.format_exception(error.with_traceback(trace))
    return BadInput(
        f"the module {name!r} cannot be imported:\n{''.join(lines)}".rstrip()
    )


def _is_importing(file: str) -> bool:
    return file == __file__ or file.startswith("<frozen") or "importlib" in file


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "a folder without __init__.py"


def _named(kinds: Iterable[str]) -> str:
    return ", ".join(map(output.one_line, kinds)) or "nothing"


def _begun(working: Worker, place: str, concurrency: int) -> str:
    return (
        f"worker {output.safe(working.name)} serves {_named(working.kinds)} of "
        f"{output.safe(place)}, {concurrency:,} at once; Ctrl-C stops it"
    )


def _told(report: WorkerReport) -> str:
    """What a worker has done, in a line, and what it left."""
    figures = msgspec.structs.asdict(report)
    said = [
        f"{count:,} {what}"
        for what, count in figures.items()
        if what not in _QUIET and (count or what == "done")
    ]
    left = [
        f"{output.count(count, 'job')} of kind {output.one_line(kind)!r}"
        for kind, count in report.unhandled.items()
    ]
    waits = f"; without a handler there: {', '.join(left)}" if left else ""
    return f"worker {output.safe(report.name)} has stopped: {', '.join(said)}{waits}"


def _say(text: str) -> None:
    output.console().print(Text(text), soft_wrap=True)
    sys.stdout.flush()
