"""Windows: how many of the newest messages fit within limits, whole.

Answers for: a tool's answer never being shown without its call; counting messages and
tokens; what is shown where even the newest message is past the limits.
Leaves to others: where messages come from, and what stands before them (`contexts`).
Always holds: a window ends with the newest message. It is as long as the limits let it
be; where they are too tight for the newest message and what it answers, that is shown
all the same.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from holdfast.errors import WrongType
from holdfast.kinds.session_records import Message
from holdfast.kinds.tool_calls import answers_in, calls_in

Counter: TypeAlias = Callable[[Message], int]
_BYTES_OF_A_TOKEN = 4


class Room(msgspec.Struct, frozen=True):
    """How many messages there is room for, and how many tokens (None: any number)."""

    messages: int
    tokens: int | None

    def without(self, messages: int, tokens: int) -> "Room":
        """What is left of it beside so many."""
        left = None if self.tokens is None else self.tokens - tokens
        return Room(self.messages - messages, left)

    def holds(self, messages: int, tokens: int) -> bool:
        """Whether so many fit."""
        return messages <= self.messages and (
            self.tokens is None or tokens <= self.tokens
        )


class Window:
    """The newest messages of a session, taken in one by one, newest first."""

    def __init__(self, room: Room, tokens_of: Counter, patience: int) -> None:
        self.room = room
        self.tokens_of = tokens_of
        self._patience = patience
        self._taken: list[Message] = []
        self._unanswered_for: set[str] = set()
        self._whole: list[tuple[int, int]] = []
        """Lengths at which no answer lacks its call, each with its tokens."""
        self._tokens = 0

    def take(self, message: Message) -> bool:
        """Take in the next older message; whether more may still fit.

        If not even the newest message has its call yet, it is looked for on, among as
        many messages as `patience` says.
        """
        self._taken.append(message)
        self._tokens += self.tokens_of(message)
        self._unanswered_for |= answers_in(message)
        self._unanswered_for -= calls_in(message)
        if not self._unanswered_for:
            self._whole.append((len(self._taken), self._tokens))
        if self._whole:
            return self.room.holds(len(self._taken) + 1, self._tokens)
        return len(self._taken) < self._patience

    def fitting(self) -> int:
        """How many messages the longest window has that fits; at least the shortest."""
        longest = self.longest(self.room, len(self._taken))
        return self._lengths[0][0] if longest is None else longest

    def longest(self, room: Room, most: int) -> int | None:
        """The length of the longest window that fits, of those up to a length."""
        fit = [
            length
            for length, tokens in self._lengths
            if length <= most and room.holds(length, tokens)
        ]
        return max(fit, default=None)

    def tokens(self, length: int) -> int:
        """The tokens of a window of one of these lengths."""
        return dict(self._lengths)[length]

    def newest(self, length: int) -> tuple[Message, ...]:
        """The newest messages, oldest of them first."""
        return tuple(reversed(self._taken[:length]))

    @property
    def _lengths(self) -> list[tuple[int, int]]:
        return self._whole or [(0, 0)]


def estimated(message: Message) -> int:
    """A message's tokens, roughly: a quarter of its JSON text's bytes, at least 1."""
    said = (message.content, message.metadata)
    size = len(msgspec.json.encode(said if message.metadata else said[0]))
    return max(1, size // _BYTES_OF_A_TOKEN)


def counted(count: Counter | None) -> Counter:
    """What gives a message's tokens; refuses what is no count.

    Raises `WrongType`.
    """
    if count is None:
        return estimated

    def tokens_of(message: Message) -> int:
        tokens = count(message)
        if type(tokens) is not int or tokens < 0:
            raise WrongType(f"count: it gave {tokens!r} for a message, and no count")
        return tokens

    return tokens_of
