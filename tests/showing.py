"""What a model is to be shown of a session, and what a search is to find.

Both are told of plain dicts as `model` has them, by trying everything: a context is the
longest of all rows of messages that may be shown and fit, and a search reads each text.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any, NamedTuple

TOOLED: tuple[tuple[Any, set[str], set[str]], ...] = (
    ({"tool_calls": [{"id": "c0"}], "content": "red"}, {"c0"}, set()),
    ([{"type": "tool_use", "id": "c1"}, {"type": "text"}], {"c1"}, set()),
    ({"tool_call_id": "c0", "content": "red sky"}, set(), {"c0"}),
    ([{"type": "tool_result", "tool_use_id": "c1"}], set(), {"c1"}),
    (
        [
            {"type": "function_call_output", "call_id": "c1"},
            {"type": "function_call", "call_id": "c0"},
        ],
        {"c0"},
        {"c1"},
    ),
)
"""Contents of messages: the calls that each makes, and those that it answers."""
_NOT_SAID = {"id", "type", "tool_call_id", "tool_use_id", "call_id"}


class Shown(NamedTuple):
    """A message as a context has it."""

    id: str
    position: int
    role: str
    content: Any
    metadata: Any = None


Weigh = Callable[[Any], int]


class Context(NamedTuple):
    """What can be told of a context."""

    messages: tuple[Shown, ...]
    summary: tuple[int, str] | None
    left_out: int
    tokens: int


def by_the_quarter(message: Any) -> int:
    """The tokens of a message, if nobody says how to count."""
    said = [message.content, message.metadata] if message.metadata else message.content
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return max(1, len(text.encode()) // 4)


def by_the_letter(message: Any) -> int:
    """A counter of a caller's own; some messages cost nothing by it."""
    return len(message.content) if isinstance(message.content, (str, list)) else 0


def context(
    session: dict[str, Any],
    messages: int | None = None,
    tokens: int | None = None,
    count: Weigh | None = None,
) -> Context:
    """What is to be shown of a session, whose own limit counts if none is given."""
    own = session["max_context_messages"]
    most = next(limit for limit in (messages, own, 50) if limit is not None)
    weigh = count or by_the_quarter
    said = [
        Shown(m["id"], m["position"], m["role"], m["content"])
        for m in session["messages"]
    ]
    head = list(takewhile(lambda m: m.role in {"system", "developer"}, said))[:most]
    rest = said[len(head) :]

    def made(window: list[Shown], summary: tuple[int, str] | None) -> Context:
        instead = [_told(summary)] if summary else []
        shown = (*head, *instead, *window)
        return Context(shown, summary, len(rest) - len(window), sum(map(weigh, shown)))

    def fits(made: Context) -> bool:
        within = tokens is None or made.tokens <= tokens
        return within and len(made.messages) <= most

    windows = [rest[at:] for at in range(len(rest)) if _whole(rest[at:])] or [[]]
    bare = [made(window, None) for window in windows]
    told = [made(window, _summary(session, rest, window)) for window in windows]
    if fits(bare[0]) and not bare[0].left_out:
        return bare[0]
    in_order = [one for one in told if one.summary and fits(one)]
    in_order += [one for one in bare if fits(one)]
    return [*in_order, bare[-1]][0]


def _whole(window: list[Shown]) -> bool:
    """Whether each answer in it has its call there too, and not only later."""
    for at, message in enumerate(window):
        called = set[str]().union(*(_calls(m)[0] for m in window[: at + 1]))
        if not _calls(message)[1] <= called:
            return False
    return True


def _calls(message: Shown) -> tuple[set[str], set[str]]:
    for content, made, answered in TOOLED:
        if message.content == content:
            return made, answered
    return set(), set()


def _summary(
    session: dict[str, Any], rest: list[Shown], window: list[Shown]
) -> tuple[int, str] | None:
    """The best summary of what a window leaves out: all of it and no more than need be,
    or else as much as there is one of."""
    left = rest[: len(rest) - len(window)]
    if not left:
        return None
    told = session["summaries"]
    useful = sorted(upto for upto in told if upto >= left[0].position)
    of_all = [upto for upto in useful if upto >= left[-1].position]
    chosen = of_all[:1] or useful[-1:]
    return (chosen[0], told[chosen[0]]) if chosen else None


def _told(summary: tuple[int, str]) -> Shown:
    upto, text = summary
    metadata = {"summary": {"upto": upto}}
    return Shown(f"summary-{upto}", upto, "system", text, metadata)


Found = tuple[str, str, str | None, int | None]


def found(tables: dict[str, Any], query: str) -> set[Found]:
    """What an owner's search for words finds: kind, id, session and position.

    A message that sessions share (as one object) is found once, in the oldest of them;
    of one that is still being written, only how it began is searched.
    """
    wanted = _words([query])
    hits: set[Found] = set()
    seen: set[int] = set()
    for name, session in sorted(tables["sessions"].items(), key=lambda s: s[1]["born"]):
        if wanted <= _words([session["title"]]):
            hits.add(("session", name, None, None))
        for message in session["messages"]:
            said = message["parts"][:1] or [message["content"]]
            if id(message) not in seen and wanted <= _words(said):
                hits.add(("message", message["id"], name, message["position"]))
            seen.add(id(message))
    for name, task in tables["tasks"].items():
        if wanted <= _words([task["description"], task["result"], task["error"]]):
            hits.add(("task", name, task["session"], None))
    return hits


def _words(values: Any) -> set[str]:
    text = " ".join(_strings(values)).lower().replace("ü", "u")
    return set(re.findall(r"[a-z0-9]+", text))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _NOT_SAID:
                yield from _strings(item)
