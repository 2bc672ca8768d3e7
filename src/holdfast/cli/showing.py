"""`show`: one record, with what belongs to it.

Answers for: finding a record by its kind and its id, among all owners if none is named.
Leaves to others: how records look (`records`).
Always holds: the store is opened read-only.
"""

import functools
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter, validators
from rich.text import Text

from holdfast.cli import job_lines, machine_lines, output, records
from holdfast.cli.machines import last_steps
from holdfast.cli.opening import (
    PAGE,
    Cursor,
    Full,
    Json,
    Owner,
    Where,
    listed,
    one_of,
    opened,
)
from holdfast.cli.standing import AsOf, Standing, head, json_head, standing
from holdfast.errors import BadInput, NotFound
from holdfast.page import Page

if TYPE_CHECKING:
    from holdfast.kinds.session_records import Message
    from holdfast.store import Store

TASKS_OF_A_SESSION = 20
CHILDREN_OF_A_JOB = 20
LOG_LINES_OF_A_TASK = 200


class KindName(StrEnum):
    """What `show` shows; the plural is understood as well."""

    SESSION = "session"
    SESSIONS = "sessions"
    MESSAGE = "message"
    MESSAGES = "messages"
    ITEM = "item"
    ITEMS = "items"
    TASK = "task"
    TASKS = "tasks"
    THREAD = "thread"
    THREADS = "threads"
    JOB = "job"
    JOBS = "jobs"
    SCHEDULE = "schedule"
    SCHEDULES = "schedules"
    MACHINE = "machine"
    MACHINES = "machines"


class Choice(msgspec.Struct, frozen=True):
    """How a record is shown."""

    owner: str | None
    limit: int
    cursor: str | None
    full: bool
    json: bool
    then: Standing | None


