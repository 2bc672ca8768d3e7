"""Transcripts: a session as text for people, as Markdown or plain.

Answers for: the layout of both; text that can steer neither a terminal nor what comes
after it.
Leaves to others: what a message is made of (`spoken`), the text for programs
(`exported`).
Always holds: title, id, times, roles and every content are in it. Characters that
steer a terminal stand as their escapes. In plain text what was said is indented, so
that it cannot be taken for the line above a message.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from textwrap import indent

from holdfast.kinds.session_records import Message, Session, Summary
from holdfast.kinds.spoken import Block, Said, as_json, parts_of

_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}(?=[^`]*$)|~{3,})")
_OPEN_HTML = re.compile(
    r"^( {0,3})<(?=[!?]|(?:script|pre|style|textarea)\b)", re.IGNORECASE
)
_SHORT = 60
_TICKS = re.compile("`+")


def plain(
    session: Session, messages: Iterable[Message], summaries: Iterable[Summary]
) -> str:
    """A session as plain text."""
    pieces = [_line(session.title) or _line(session.id)]
    pieces += [f"{name}: {_line(text)}" for name, text in _facts(session)]
    for one in _in_order(messages, summaries):
        pieces.append(f"\n{_heading(one)}")
        for part in _parts(one):
            text = harmless(part.text)
            if isinstance(part, Said):
                pieces.append(indent(text, "    "))
            elif _is_short(text):
                pieces.append(f"    [{_line(part.title)}] {text}")
            else:
                pieces.append(f"    [{_line(part.title)}]\n{indent(text, '    ')}")
    return "\n".join(pieces) + "\n"


def markdown(
    session: Session, messages: Iterable[Message], summaries: Iterable[Summary]
) -> str:
    """A session as Markdown; what was said is Markdown already, and is closed in."""
    pieces = [f"# {_line(session.title) or _line(session.id)}"]
    pieces.append(
        "\n".join(
            f"- **{name}**: {_code(_line(text))}" for name, text in _facts(session)
        )
    )
    for one in _in_order(messages, summaries):
        pieces.append(f"## {_heading(one)}")
        for part in _parts(one):
            text = harmless(part.text)
            if isinstance(part, Said):
                pieces.append(_closed_in(text))
            elif _is_short(text):
                pieces.append(f"*{_code(_line(part.title))}*: {_code(text)}")
            else:
                pieces.append(f"*{_code(_line(part.title))}*")
                pieces.append(_fenced(text, "json" if part.is_json else ""))
    return "\n\n".join(pieces) + "\n"


def harmless(text: str) -> str:
    r"""The text, with what would steer a terminal as escapes such as `\x1b`."""
    return _STEERING.sub(_escaped, text.replace("\r\n", "\n"))


def harmless_json(text: str) -> str:
    """The same for JSON text, which stays JSON of the same value."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _line(text: str) -> str:
    return " ".join(harmless(text).split())


def _facts(session: Session) -> Iterator[tuple[str, str]]:
    """What there is to say of a session beside its title."""
    yield "session", session.id
    yield "status", session.status.value
    yield "created", _when(session.created_at)
    yield "updated", _when(session.updated_at)
    if session.parent is not None:
        yield "parent", session.parent
    if session.tags:
        yield "tags", ", ".join(session.tags)
    if session.metadata:
        yield "metadata", as_json(session.metadata)


def _in_order(
    messages: Iterable[Message], summaries: Iterable[Summary]
) -> Iterator[Message | Summary]:
    """Messages, and each summary behind the last message that it stands for."""
    by_place = {summary.upto: summary for summary in summaries}
    for message in messages:
        yield message
        if message.position in by_place:
            yield by_place[message.position]


def _heading(one: Message | Summary) -> str:
    if isinstance(one, Summary):
        return f"summary up to {one.upto} · {_when(one.created_at)}"
    partial = " · partial" if one.partial else ""
    return f"{one.position} · {one.role} · {_when(one.created_at)}{partial}"


def _parts(one: Message | Summary) -> Iterable[Said | Block]:
    return (Said(one.text),) if isinstance(one, Summary) else parts_of(one)


def _is_short(text: str) -> bool:
    return 0 < len(text) <= _SHORT and "\n" not in text


def _when(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")


def _closed_in(text: str) -> str:
    """Markdown, so that what it opens does not reach into what comes after it."""
    lines, fence = [], ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if not fence:
            fence = found["mark"] if found else ""
            line = _OPEN_HTML.sub(r"\1&lt;", line)  # noqa: PLW2901
        elif (
            found
            and found["mark"].startswith(fence)
            and not line[found.end() :].strip()
        ):
            fence = ""
        lines.append(line)
    return "\n".join([*lines, fence] if fence else lines)


def _fenced(text: str, language: str) -> str:
    """A block of code, whose fence is longer than any in it."""
    fence = _ticks_around(text, 3)
    return f"{fence}{language}\n{text}\n{fence}"


def _code(text: str) -> str:
    fence = _ticks_around(text, 1)
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{edge}{text}{edge}{fence}"


def _ticks_around(text: str, least: int) -> str:
    longest = max(map(len, _TICKS.findall(text)), default=0)
    return "`" * max(least, longest + 1)
