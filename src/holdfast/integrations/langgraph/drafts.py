"""Drafts: a graph's messages as a session takes them, each made once.

A graph hands over its whole conversation at every step, of which next to nothing is
new. A message that is still as it was is known by its fields.

Answers for: a draft and a digest of a message; remembering them while it is the same.
Leaves to others: what a draft looks like (`_langchain_messages`), what a conversation
is led to by them (`talks`).
Always holds: a message that was changed, also in place, is drafted anew; what is
remembered is little, and goes oldest first.
"""

import hashlib
import marshal
from collections import OrderedDict
from typing import Any

import msgspec

from holdfast import codec
from holdfast.integrations import extra
from holdfast.integrations._langchain_messages import draft_of

with extra("langgraph"):
    from langchain_core.messages import BaseMessage

HEAD_BYTES, _BODY_BYTES = 8, 16
_REMEMBERED_BYTES = 32 * 1024 * 1024
_EACH_BYTES = 2048
"""About what a draft takes besides its texts."""
_PLAINLY = 2
"""Equal values are equal bytes: no later form of `marshal`'s keeps to that."""


class Drafted(msgspec.Struct, frozen=True):
    """A draft, its digest, and the fields of the message that it was made of."""

    draft: dict[str, Any]
    digest: bytes
    form: type[BaseMessage]
    fields: bytes | None
    size_bytes: int

    def stands_for(self, message: BaseMessage) -> bool:
        """Whether a message is the one that this was made of, unchanged."""
        return (
            type(message) is self.form
            and self.fields is not None
            and _fields_of(message) == self.fields
            and not message.__pydantic_extra__
        )


class Drafts:
    """Makes drafts, and remembers those that it made last, by their messages' ids."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, Drafted] = OrderedDict()
        self._bytes = 0

    def of(self, message: BaseMessage) -> Drafted:
        """The draft of a message. Raises as `draft_of`."""
        known = self._made.get(message.id or "")
        if known is not None and known.stands_for(message):
            return known
        made = drafted(message)
        if message.id and made.fields and not message.__pydantic_extra__:
            self._remember(message.id, made)
        return made

    def _remember(self, id: str, made: Drafted) -> None:
        before = self._made.pop(id, None)
        self._made[id] = made
        self._bytes += made.size_bytes - (before.size_bytes if before else 0)
        while self._bytes > _REMEMBERED_BYTES and self._made:
            _, oldest = self._made.popitem(last=False)
            self._bytes -= oldest.size_bytes


def drafted(message: BaseMessage) -> Drafted:
    """The draft of a message, and what tells whether it is still the one."""
    draft = draft_of(message)
    fields = _fields_of(message)
    texts = codec.text_of(draft["content"]) or "", codec.text_of(draft.get("metadata"))
    return Drafted(
        draft,
        digest_of(draft),
        type(message),
        fields,
        2 * sum(len(text or "") for text in texts) + len(fields or b"") + _EACH_BYTES,
    )


def _fields_of(message: BaseMessage) -> bytes | None:
    """What a message's fields say, to be compared; None for what is more than data.

    In this form, which is never read, True is not 1, and 1 is not 1.0.
    """
    try:
        return marshal.dumps(message.__dict__, _PLAINLY)
    except ValueError:
        return None


def digest_of(draft: dict[str, Any]) -> bytes:
    """What tells a message from others: first its id and role, then what it says."""
    content = codec.document(draft["content"]).text
    metadata = codec.text_of(draft.get("metadata")) or ""
    head = f"{draft['role']} {draft.get('id', '')}".encode()
    body = f"{len(content)} {content}{metadata}".encode()
    return (
        hashlib.blake2b(head, digest_size=HEAD_BYTES).digest()
        + hashlib.blake2b(body, digest_size=_BODY_BYTES).digest()
    )
