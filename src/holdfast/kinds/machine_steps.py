"""Steps of machines: an event, and all that it leads to, in one transaction.

Answers for: whether an event is taken; exit, actions, the new state, entry; which
effects and timers there are; moving on to a newer version of a definition.
Leaves to others: what a definition says (`statecharts/specs`), who may send
(`machines`), their jobs (`machine_effects`), what comes of those (`machine_answers`).
Always holds: a machine's state, context, history and queued effects are written
together, or none of them; a state is entered once, however often it is looked at.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.engine import Row, Transaction
from holdfast.errors import Refused
from holdfast.kinds.job_rows import NewJob
from holdfast.kinds.machine_effects import (
    Told,
    cancel_timers,
    lane_of,
    put_told,
    set_timer,
)
from holdfast.kinds.machine_records import (
    Machine,
    MachineStep,
    Outcome,
    Unknown,
    moves_of,
)
from holdfast.limits import hold
from holdfast.statecharts.expressions import Scope
from holdfast.statecharts.guards import GuardFailed
from holdfast.statecharts.specs import (
    Action,
    Effect,
    Spec,
    State,
    Transition,
    Update,
    spec_of,
    updated,
)

SUCCESS, ERROR = "SUCCESS", "ERROR"
"""What a machine is sent when its effects are done, or one of them could not be."""
_AT_ONCE = 100
"""How many steps one event may lead to."""
_COMPILED = 1_000


class Unprovided(Refused):
    """Nobody in this process provides a guard, which is no fault of the event."""


class Compiled(msgspec.Struct, frozen=True):
    """A version of a definition, ready to be followed."""

    name: str
    version: int
    spec: Spec
    unknown: Unknown
    from_versions: dict[int, dict[str, str]]


def compiled(tx: Transaction, name: str, version: int, digest: str) -> Compiled:
    """A version of a definition, from what was compiled before or from its row."""
    kept = tx.terms.provided.compiled
    found = kept.get(digest)
    if found is None:
        row = tx.one(
            "machine_definition_get", owner=tx.terms.owner, name=name, version=version
        )
        assert row is not None
        found = compiled_of(row)
        if len(kept) >= _COMPILED:
            kept.clear()
        kept[digest] = found
    return found


def compiled_of(row: Row) -> Compiled:
    """A version of a definition, from its row."""
    name, version, spec, unknown, from_versions, *_ = row
    return Compiled(
        name=name,
        version=version,
        spec=spec_of(codec.decode(spec)),
        unknown=Unknown(unknown),
        from_versions=moves_of(from_versions),
    )


class _Queued(msgspec.Struct, frozen=True):
    """An effect to be queued: its tool's payload, and the event's."""

    effect: Effect
    body: Any
    payload: Any
    step: int
    answers: bool


class Moving:
    """A machine, locked, and what is to be written of it."""

    def __init__(self, tx: Transaction, row: Row, definition: Compiled) -> None:
        self.tx = tx
        self._row = row
        self.no: int = row[0]
        self.id: str = row[2]
        self.version: int = row[4]
        self.state: str = row[5]
        self.context: dict[str, Any] = codec.decode(row[6])
        self.steps: int = row[7]
        self.entered: int = row[8]
        self.entered_at: int = row[9]
        self.fence: int | None = row[12]
        """The fence of a live lease on it, if there is one."""
        self.told: list[str] = []
        self.made: list[tuple[MachineStep, str | None]] = []
        self._definition = definition
        self._queued: list[_Queued] = []
        self._came = False
        """Whether it has come into a state, whose timers begin."""
        self._timed = False
        """Whether it has left a state that may have timers, which are over."""

    @property
    def machine(self) -> Machine:
        """The machine as it stands now."""
        row, made = self._row, self.made
        return Machine(
            id=self.id,
            owner=row[1],
            name=row[3],
            version=self.version,
            state=self.state,
            context=self.context,
            steps=self.steps,
            entered_at=to_datetime(self.entered_at),
            created_at=to_datetime(row[10]),
            updated_at=made[-1][0].at if made else to_datetime(row[11]),
        )

    def begin(self) -> None:
        """Come into the initial state, of a new machine."""
        self._keep(None, None, self.state)
        self._came = True
        self._enter(None)
        self._go_on(None)

    def follow(self) -> None:
        """Follow the newest version of its definition from here on. Runs nothing.

        A state that is called otherwise now is the same one: what it waits for is
        still told, and its timers are the new version's, from when it was entered.
        """
        newest = self._definition
        if self.version == newest.version:
            return
        state, kept, note = self.state_in_newest()
        note = f"version {self.version} to {newest.version}" + note
        was, self.version = self.state, newest.version
        self.steps += 1
        self._keep(None, was, state, note=note)
        self.state = state
        self._timed = self._came = True
        if not kept:
            self._come_into(state)

    def state_in_newest(self) -> tuple[str, bool, str]:
        """Its state in the newest version, whether it is there, and a note of that."""
        newest = self._definition
        if self.version == newest.version:
            return self.state, True, ""
        state = self._moved()
        if state not in newest.spec.states:
            initial = newest.spec.initial
            return initial, False, f": no state {state!r} any more, back to {initial!r}"
        note = "" if state == self.state else f": {self.state!r} is {state!r}"
        return state, True, note

    def take(
        self, event: str, payload: Any, *, once: str | None = None, refuse: bool = True
    ) -> Outcome:
        """Take an event, if the state does. Raises `Refused`, if it is to do so."""
        found = self.transition(event, payload)
        if found is None:
            if refuse and self._definition.unknown is Unknown.REFUSE:
                raise Refused(
                    f"machine {self.id!r} is {self.state!r}, which takes no {event!r} "
                    f"but {_listed(self._state.on)}; nothing was written"
                )
            return Outcome.IGNORED
        if not found:
            return Outcome.GUARDED
        self._make(found[0], event, payload, once)
        self._go_on(payload)
        return Outcome.TAKEN

    def transition(self, event: str, payload: Any) -> Sequence[Transition] | None:
        """The transition that an event leads to; None for none, empty if guarded."""
        choices = self._state.on.get(event)
        if choices is None:
            return None
        for choice in choices:
            if self._passes(choice, payload):
                return (choice,)
        return ()

    def update(self, updates: Iterable[Update], scope: Scope, note: str) -> None:
        """Change the context by what an effect's `onSuccess` says: that is a step."""
        context = updated(self.context, updates, scope)
        if context != self.context:
            self.context = context
            self.steps += 1
            self._keep(None, self.state, self.state, note=note)

    def write(self, *, new: bool = False) -> None:
        """Write what has become of it."""
        text = codec.document(self.context).text
        limit = self.tx.limits.value_bytes
        if len(text) * 4 > limit:
            what = f"the context of machine {self.id!r}"
            hold(len(text.encode()), limit, what, "value_bytes")
        if new:
            self._write_new()
        for step, once in self.made:
            self._write_step(step, once, text)
        self._say_state()
        self._forget_steps()
        if self._timed:
            cancel_timers(self.tx, self.no)
        if self._came:
            self.set_timers()
        self._queue()

    def settle(self) -> None:
        """Say anew in which state it is, and set its timers, once it was put back."""
        row = {"no": self.no, "owner": self.tx.terms.owner}
        self.tx.put("machine_now_drop", **row)
        name, created_at = self._row[3], self._row[10]
        state = {"version": self.version, "state": self.state}
        self.tx.put("machine_now_add", name=name, created_at=created_at, **state, **row)
        self.set_timers()

    def set_timers(self) -> None:
        """Set the timers of its state, from when it came into it."""
        state = self._definition.spec.states.get(self.state)
        for wait_us, event in () if state is None else state.after:
            set_timer(
                self.tx,
                Told(self.no, self.steps, self.entered, event=event),
                {"machine": self.id, "state": self.state, "event": event},
                self.entered_at + wait_us,
            )

    @property
    def _state(self) -> State:
        return self._definition.spec.states[self.state]

    def _passes(self, choice: Transition, payload: Any) -> bool:
        if choice.guard is None:
            return True
        terms, name = self.tx.terms, self._definition.name
        functions = terms.provided.guards(terms.owner, name)
        try:
            return choice.guard.holds(
                self.state, self.context, payload, functions, self.tx.now
            )
        except LookupError as error:
            raise Unprovided(
                f"machine {self.id!r}: nobody in this process provides the guard "
                f"{error.args[0]!r}; nothing was written: define "
                f"{name!r} here, with guards={{...}}"
            ) from None
        except GuardFailed as error:
            self.told.append(str(error))
            return False

    def _make(
        self, choice: Transition, event: str, payload: Any, once: str | None
    ) -> None:
        """Make a transition."""
        was, target = self.state, choice.target
        self.steps += 1
        self._act(self._state.exit, payload, answers=False)
        self._act(choice.actions, payload)
        self._keep(event, was, target, once=once)
        if target != was:
            self._timed = self._timed or bool(self._state.after)
            self._come_into(target)
            self._enter(payload)

    def _come_into(self, state: str) -> None:
        self.state, self.entered, self.entered_at = state, self.steps, self.tx.now
        self._came = True

    def _enter(self, payload: Any) -> None:
        self._act(self._state.entry, payload)

    def _go_on(self, payload: Any) -> None:
        """Send `SUCCESS` at once to states whose entry leaves nothing to wait for."""
        while self._has_done():
            if len(self.made) > _AT_ONCE:
                raise Refused(
                    f"machine {self.id!r} goes round and round by {SUCCESS} without "
                    f"any effect, last in {self.state!r}; nothing was written"
                )
            given = payload if isinstance(payload, dict) else {}
            payload = {**given, "result": None}
            found = self.transition(SUCCESS, payload)
            if not found:
                return
            self._make(found[0], SUCCESS, payload, None)

    def _has_done(self) -> bool:
        """Whether it has come into a state whose entry is done already."""
        waits = any(one.step == self.steps and one.answers for one in self._queued)
        entered = self.entered == self.steps
        return entered and bool(self._state.entry) and not waits

    def _act(
        self, actions: Sequence[Action], payload: Any, *, answers: bool = True
    ) -> None:
        """Do a list of actions: all of them see the context as it is before it."""
        if not actions:
            return
        scope = Scope.of(self.context, payload, self.tx.now)
        for action in actions:
            if isinstance(action, Effect):
                body = scope.value_of(action.payload)
                queued = _Queued(action, body, payload, self.steps, answers)
                self._queued.append(queued)
        updates = (one for one in actions if isinstance(one, Update))
        self.context = updated(self.context, updates, scope)

    def _keep(
        self,
        event: str | None,
        was: str | None,
        state: str,
        *,
        once: str | None = None,
        note: str | None = None,
    ) -> None:
        step = MachineStep(
            position=self.steps,
            event=event,
            from_state=was,
            to_state=state,
            at=to_datetime(self.tx.now),
            note=note,
        )
        self.made.append((step, once))

    def _write_new(self) -> None:
        row = {"no": self.no, "owner": self.tx.terms.owner}
        name, created_at = self._definition.name, self.tx.now
        self.tx.put("machine_add", id=self.id, name=name, now=created_at, **row)
        state = {"version": self.version, "state": self.state}
        self.tx.put("machine_now_add", name=name, created_at=created_at, **state, **row)

    def _say_state(self) -> None:
        """Say in which state it is, if that is another one."""
        if (self.version, self.state) != self._row[4:6]:
            self.tx.put(
                "machine_now_change",
                owner=self.tx.terms.owner,
                no=self.no,
                version=self.version,
                state=self.state,
            )

    def _write_step(self, step: MachineStep, once: str | None, context: str) -> None:
        self.tx.put(
            "machine_step_add",
            no=self.tx.new_no(),
            owner=self.tx.terms.owner,
            machine=self.no,
            position=step.position,
            now=self.tx.now,
            event=step.event,
            from_state=step.from_state,
            to_state=step.to_state,
            once=once,
            note=step.note,
            version=self.version,
            entered=self.entered,
            entered_at=self.entered_at,
            context=context,
        )

    def _forget_steps(self) -> None:
        """Now and then, forget what is past the history's limit."""
        keep = max(1, self.tx.limits.machine_steps)  # the newest is the machine
        every = max(1, keep // 8)
        if self.steps > keep and self.steps % every < len(self.made):
            upto = self.steps - keep
            self.tx.put(
                "machine_step_forget",
                owner=self.tx.terms.owner,
                machine=self.no,
                upto=upto,
            )

    def _queue(self) -> None:
        """Queue the effects, each a job in the machine's lane."""
        last = {one.step: one for one in self._queued if one.answers}
        for one in self._queued:
            on_success = [update.values for update in one.effect.on_success]
            told = Told(
                self.no,
                one.step,
                self.entered if one.answers else None,
                last=int(last.get(one.step) is one),
                on_success=codec.text_of(on_success or None),
                payload=codec.text_of(one.payload),
            )
            job = NewJob(
                id=self.tx.new_id(),
                kind=one.effect.tool,
                body=codec.text_of(one.body),
                lane=lane_of(self.id),
            )
            put_told(self.tx, told, job)

    def _moved(self) -> str:
        """Its state by what the versions since say that their states are called."""
        newest = self._definition
        direct = newest.from_versions.get(self.version)
        if direct is not None:
            return direct.get(self.state, self.state)
        asked = {"owner": self.tx.terms.owner, "name": newest.name}
        rows = self.tx.all(
            "machine_definition_since", after=self.version, limit=1_000, **asked
        )
        state, version = self.state, self.version
        for row in rows:
            state = moves_of(row[4]).get(version, {}).get(state, state)
            version = row[1]
        return state


def _listed(events: Mapping[str, object]) -> str:
    return ", ".join(map(repr, sorted(events))) or "nothing"


def tell(moving: Moving) -> None:
    """Warn of what went wrong with an event, and did not stop it."""
    if moving.told:
        import logging  # noqa: PLC0415  # it loads slowly, and few need it

        for what in moving.told:
            logging.getLogger("holdfast.machines").warning(
                "machine %r: %s", moving.id, what
            )
