"""Failures: PostgreSQL's errors, turned into holdfast's once.

Answers for: which failures are worth another try, and what each is called.
Always holds: of the server's words only the first line is passed on, which names
tables and constraints, and no stored value (its DETAIL would).
"""

import random
import time

import psycopg

from holdfast.engines.postgres.wire import Lost
from holdfast.errors import (
    Busy,
    CannotOpen,
    Closed,
    HoldfastError,
    NotAStore,
    OutcomeUnknown,
    Refused,
    StorageFailed,
    StorageFull,
    TimedOut,
    TooLarge,
    TooNew,
    Unreachable,
)

_KEPT = "nothing of this write was kept, all that was acknowledged is there"
_CONFLICTS = {"40001", "40P01", "23505", "23P01", "26000", "42P05"}
"""Serialization, deadlock, a key that another transaction has just made, and what is
prepared having changed or been lost on the way through a pooler."""
_GONE = ("08", "57P01", "57P02", "57P03", "25006")
"""The connection, or the server behind it, which may have become a standby."""
LOCKED = "55P03"
_IDLED = "25P03"
"""The server ended the connection: a transaction had waited for its user too long."""
TOO_NEW = "HF001"
_UNSUPPORTED = "0A000"
UNPREPARED = {"26000", "42P05"}
"""A statement that was prepared is not there, or there already: a pooler is between."""
_TRIES = 12
_PAUSE_SECONDS = 0.003
_RECONNECT_PAUSE_SECONDS = 0.1


def state_of(error: BaseException) -> str:
    """The SQLSTATE behind an error; an empty one if no server said anything."""
    if isinstance(error, OutcomeUnknown):  # it is the end, whatever is behind it
        return ""
    if isinstance(error, HoldfastError) and error.__cause__ is not None:
        error = error.__cause__
    return (isinstance(error, psycopg.Error) and error.sqlstate) or ""


def is_gone(error: BaseException) -> bool:
    """Whether the connection is gone, or leads to a server that cannot write."""
    return (
        isinstance(error, (Lost, Unreachable))
        or (isinstance(error, TimedOut) and isinstance(error.__cause__, Lost))
        or state_of(error).startswith(_GONE)
        or _unsupported_by(error, "call_bool_check_hook")  # "read write", on a standby
    )


def is_stale(error: BaseException) -> bool:
    """Whether what is prepared no longer fits the tables, which were altered."""
    return _unsupported_by(error, "RevalidateCachedQuery")


def is_conflict(error: BaseException) -> bool:
    """Whether a unit that runs again may pass."""
    return state_of(error) in _CONFLICTS or is_stale(error)


def _unsupported_by(error: BaseException, function: str) -> bool:
    """Whether this is PostgreSQL's "not supported", from one of its functions."""
    if state_of(error) != _UNSUPPORTED:
        return False
    behind = error.__cause__ if isinstance(error, HoldfastError) else error
    return isinstance(behind, psycopg.Error) and behind.diag.source_function == function


class Patience:
    """How often, and for how long, a unit is run again."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._tries = 0

    def again(self, error: BaseException) -> bool:
        """Whether to run it again after this, having paused for others to get on."""
        if is_conflict(error):
            self._tries += 1
            time.sleep(random.uniform(0, _PAUSE_SECONDS * self._tries))
            return self._tries < _TRIES
        if is_gone(error) and time.monotonic() < self._until:
            time.sleep(random.uniform(0, _RECONNECT_PAUSE_SECONDS))
            return True
        return False

    def asks_again(self, error: BaseException) -> bool:
        """Whether to ask again what became of a commit: most answers are none."""
        if not isinstance(error, Exception) or isinstance(error, Closed):
            return False
        time.sleep(random.uniform(0, _RECONNECT_PAUSE_SECONDS))
        return time.monotonic() < self._until


def translated(error: BaseException, place: str) -> BaseException:
    """The error to raise for one that came from psycopg; others stay themselves."""
    if isinstance(error, HoldfastError) or not isinstance(error, (psycopg.Error, Lost)):
        return error
    found = _of(error, place)
    found.__cause__ = error
    return found


def unknown(place: str, seconds: float) -> OutcomeUnknown:
    """The error for a commit of which nobody can say whether it is there."""
    return OutcomeUnknown(
        f"{place}: the connection was lost in a commit, and nobody could say within "
        f"{seconds:g} s what became of it; this write may or may not be there: look "
        "before you repeat it"
    )


def _of(error: psycopg.Error | Lost, place: str) -> HoldfastError:
    state, said = state_of(error), _said(error)
    if isinstance(error.__cause__, psycopg.errors.IdleInTransactionSessionTimeout):
        state = _IDLED
    elif is_gone(error) or not state:
        return Unreachable(f"{place} cannot be reached ({said}); {_KEPT}: try again")
    for prefix, ours, says in _TABLE:
        if state.startswith(prefix):
            return ours(says.format(place=place, said=said))
    return StorageFailed(f"{place}: the server failed ({said}, {state}); {_KEPT}")


def _said(error: BaseException) -> str:
    """The first line of what the server said."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    lines = (primary or str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


_SAVEPOINT = "let what may fail run in a savepoint (tx.savepoint())"
_AGAIN = "; " + _KEPT + ": try again, or look for a transaction that does not end"
_TABLE: tuple[tuple[str, type[HoldfastError], str], ...] = (
    (TOO_NEW, TooNew, "{place}: {said}"),
    (LOCKED, Busy, "{place}: another transaction kept a record for too long" + _AGAIN),
    ("40", Busy, "{place}: other transactions were in the way each time" + _AGAIN),
    ("57014", TimedOut, "{place}: a statement ran past its time; " + _KEPT),
    (
        "25P02",
        Refused,
        "a statement of this transaction had failed, so all of it was rolled back: "
        + _SAVEPOINT,
    ),
    ("25P0", TimedOut, "{place}: a transaction ran past its time; " + _KEPT),
    ("53100", StorageFull, "{place}: the server's disk is full; " + _KEPT),
    ("53300", Busy, "{place}: the server has no connection left ({said}); " + _KEPT),
    (
        "53",
        StorageFailed,
        "{place}: the server is short of something ({said}); " + _KEPT,
    ),
    ("54", TooLarge, "past PostgreSQL's own limit ({said}); nothing was written"),
    ("23", Refused, "the schema refuses this ({said}); nothing was written"),
    ("22", Refused, "PostgreSQL refuses a value ({said}); nothing was written"),
    ("28", CannotOpen, "{place} does not let this user in ({said})"),
    ("3D", CannotOpen, "{place}: there is no such database ({said}): create it first"),
    ("42501", Refused, "{place}: this user may not do that ({said})"),
    ("0A", Refused, "{place}: PostgreSQL cannot do that ({said})"),
    ("42", Refused, "{place}: PostgreSQL refuses a statement ({said})"),
    ("P0001", Refused, "the schema refuses this ({said}); nothing was written"),
    ("XX001", NotAStore, "{place} is damaged ({said}): restore a backup"),
    ("XX002", NotAStore, "{place} has a damaged index ({said}): REINDEX it"),
)
