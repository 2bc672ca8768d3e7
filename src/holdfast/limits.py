"""Limits: how much of anything a store takes at once; a user can set each.

Answers for: the numbers, which of them can be kept to, and the sentence that names the
one that was passed.
Leaves to others: where each is held against what comes in (edges, kinds, engines).
"""

import msgspec

from holdfast.errors import TooLarge, WrongType

_LONGEST_SECONDS = 100 * 366 * 86_400.0
_MOST = 1_000_000_000
"""Past it no engine can keep a value, nor any machine a page."""
_AT_LEAST_ONE = frozenset(
    {
        "checkpoint_parts",
        "checkpoints",
        "event_batch",
        "event_pending",
        "event_ring",
        "page",
    }
)

_ABOVE_ZERO = frozenset({"agent_seconds", "checkpoint_seconds"})


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a store takes at once. Sizes are in bytes of JSON text or of UTF-8."""

    value_bytes: int = 10_000_000
    """One value: a message's content, its metadata, a task's result."""
    text_bytes: int = 10_000
    """One short text: a title, an error, a log line."""
    page: int = 1_000
    """Records in one page of a list."""
    batch: int = 10_000
    """Messages in one call of `extend`, agents in one of `create_all`."""
    tags: int = 100
    """Tags of one session, traits of an agent, tools of a workspace."""
    context_messages: int = 50
    """Messages of a context, where neither the call nor the session says how many."""
    session_messages: int = 10_000
    """Messages of one session; past it a warning is logged, and nothing refused."""
    session_bytes: int = 10_000_000
    """Bytes of one session's own messages; past it a warning is logged, as above."""
    machine_steps: int = 1_000
    """Steps of one machine's history, each with the context that it led to; older ones
    are forgotten, an eighth at a time."""
    event_ring: int = 10_000
    """Events that are held in memory, the newest."""
    event_batch: int = 100
    """Events that are written to disk as soon as so many wait."""
    event_seconds: float = 1.0
    """Seconds after which fewer are written, too."""
    event_pending: int = 100_000
    """Events that wait for the disk; past it `emit` waits as well."""
    event_text: int = 1_000
    """Characters of a text in an event's data; of a longer one so many are kept."""
    event_given: int = 200_000_000
    """Characters of one event's data as JSON, before it is cut."""
    event_bytes: int = 100_000
    """One event's data; of longer data its first characters are kept."""
    revert: int = 100_000
    """Rows that one `revert` puts back, makes again or takes away."""
    agent_seconds: float = 30.0
    """Seconds after which an agent is stale whose process gives no sign of life."""
    workspace_seconds: float = 86_400.0
    """Seconds after which a workspace is stale that nobody uses."""
    state_seconds: float = 2.0
    """Seconds within which a section's change is saved."""
    state_unsaved: int = 10_000_000
    """Bytes of sections' changes that are not saved; past it a change waits as well."""
    checkpoints: int = 5
    """Checkpoints of one owner that are kept, the newest."""
    checkpoint_parts: int = 100
    """Participants of one owner in one process."""
    checkpoint_seconds: float = 60.0
    """Seconds after which a checkpoint is taken, if `every` says nothing else."""
    composition_bytes: int = 1_000_000
    """One file of a composition; a larger one is told of, and not read."""
    compositions: int = 100_000
    """Files of one folder of the index."""


_USUAL = Limits()


def limits_of(value: object) -> Limits:
    """Limits that can be kept to, the usual ones for None. Raises `WrongType`."""
    if value is None:
        return Limits()
    if not isinstance(value, Limits):
        raise WrongType(f"limits: a Limits is wanted, not {type(value).__name__}")
    for name, limit in msgspec.structs.asdict(value).items():
        whole = isinstance(getattr(_USUAL, name), int)
        wanted = (int,) if whole else (int, float)
        if isinstance(limit, bool) or not isinstance(limit, wanted):
            kind = "a whole number" if whole else "a number"
            given = type(limit).__name__
            raise WrongType(f"limits.{name}: {kind} is wanted, not {given}")
        least = 1 if name in _AT_LEAST_ONE else 0
        if not limit >= least:
            raise WrongType(f"limits.{name}: {least} or more is wanted, not {limit}")
        if name in _ABOVE_ZERO and not limit > 0:
            raise WrongType(f"limits.{name}: more than 0 is wanted, not {limit}")
        if whole and limit > _MOST:
            raise WrongType(f"limits.{name}: {limit:,} is more than {_MOST:,}")
        if not whole and limit > _LONGEST_SECONDS:
            raise WrongType(f"limits.{name}: {limit} is more than 100 years")
    return value


def hold(size: int, limit: int, what: str, name: str) -> None:
    """Raise `TooLarge`, naming the limit, if the size is past it."""
    if size > limit:
        raise TooLarge(
            f"{what}: {size:,} is past the limit of {limit:,} "
            f"(limits.{name}); nothing was written"
        )
