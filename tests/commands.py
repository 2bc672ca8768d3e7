"""What the model is tried with: operations, and arguments from small pools."""

from typing import Any

from hypothesis import strategies as st

from model import MOVES
from showing import TOOLED, by_the_letter

OWNERS = ("ada", "", "bob")
SESSION = st.sampled_from(["s0", "s1", "s2"])
TALK_ID = st.sampled_from(["s0", "s1", "s2", "s3"])
TASK = st.sampled_from(["t0", "t1"])
RECORD = st.one_of(
    st.tuples(st.just("sessions"), SESSION), st.tuples(st.just("tasks"), TASK)
)
TEXT = st.sampled_from(["", "a", "ü"])
VALUE = st.sampled_from(["x", {"a": [1, None]}, None])
EXPECT = st.none() | st.integers(0, 6)
CALLED = st.sampled_from([content for content, _, _ in TOOLED])
SAID = VALUE | st.sampled_from(["red", "the sky", "Sky: red"])
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.integers(0, 6),
        "tokens": st.integers(0, 30),
        "count": st.just(by_the_letter),
    },
)
"""How much a context may have."""
WORDS = st.sampled_from(["red", "sky", "x", "a", "u", "red sky", "do", "redo X"])
_MESSAGE = {"id": st.sampled_from([f"m{n}" for n in range(10)])}
_ROLES = ["user", "tool", "system"]
DRAFT = st.one_of(
    st.fixed_dictionaries(
        {**_MESSAGE, "role": st.sampled_from(_ROLES), "content": SAID}
    ),
    st.fixed_dictionaries({**_MESSAGE, "role": st.just("tool"), "content": CALLED}),
)
BROKEN = st.booleans().flatmap(
    lambda partial: DRAFT.map(lambda draft: {**draft, "partial": partial})
)


class Back(int):
    """A message of a session, so far back from its newest: its id, or its position."""


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


_BACK = st.builds(Back, st.sampled_from([0, 0, 1, 1, 2, 3, 4, 6]))
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
    "max_context_messages": st.sampled_from([None, None, 2, 4]),
}
_TASKED = {
    "description": st.sampled_from(["do", "redo"]),
    "tool": st.sampled_from([None, "hammer"]),
    "session": st.none() | SESSION,
}
_TALK = {"id": TALK_ID}
_REPLYING = {**_TALK, "message_id": _BACK}
_APPEND = st.builds(
    lambda args, draft: (
        "sessions.append",
        {**args, "message_id": draft["id"], **_said(draft)},
    ),
    st.fixed_dictionaries(_TALK, optional={"expect": EXPECT}),
    DRAFT,
)
_POP = command("sessions.pop", _TALK)
_FORK = command(
    "sessions.fork", {**_TALK, "new_id": TALK_ID | st.just("s4")}, at=_BACK, title=TEXT
)
_AMEND = command(
    "sessions.amend",
    {**_TALK, "message_id": _BACK, "content": SAID | CALLED},
    expect=EXPECT,
)
_CONTEXT = st.builds(
    lambda session, limits: ("sessions.context", {**session, **limits}),
    st.fixed_dictionaries(_TALK),
    LIMITS,
)
_TALKING = [
    _APPEND,
    command(
        "sessions.extend",
        {**_TALK, "messages": st.lists(DRAFT | BROKEN, max_size=3)},
        expect=EXPECT,
    ),
    _POP,
    _FORK,
    _AMEND,
    command(
        "sessions.begin_reply",
        {**_TALK, "message_id": _MESSAGE["id"] | _BACK},
        role=st.sampled_from(["assistant", "user"]),
        text=TEXT,
    ),
    command(
        "sessions.extend_reply",
        {**_REPLYING, "text": st.sampled_from(["", "a", "ab", "ü"])},
        at=st.sampled_from([0, 0, 1, 1, 2, 3]),
    ),
    command("sessions.end_reply", _REPLYING, content=SAID),
    command(
        "sessions.summarize",
        {
            **_TALK,
            "upto": _BACK,
            "text": st.sampled_from(["all", "so much that it takes " + "room " * 9]),
        },
    ),
    command("sessions.summaries", _TALK),
    _CONTEXT,
]
_ENDING = [command("sessions.clear", _TALK), command("sessions.delete", _TALK)]
TALK = st.one_of(*_TALKING, *_TALKING, _APPEND, _APPEND, _POP, _AMEND, *_ENDING)
"""What is done in conversations, the most often what lets them be long."""
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
        max_context_messages=_MADE["max_context_messages"],
    ),
    command("sessions.close", _IN_SESSION),
    *_TALKING,
    *_ENDING,
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
READING = {"sessions.summaries", "sessions.context"}
"""Operations that only read, for which no lease counts."""
TOKEN = st.sampled_from([False, False, False, True]).flatmap(
    lambda some: st.tuples(RECORD, _FENCE) if some else st.none()
)
"""The lease that a unit carries, if any: which record's, and as `_FENCE` says."""


PLAIN = {
    "title": "",
    "parent": None,
    "metadata": None,
    "tags": (),
    "max_context_messages": None,
}
_SPOKEN = [("system", "the sky"), ("user", "x"), *[("tool", c) for c, _, _ in TOOLED]]
FURNISHING = [
    ("sessions.create", {"id": "s0", **PLAIN}),
    ("sessions.create", {"id": "s1", **PLAIN, "parent": "s0", "tags": ("x",)}),
    (
        "sessions.extend",
        {
            "id": "s0",
            "messages": [
                {"id": f"m{n}", "role": role, "content": content}
                for n, (role, content) in enumerate(_SPOKEN, 1)
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
FORKED = [
    ("leases.release", {"kind": "sessions", "id": "s1", "fence": 0}),
    ("sessions.fork", {"id": "s0", "new_id": "s2", "at": 6}),
    ("sessions.amend", {"id": "s0", "message_id": "m3", "content": "red"}),
    ("sessions.fork", {"id": "s2", "new_id": "s3", "at": 4}),
    (
        "sessions.append",
        {"id": "s3", "message_id": "m8", "role": "user", "content": "x"},
    ),
    ("sessions.summarize", {"id": "s0", "upto": 3, "text": "all"}),
]
"""And what it has beside, if conversations are what is tried most."""
