"""A chat-completion message as a message of a session, and back again.

Answers for: where each part of a chat message is kept, so that none is lost.
Leaves to others: what may be stored at all (the store says so), files (`chat_files`).
Always holds: `as_chat` of what was kept of a message equals that message.

    chat message                     message of a session
    role                             role
    content                          content (text, None, or a list of parts)
    any other key (tool_calls,       metadata, under the same key
    tool_call_id, name, …)
    no `content` at all              content None, and metadata {"content": "absent"}

The last line can mean nothing else: the key `content` itself never goes to metadata.
"""

from collections.abc import Mapping
from typing import Protocol

from holdfast.codec import Json

ABSENT = "absent"


class Kept(Protocol):
    """What `as_chat` reads of a message; `holdfast.Message` has it."""

    @property
    def role(self) -> str: ...
    @property
    def content(self) -> Json: ...
    @property
    def metadata(self) -> Mapping[str, Json] | None: ...


def from_chat(message: Mapping[str, Json], id: str) -> dict[str, Json]:
    """What `store.sessions.extend` takes, for a chat message that has a role."""
    metadata = {
        key: value for key, value in message.items() if key not in {"role", "content"}
    }
    if "content" not in message:
        metadata["content"] = ABSENT
    row = {"id": id, "role": message["role"], "content": message.get("content")}
    return row | {"metadata": metadata} if metadata else row


def as_chat(message: Kept) -> dict[str, Json]:
    """The chat message that a message of a session was made from."""
    chat: dict[str, Json] = {"role": message.role}
    metadata = dict(message.metadata or {})
    if metadata.pop("content", None) != ABSENT:
        chat["content"] = message.content
    return chat | metadata


def text_of(message: Json) -> str:
    """The text that a chat message says, as far as it says any."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return next((text for text in texts if isinstance(text, str)), "")
