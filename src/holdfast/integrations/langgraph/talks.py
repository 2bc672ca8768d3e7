"""Talks: the messages of a graph, kept as those of the session of its thread.

Answers for: having a session show what a graph's `messages` are, with as little written
as can be; a mark of that, by which a checkpoint has it for good; reading it again; a
tool's answer, ahead of the checkpoint that has it.
Leaves to others: what a message looks like (`_langchain_messages`), checkpoints
(`saver`).
Always holds: what is read through a mark equals what was kept; a list that a session
could not give back is refused before anything is written.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from holdfast import Message
from holdfast.errors import HoldfastError, NotFound
from holdfast.integrations import extra
from holdfast.integrations._langchain_messages import message_of
from holdfast.integrations._tool_uses import results_in, uses_in
from holdfast.integrations.langgraph.drafts import (
    HEAD_BYTES,
    Drafted,
    digest_of,
    drafted,
)
from holdfast.page import Page
from holdfast.transaction import OpenTransaction

with extra("langgraph"):
    from langchain_core.messages import BaseMessage

OURS = "langgraph"
"""What the metadata of a session that was begun here has."""
_AT_ONCE = 1_000
_LOOKED_AT = 4


class Left(msgspec.Struct, frozen=True):
    """How a session was left: its version, its messages' digests, its newest mark.

    The mark is of all of them, if `marked`.
    """

    version: int
    digests: tuple[bytes, ...]
    mark: str
    marked: bool = True


class Answer(msgspec.Struct, frozen=True):
    """Which tool a session has the answer of, and the session's version before it."""

    name: str
    version: int


class Said(msgspec.Struct, frozen=True):
    """What a graph's messages are: drafts, and a digest of each."""

    drafts: tuple[dict[str, Any], ...]
    digests: tuple[bytes, ...]


def said_of(
    value: object, drafted: Callable[[BaseMessage], Drafted] = drafted
) -> Said | None:
    """Messages that a session can keep; None for anything else."""
    if type(value) is not list:
        return None
    if not all(isinstance(message, BaseMessage) for message in value):
        return None
    try:
        made = [drafted(message) for message in value]
    except HoldfastError:
        return None
    drafts = tuple(each.draft for each in made)
    ids = [draft["id"] for draft in drafts if "id" in draft]
    if len(set(ids)) < len(ids):
        return None
    return Said(drafts, tuple(each.digest for each in made))


def keep(tx: OpenTransaction, id: str, said: Said, left: Left | None) -> Left:
    """Have a session show what was said; how it is left.

    `left` is how it was left the last time, if that is known: then the session is not
    read, as long as nobody else has written to it. Its mark goes with it: a session
    that was begun anew by the same id has others.
    """
    tx.sessions.lock(id)
    if left is None or tx.sessions.version_with(id, left.mark) != left.version:
        left = _there(tx, id)
    return _led_on(tx, id, said, left)


def cleared(tx: OpenTransaction, id: str) -> None:
    """Have a session show nothing; none is begun for that."""
    with suppress(NotFound):
        tx.sessions.rewind(id, tx.sessions.begins(id) - 1)


def answer(
    tx: OpenTransaction, id: str, call: str, made: Callable[[str], BaseMessage]
) -> Answer | None:
    """Add a tool's answer to a session; None if that does not wait for it.

    `made` makes the message, from the name of the tool that the call is to.
    """
    try:
        tx.sessions.lock(id)
        version = tx.sessions.get(id).version
        name = _called(tx, id, call)
    except NotFound:
        return None
    if name is None:
        return None
    tx.sessions.extend(id, [drafted(made(name)).draft])
    return Answer(name, version)


def led_on(left: Left, answers: Mapping[int, BaseMessage]) -> Left:
    """How a session is left that has had answers since, each at a version."""
    while (message := answers.get(left.version)) is not None:
        digests = (*left.digests, drafted(message).digest)
        left = Left(left.version + 1, digests, left.mark, marked=False)
    return left


def messages_in(page: Page[Message]) -> Iterator[BaseMessage]:
    """What a page of a mark's messages says, as LangGraph has it."""
    return map(message_of, page)


def _called(tx: OpenTransaction, id: str, call: str) -> str | None:
    """The tool to which a call is that a session ends with, but for others' answers."""
    for message in _newest_first(tx, id):
        answered = {result.id for result in results_in(message)}
        if message.role != "tool" or call in answered:
            uses = () if answered else uses_in(message)
            return next((use.name for use in uses if use.id == call), None)
    return None


def _newest_first(tx: OpenTransaction, id: str) -> Iterator[Message]:
    cursor = None
    while True:
        page = tx.sessions.messages(id, _LOOKED_AT, cursor=cursor)
        yield from reversed(page)
        if (cursor := page.cursor) is None:
            return


def _there(tx: OpenTransaction, id: str) -> Left:
    """How a session stands; begun, if it is not there."""
    try:
        version = tx.sessions.get(id).version
    except NotFound:
        version = tx.sessions.create(id=id, metadata={OURS: {"thread": id}}).version
    digests = tuple(
        digest_of(_as_draft(message)) for message in tx.sessions.history(id)
    )
    return Left(version, digests, "", marked=False)


def _led_on(tx: OpenTransaction, id: str, said: Said, left: Left) -> Left:
    """Lead a session from how it was left to what was said, and mark it."""
    common = _common(said.digests, left.digests)
    if common == len(left.digests) == len(said.digests) and left.marked:
        return left
    version = left.version
    if common < len(left.digests):
        if _one_replaced(said, left, common):
            _amend(tx, id, said.drafts[common])
            version += 1
            common = len(left.digests)
        else:
            at = tx.sessions.begins(id) - 1 + common
            version = tx.sessions.rewind(id, at).version
    new = said.drafts[common:]
    version += len(new)
    while len(new) > _AT_ONCE:
        tx.sessions.extend(id, new[:_AT_ONCE])
        new = new[_AT_ONCE:]
    return Left(version, said.digests, tx.sessions.extend_marked(id, new).id)


def _one_replaced(said: Said, left: Left, at: int) -> bool:
    """Whether just one message differs, which is still of the same id and role."""
    after = at + 1
    return (
        len(said.digests) >= len(left.digests) > after
        and said.digests[after : len(left.digests)] == left.digests[after:]
        and "id" in said.drafts[at]
        and said.digests[at][:HEAD_BYTES] == left.digests[at][:HEAD_BYTES]
    )


def _amend(tx: OpenTransaction, id: str, draft: dict[str, Any]) -> None:
    """Have one message of a session say something else."""
    metadata = draft.get("metadata")
    tx.sessions.amend(id, draft["id"], draft["content"], metadata=metadata)


def _common(new: Sequence[bytes], old: Sequence[bytes]) -> int:
    """How many of the first are the same in both."""
    if new[: len(old)] == old:
        return len(old)
    for place, (one, other) in enumerate(zip(new, old, strict=False)):
        if one != other:
            return place
    return min(len(new), len(old))


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
