"""What the model is tried with: operations, and arguments from small pools."""

from typing import Any

from hypothesis import strategies as st

from model import MOVES

OWNERS = ("ada", "", "bob")
SESSION = st.sampled_from(["s0", "s1", "s2"])
TASK = st.sampled_from(["t0", "t1"])
RECORD = st.one_of(
    st.tuples(st.just("sessions"), SESSION), st.tuples(st.just("tasks"), TASK)
)
TEXT = st.sampled_from(["", "a", "ü"])
VALUE = st.sampled_from(["x", {"a": [1, None]}, None])
EXPECT = st.none() | st.integers(0, 6)
DRAFT = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["m0", "m1", "m2", "m3", "m4"]),
        "role": st.sampled_from(["user", "tool"]),
        "content": VALUE,
    }
)


def command(name: str, required: dict[str, Any], **optional: Any) -> Any:
    """An operation, with arguments that it might get."""
    args = st.fixed_dictionaries(required, optional=optional)
    return st.tuples(st.just(name), args)


def leasing(name: str, **more: Any) -> Any:
    """An operation on the lease of a record."""
    return st.builds(
        lambda record, args: (name, {"kind": record[0], "id": record[1], **args}),
        RECORD,
        st.fixed_dictionaries(more),
    )


def _said(draft: dict[str, Any]) -> dict[str, Any]:
    return {name: draft[name] for name in ("role", "content")}


_FENCE = st.sampled_from([0, 0, 0, 1])
"""How much older than a record's newest lease."""
_SECONDS = st.sampled_from([1, 60])
_IN_SESSION, _OF_TASK = {"id": SESSION}, {"id": TASK}
_SAID = {"complete": {"result": VALUE}, "fail": {"error": TEXT}}
_MOVED = [
    command(
        f"tasks.{move}", {**_OF_TASK, **({"error": TEXT} if move == "fail" else {})}
    )
    for move in MOVES
]
_MADE = {
    "title": TEXT,
    "parent": st.none() | SESSION,
    "metadata": st.sampled_from([None, {"a": 1}]),
    "tags": st.sampled_from([(), ("x",), ("x", "y")]),
}
_TASKED = {
    "description": st.sampled_from(["do", "redo"]),
    "tool": st.sampled_from([None, "hammer"]),
    "session": st.none() | SESSION,
}
COMMAND = st.one_of(
    command("sessions.create", {**_IN_SESSION, **_MADE}),
    command("sessions.create", {**_IN_SESSION, **dict.fromkeys(_MADE, st.none())}).map(
        lambda c: (c[0], {**c[1], "title": "", "tags": ()})
    ),
    command(
        "sessions.update",
        _IN_SESSION,
        expect=EXPECT,
        title=TEXT,
        status=st.sampled_from(["active", "paused"]),
        tags=_MADE["tags"],
    ),
    command("sessions.close", _IN_SESSION),
    command("sessions.delete", _IN_SESSION),
    st.builds(
        lambda args, draft: (
            "sessions.append",
            {**args, "message_id": draft["id"], **_said(draft)},
        ),
        st.fixed_dictionaries(_IN_SESSION, optional={"expect": EXPECT}),
        DRAFT,
    ),
    command(
        "sessions.extend",
        {**_IN_SESSION, "messages": st.lists(DRAFT, max_size=3)},
        expect=EXPECT,
    ),
    command("sessions.pop", _IN_SESSION),
    command("sessions.clear", _IN_SESSION),
    command("tasks.create", {**_OF_TASK, **_TASKED}),
    command("tasks.update", _OF_TASK, expect=EXPECT, **_TASKED),
    *_MOVED,
    command("tasks.progress", {**_OF_TASK, "done": st.integers(0, 9)}),
    command("tasks.log", {**_OF_TASK, "message": TEXT}),
    command("tasks.delete", _OF_TASK),
    leasing("leases.acquire", holder=st.sampled_from(["h", "i"]), seconds=_SECONDS),
    leasing("leases.renew", fence=_FENCE, seconds=_SECONDS),
    leasing("leases.release", fence=_FENCE),
)
TOKEN = st.sampled_from([False, False, False, True]).flatmap(
    lambda some: st.tuples(RECORD, _FENCE) if some else st.none()
)
"""The lease that a unit carries, if any: which record's, and as `_FENCE` says."""


_PLAIN = {"title": "", "parent": None, "metadata": None, "tags": ()}
FURNISHING = [
    ("sessions.create", {"id": "s0", **_PLAIN}),
    ("sessions.create", {"id": "s1", **_PLAIN, "parent": "s0", "tags": ("x",)}),
    (
        "sessions.extend",
        {
            "id": "s0",
            "messages": [
                {"id": f"m{n}", "role": "user", "content": "x"} for n in range(4)
            ],
        },
    ),
    (
        "tasks.create",
        {"id": "t0", "description": "do", "tool": None, "session": "s0"},
    ),
    ("tasks.start", {"id": "t0"}),
    ("tasks.create", {"id": "t1", "description": "do", "tool": None, "session": None}),
    (
        "leases.acquire",
        {"kind": "sessions", "id": "s1", "holder": "h", "seconds": 60},
    ),
]
"""What every owner has at first."""
