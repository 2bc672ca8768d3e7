"""Talks: the messages of a graph, kept as those of the session of its thread.

Answers for: having a session show what a graph's `messages` are, with as little written
as can be; a mark of that, by which a checkpoint has it for good; reading it again.
Leaves to others: what a message looks like (`_langchain_messages`), checkpoints
(`saver`).
Always holds: what is read through a mark equals what was kept; a list that a session
could not give back is refused before anything is written.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from holdfast import Message, codec
from holdfast.errors import Conflict, HoldfastError, NotFound
from holdfast.integrations import extra
from holdfast.integrations._langchain_messages import draft_of, message_of
from holdfast.page import Page
from holdfast.transaction import OpenTransaction

with extra("langgraph"):
    from langchain_core.messages import BaseMessage

OURS = "langgraph"
"""What the metadata of a session that was begun here has."""
_AT_ONCE = 1_000
_HEAD_BYTES, _BODY_BYTES = 8, 16


class Left(msgspec.Struct, frozen=True):
    """How a session was left: its version, its messages' digests, and their mark."""

    version: int
    digests: tuple[bytes, ...]
    mark: str


class Said(msgspec.Struct, frozen=True):
    """What a graph's messages are: drafts, and a digest of each."""

    drafts: tuple[dict[str, Any], ...]
    digests: tuple[bytes, ...]


def said_of(value: object) -> Said | None:
    """Messages that a session can keep; None for anything else."""
    if type(value) is not list or not value:
        return None
    if not all(isinstance(message, BaseMessage) for message in value):
        return None
    try:
        drafts = tuple(map(draft_of, value))
    except HoldfastError:
        return None
    ids = [draft["id"] for draft in drafts if "id" in draft]
    if len(set(ids)) < len(ids):
        return None
    return Said(drafts, tuple(map(_digest, drafts)))


def keep(tx: OpenTransaction, id: str, said: Said, left: Left | None) -> Left:
    """Have a session show what was said; how it is left.

    `left` is how it was left the last time, if that is known: then the session is not
    read, as long as nobody else has written to it. Its mark tells it from another one
    of that id, and may be gone by now.
    """
    if left is not None:
        try:
            tx.sessions.get_mark(left.mark)
            return _led_on(tx, id, said, left)
        except (Conflict, NotFound):
            pass
    return _led_on(tx, id, said, _there(tx, id))


def messages_in(page: Page[Message]) -> Iterator[BaseMessage]:
    """What a page of a mark's messages says, as LangGraph has it."""
    return map(message_of, page)


def _there(tx: OpenTransaction, id: str) -> Left:
    """How a session stands; begun, if it is not there."""
    tx.sessions.lock(id)
    try:
        version = tx.sessions.get(id).version
    except NotFound:
        version = tx.sessions.create(id=id, metadata={OURS: {"thread": id}}).version
    digests = tuple(_digest(_as_draft(message)) for message in tx.sessions.history(id))
    return Left(version, digests, "")


def _led_on(tx: OpenTransaction, id: str, said: Said, left: Left) -> Left:
    """Lead a session from how it was left to what was said, and mark it."""
    common = _common(said.digests, left.digests)
    if common == len(left.digests) == len(said.digests) and left.mark:
        if (found := tx.sessions.get(id).version) != left.version:
            raise Conflict("session", id, expected=left.version, found=found)
        return left
    version = left.version
    if common < len(left.digests):
        if _one_replaced(said, left, common):
            version = _amended(tx, id, said.drafts[common], version)
            common = len(left.digests)
        else:
            at = tx.sessions.begins(id) - 1 + common
            version = tx.sessions.rewind(id, at, expect=version).version
    for start in range(common, len(said.drafts), _AT_ONCE):
        drafts = said.drafts[start : start + _AT_ONCE]
        version += len(tx.sessions.extend(id, drafts, expect=version))
    return Left(version, said.digests, tx.sessions.mark(id).id)


def _one_replaced(said: Said, left: Left, at: int) -> bool:
    """Whether just one message differs, which is still of the same id and role."""
    after = at + 1
    return (
        len(said.digests) >= len(left.digests) > after
        and said.digests[after : len(left.digests)] == left.digests[after:]
        and "id" in said.drafts[at]
        and said.digests[at][:_HEAD_BYTES] == left.digests[at][:_HEAD_BYTES]
    )


def _amended(tx: OpenTransaction, id: str, draft: dict[str, Any], version: int) -> int:
    """The version of a session in which one message says something else."""
    tx.sessions.amend(
        id,
        draft["id"],
        draft["content"],
        metadata=draft.get("metadata"),
        expect=version,
    )
    return version + 1


def _common(new: Sequence[bytes], old: Sequence[bytes]) -> int:
    """How many of the first are the same in both."""
    for place, (one, other) in enumerate(zip(new, old, strict=False)):
        if one != other:
            return place
    return min(len(new), len(old))


def _digest(draft: dict[str, Any]) -> bytes:
    """What tells a message from others: first its id and role, then what it says."""
    content = codec.document(draft["content"]).text
    metadata = codec.text_of(draft.get("metadata")) or ""
    head = f"{draft['role']} {draft.get('id', '')}".encode()
    body = f"{len(content)} {content}{metadata}".encode()
    return (
        hashlib.blake2b(head, digest_size=_HEAD_BYTES).digest()
        + hashlib.blake2b(body, digest_size=_BODY_BYTES).digest()
    )


def _as_draft(message: Message) -> dict[str, Any]:
    """A session's message as it was drafted."""
    draft = {
        "role": message.role,
        "content": message.content,
        "metadata": message.metadata,
    }
    ours = (message.metadata or {}).get("langchain")
    if not (isinstance(ours, dict) and "id" in ours):
        draft["id"] = message.id
    return draft
