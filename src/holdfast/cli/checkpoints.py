"""The command for checkpoints: what there is, what is in one, and a new one.

Answers for: `checkpoints`, which lists, shows, and asks running processes for one.
Leaves to others: how checkpoints look (`checkpoint_lines`), asking
(`runtime.checkpoints.asking`).
Always holds: what only looks opens the store read-only; nothing creates a store.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators
from rich.text import Text

from holdfast.cli import checkpoint_lines, output
from holdfast.cli.opening import (
    Cursor,
    Full,
    Json,
    Limit,
    Owner,
    Where,
    listed,
    one_of,
    opened,
    scope,
    writable,
)
from holdfast.engine import Terms
from holdfast.errors import BadInput
from holdfast.runtime.checkpoints.asking import (
    Question,
    asked_each,
    owners_with_runs,
)

if TYPE_CHECKING:
    from holdfast.kinds.checkpoint_records import Answer, MemoryCheckpoint
    from holdfast.store import Store

_FAILED = 1


def checkpoints(
    store: Where,
    action: Annotated[
        Literal["list", "show", "take"], Parameter(help="What to do.")
    ] = "list",
    id: Annotated[
        str | None, Parameter(help="Which one to show; else the newest.")
    ] = None,
    /,
    *,
    owner: Owner = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    seconds: Annotated[
        float,
        Parameter(
            help="`take` waits so long for answers.", validator=validators.Number(gt=0)
        ),
    ] = 10.0,
    full: Full = False,
    json: Json = False,
) -> int | None:
    """List checkpoints, newest first; show one; or have running processes take one.

    `take` asks every process that has participants in the store, waits for what they
    answer, and says who did not. Its status is 1 if anybody did not, or a participant
    failed, or there is no such process.
    """
    if id is not None and action != "show":
        raise BadInput(f"only `show` takes an id, and not `{action}`")
    if action == "take":
        return _take(store, owner, seconds, json=json)
    if action == "show":
        _show(store, owner, id, full=full, json=json)
    else:
        _list(store, owner, limit, cursor, json=json)
    return None


def _list(
    target: str, owner: str | None, limit: int, cursor: str | None, *, json: bool
) -> None:
    with opened(target) as there:
        page = listed(scope(there, owner).checkpoints.list, limit, cursor)
    if json:
        output.show_json({"checkpoints": list(page), "cursor": page.cursor})
        return
    width = output.console().width
    found = checkpoint_lines.checkpoints(page, width) if page else [Text(_NONE)]
    output.show(*found, *output.more(page.cursor))


_NONE = "no checkpoints"


def _show(
    target: str, owner: str | None, id: str | None, *, full: bool, json: bool
) -> None:
    with opened(target) as there:
        found = _found(there, owner, id)
    if json:
        output.show_json({"checkpoint": found})
    elif found is None:
        output.show(Text(_NONE))
    else:
        output.show(checkpoint_lines.checkpoint(found, full=full))


def _found(
    store: "Store", owner: str | None, id: str | None
) -> "MemoryCheckpoint | None":
    """The one that is asked for, or the newest of all."""
    if id is not None:
        _, found = one_of(
            store, owner, "checkpoint", id, lambda view: view.checkpoints.get(id)
        )
        return found
    names = store.owners() if owner is None else [owner]
    newest = [store.owned_by(name).checkpoints.latest() for name in names]
    there = [one for one in newest if one is not None]
    return max(there, key=lambda one: (one.taken_at, one.id), default=None)


def _take(target: str, owner: str | None, seconds: float, *, json: bool) -> int | None:
    with writable(target) as there:
        core = there._core  # noqa: SLF001
        names = owners_with_runs(core) if owner is None else [owner]
        questions = [Question(core, Terms(owner=name)) for name in names]
        answers = asked_each(questions, seconds)
    if json:
        output.show_json({"answers": list(answers)})
    elif answers:
        output.show(*map(checkpoint_lines.answer, answers))
    else:
        output.complain(f"no running process has participants in {target}")
    return None if _all_well(answers) else _FAILED


def _all_well(answers: "tuple[Answer, ...]") -> bool:
    return bool(answers) and all(one.answered and not one.failed for one in answers)
