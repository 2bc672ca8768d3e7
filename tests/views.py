"""One owner's state as plain data: as calls give it, as the model has it, and as the
journal's changes alone lead to it. The three must be equal."""

from typing import Any

from holdfast.changes import Change
from model import Model
from showing import Context, Shown

RECORDS = [("sessions", f"s{n}") for n in range(3)] + [
    ("tasks", f"t{n}") for n in (0, 1)
]
_SESSION = (
    *("title", "status", "parent", "forked_at", "metadata", "version"),
    "max_context_messages",
)
_TASK = ("description", "status", "tool", "session", "result", "error", "version")


def seen(store: Any) -> dict[str, Any]:
    """What calls give."""
    sessions, tasks = store.sessions, store.tasks
    return {
        "sessions": [
            {
                **_fields(there, _SESSION),
                "id": there.id,
                "tags": there.tags,
                "orphaned": there.orphaned,
                "count": there.message_count,
                "messages": _messages(sessions, there.id),
            }
            for there in sessions.list(limit=1_000)
        ],
        "tasks": [
            {
                **_fields(there, _TASK),
                "id": there.id,
                "orphaned": there.orphaned,
                "progress": there.progress and there.progress.done,
                "lines": [line.message for line in tasks.logs(there.id, limit=1_000)],
            }
            for there in tasks.list(limit=1_000)
        ],
    }


def _messages(sessions: Any, id: str) -> list[Any]:
    """A session's messages, the same from either end."""
    history = list(sessions.history(id))
    assert list(sessions.messages(id, 1_000)) == history
    return [(m.position, m.id, m.role, m.content, m.partial) for m in history]


def leased(store: Any) -> dict[Any, Any]:
    """Who holds what, as calls give it."""
    there = {record: store.leases.get(*record) for record in RECORDS}
    return {
        record: (lease.holder, lease.fence) for record, lease in there.items() if lease
    }


def hits(store: Any, query: str) -> list[tuple[Any, ...]]:
    """What a search finds, as the model tells it."""
    return [
        (hit.kind, hit.id, hit.record.get("session"), hit.record.get("position"))
        for hit in store.search(query, limit=1_000)
    ]


def shown(context: Any) -> Context:
    """What can be told of a context."""
    summary = context.summary
    return Context(
        tuple(
            Shown(m.id, m.position, m.role, m.content, m.metadata)
            for m in context.messages
        ),
        summary and (summary.upto, summary.text),
        context.left_out,
        context.tokens,
    )


def modelled_leases(model: Model, owner: str) -> dict[Any, Any]:
    """Who holds what, as the model has it."""
    return {
        record: (lease["holder"], lease["fence"])
        for record, lease in model.of(owner)["leases"].items()
        if lease["until"] > model.now
    }


def modelled(model: Model, owner: str) -> dict[str, Any]:
    """What the model has."""
    tables = model.of(owner)
    return {
        "sessions": [
            {
                **{name: there[name] for name in _SESSION},
                "id": id,
                "tags": there["tags"],
                "orphaned": _gone(there["parent"], tables["sessions"]),
                "count": len(there["messages"]),
                "messages": [
                    (m["position"], m["id"], m["role"], m["content"], m["partial"])
                    for m in there["messages"]
                ],
            }
            for id, there in model.newest_first(owner, "sessions")
        ],
        "tasks": [
            {
                **{name: there[name] for name in _TASK},
                "id": id,
                "orphaned": _gone(there["session"], tables["sessions"]),
                "progress": there["progress"],
                "lines": there["lines"],
            }
            for id, there in model.newest_first(owner, "tasks")
        ],
    }


def replayed(store: Any) -> dict[str, Any]:
    """What the journal's changes alone lead to, read in small pages."""
    replay = _Replay()
    cursor = None
    while True:
        page = store.journal.read(limit=7, cursor=cursor)
        for change in page:
            replay.take(change)
        cursor = page.cursor
        if cursor is None:
            return replay.view()


class _Replay:
    """Rows by their ids, in the order in which they came."""

    def __init__(self) -> None:
        self.seq = 0
        self.rows: dict[str, dict[Any, dict[str, Any]]] = {
            name: {} for name in ("session", "message", "summary", "task", "task_log")
        }

    def take(self, change: Change) -> None:
        """Follow one change; what it says was there before must be there."""
        assert change.seq > self.seq
        assert change.moment >= change.seq
        self.seq = change.seq
        row = change.after or change.before
        assert row is not None
        rows, key = self.rows[change.kind], _key(change.kind, row)
        if change.op == "create":
            assert change.before is None
            assert key not in rows
            rows[key] = row
        elif change.op == "update":
            assert rows[key] == change.before
            rows[key] = row
        else:
            assert change.after is None
            self._drop(change.kind, key, row)

    def _drop(self, kind: str, key: Any, row: dict[str, Any]) -> None:
        """A record goes with what belongs to it, which is deleted later by and by."""
        if self.rows[kind].get(key) == row:
            del self.rows[kind][key]
        part = {"session": "message", "task": "task_log"}.get(kind)
        if part:
            there = self.rows[part]
            self.rows[part] = {at: there[at] for at in there if at[0] != key}

    def view(self) -> dict[str, Any]:
        """The rows, as `seen` shows them."""
        sessions, tasks = self.rows["session"], self.rows["task"]
        newest = list(reversed(sessions.values()))
        return {
            "sessions": [self._session(row, sessions) for row in newest],
            "tasks": [self._task(row, sessions) for row in reversed(tasks.values())],
        }

    def _session(self, row: dict[str, Any], sessions: Any) -> dict[str, Any]:
        messages = sorted(
            (m["position"], m["id"], m["role"], m["content"], m["partial"] == 1)
            for m in self.rows["message"].values()
            if m["session"] == row["id"] and m["position"] >= row["first"]
        )
        last = messages[-1][0] if messages else row["first"] - 1
        return {
            **{name: row.get(name) for name in _SESSION},
            "id": row["id"],
            "version": row["revision"] + last,
            "tags": tuple(row["tags"]),
            "orphaned": _gone(row["parent"], sessions),
            "count": len(messages),
            "messages": messages,
        }

    def _task(self, row: dict[str, Any], sessions: Any) -> dict[str, Any]:
        lines = sorted(
            (line["position"], line["message"])
            for line in self.rows["task_log"].values()
            if line["task"] == row["id"]
        )
        return {
            **{name: row[name] for name in _TASK},
            "id": row["id"],
            "orphaned": _gone(row["session"], sessions),
            "progress": row["progress"] and row["progress"]["done"],
            "lines": [message for _, message in lines],
        }


def _key(kind: str, row: dict[str, Any]) -> Any:
    if kind == "message":
        return row["session"], row["id"]
    if kind == "summary":
        return row["session"], row["upto"]
    if kind == "task_log":
        return row["task"], row["position"]
    return row["id"]


def _gone(id: str | None, sessions: Any) -> bool:
    return id is not None and id not in sessions


def _fields(record: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}