def show(
    store: Where,
    kind: Annotated[KindName, Parameter(help="What it is.")],
    id: Annotated[
        str, Parameter(help="Its id; for a message, SESSION/ID or SESSION/POSITION.")
    ],
    /,
    *,
    owner: Owner = None,
    limit: Annotated[
        int,
        Parameter(
            help="So many messages of a session, checkpoints of a thread, steps of a "
            "machine: the newest.",
            validator=validators.Number(gte=1),
        ),
    ] = 20,
    cursor: Cursor = None,
    full: Full = False,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Show one record: a session, a message, a task, an item, a job, and so on.

    A session with its newest messages and its tasks, a thread with its newest
    checkpoints, a job with the steps of its handler and its newest children, a machine
    with its last steps.
    """
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        choice = Choice(owner, limit, cursor, full, json, then)
        _SHOW[kind.removesuffix("s")](there, id, choice)


def _show_session(store: "Store", id: str, choice: Choice) -> None:
    view, session = one_of(
        store, choice.owner, "session", id, lambda view: view.sessions.get(id)
    )
    messages = _newest(view, id, choice.limit, choice.cursor)
    tasks = view.tasks.list(session=id, limit=TASKS_OF_A_SESSION)
    if choice.json:
        output.show_json(
            {
                **json_head(choice.then),
                "session": session,
                "messages": list(messages),
                "cursor": messages.cursor,
                "tasks": list(tasks),
            }
        )
        return
    parts = [*head(choice.then), records.session(session, full=choice.full), Text()]
    if messages.cursor:
        parts.append(output.hint(f"older messages: add --cursor {messages.cursor}"))
    parts += [records.message(message, full=choice.full) for message in messages]
    if tasks:
        parts += records.tasks(tasks, output.console().width)
    output.show(*parts)


def _newest(view: "Store", id: str, limit: int, cursor: str | None) -> Page["Message"]:
    """The newest messages, or those before a page, of as many pages as it takes."""
    found: list[Message] = []
    while True:
        size = min(limit - len(found), PAGE)
        page = view.sessions.messages(id, size, cursor=cursor)
        found[:0] = page
        cursor = page.cursor
        if cursor is None or len(found) >= limit:
            return Page(found, cursor)


def _show_task(store: "Store", id: str, choice: Choice) -> None:
    view, task = one_of(
        store, choice.owner, "task", id, lambda view: view.tasks.get(id)
    )
    lines = view.tasks.logs(id, limit=LOG_LINES_OF_A_TASK)
    if choice.json:
        found = {"task": task, "log": list(lines)}
        output.show_json({**json_head(choice.then), **found})
    else:
        page = records.task(task, lines, full=choice.full)
        output.show(*head(choice.then), page)


def _show_message(store: "Store", id: str, choice: Choice) -> None:
    session, slash, name = id.partition("/")
    if not slash:
        raise BadInput(
            "a message is named SESSION/ID or SESSION/POSITION, for its id is its "
            "session's own"
        )
    _, message = one_of(
        store, choice.owner, "message", id, lambda view: _message(view, session, name)
    )
    if choice.json:
        output.show_json({**json_head(choice.then), "message": message})
    else:
        output.show(*head(choice.then), records.message(message, full=True))


def _message(view: "Store", session: str, name: str) -> "Message":
    """A message of a session by its position, or else by its id."""
    if name.isascii() and name.isdecimal():
        before = int(name) - 1
        for message in view.sessions.messages(session, 1, after=max(before, 0)):
            if message.position == int(name):
                return message
    for message in view.sessions.history(session):
        if message.id == name:
            return message
    raise NotFound("message", name)


def _show_item(store: "Store", id: str, choice: Choice) -> None:
    _, item = one_of(store, choice.owner, "item", id, lambda view: view.items.find(id))
    if choice.json:
        output.show_json({**json_head(choice.then), "item": item})
    else:
        output.show(*head(choice.then), records.item(item, full=choice.full))


def _show_thread(store: "Store", id: str, choice: Choice) -> None:
    view, thread = one_of(
        store, choice.owner, "thread", id, lambda view: view.threads.get(id)
    )
    page = listed(
        functools.partial(view.threads.checkpoints, id), choice.limit, choice.cursor
    )
    if choice.json:
        found = {"thread": thread, "checkpoints": list(page), "cursor": page.cursor}
        output.show_json({**json_head(choice.then), **found})
        return
    parts = [*head(choice.then), records.thread(thread, page, full=choice.full)]
    output.show(*parts, *output.more(page.cursor))


def _show_job(store: "Store", id: str, choice: Choice) -> None:
    view, job = one_of(store, choice.owner, "job", id, lambda view: view.jobs.get(id))
    steps = view.jobs.steps(id)
    children = view.jobs.list(parent=id, limit=CHILDREN_OF_A_JOB)
    if choice.json:
        found = {"job": job, "steps": list(steps), "children": list(children)}
        output.show_json({**json_head(choice.then), **found})
        return
    width = output.console().width
    page = job_lines.job(job, steps, children, width, full=choice.full)
    output.show(*head(choice.then), page)


def _show_schedule(store: "Store", id: str, choice: Choice) -> None:
    _, schedule = one_of(
        store, choice.owner, "schedule", id, lambda view: view.schedules.get(id)
    )
    if choice.json:
        output.show_json({**json_head(choice.then), "schedule": schedule})
    else:
        page = job_lines.schedule(schedule, full=choice.full)
        output.show(*head(choice.then), page)


def _show_machine(store: "Store", id: str, choice: Choice) -> None:
    view, machine = one_of(
        store, choice.owner, "machine", id, lambda view: view.machines.get(id)
    )
    steps = last_steps(view, machine, choice.limit)
    if choice.json:
        found = {"machine": machine, "steps": list(steps)}
        output.show_json({**json_head(choice.then), **found})
    else:
        page = machine_lines.machine(machine, steps, full=choice.full)
        output.show(*head(choice.then), page)


_SHOW: dict[str, Callable[["Store", str, Choice], None]] = {
    "session": _show_session,
    "task": _show_task,
    "item": _show_item,
    "thread": _show_thread,
    "message": _show_message,
    "job": _show_job,
    "schedule": _show_schedule,
    "machine": _show_machine,
}
