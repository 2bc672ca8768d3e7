"""The sequence of a life: which handler has its turn when, and what its failure means.

Answers for: the phases in order, who is left out, the shutdown in reverse, the steps of
the lifecycle's own (`store_steps`), the report.
Leaves to others: calling a handler, and how long it may take (`caller`, `acaller`).
Always holds: a phase begins when the one before is over; a module is shut down once,
after all that need it, if one of its handlers had come to its end, and what it entered
is left in any case; nothing that a module does keeps another from its shutdown.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from holdfast.errors import NotFound, StartFailed
from holdfast.logs import logger
from holdfast.runtime.error_texts import error_text
from holdfast.runtime.lifecycle.calls import Call, Called, Steps, inside, is_async
from holdfast.runtime.lifecycle.modules import CHECKPOINTS, Plan, Plans
from holdfast.runtime.lifecycle.ordering import needing, ordered
from holdfast.runtime.lifecycle.phases import (
    STARTING,
    LifecycleReport,
    LifecycleStep,
    Phase,
)
from holdfast.runtime.lifecycle.resources import Module, Resource, Resources
from holdfast.runtime.lifecycle.store_steps import StoreSteps

if TYPE_CHECKING:
    import logging


class Member:
    """A module in this life."""

    def __init__(self, plan: Plan, module: Module, resources: Resources) -> None:
        self.plan = plan
        self.name = plan.name
        self.module = module
        self.resources = resources
        self.begun = False
        self.over = False
        """Whether it was shut down, or left out."""
        self.value: object = None


class Sequence:
    """How far a life has come, and what comes next."""

    def __init__(self, plans: Plans, store_steps: StoreSteps) -> None:
        self.phase = Phase.NEW
        self.asked: str | None = None
        """Why it is to end, once anyone said so."""
        self.why: str | None = None
        self.members: dict[str, Member] = {}
        self.left_out: dict[str, str] = {}
        self.dumps: list[str] = []
        self._plans = plans
        self._store_steps = store_steps
        self._steps: list[LifecycleStep] = []
        self._was_ready = False
        self._at: Call | None = None
        """What is being called."""

    def report(self) -> LifecycleReport:
        """How it went so far."""
        return LifecycleReport(
            phase=self.phase,
            why=self.why,
            begun=tuple(m.name for m in self.members.values() if m.begun),
            left_out=dict(self.left_out),
            steps=tuple(self._steps),
            dumps=tuple(self.dumps),
        )

    def value(self, name: str) -> Any:
        """What a module's handlers gave. Raises `NotFound`."""
        if name not in self._plans.by_name:
            raise NotFound("module", name)
        member = self.members.get(name)
        return None if member is None else member.value

    # The start.

    def begin(self, module_of: Callable[[Resources], Module]) -> None:
        """Put the modules in order. Raises `Refused`."""
        order = ordered(self._plans.by_name)
        self._plans.closed = True
        for name in order:
            resources = Resources(name)
            plan = self._plans.by_name[name]
            self.members[name] = Member(plan, module_of(resources), resources)

    def starting(self) -> Steps[None]:
        """From core to ready. Raises `StartFailed`.

        Asked to stop, it goes no further, and is not ready.
        """
        began = time.monotonic()
        self.phase = Phase.CORE
        for call in self._store_steps.opening():
            done = yield from self._step(call)
            if not done.done:
                raise _failed(call, done)
        for phase in STARTING:
            self.phase = phase
            for member in self.members.values():
                if self.asked is not None:
                    return
                yield from self._turn(member, phase)
        if self.asked is not None:
            return
        up = [member.name for member in self.members.values() if not member.over]
        for call in self._store_steps.ready(up):
            yield from self._step(call)
        self._was_ready = True
        _log().info(
            "ready after %.1f s: %s",
            time.monotonic() - began,
            ", ".join(up) or "no modules",
        )

    def _turn(self, member: Member, phase: Phase) -> Steps[None]:
        """One module's turn in a phase of the start."""
        if member.over or phase not in member.plan.turns:
            return
        call = self._call(member, phase)
        done = yield from self._step(call)
        if done.done:
            member.begun = True
            if done.value is not None:
                member.value = done.value
        elif member.plan.optional:
            yield from self._leave_out(member, _what(call, done))
        else:
            raise _failed(call, done)

    def _leave_out(self, member: Member, why: str) -> Steps[None]:
        """Do without a module, and without those that need it."""
        self.left_out[member.name] = why
        others = needing(self._plans.by_name, {member.name})
        for name in others:
            if not self.members[name].over:
                self.left_out.setdefault(name, f"it needs {member.name!r}")
        without = [m for m in self.members.values() if m.name in others | {member.name}]
        _log().warning(
            "module %r is left out: %s%s",
            member.name,
            why,
            f"; so are {', '.join(sorted(others))}, which need it" if others else "",
        )
        for one in reversed(without):
            yield from self._end(one)

    # The shutdown.

    def ending(self, why: str) -> Steps[None]:
        """What is left to do, in reverse, up to the end."""
        self.why = self.why or why
        self.phase = Phase.SHUTDOWN
        began = time.monotonic()
        for call in self._store_steps.beginning_to_end(self.why):
            yield from self._step(call)
        members = list(reversed(self.members.values()))
        first = needing(self._plans.by_name, {CHECKPOINTS})
        yield from self._end_all(m for m in members if m.name in first)
        for call in self._store_steps.checkpoint(was_ready=self._was_ready):
            yield from self._step(call)
        yield from self._end_all(m for m in members if m.name not in first)
        for call in self._store_steps.closing():
            yield from self._step(call)
        self.phase = Phase.ENDED
        _log().info(
            "shut down (%s) in %.1f s%s",
            self.why,
            time.monotonic() - began,
            "" if self.report().orderly else ", not in order: see the report",
        )

    def cut_off(self) -> None:
        """It ends at once: what had no turn yet is told, and has none."""
        if self.phase is Phase.ENDED:
            return
        self.why = self.why or self.asked
        if self._at is not None:
            self._note_cut_off(self._at.module, self._at.phase, self._at.what)
        for member in reversed(self.members.values()):
            if self._has_begun(member) and not member.over:
                self._note_cut_off(member.name, Phase.SHUTDOWN, "handler")
                member.over = True
        self.phase = Phase.ENDED

    def _end_all(self, members: Iterable[Member]) -> Steps[None]:
        for member in members:
            yield from self._end(member)

    def _end(self, member: Member) -> Steps[None]:
        """Shut a module down, if it is up, and leave what it entered."""
        if member.over:
            return
        begun, member.over = self._has_begun(member), True
        if begun and Phase.SHUTDOWN in member.plan.turns:
            yield from self._step(self._call(member, Phase.SHUTDOWN))
        for resource in member.resources.taken():
            yield from self._step(self._leaving(member, resource))

    def _has_begun(self, member: Member) -> bool:
        """Whether there is something to shut down."""
        if member.begun or member.plan.starts:
            return member.begun
        return self.phase is not Phase.NEW and all(
            self._has_begun(self.members[name])
            for name in member.plan.needs
            if name in self.members
        )

    # Steps.

    def _call(self, member: Member, phase: Phase) -> Call:
        turn = member.plan.turns[phase]

        def called() -> object:
            inside.set(self)
            return (
                turn.function(member.module) if turn.takes_module else turn.function()
            )

        return Call(
            member.name,
            phase,
            called,
            turn.seconds,
            on_loop=is_async(turn.function),
        )

    def _leaving(self, member: Member, resource: Resource) -> Call:
        def left() -> object:
            inside.set(self)
            return resource.leave()

        seconds = self._plans.seconds
        return Call(
            member.name, Phase.SHUTDOWN, left, seconds, resource.what, resource.on_loop
        )

    def _step(self, call: Call) -> Steps[Called]:
        self._at = call
        done: Called = yield call
        self._at = None
        self._note(call, done)
        told = call.phase in STARTING and call.what == "handler"  # by what follows
        if not done.done and not told:
            _log().error("module %r: %s", call.module, _what(call, done))
        return done

    def _note(self, call: Call, done: Called) -> None:
        error = None if done.error is None else error_text(done.error)
        self._steps.append(
            LifecycleStep(
                call.module, call.phase, call.what, done.outcome, done.seconds, error
            )
        )

    def _note_cut_off(self, module: str, phase: Phase, what: str) -> None:
        self._steps.append(LifecycleStep(module, phase, what, "cut off", 0.0))


def _failed(call: Call, done: Called) -> StartFailed:
    """What is raised where the program cannot start without a module."""
    error = StartFailed(call.module, call.phase, _what(call, done))
    error.__cause__ = done.error
    return error


def _what(call: Call, done: Called) -> str:
    """What went wrong with a step, in words."""
    which = f"its {call.phase} handler" if call.what == "handler" else call.what
    if done.outcome == "timed out":
        return f"{which} was not done after {call.seconds:g} s, and was gone past"
    if done.outcome == "cut off":
        return f"{which} was cut off: by a second signal, or the event loop's end"
    assert done.error is not None
    return f"{which} failed: {error_text(done.error)}"


def _log() -> "logging.Logger":
    return logger("holdfast.lifecycle")
