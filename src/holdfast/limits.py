"""Limits: how much of anything a store takes at once; a user can set each.

Answers for: the numbers, and the sentence that names the one that was passed.
Leaves to others: where each is held against what comes in (edges, kinds, engines).
"""

import msgspec

from holdfast.errors import TooLarge


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a store takes at once. Sizes are in bytes of JSON text or of UTF-8."""

    value_bytes: int = 10_000_000
    """One value: a message's content, its metadata, a task's result."""
    text_bytes: int = 10_000
    """One short text: a title, an error, a log line."""
    page: int = 1_000
    """Records in one page of a list."""
    batch: int = 10_000
    """Messages in one call of `extend`."""
    tags: int = 100
    """Tags of one session."""
    context_messages: int = 50
    """Messages of a context, where neither the call nor the session says how many."""
    session_messages: int = 10_000
    """Messages of one session; past it a warning is logged, and nothing refused."""
    session_bytes: int = 10_000_000
    """Bytes of one session's own messages; past it a warning is logged, as above."""
    machine_steps: int = 1_000
    """Steps of one machine's history, each with the context that it led to; older ones
    are forgotten, an eighth at a time."""
    revert: int = 100_000
    """Rows that one `revert` puts back, makes again or takes away."""


def hold(size: int, limit: int, what: str, name: str) -> None:
    """Raise `TooLarge`, naming the limit, if the size is past it."""
    if size > limit:
        raise TooLarge(
            f"{what}: {size:,} is past the limit of {limit:,} "
            f"(limits.{name}); nothing was written"
        )
