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

    @classmethod
    def _missing_(cls, value: object) -> "Form | None":
        """`txt` is the text too, as the names of such files end."""
        return cls.TEXT if value == "txt" else None


AnyForm = Annotated[Form | str, Edge(edges.member_of(Form))]


def rendered(
    form: Form,
    session: Session,
    messages: Iterable[Message],
    summaries: Iterable[Summary],
) -> str:
    """A session and what is in it, as a text for people."""
    return _TEXTS[form](session, messages, summaries)


def rendered_json(
    session: Session,
    first: int,
    messages: Iterable[Message],
    summaries: Iterable[Summary],
) -> str:
    """A session and what is in it, as one document; its messages begin at `first`."""
    document = document_of(session, first, messages, summaries)
    return harmless_json(document.decode()) + "\n"


_TEXTS: dict[Form, Callable[[Session, Iterable[Message], Iterable[Summary]], str]] = {
    Form.MARKDOWN: markdown,
    Form.TEXT: plain,
}
