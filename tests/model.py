"""A model of sessions, tasks and leases: plain dicts, and the rules written once more.

`Model.apply` does an operation or raises the error that holdfast must raise. It shares
no code with holdfast but the errors' classes. Sessions that share a message have the
very same dict, which is never changed: whoever changes a message has another one.
"""

import copy
from typing import Any

import showing
from holdfast import errors

MOVES = {
    "start": ("in_progress", {"pending", "waiting", "failed"}),
    "hold": ("waiting", {"pending", "in_progress"}),
    "complete": ("completed", {"in_progress"}),
    "fail": ("failed", {"in_progress", "waiting"}),
    "cancel": ("cancelled", {"pending", "in_progress", "waiting"}),
}
"""By move: the status that it leads to, and those that it may lead from."""


class Wrong(Exception):
    """An error of holdfast's, by its class."""

    def __init__(self, error: type[errors.HoldfastError]) -> None:
        super().__init__(error.__name__)
        self.error = error


class Model:
    """What every owner has; `now` is in microseconds, and moved by the test."""

    def __init__(self) -> None:
        self.now = 0
        self.state: dict[str, dict[str, Any]] = {}
        self.scattered = False
        """Whether messages were ever in many places: shared, or in parts."""
        self._born = 0

    def of(self, owner: str) -> dict[str, Any]:
        """The tables of one owner."""
        empty: dict[str, Any] = {"sessions": {}, "tasks": {}, "leases": {}}
        return self.state.setdefault(owner, empty)

    def save(self) -> dict[str, dict[str, Any]]:
        """Everything, as it is now."""
        return copy.deepcopy(self.state)

    def past(self) -> "Model":
        """The model as it is now, which stays so."""
        return copy.deepcopy(self)

    def newest_first(self, owner: str, kind: str) -> list[tuple[str, Any]]:
        """An owner's records and their ids, in the order of lists."""
        records = self.of(owner)[kind].items()
        return sorted(records, key=lambda item: item[1]["born"], reverse=True)

    def verify(self, owner: str, fence: tuple[str, str, int] | None) -> None:
        """Refuse a unit whose lease is over."""
        if fence is not None:
            self._live(owner, *fence)

    def apply(
        self, owner: str, name: str, args: dict[str, Any], fence: Any = None
    ) -> Any:
        """Do one operation of an owner; gives what can be told of its result."""
        self._fence = fence
        self._tables = self.of(owner)
        kind, operation = name.split(".")
        if kind == "tasks" and operation in MOVES:
            return self._move(operation, **args)
        return getattr(self, f"_{kind}_{operation}")(**args)

    # What the operations have in common.

    def _found(self, kind: str, id: str) -> dict[str, Any]:
        if id not in self._tables[kind]:
            raise Wrong(errors.NotFound)
        return self._tables[kind][id]

    def _writable(self, kind: str, id: str) -> dict[str, Any]:
        record = self._found(kind, id)
        lease = self._tables["leases"].get((kind, id))
        live = lease is not None and lease["until"] > self.now
        if live and self._fence != (kind, id, lease["fence"]):
            raise Wrong(errors.Held)
        return record

    def _expected(self, record: dict[str, Any], expect: int | None) -> None:
        if expect is not None and expect != record["version"]:
            raise Wrong(errors.Conflict)

    def _add(self, kind: str, id: str, said: dict[str, Any], **more: Any) -> Any:
        there = self._tables[kind].get(id)
        if there is not None:
            if {key: there[key] for key in said} != said:
                raise Wrong(errors.AlreadyExists)
            return there["version"]
        for named in ("parent", "session"):
            if said.get(named) is not None:
                self._found("sessions", said[named])
        self._born += 1
        self._tables[kind][id] = {**said, **more, "born": (self.now, self._born)}
        return more["version"]

    # Sessions.

    def _sessions_create(self, id: str, **said: Any) -> int:
        new = {"messages": [], "summaries": {}, "last": 0, "forked_at": None}
        return self._add("sessions", id, said, status="active", version=0, **new)

    def _sessions_fork(
        self, id: str, new_id: str, at: int | None = None, title: str | None = None
    ) -> int:
        source = self._found("sessions", id)
        title = source["title"] if title is None else title
        there = self._tables["sessions"].get(new_id)
        if there is not None:
            wanted = (id, title, there["forked_at"] if at is None else at)
            if (there["parent"], there["title"], there["forked_at"]) != wanted or (
                there["forked_at"] is None
            ):
                raise Wrong(errors.AlreadyExists)
            return there["version"]
        at = source["last"] if at is None else at
        if not source["last"] - len(source["messages"]) <= at <= source["last"]:
            raise Wrong(errors.Refused)
        self.scattered = True
        brought = ("metadata", "tags", "max_context_messages")
        said = {name: source[name] for name in brought}
        begun = [
            {**m, "parts": [m["content"]]}
            if m["parts"]
            else {**m}
            if m["partial"]
            else m
            for m in source["messages"]
            if m["position"] <= at
        ]
        told = sorted(upto for upto in source["summaries"] if upto <= at)[-1:]
        new = {"messages": begun, "last": at, "version": at, "forked_at": at}
        new["summaries"] = {upto: source["summaries"][upto] for upto in told}
        said |= {"title": title, "parent": id}
        return self._add("sessions", new_id, said, status="active", **new)

    def _sessions_update(self, id: str, expect: int | None = None, **new: Any) -> int:
        session = self._writable("sessions", id)
        self._expected(session, expect)
        session.update(new)
        session["version"] += 1
        return session["version"]

    def _sessions_close(self, id: str) -> int:
        session = self._writable("sessions", id)
        if session["status"] != "completed":
            session["status"] = "completed"
            session["version"] += 1
        return session["version"]

    def _sessions_delete(self, id: str) -> bool:
        if id not in self._tables["sessions"]:
            return False
        self._writable("sessions", id)
        del self._tables["sessions"][id]
        return True

    def _sessions_append(
        self, id: str, message_id: str, expect: int | None = None, **said: Any
    ) -> int:
        return self._sessions_extend(id, [{**said, "id": message_id}], expect)[0]

    def _sessions_extend(
        self, id: str, messages: list[dict[str, Any]], expect: int | None = None
    ) -> list[int]:
        session = self._writable("sessions", id)
        after = {message["id"]: message for message in session["messages"]}
        fresh = []
        for draft in messages:
            there = after.setdefault(draft["id"], draft)
            if (there["role"], there["content"]) != (draft["role"], draft["content"]):
                raise Wrong(errors.AlreadyExists)
            if there is draft:
                fresh.append(draft)
        if fresh:
            self._expected(session, expect)
        for draft in fresh:
            self._say(session, **{"partial": False, **draft})
        places = {m["id"]: m["position"] for m in session["messages"]}
        return [places[draft["id"]] for draft in messages]

    def _sessions_pop(self, id: str) -> int | None:
        session = self._writable("sessions", id)
        if not session["messages"]:
            return None
        session["last"] -= 1
        session["version"] += 1
        self._forget(session, beyond=session["last"])
        return session["messages"].pop()["position"]

    def _sessions_amend(
        self, id: str, message_id: str, content: Any, expect: int | None = None
    ) -> int:
        session, message = self._message(id, message_id)
        if message["partial"]:
            raise Wrong(errors.Refused)
        if message["content"] != content:
            self._expected(session, expect)
            self._put(session, {**message, "content": content})
            session["version"] += 1
            self._forget(session, beyond=message["position"] - 1)
        return message["position"]

    def _sessions_clear(self, id: str) -> int:
        session = self._writable("sessions", id)
        count = len(session["messages"])
        session["messages"] = []
        session["version"] += bool(count)
        self._forget(session, beyond=0)
        return count

    def _sessions_begin_reply(
        self, id: str, message_id: str, role: str = "assistant", text: str = ""
    ) -> int:
        session = self._writable("sessions", id)
        there = {message["id"]: message for message in session["messages"]}
        if message_id not in there:
            said = {"id": message_id, "role": role, "content": text}
            return self._say(session, partial=True, **said)
        message = there[message_id]
        if not message["partial"] or message["role"] != role:
            raise Wrong(errors.AlreadyExists)
        if not isinstance(message["content"], str):
            raise Wrong(errors.Refused)
        return message["position"]

    def _sessions_extend_reply(
        self, id: str, message_id: str, text: str, at: int | None = None
    ) -> int:
        session, message = self._message(id, message_id)
        parts, said = message["parts"], message["content"]
        if not parts:
            raise Wrong(errors.Refused)
        if at is not None and at != len(said):
            if at > len(said) or not text.startswith(said[at:]):
                raise Wrong(errors.Conflict)
            text = text.removeprefix(said[at:])
        if text:
            self.scattered = True
            grown = {"content": said + text, "parts": [*parts, text]}
            self._put(session, {**message, **grown})
        return len(said + text)

    def _sessions_end_reply(self, id: str, message_id: str, **said: Any) -> int:
        session, message = self._message(id, message_id)
        content = said.get("content", message["content"])
        if message["partial"]:
            whole = {"content": content, "partial": False, "parts": []}
            self._put(session, {**message, **whole})
            session["version"] += 1
            if content != message["content"]:
                self._forget(session, beyond=message["position"] - 1)
        elif content != message["content"]:
            raise Wrong(errors.Refused)
        return message["position"]

    def _sessions_summarize(self, id: str, upto: int, text: str) -> int:
        session = self._writable("sessions", id)
        if upto not in {message["position"] for message in session["messages"]}:
            raise Wrong(errors.Refused)
        session["summaries"][upto] = text
        return upto

    def _sessions_summaries(self, id: str) -> list[tuple[int, str]]:
        told = self._found("sessions", id)["summaries"]
        return sorted(told.items(), reverse=True)

    def _sessions_context(self, id: str, **limits: Any) -> showing.Context:
        return showing.context(self._found("sessions", id), **limits)

    def _message(self, id: str, message_id: str) -> tuple[Any, dict[str, Any]]:
        session = self._writable("sessions", id)
        for message in session["messages"]:
            if message["id"] == message_id:
                return session, message
        raise Wrong(errors.NotFound)

    def _say(self, session: dict[str, Any], **said: Any) -> int:
        """Add a message at the end; of one that may grow, its parts are known."""
        grows = said["partial"] and isinstance(said["content"], str)
        session["last"] += 1
        session["version"] += 1
        parts = [said["content"]] if grows else []
        session["messages"].append(
            {**said, "parts": parts, "position": session["last"]}
        )
        return session["last"]

    def _put(self, session: dict[str, Any], message: dict[str, Any]) -> None:
        said = session["messages"]
        said[message["position"] - said[0]["position"]] = message

    def _forget(self, session: dict[str, Any], *, beyond: int) -> None:
        told = session["summaries"]
        session["summaries"] = {upto: told[upto] for upto in told if upto <= beyond}

    # Tasks.

    def _tasks_create(self, id: str, **said: Any) -> int:
        more = {"status": "pending", "result": None, "error": None, "progress": None}
        return self._add("tasks", id, said, version=1, lines=[], **more)

    def _tasks_update(self, id: str, expect: int | None = None, **new: Any) -> int:
        task = self._writable("tasks", id)
        self._expected(task, expect)
        if new.get("session") is not None:
            self._found("sessions", new["session"])
        task.update(new)
        task["version"] += 1
        return task["version"]

    def _move(self, move: str, id: str, result: Any = None, error: Any = None) -> int:
        task = self._writable("tasks", id)
        status, allowed = MOVES[move]
        if task["status"] not in allowed:
            raise Wrong(errors.Refused)
        task.update(status=status, result=result, error=error)
        task["version"] += 1
        return task["version"]

    def _tasks_progress(self, id: str, done: float) -> int:
        task = self._writable("tasks", id)
        if task["status"] in {"completed", "failed", "cancelled"}:
            raise Wrong(errors.Refused)
        task["progress"] = done
        task["version"] += 1
        return task["version"]

    def _tasks_log(self, id: str, message: str) -> None:
        self._writable("tasks", id)["lines"].append(message)

    def _tasks_delete(self, id: str) -> bool:
        if id not in self._tables["tasks"]:
            return False
        self._writable("tasks", id)
        del self._tables["tasks"][id]
        return True

    # Leases.

    def _leases_acquire(self, kind: str, id: str, holder: str, seconds: float) -> int:
        self._found(kind, id)
        there = self._tables["leases"].get((kind, id), {"fence": 0, "until": 0})
        if there["until"] > self.now and there["holder"] != holder:
            raise Wrong(errors.Held)
        fence = there["fence"] + 1
        lease = {
            "holder": holder,
            "fence": fence,
            "until": self.now + seconds * 1_000_000,
        }
        self._tables["leases"][kind, id] = lease
        return fence

    def _leases_renew(self, kind: str, id: str, fence: int, seconds: float) -> int:
        lease = self._live_in(self._tables, kind, id, fence)
        lease["until"] = self.now + seconds * 1_000_000
        return fence

    def _leases_release(self, kind: str, id: str, fence: int) -> bool:
        try:
            lease = self._live_in(self._tables, kind, id, fence)
        except Wrong:
            return False
        lease["until"] = self.now
        return True

    def _live(self, owner: str, kind: str, id: str, fence: int) -> dict[str, Any]:
        return self._live_in(self.of(owner), kind, id, fence)

    def _live_in(
        self, tables: dict[str, Any], kind: str, id: str, fence: int
    ) -> dict[str, Any]:
        lease = tables["leases"].get((kind, id))
        if lease is None or lease["fence"] != fence or lease["until"] <= self.now:
            raise Wrong(errors.Fenced)
        return lease
