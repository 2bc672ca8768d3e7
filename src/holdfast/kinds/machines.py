"""Machines: state machines whose state survives.

Answers for: making, finding and deleting machines, and sending them events.
Leaves to others: what they are (`machine_definitions`), what an event leads to
(`machine_steps`), what effects tell (`machine_answers`), doing them (`jobs`).
Always holds: a machine's lane is locked before it is read to be written; whoever looks
at one runs nothing.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Object, PageSize, Text, Value
from holdfast.engine import Row
from holdfast.errors import (
    AlreadyExists,
    BadInput,
    Conflict,
    NotFound,
    Refused,
)
from holdfast.kinds.inbox import Inbox
from holdfast.kinds.inbox_records import InboxMessage
from holdfast.kinds.job_records import Ending, JobStatus
from holdfast.kinds.job_rows import lock_lane
from holdfast.kinds.job_turns import turn_of
from holdfast.kinds.machine_answers import tell_later
from holdfast.kinds.machine_definitions import Definitions
from holdfast.kinds.machine_effects import (
    Told,
    cancel_timers,
    drop_effects,
    have_told,
    lane_of,
)
from holdfast.kinds.machine_records import (
    EventName,
    Machine,
    MachineId,
    MachineName,
    MachineStep,
    Outcome,
    Sent,
    machine_of,
    step_of,
)
from holdfast.kinds.machine_steps import Compiled, Moving, Unprovided, compiled, tell
from holdfast.page import Page, cursor_of, place_of
from holdfast.restoring import Plan, Restoring

_ALL = 2**62
_CREATED = 10


class Machines(Definitions):
    """State machines; each call is a transaction of its own, or part of an open one."""

    @operation
    def create(
        self,
        name: MachineName,
        *,
        id: MachineId | None = None,
        context: Object = None,
    ) -> Machine:
        """Make a machine, in its initial state, whose entry actions it does.

        One of that id and name that is there is given back, as it stands. Raises
        `NotFound` (no such definition), `AlreadyExists` (the id, of another name).
        """
        if id is not None and (row := self._row(id)):
            if row[3] != name:
                raise AlreadyExists("machine", id)
            return machine_of(row)
        newest = self._newest(name)
        definition = compiled(self.tx, name, newest[1], newest[5])
        now, id = self.tx.now, id or self.tx.new_id()
        text = codec.text_of({} if context is None else context)
        state = definition.spec.initial
        begun = (0, 0, now, now, now, None)
        row = (self.tx.new_no(), self.owner, id, name, definition.version, state, text)
        moving = Moving(self.tx, (*row, *begun), definition)
        moving.begin()
        moving.write(new=True)
        return moving.machine

    @operation
    def send(
        self,
        id: MachineId,
        event: EventName,
        payload: Value = None,
        *,
        expect: Text | None = None,
        once: Text | None = None,
    ) -> Sent:
        """Send an event to a machine, which may make a transition.

        All that the transition brings is one commit: state, context, history, and the
        jobs of its effects. `expect` is the state that it has to be in. With `once`,
        an event that was taken under that text is not taken again, as long as its step
        is in the history. Raises `NotFound`, `Conflict` (another state than expected),
        `Refused` (an event that the state does not take, if the definition says so; a
        guard that nobody provides), `TooLarge`, `Held`, `Fenced`.
        """
        return self._send(id, event, payload, expect, once)

    @query
    def get(self, id: MachineId) -> Machine:
        """One machine. Raises `NotFound`."""
        return machine_of(self._found(id))

    @query
    def list(
        self,
        name: MachineName | None = None,
        *,
        state: Text | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Machine]:
        """Machines, newest first. Raises `Refused` (a state, and no name)."""
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        values: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        values |= {"before_at": before[0], "before_no": before[1]}
        if name is None:
            if state is not None:
                raise Refused("machines are in a state of their definition: name it")
            rows = self.tx.all("machine_list", **values)
        elif state is None:
            rows = self.tx.all("machine_list_name", name=name, **values)
        else:
            rows = self.tx.all("machine_list_state", name=name, state=state, **values)
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[_CREATED], last[0])
        return Page(map(machine_of, rows[:limit]), more)

    @query
    def can(self, id: MachineId, event: EventName, payload: Value = None) -> bool:
        """Whether an event would lead to a transition now.

        Raises `NotFound`, `Refused` (a guard that nobody provides).
        """
        moving = self._moving(id)
        moving.state, *_ = moving.state_in_newest()
        return bool(moving.transition(event, codec.value_of(payload)))

    @query
    def context(self, id: MachineId) -> dict[str, Any]:
        """A machine's context. Raises `NotFound`."""
        context: dict[str, Any] = codec.decode(self._found(id)[6])
        return context

    @query
    def history(
        self, id: MachineId, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[MachineStep]:
        """A machine's steps, oldest first, as far as they are kept.

        `limits.machine_steps` says how many. Raises `NotFound`.
        """
        after = -1 if cursor is None else place_of(cursor, int)[0]
        asked = {"machine": self._found(id)[0], "after": after}
        rows = self.tx.all(
            "machine_step_list", owner=self.owner, limit=limit + 1, **asked
        )
        more = len(rows) > limit and cursor_of(rows[limit - 1][0])
        return Page(map(step_of, rows[:limit]), more or None)

    @operation
    def upgrade(self, name: MachineName, *, limit: PageSize = 1_000) -> int:
        """Have machines follow the newest version of their definition now; how many.

        Each does so at its next event in any case. Raises `NotFound`.
        """
        asked = {"name": name, "version": self._newest(name)[1]}
        rows = self.tx.all("machine_behind", owner=self.owner, limit=limit, **asked)
        for (id,) in sorted(rows):
            self.lock(id)
            with suppress(NotFound):  # somebody deleted it meanwhile
                moving = self._moving(id)
                moving.follow()
                moving.write()
        return len(rows)

    @operation
    def receive(self, machine: MachineId, *, limit: PageSize = 100) -> tuple[Sent, ...]:
        """Send a machine what its inbox has for it: `{"type": EVENT, "payload": …}`.

        One by one, in their order; a message that is no event, or that the machine
        refuses, is set aside. What is no message's fault is raised, and all of them
        stay: `NotFound`, `Held`, `Fenced`, `Refused` (a guard that nobody provides).
        """
        inbox, sent = Inbox(self.tx), []
        inbox.lock_recipient(machine)
        self.lock(machine)
        self._found(machine)
        for _ in range(limit):
            message = inbox.take(machine)
            if message is None:
                break
            try:
                with self.tx.savepoint():
                    sent.append(self._send_message(machine, message))
            except Unprovided:
                raise
            except (BadInput, Refused) as error:
                inbox.set_aside(message.id, str(error))
        return tuple(sent)

    @operation
    def delete(self, id: MachineId) -> bool:
        """Delete a machine, its history, and what it has queued; True if there was one.

        An effect that is being done goes on. Raises `Held`, `Fenced`.
        """
        row = self._row(id)
        if row is None:
            return False
        self.guard(id)
        self._forget(row[0])
        self.tx.put("machine_step_forget", owner=self.owner, machine=row[0], upto=_ALL)
        self.tx.put("machine_drop", owner=self.owner, no=row[0])
        return True

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many machines and steps the owner has, and their bytes."""
        found = {"machine": "machine_usage", "machine_step": "machine_step_usage"}
        counted = {
            table: self.tx.one(name, owner=self.owner) or (0, 0)
            for table, name in found.items()
        }
        return {table: (row[0], row[1]) for table, row in counted.items()}

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """As for every kind; definitions stay. What it waited for, it waits for again.

        Of work that was done since, it is told again.
        """
        but = ("machine_definition", "machine_effect", "machine_now")
        plan = Restoring(self, past, but=but).plan(id)
        if plan is None:
            return None
        if plan.op == "delete":
            after: Callable[[], None] = partial(self._forget, self._found(id)[0])
        else:
            asked = {"owner": self.owner, "id": id}
            then = past.tx.one("machine_get", **asked)
            assert then is not None
            asked = {"owner": self.owner, "machine": then[0]}
            rows = past.tx.all("machine_effect_told", **asked)
            after = partial(self._wait_again, id, rows)

        def write(plan: Plan = plan, after: Callable[[], None] = after) -> None:
            plan.write()
            after()

        return msgspec.structs.replace(plan, write=write)

    def lock(self, id: str) -> None:
        """As for every kind: by its lane, which its effects' ends lock too."""
        lock_lane(self.tx, lane_of(id))

    def _forget(self, no: int) -> None:
        """Drop what is beside a machine's own rows."""
        drop_effects(self.tx, no, after=-1)
        self.tx.put("machine_now_drop", owner=self.owner, no=no)

    def _wait_again(self, id: str, rows: Sequence[Row]) -> None:
        """Have a machine that was put back told of what it waited for then."""
        no = self._settle(id)
        asked = {"owner": self.owner, "machine": no}
        there = {row[1] for row in self.tx.all("machine_effect_list", **asked)}
        for job, _, *rest in rows:
            told = Told(no, *rest)
            if job in there or (told.event is not None and not told.last):
                continue
            have_told(self.tx, told, job)
            if turn_of(self.tx, job) is None:
                self._tell_again(job)

    def _settle(self, id: str) -> int:
        """Drop what steps queued that are no more, set timers anew; its number."""
        moving = self._moving(id)
        drop_effects(self.tx, moving.no, after=moving.steps)
        cancel_timers(self.tx, moving.no)
        moving.settle()
        return moving.no

    def _tell_again(self, job: str) -> None:
        """Tell of a job that has ended already."""
        row = self.tx.one("machine_job_end", owner=self.owner, id=job)
        status, result, error = row or (JobStatus.DEAD, None, "the job is gone")
        ending = Ending(
            id=job, lane=None, fence=0, outcome="done", result=result, error=error
        )
        tell_later(self.tx, job, JobStatus(status), ending)

    def _send_message(self, id: str, message: InboxMessage) -> Sent:
        event, payload = _event_in(message)
        return self._send(id, event, codec.document(payload), None, None)

    def _send(
        self, id: str, event: str, payload: Any, expect: str | None, once: str | None
    ) -> Sent:
        moving = self._moving(id)
        self._pass(id, fence=moving.fence)
        moving.follow()
        if once is not None and (seen := self._seen(moving, once)):
            return seen
        if expect is not None and expect != moving.state:
            raise Conflict(
                "machine", id, expected=expect, found=moving.state, by="state"
            )
        outcome = moving.take(event, codec.value_of(payload), once=once)
        if moving.made:
            moving.write()
        tell(moving)
        steps = [step for step, _ in moving.made if step.event is not None]
        return Sent(
            machine=moving.machine,
            outcome=outcome,
            step=steps[0] if steps else None,
            told=tuple(moving.told),
        )

    def _seen(self, moving: Moving, once: str) -> Sent | None:
        """What is said of an event that was taken under a text already."""
        asked = {"owner": self.owner, "machine": moving.no, "once": once}
        row = self.tx.one("machine_step_once", **asked)
        if row is None:
            return None
        if moving.made:
            moving.write()
        step = step_of(row)
        return Sent(machine=moving.machine, outcome=Outcome.SEEN, step=step)

    def _moving(self, id: str) -> Moving:
        asked = {"owner": self.owner, "id": id, "now": self.tx.now}
        row = self.tx.one("machine_defined", **asked)
        if row is None:
            raise self.not_found(id)
        return Moving(self.tx, row, self._compiled(row))

    def _compiled(self, row: Row) -> Compiled:
        *_, version, digest = row
        return compiled(self.tx, row[3], version, digest)

    def _row(self, id: str) -> Row | None:
        return self.tx.one("machine_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise self.not_found(id)
        return row


def _event_in(message: InboxMessage) -> tuple[str, Any]:
    """The event that a message is. Raises `Refused`."""
    body = message.body
    event = body.get("type") if isinstance(body, dict) else None
    if not isinstance(event, str) or not event:
        raise Refused(
            'a message to a machine is an event: {"type": its name, "payload": …}, '
            f"and not {type(body).__name__} without a type"
        )
    return event, body.get("payload")
