"""Rendering: a session as one text, for people or for programs.

Answers for: which texts there are.
Leaves to others: those for people (`transcripts`), that for programs (`exported`),
reading the session (`sessions`).
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated

from holdfast import edges
from holdfast.edges import Edge
from holdfast.kinds.exported import document_of
from holdfast.kinds.session_records import Message, Session, Summary
from holdfast.kinds.transcripts import harmless_json, markdown, plain


class Form(StrEnum):
    """What a session is rendered as."""

    MARKDOWN = "markdown"
    TEXT = "text"
    JSON = "json"


AnyForm = Annotated[Form | str, Edge(edges.member_of(Form))]


def rendered(
    form: Form,
    session: Session,
    messages: Iterable[Message],
    summaries: Iterable[Summary],
) -> str:
    """A session and what is in it, as one text."""
    return _TEXTS[form](session, messages, summaries)


def _json(
    session: Session, messages: Iterable[Message], summaries: Iterable[Summary]
) -> str:
    return harmless_json(document_of(session, messages, summaries).decode()) + "\n"


_TEXTS: dict[Form, Callable[[Session, Iterable[Message], Iterable[Summary]], str]] = {
    Form.MARKDOWN: markdown,
    Form.TEXT: plain,
    Form.JSON: _json,
}
