"""A model of machines: plain dicts, and the rules of their steps written once more.

`MachineModel` has a method for each operation, which gives what that must give, or
raises `Wrong`. What expressions, guards and updates say is asked of the compiled spec
(they have tests of their own); when they are asked, and what comes of it, is written
here anew. Jobs are there as far as machines need them. Times are microseconds; the test
sets `now`.
"""

import copy
from typing import Any

from holdfast import errors
from holdfast.statecharts.expressions import Scope
from holdfast.statecharts.guards import GuardFailed
from holdfast.statecharts.specs import Effect, Update, spec_of, updated
from model import Wrong

SECOND = 1_000_000
AT_ONCE = 100
ATTEMPTS = 3
TIMER = "machine.after"


class MachineModel:
    """One owner's definitions, machines, and the jobs that they have queued."""

    def __init__(self, guards: dict[str, Any]) -> None:
        self.now = 0
        self.guards = guards
        self.definitions: dict[str, dict[int, dict[str, Any]]] = {}
        self.machines: dict[str, dict[str, Any]] = {}
        self.jobs: dict[int, dict[str, Any]] = {}
        self._born = 0
        self._specs: dict[tuple[str, int], Any] = {}

    def copied(self) -> "MachineModel":
        """The same once more, as it is now."""
        made = MachineModel(self.guards)
        made.__dict__ |= {
            **self.__dict__,
            "definitions": {name: {**of} for name, of in self.definitions.items()},
            "machines": copy.deepcopy(self.machines),
            "jobs": copy.deepcopy(self.jobs),
            "_specs": {**self._specs},
        }
        return made

    def view(self, id: str) -> tuple[Any, ...]:
        """What is compared of a machine."""
        it = self._found(id)
        return (
            id,
            it["name"],
            it["version"],
            it["state"],
            it["context"],
            it["steps"],
            it["entered_at"],
        )

    def history(self, id: str) -> list[tuple[Any, ...]]:
        """What is compared of a machine's steps."""
        return [step[:5] for step in self._found(id)["history"]]

    def waited_for(self) -> list[tuple[Any, ...]]:
        """What machines wait for: by machine, job, step, visit, event, whether last."""
        ids = {it["no"]: id for id, it in self.machines.items()}
        return [
            (ids[told["no"]], job["kind"], told["step"], told["entered"],
             told["event"], told["last"])
            for job in self.jobs.values() if (told := job["told"]) is not None
        ]  # fmt: skip

    def open_jobs(self) -> list[tuple[Any, ...]]:
        """What is compared of the jobs that are still to be done, or being done."""
        return [
            (job["kind"], job["body"], job["lane"], job["until"] is not None)
            for job in self.jobs.values()
        ]

    # Definitions.

    def define(self, name: str, **content: Any) -> None:
        there = self.definitions.setdefault(name, {})
        version = content.pop("version")
        if version in there:
            if there[version] != content:
                raise Wrong(errors.AlreadyExists)
            return
        there[version] = content
        self._specs[name, version] = spec_of(content["spec"])

    def _newest(self, name: str) -> int:
        if not self.definitions.get(name):
            raise Wrong(errors.NotFound)
        return max(self.definitions[name])

    # Machines.

    def create(self, name: str, *, id: str, context: dict[str, Any]) -> Any:
        if id in self.machines:
            if self.machines[id]["name"] != name:
                raise Wrong(errors.AlreadyExists)
            return self.view(id)
        version = self._newest(name)
        self._born += 1
        it = {
            "id": id,
            "no": self._born,
            "name": name,
            "version": version,
            "state": self._specs[name, version].initial,
            "context": context,
            "steps": -1,
            "history": [],
        }
        self.machines[id] = it
        self._step(it, None, None, it["state"])
        self._come(it, it["state"])
        queued = self._act(it, self._state(it).entry, None)
        self._rest(it, None, queued, made=1)
        return self.view(id)

    def send(
        self, id: str, event: str, payload: Any, *, expect: str | None, once: str | None
    ) -> Any:
        it = self._found(id)
        self._follow(it)
        seen = [step for step in it["history"] if once is not None and step[5] == once]
        if seen:
            return "seen", self.view(id), seen[0][0]
        if expect is not None and expect != it["state"]:
            raise Wrong(errors.Conflict)
        place = len(it["history"])
        outcome = self._take(it, event, payload, once=once, refuse=True)
        taken = outcome == "taken"
        return outcome, self.view(id), it["history"][place][0] if taken else None

    def can(self, id: str, event: str, payload: Any) -> bool:
        it = copy.deepcopy(self._found(id))
        it["state"], _ = self._moved(it)
        it["version"] = self._newest(it["name"])
        return bool(self._choice(it, event, payload))

    def upgrade(self, name: str, *, limit: int) -> int:
        newest = self._newest(name)
        behind = [
            (it["version"], it["no"], it)
            for it in self.machines.values()
            if it["name"] == name and it["version"] < newest
        ]
        chosen = [it for *_, it in sorted(behind, key=lambda one: one[:2])][:limit]
        for it in sorted(chosen, key=lambda it: it["id"]):
            self._follow(it)
        return len(chosen)

    def delete(self, id: str) -> bool:
        it = self.machines.pop(id, None)
        if it is not None:
            self._drop(lambda told: told["no"] == it["no"])
        return it is not None

    # Jobs.

    def claim(self, *, lane: str | None, lease_seconds: float) -> list[tuple[Any, ...]]:
        """Claim the first of a lane, or the first timer that is due."""
        self._take_back()
        if lane is not None:
            first = next((n for n, j in self.jobs.items() if j["lane"] == lane), None)
        else:
            due = [
                (job["run_at"], number)
                for number, job in self.jobs.items()
                if job["kind"] == TIMER
                and job["run_at"] <= self.now
                and job["until"] is None
            ]
            first = min(due, default=(0, None))[1]
        if first is None or self.jobs[first]["until"] is not None:
            return []
        job = self.jobs[first]
        job["until"] = self.now + round(lease_seconds * SECOND)
        job["attempt"] += 1
        job["fence"] += 1
        return [(first, job["kind"], job["body"], job["attempt"], job["fence"])]

    def complete(self, number: int, fence: int, result: Any) -> None:
        self._end(self._claimed(number, fence), number, "done", result=result)

    def fail(self, number: int, fence: int, error: str, *, retry: bool) -> None:
        self._fail(self._claimed(number, fence), number, error, retry=retry)

    def release(self, number: int, fence: int) -> None:
        job = self._claimed(number, fence)
        if job["cancelling"]:
            self._end(job, number, "cancelled")
        else:
            job["attempt"] -= 1
            self._give_back(job)

    def cancel(self, number: int) -> None:
        job = self.jobs.get(number)
        if job is None:
            return
        if job["until"] is not None and job["until"] > self.now:
            job["cancelling"] = True
        else:
            self._end(job, number, "cancelled")

    def _claimed(self, number: int, fence: int) -> dict[str, Any]:
        job = self.jobs.get(number)
        claimed = job is not None and job["until"] is not None
        if not claimed or job["until"] <= self.now or job["fence"] != fence:
            raise Wrong(errors.Fenced)
        return job

    def _take_back(self) -> None:
        lapsed = sorted(
            (job["until"], number)
            for number, job in self.jobs.items()
            if job["until"] is not None and job["until"] <= self.now
        )
        for _, number in lapsed:
            if number in self.jobs:
                job = self.jobs[number]
                error = f"worker 'w' was lost in attempt {job['attempt']}"
                self._fail(job, number, error)

    def _fail(self, job: Any, number: int, error: str, *, retry: bool = True) -> None:
        if job["cancelling"]:
            self._end(job, number, "cancelled", error=error)
        elif retry and job["attempt"] < (1_000 if job["kind"] == TIMER else ATTEMPTS):
            self._give_back(job)
        else:
            self._end(job, number, "dead", error=error)

    def _give_back(self, job: dict[str, Any]) -> None:
        job.update(until=None, run_at=self.now)

    def _end(
        self, job: Any, number: int, status: str, *, result: Any = None, error: Any = ""
    ) -> None:
        """A job is over, and its machine is told."""
        del self.jobs[number]
        told = job["told"]
        if told is None:
            return
        (it,) = (it for it in self.machines.values() if it["no"] == told["no"])
        self._follow(it)
        given = told["payload"] if isinstance(told["payload"], dict) else {}
        event = told["event"]
        if event is None and status == "done":
            event = "SUCCESS" if told["last"] else None
            given = {**given, "result": result}
        elif event is None:
            self._drop(lambda one: _of_step(one, told))
            given = {**given, "errors": [{"message": error or f"the job is {status}"}]}
            event = "ERROR"
        elif status != "done":
            event = None
        if status == "done":
            self._note_success(it, told["on_success"], given)
        if event is not None and told["entered"] == it["entered"]:
            self._take(it, event, given, once=None, refuse=False)

    def _note_success(self, it: Any, updates: Any, payload: Any) -> None:
        scope = Scope.of(it["context"], payload, self.now)
        context = updated(it["context"], updates, scope)
        if context != it["context"]:
            it["context"] = context
            self._step(it, None, it["state"], it["state"], note=True)

    def _drop(self, which: Any) -> None:
        """Nobody waits any more for some jobs; who has not begun one, does it not."""
        for number, job in list(self.jobs.items()):
            if job["told"] is not None and which(job["told"]):
                job["told"] = None
                if job["until"] is None:
                    del self.jobs[number]

    def _put(self, kind: str, body: Any, lane: Any, run_at: Any, **told: Any) -> None:
        self._born += 1
        self.jobs[self._born] = {
            "kind": kind,
            "body": body,
            "lane": lane,
            "run_at": run_at,
            "until": None,
            "attempt": 0,
            "fence": 0,
            "cancelling": False,
            "told": told,
        }

    # Steps.

    def _take(
        self, it: Any, event: str, payload: Any, *, once: str | None, refuse: bool
    ) -> str:
        choice = self._choice(it, event, payload)
        if choice is None:
            unknown = self.definitions[it["name"]][it["version"]]["unknown"]
            if refuse and unknown == "refuse":
                raise Wrong(errors.Refused)
            return "ignored"
        if choice is False:
            return "guarded"
        queued = self._make(it, choice, event, payload, once)
        self._rest(it, payload, queued, made=1)
        return "taken"

    def _choice(self, it: Any, event: str, payload: Any) -> Any:
        choices = self._state(it).on.get(event)
        if choices is None:
            return None
        for choice in choices:
            try:
                if choice.guard is None or choice.guard.holds(
                    it["state"], it["context"], payload, self.guards, self.now
                ):
                    return choice
            except GuardFailed:
                continue
        return False

    def _make(
        self, it: Any, choice: Any, event: str, payload: Any, once: str | None
    ) -> list[Any]:
        left = self._state(it)
        unheard = self._act(it, left.exit, payload)
        queued = self._act(it, choice.actions, payload)
        self._step(it, event, it["state"], choice.target, once=once)
        if choice.target != it["state"]:
            if left.after:
                self._drop(lambda told: told["no"] == it["no"] and told["event"])
            self._come(it, choice.target)
            queued += self._act(it, self._state(it).entry, payload)
        for effect, body in unheard:
            self._queue(it, effect, body, payload, entered=None, last=0)
        return queued

    def _rest(self, it: Any, payload: Any, queued: list[Any], *, made: int) -> None:
        """Queue what is to be waited for, or go on at once if there is nothing."""
        for left, (effect, body) in zip(range(len(queued))[::-1], queued, strict=True):
            last = int(left == 0)
            self._queue(it, effect, body, payload, entered=it["entered"], last=last)
        came = it["entered"] == it["steps"]
        if queued or not came or not self._state(it).entry:
            return
        if made > AT_ONCE:
            raise Wrong(errors.Refused)
        given = payload if isinstance(payload, dict) else {}
        payload = {**given, "result": None}
        choice = self._choice(it, "SUCCESS", payload)
        if choice:
            queued = self._make(it, choice, "SUCCESS", payload, None)
            self._rest(it, payload, queued, made=made + 1)

    def _act(self, it: Any, actions: Any, payload: Any) -> list[Any]:
        """What a list of actions queues; all of them see the context before it."""
        scope = Scope.of(it["context"], payload, self.now)
        effects = [one for one in actions if isinstance(one, Effect)]
        queued = [(one, scope.value_of(one.payload)) for one in effects]
        updates = [one for one in actions if isinstance(one, Update)]
        it["context"] = updated(it["context"], updates, scope)
        return queued

    def _queue(
        self, it: Any, effect: Any, body: Any, payload: Any, *, entered: Any, last: int
    ) -> None:
        self._put(
            effect.tool,
            body,
            f"machine:{it['id']}",
            None,
            no=it["no"],
            step=it["steps"],
            entered=entered,
            event=None,
            last=last,
            on_success=effect.on_success,
            payload=payload,
        )

    def _step(
        self,
        it: Any,
        event: str | None,
        was: str | None,
        state: str,
        *,
        once: str | None = None,
        note: bool = False,
    ) -> None:
        it["steps"] += 1
        it["history"].append((it["steps"], event, was, state, note, once))

    def _come(self, it: Any, state: str) -> None:
        it.update(state=state, entered=it["steps"], entered_at=self.now)
        self._set_timers(it)

    def _set_timers(self, it: Any) -> None:
        for wait, event in self._state(it).after:
            self._put(
                TIMER,
                {"machine": it["id"], "state": it["state"], "event": event},
                None,
                it["entered_at"] + wait,
                no=it["no"],
                step=None,
                entered=it["entered"],
                event=event,
                last=0,
                on_success=(),
                payload=None,
            )

    def _follow(self, it: Any) -> None:
        """Follow the newest version: a step of its own, by which nothing runs."""
        newest = self._newest(it["name"])
        if it["version"] == newest:
            return
        was, (state, kept) = it["state"], self._moved(it)
        it["version"] = newest
        self._step(it, None, was, state, note=True)
        self._drop(lambda told: told["no"] == it["no"] and told["event"])
        it["state"] = state
        if not kept:
            it.update(entered=it["steps"], entered_at=self.now)
        self._set_timers(it)

    def _moved(self, it: Any) -> tuple[str, bool]:
        """What its state is in the newest version, and whether it is there at all."""
        versions, version = self.definitions[it["name"]], it["version"]
        newest, state = max(versions), it["state"]
        if newest == version:
            return state, True
        direct = versions[newest]["from_versions"].get(version)
        if direct is not None:
            state = direct.get(state, state)
        else:
            for later in sorted(number for number in versions if number > version):
                states = versions[later]["from_versions"].get(version, {})
                state, version = states.get(state, state), later
        spec = self._specs[it["name"], newest]
        kept = state in spec.states
        return state if kept else spec.initial, kept

    def _state(self, it: Any) -> Any:
        return self._specs[it["name"], it["version"]].states[it["state"]]

    def _found(self, id: str) -> dict[str, Any]:
        if id not in self.machines:
            raise Wrong(errors.NotFound)
        return self.machines[id]


def _of_step(one: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether an effect is of the same step as another one."""
    return (one["no"], one["step"], one["event"]) == (told["no"], told["step"], None)
