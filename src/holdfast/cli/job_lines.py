"""How jobs and schedules look to people.

Answers for: their figures in a line, what a list and a page tell of each.
Leaves to others: choosing them (`jobs`, `showing`), laying them out (`layout`), what
happens to them (`watching`).
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from holdfast.cli.layout import (
    INDENT,
    LINES_OF_A_TEXT,
    STYLES,
    Line,
    listing,
    page,
    shortened,
)
from holdfast.cli.output import one_line, safe, when
from holdfast.kinds.job_records import CHILDREN, JobStatus

if TYPE_CHECKING:
    from holdfast.kinds.job_records import Job, JobStats, Step
    from holdfast.kinds.schedule_records import Schedule

_ALWAYS_TOLD = ("queued", "active", "waiting", "done", "dead")
_SPANS = ((86_400, "days"), (3_600, "h"), (60, "min"))
_AT_LEAST = 2


def figures(found: "JobStats", now: datetime) -> Text:
    """How many jobs there are in each status, and how long one has been ready."""
    parts = []
    for status, count in found.by_status.items():
        if count or status in _ALWAYS_TOLD:
            style = STYLES.get(status, "") if count else "dim"
            parts.append(Text.assemble((f"{count:,}", style), f" {status}"))
    line = Text(", ").join(parts)
    if found.ready_since is not None:
        waited = lasting((now - found.ready_since).total_seconds())
        line.append(f"\nthe oldest has been ready for {waited}")
    return line


def lasting(seconds: float) -> str:
    """A time that something takes, as people say it."""
    seconds = max(seconds, 0.0)
    for size, name in _SPANS:
        if seconds >= _AT_LEAST * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def jobs(found: Iterable["Job"], width: int) -> Iterator[RenderableType]:
    """Jobs: the kind and the body, the id below them, and how they stand."""
    lines = [
        Line(
            titled(job.kind, job.body),
            job.id,
            job.owner,
            (job.status.value, tried(job)),
            job.created_at,
            tuple(_notes(job)),
        )
        for job in found
    ]
    return listing(("job", "status", "attempt", "put (UTC)"), lines, width)


def titled(kind: str, body: object) -> str:
    """What a job is to do, in a line."""
    return one_line(kind) if body is None else f"{one_line(kind)}  {one_line(body)}"


def tried(job: "Job") -> str:
    """How many of its attempts a job has had."""
    return f"{job.attempt}/{job.max_attempts}"


def _notes(job: "Job") -> Iterator[Text]:
    if job.lane is not None:
        yield Text(f"in lane {safe(job.lane)}", style="dim")
    stands = standing_of(job)
    if stands:
        yield Text(stands, style="dim")
    if job.error:
        yield Text(one_line(job.error), style="red")


def standing_of(job: "Job") -> str:
    """What a job waits for, or who has it; nothing if it has ended."""
    until = "" if job.run_at is None else f" {when(job.run_at)} UTC"
    if job.status is JobStatus.ACTIVE:
        lease = "" if job.lease_until is None else f" until {when(job.lease_until)} UTC"
        asked = ", asked to cancel" if job.cancelling else ""
        return f"worker {safe(job.worker or '')}{asked}, lease{lease}"
    if job.status is JobStatus.WAITING:
        return _awaited(job.waits_for, until)
    if job.status is JobStatus.QUEUED and until:
        return f"due{until}"
    return ""


def _awaited(what: str | None, until: str) -> str:
    if what is None:
        return f"sleeps until{until}"
    named = "its children" if what == CHILDREN else f"the signal {one_line(what)!r}"
    return f"waits for {named}" + (f" until{until}" if until else "")


def job(
    record: "Job",
    steps: Iterable["Step"],
    children: Iterable["Job"],
    width: int,
    *,
    full: bool,
) -> RenderableType:
    """One job, with the steps of its handler, and its children."""
    facts = {
        "id": record.id,
        "owner": record.owner,
        "status": record.status.value,
        "stands": standing_of(record),
        "lane": record.lane or "",
        "priority": f"{record.priority}" if record.priority else "",
        "attempt": f"{record.attempt} of {record.max_attempts}",
        "fence": f"{record.fence}" if record.fence else "",
        "retries": _retries(record),
        "deadline": _time(record.deadline),
        "session": record.session or "",
        "parent": record.parent or "",
        "version": record.version or "",
        "trace": one_line(record.trace) if record.trace else "",
        "created": _time(record.created_at),
        "ended": _time(record.finished_at),
        "body": "" if record.body is None else one_line(record.body),
        "result": "" if record.result is None else one_line(record.result),
        "error": record.error or "",
    }
    parts: list[RenderableType] = [page(record.kind, facts, full=full)]
    lines = [line for step in steps for line in _step(step, full=full)]
    below = list(children)
    if lines:
        parts += [Text("\nsteps", style="bold"), *lines]
    if below:
        parts += [Text("\nchildren", style="bold"), *jobs(below, width)]
    return Group(*parts)


def _retries(record: "Job") -> str:
    found = record.backoff
    growing = f", each {found.factor:g} times as long" if found.factor > 1 else ""
    return f"after {found.first_seconds:g} s{growing}, at most {found.most_seconds:g} s"


def _step(step: "Step", *, full: bool) -> Iterator[RenderableType]:
    """A step: when it was done, its name, and what it gave."""
    again = f" ({step.nth + 1})" if step.nth else ""
    due = f"  until {when(step.due)} UTC" if step.due else ""
    yield Text.assemble(
        (f"{step.position:>3} ", "dim"),
        safe(step.name) + again,
        (f"  {when(step.at)}{due}", "dim"),
        ("  waits", "yellow") if step.pending else "",
    )
    if step.result is not None:
        given = one_line(step.result)
        yield Padding(shortened(given, LINES_OF_A_TEXT, full=full, style="dim"), INDENT)


def schedules(found: Iterable["Schedule"], width: int) -> Iterator[RenderableType]:
    """Schedules: the kind and the body, the rule, and when each is due next."""
    lines = [
        Line(
            titled(schedule.kind, schedule.body),
            schedule.id,
            schedule.owner,
            (rule(schedule), _paused(schedule), schedule.missed.value),
            schedule.next_at,
            tuple(_lane_of(schedule)),
        )
        for schedule in found
    ]
    return listing(("schedule", "when", "status", "missed", "next (UTC)"), lines, width)


def _paused(schedule: "Schedule") -> str:
    return "paused" if schedule.paused else "on"


def _lane_of(schedule: "Schedule") -> Iterator[Text]:
    if schedule.lane is not None:
        yield Text(f"in lane {safe(schedule.lane)}", style="dim")


def rule(schedule: "Schedule") -> str:
    """When a schedule is due, in a few words."""
    if schedule.cron is None:
        return f"every {schedule.every_seconds:g} s"
    zone = "" if schedule.timezone == "UTC" else f" {safe(schedule.timezone)}"
    return f"{safe(schedule.cron)}{zone}"


def schedule(record: "Schedule", *, full: bool) -> RenderableType:
    """One schedule."""
    facts = {
        "id": record.id,
        "owner": record.owner,
        "status": _paused(record),
        "when": rule(record),
        "next": _time(record.next_at),
        "missed": record.missed.value,
        "lane": record.lane or "",
        "priority": f"{record.priority}" if record.priority else "",
        "attempts": f"{record.max_attempts}",
        "created": _time(record.created_at),
        "updated": _time(record.updated_at),
        "body": "" if record.body is None else one_line(record.body),
    }
    return page(record.kind, facts, full=full)


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{when(at)} UTC"
