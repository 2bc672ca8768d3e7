"""One conversation of a transcript file, before it is kept: its id and its title.

Answers for: what a conversation has beside its messages, and which id that makes.
Leaves to others: where it is in its file (`chat_files`), digests (`identity`).
Always holds: the id depends on the conversation, and on how many equal ones stood
before it in its file; never on the file's name or on a place in it.

The id is the conversation's own `session_id`, `conversation_id`, `thread_id` or `id`,
where that is text. Otherwise a digest of all that it has makes the id, so that changed
content is another conversation. The title is its own, or what its user said first.
"""

from collections.abc import Mapping

import msgspec

from holdfast.codec import Json
from holdfast.edges import id_of
from holdfast.errors import InvalidId
from holdfast.importers.chat_messages import text_of
from holdfast.importers.identity import Digest, Tally
from holdfast.importers.json_stream import BrokenJsonError, Span, decode

_IDS = ("session_id", "conversation_id", "thread_id", "id")
_TITLES = ("title", "name")
_TITLE_CHARACTERS = 80
_STEM_CHARACTERS = 60


class Survey(msgspec.Struct, eq=False):
    """What is known of a conversation once all of it was looked at.

    Of a long one it holds where the messages are, not the messages.
    """

    digest: Digest = msgspec.field(default_factory=Digest)
    fields: dict[str, Json] = {}
    opening: str = ""
    list_at: int | None = None
    path: str = ""
    left_out: dict[str, str] = {}
    fault: BrokenJsonError | None = None

    def see(self, message: Json) -> None:
        """Take a message into account."""
        self.digest.add(message)
        user = isinstance(message, dict) and message.get("role") == "user"
        if user and not self.opening:
            self.opening = text_of(message)

    def keep_field(self, key: str, span: Span) -> None:
        """Take a field of the conversation into account, if it is fit to be kept."""
        if span.text is None:
            self.left_out[key] = too_long(span.end - span.start)
            return
        try:
            self.fields[key] = decode(span.text)
        except ValueError as error:
            self.left_out[key] = str(error)

    def id(self, tally: Tally) -> str:
        """The id that the conversation gets; the tally tells equal ones apart."""
        for key in _IDS:
            value = self.fields.get(key)
            if isinstance(value, str) and _is_id(value):
                return value
        self.digest.add(self.fields)
        digest = self.digest.hex()
        times = tally.count(digest)
        return f"{_stem(self.fields)}-{digest}" + (f"-{times}" if times > 1 else "")

    def title(self) -> str:
        """A short title, in one line."""
        named = [self.fields.get(key) for key in _TITLES] + [self.opening]
        titles = [title for title in named if isinstance(title, str) and title]
        title = "".join(titles[:1])[: _TITLE_CHARACTERS * 4]
        title = title.encode(errors="replace").decode()
        title = "".join(c if c.isprintable() else " " for c in title)
        title = " ".join(title.split())
        if len(title) <= _TITLE_CHARACTERS:
            return title
        return title[: _TITLE_CHARACTERS - 1].rstrip() + "…"


def too_long(size_bytes: int) -> str:
    """Why something long is set aside."""
    return f"too long to be kept ({size_bytes:,} bytes)"


def _stem(fields: Mapping[str, Json]) -> str:
    """What an id begins with, for people to recognise."""
    number = fields.get("id")
    task, trial = fields.get("task_id"), fields.get("trial")
    if isinstance(task, int | str) and isinstance(trial, int):
        stem = f"task-{task}-trial-{trial}"
    else:
        stem = f"chat-{number}" if isinstance(number, int) else "chat"
    return stem if len(stem) <= _STEM_CHARACTERS and _is_id(stem) else "chat"


def _is_id(value: str) -> bool:
    try:
        id_of(value, "id")
    except InvalidId:
        return False
    return True
