"""A model of jobs: a plain dict, and the rules written once more.

`JobModel` has a method for each operation, which gives what that must give
(see `view`), or raises `Wrong` with the error that it must raise. It shares no code
with holdfast but the errors' classes. Times are microseconds; the test sets `now`.
"""

import copy
from typing import Any

from holdfast import errors
from model import Wrong

OPEN = {"behind", "ready", "timed", "active", "waiting"}
SECOND = 1_000_000


class JobModel:
    """One owner's jobs, each as a dict."""

    def __init__(self) -> None:
        self.now = 0
        self.jobs: dict[str, dict[str, Any]] = {}
        self.limits: dict[str, int] = {}
        self._born = 0

    def copied(self) -> "JobModel":
        """The same once more, as it is now."""
        return copy.deepcopy(self)

    def view(self, id: str) -> tuple[Any, ...]:
        """What is compared of a job."""
        job = self._found(id)
        state = job["state"]
        status = "queued" if state in {"behind", "ready", "timed"} else state
        due = job["until"] if state in OPEN else job["run_at"]
        return (
            id,
            status,
            job["attempt"] + (state == "waiting"),
            job["fence"],
            job["worker"],
            job["until"] if state == "active" else None,
            None if state == "active" else due,
            job["waits_for"],
            job["cancelling"],
        )

    # Putting.

    def put(
        self,
        kind: str,
        *,
        id: str,
        lane: str | None,
        parent: str | None,
        delay_seconds: float | None,
        deadline: int | None,
        **said: Any,
    ) -> Any:
        if id in self.jobs:
            if (self.jobs[id]["kind"], self.jobs[id]["lane"]) != (kind, lane):
                raise Wrong(errors.AlreadyExists)
            return self.view(id)
        if parent is not None:
            self._found(parent)
        due = None if delay_seconds is None else self.now + _us(delay_seconds)
        self._born += 1
        self.jobs[id] = {
            "kind": kind,
            "lane": lane,
            "parent": parent,
            "deadline": deadline,
            "run_at": due,
            "no": self._born,
            "signals": 0,
            "steps": {},
            "fence": 0,
            **said,
        }
        self._stand(id, due)
        return (*self.view(id)[:6], due if self._ahead(due) else None, None, False)

    def _stand(self, id: str, due: int | None) -> None:
        """Let a job stand in its lane from now on."""
        job = self.jobs[id]
        job.update(state="behind", until=due if self._ahead(due) else None, attempt=0)
        job.update(worker=None, waits_for=None, cancelling=False)
        first = self._first(job["lane"])
        if first is not None:
            begun = first["fence"] > 0 or first["state"] in {"active", "waiting"}
            if begun or _order(first) < _order(job):
                return
            first["state"] = "behind"
        self._let_go(job)

    def _let_go(self, job: dict[str, Any]) -> None:
        """Let a job be the first of its lane: it is ready, or due at its time."""
        ahead = self._ahead(job["until"])
        job["state"], job["since"] = "timed" if ahead else "ready", self.now
        if not ahead:
            job["until"] = None

    def _ahead(self, due: int | None) -> bool:
        return due is not None and due > self.now

    def _lane(self, lane: str | None) -> list[dict[str, Any]]:
        if lane is None:
            return []
        return [
            job
            for job in self.jobs.values()
            if job["lane"] == lane and job["state"] in OPEN
        ]

    def _first(self, lane: str | None) -> dict[str, Any] | None:
        found = [job for job in self._lane(lane) if job["state"] != "behind"]
        assert len(found) <= 1
        return found[0] if found else None

    # Claiming.

    def claim(
        self,
        worker: str,
        *,
        kinds: list[str] | None,
        lanes: list[str] | None,
        limit: int,
        lease_seconds: float,
    ) -> list[Any]:
        self._catch_up()
        rooms = {
            kind: max(0, most - self._active(kind))
            for kind, most in self.limits.items()
        }
        claimed: list[Any] = []
        while len(claimed) < limit:
            taken = self._next(kinds, lanes, limit - len(claimed), rooms)
            if not taken:
                break
            for id in taken:
                job = self.jobs[id]
                if job["deadline"] is not None and job["deadline"] <= self.now:
                    self._end(id, "dead")
                    continue
                until = self.now + _us(lease_seconds)
                job.update(state="active", until=until, worker=worker, waits_for=None)
                job["attempt"] += 1
                job["fence"] += 1
                if job["kind"] in rooms:
                    rooms[job["kind"]] -= 1
                claimed.append(self.view(id))
        return claimed

    def _active(self, kind: str) -> int:
        return sum(
            job["kind"] == kind and job["state"] == "active"
            for job in self.jobs.values()
        )

    def _next(
        self, kinds: Any, lanes: Any, limit: int, rooms: dict[str, int]
    ) -> list[str]:
        left = dict(rooms)
        found = [
            (-job["priority"], job["since"], job["no"], id)
            for id, job in self.jobs.items()
            if job["state"] == "ready"
            and (kinds is None or job["kind"] in kinds)
            and (lanes is None or job["lane"] in lanes)
        ]
        taken = []
        for *_, id in sorted(found):
            kind = self.jobs[id]["kind"]
            if left.get(kind, 1) > 0:
                taken.append(id)
                if kind in left:
                    left[kind] -= 1
        return taken[:limit]

    def _catch_up(self) -> None:
        for job in self.jobs.values():
            if job["state"] in {"timed", "waiting"} and self._past(job["until"]):
                job.update(state="ready", since=job["until"], until=None)
                job["waits_for"] = None
        lapsed = [
            (job["until"], job["no"], id)
            for id, job in self.jobs.items()
            if job["state"] == "active" and job["until"] <= self.now
        ]
        for *_, id in sorted(lapsed):
            self._fail(id, delay=0)

    def _past(self, at: int | None) -> bool:
        return at is not None and at <= self.now

    # What is done under a claim.

    def renew(self, id: str, *, fence: int, lease_seconds: float) -> Any:
        self._claimed(id, fence)["until"] = self.now + _us(lease_seconds)
        return self.view(id)

    def complete(self, id: str, *, fence: int) -> Any:
        self._claimed(id, fence)
        self._end(id, "done")
        return self.view(id)

    def fail(
        self,
        id: str,
        error: str,
        *,
        fence: int,
        retry: bool,
        delay_seconds: float | None,
    ) -> Any:
        job = self._claimed(id, fence)
        backoff = min(60, 2 ** (job["attempt"] - 1))
        self._fail(id, backoff if delay_seconds is None else delay_seconds, retry=retry)
        return self.view(id)

    def release(self, id: str, *, fence: int, delay_seconds: float | None) -> Any:
        job = self._claimed(id, fence)
        if job["cancelling"]:
            self._end(id, "cancelled")
        else:
            job["attempt"] -= 1
            self._give_back(job, delay_seconds or 0)
        return self.view(id)

    def sleep(self, id: str, name: str, *, seconds: float, fence: int, **_: Any) -> Any:
        job = self._claimed(id, fence)
        due = job["steps"].setdefault(name, self.now + _us(seconds))
        if due <= self.now:
            return True
        self._suspend(id, None, due)
        return False

    def wait(
        self,
        id: str,
        signal: str,
        *,
        timeout_seconds: float | None,
        fence: int,
        **_: Any,
    ) -> Any:
        job = self._claimed(id, fence)
        due = job["steps"].get(signal)
        if due == "kept":
            return True
        if job["signals"] or (due is not None and due <= self.now):
            job["signals"] -= bool(job["signals"])
            job["steps"][signal] = "kept"
            return True
        if due is None and timeout_seconds is not None:
            due = job["steps"][signal] = self.now + _us(timeout_seconds)
        self._suspend(id, signal, due)
        return False

    def join(self, id: str, *, fence: int) -> Any:
        job = self._claimed(id, fence)
        left = self._children(id)
        if not left:
            return True
        if job["lane"] is not None and any(c["lane"] == job["lane"] for c in left):
            raise Wrong(errors.Refused)
        self._suspend(id, "(children)", None)
        return False

    def _claimed(self, id: str, fence: int) -> dict[str, Any]:
        job = self._found(id)
        if (
            job["state"] != "active"
            or job["fence"] != fence
            or self._past(job["until"])
        ):
            raise Wrong(errors.Fenced)
        return job

    def _suspend(self, id: str, waits_for: str | None, due: int | None) -> None:
        job = self.jobs[id]
        if job["cancelling"]:
            self._end(id, "cancelled")
            return
        times = [at for at in (due, job["deadline"]) if at is not None]
        until = min(times, default=None)
        job.update(state="waiting", until=until, worker=None, waits_for=waits_for)
        job["attempt"] -= 1

    def _give_back(self, job: dict[str, Any], delay: float) -> None:
        job.update(until=self.now + _us(delay), worker=None)
        self._let_go(job)

    def _fail(self, id: str, delay: float, *, retry: bool = True) -> None:
        job = self.jobs[id]
        deadline = job["deadline"]
        late = deadline is not None and self.now + _us(delay) >= deadline
        if job["cancelling"]:
            self._end(id, "cancelled")
        elif not retry or late or job["attempt"] >= job["max_attempts"]:
            self._end(id, "dead")
        else:
            self._give_back(job, delay)

    def _end(self, id: str, state: str) -> None:
        job = self.jobs[id]
        job["attempt"] += job["state"] == "waiting"
        job.update(state=state, waits_for=None, cancelling=False, ended_at=self.now)
        if self._first(job["lane"]) is None and self._lane(job["lane"]):
            self._let_go(min(self._lane(job["lane"]), key=_order))
        parent = self.jobs.get(job["parent"])
        if parent is not None and not self._children(job["parent"]):
            self._rouse(parent, "(children)")

    def _children(self, id: str) -> list[dict[str, Any]]:
        return [
            job
            for job in self.jobs.values()
            if job["parent"] == id and job["state"] in OPEN
        ]

    def _rouse(self, job: dict[str, Any], waits_for: str) -> None:
        if job["state"] == "waiting" and job["waits_for"] == waits_for:
            job.update(state="ready", since=self.now, until=None, waits_for=None)

    # What anybody does.

    def signal(self, id: str, name: str) -> Any:
        job = self._found(id)
        if job["state"] not in OPEN:
            raise Wrong(errors.Refused)
        job["signals"] += 1
        self._rouse(job, name)
        return self.view(id)

    def cancel(self, id: str) -> Any:
        job = self._found(id)
        if job["state"] in {"done", "dead"}:
            raise Wrong(errors.Refused)
        if job["state"] == "active" and not self._past(job["until"]):
            job["cancelling"] = True
        elif job["state"] in OPEN:
            self._end(id, "cancelled")
        return self.view(id)

    def revive(self, id: str) -> Any:
        if self._found(id)["state"] not in {"dead", "cancelled"}:
            raise Wrong(errors.Refused)
        self.jobs[id]["deadline"] = None
        self._stand(id, None)
        return self.view(id)

    def purge(self, *, finished_before: int) -> int:
        gone = [
            id
            for id, job in self.jobs.items()
            if job["state"] not in OPEN and job["ended_at"] < finished_before
        ]
        for id in gone:
            del self.jobs[id]
        return len(gone)

    def limit(self, kind: str, *, concurrency: int | None) -> None:
        self.limits.pop(kind, None)
        if concurrency is not None:
            self.limits[kind] = concurrency

    def _found(self, id: str) -> dict[str, Any]:
        if id not in self.jobs:
            raise Wrong(errors.NotFound)
        return self.jobs[id]


def _order(job: dict[str, Any]) -> tuple[int, int]:
    """Who goes before whom in a lane."""
    return -job["priority"], job["no"]


def _us(seconds: float) -> int:
    return round(seconds * SECOND)
