"""The commands for jobs and schedules: what there is, and what an operator does to it.

Answers for: `jobs` with what is below it (`cancel`, `revive`, `signal`, `purge`),
`schedules`.
Leaves to others: `jobs watch` (`watching`), how jobs look (`job_lines`), running them
(`working`).
Always holds: what only looks opens the store read-only; nothing creates a store.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.text import Text

from holdfast.cli import job_lines, output
from holdfast.cli.job_figures import figures_of
from holdfast.cli.opening import (
    PAGE,
    Cursor,
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
from holdfast.cli.standing import AsOf, head, json_head, named, standing
from holdfast.cli.watching import watch
from holdfast.clock import SystemClock, to_datetime
from holdfast.errors import BadInput
from holdfast.kinds.job_records import JobStatus

if TYPE_CHECKING:
    from holdfast.kinds.job_records import Job
    from holdfast.transaction import OpenTransaction

_USAGE = """\
Usage: holdfast jobs STORE [OPTIONS]
       holdfast jobs COMMAND STORE [ARGUMENTS] [OPTIONS]
"""
Id = Annotated[str, Parameter(help="The job's id.")]


def build() -> App:
    """The `jobs` command, which lists, and the commands below it."""
    app = App(name="jobs", usage=_USAGE)
    app.default(jobs)
    for command in (watch, cancel, revive, signal, purge):
        app.command(command)
    return app


def jobs(
    store: Where,
    /,
    *,
    owner: Owner = None,
    status: JobStatus | None = None,
    kind: Annotated[str | None, Parameter(help="Only of this kind.")] = None,
    lane: Annotated[str | None, Parameter(help="Only in this lane.")] = None,
    session: Annotated[str | None, Parameter(help="Only of this session.")] = None,
    parent: Annotated[str | None, Parameter(help="Only children of this job.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List the jobs of a store, newest first (owner by owner), below their figures.

    The figures are of all jobs, whichever are listed. What comes below: `watch` shows
    jobs live; `cancel`, `revive`, `signal` and `purge` change them.
    """
    wanted = {"status": status, "kind": kind, "lane": lane}
    wanted |= {"session": session, "parent": parent}
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        stats = figures_of(there, owner)
        page = listed(scope(there, owner).jobs.list, limit, cursor, **wanted)
    if json:
        found = {"stats": stats, "jobs": list(page), "cursor": page.cursor}
        output.show_json({**json_head(then), **found})
        return
    if not stats.total:
        output.show(*head(then), Text("no jobs"))
        return
    figures = job_lines.figures(stats, to_datetime(SystemClock().now_us()))
    width = output.console().width
    lines = job_lines.jobs(page, width) if page else [Text("no job is like that")]
    output.show(*head(then), figures, Text(), *lines, *output.more(page.cursor))


def schedules(
    store: Where,
    /,
    *,
    owner: Owner = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List the schedules of a store, newest first (owner by owner).

    `missed` says which of the times that passed while no worker was there get a job.
    """
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        page = listed(scope(there, owner).schedules.list, limit, cursor)
    if json:
        found = {"schedules": list(page), "cursor": page.cursor}
        output.show_json({**json_head(then), **found})
        return
    width = output.console().width
    lines = job_lines.schedules(page, width) if page else [Text("no schedules")]
    output.show(*head(then), *lines, *output.more(page.cursor))


def cancel(store: Where, id: Id, /, *, owner: Owner = None, json: Json = False) -> None:
    """Have a job not be done, or no further; the worker that has it gets to know."""
    _change(store, owner, id, lambda tx: tx.jobs.cancel(id), "cancel", json=json)


def revive(store: Where, id: Id, /, *, owner: Owner = None, json: Json = False) -> None:
    """Let a dead or cancelled job begin again, with all of its attempts."""
    _change(store, owner, id, lambda tx: tx.jobs.revive(id), "revive", json=json)


def signal(
    store: Where,
    id: Id,
    name: Annotated[str, Parameter(help="What its handler waits for.")],
    payload: Annotated[
        str | None, Parameter(help="What goes with it, as JSON; else nothing.")
    ] = None,
    /,
    *,
    owner: Owner = None,
    json: Json = False,
) -> None:
    """Send a job a signal; it is kept until the job's handler takes it."""
    given = None if payload is None else _payload(payload)
    _change(
        store,
        owner,
        id,
        lambda tx: tx.jobs.signal(id, name, given),
        "signal",
        json=json,
    )


def purge(
    store: Where,
    /,
    *,
    before: Annotated[
        datetime | int,
        Parameter(
            help='Those that ended before this time, such as "7 days ago".',
            converter=named,
        ),
    ],
    owner: Owner = None,
    json: Json = False,
) -> None:
    """Delete jobs that are done, dead or cancelled, with their steps and signals.

    What they were stays in the journal until that is trimmed.
    """
    if not isinstance(before, datetime):
        raise BadInput('jobs are purged by a time: --before "7 days ago", say')
    purged = 0
    with writable(store) as there:
        for name in there.owners() if owner is None else [owner]:
            view, found = there.owned_by(name), PAGE
            while found == PAGE:
                with view.transaction(cause="holdfast jobs purge") as tx:
                    found = tx.jobs.purge(finished_before=before, limit=PAGE)
                purged += found
    if json:
        output.show_json({"purged": purged})
    else:
        output.show(Text(f"{output.count(purged, 'job')} purged"))


def _payload(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BadInput(
            f"the payload {text!r} is no JSON ({error}); a text is written '\"so\"'"
        ) from None


def _change(
    target: str,
    owner: str | None,
    id: str,
    change: Callable[["OpenTransaction"], "Job"],
    verb: str,
    *,
    json: bool,
) -> None:
    """Change one job, with the command as the cause, and say how it stands."""
    with writable(target) as there:
        view, _ = one_of(there, owner, "job", id, lambda view: view.jobs.get(id))
        with view.transaction(cause=f"holdfast jobs {verb}") as tx:
            job = change(tx)
    if json:
        output.show_json({"job": job})
        return
    stands = job_lines.standing_of(job)
    said = f"job {output.safe(job.id)} is {job.status.value}"
    output.console().print(said + (f": {stands}" if stands else ""), soft_wrap=True)


COMMANDS: Mapping[str, Callable[..., Any]] = {
    "jobs": jobs,
    "jobs-watch": watch,
    "jobs-cancel": cancel,
    "jobs-revive": revive,
    "jobs-signal": signal,
    "jobs-purge": purge,
    "schedules": schedules,
}
"""The commands by the names that the reference has for them."""
