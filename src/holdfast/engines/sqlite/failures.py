"""Failures: SQLite's errors, turned into holdfast's once."""

import apsw

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
)

_LEFT = "; it was left as it was: restore a backup, or see `holdfast check`"
_TRY_AGAIN = ": try again, or look for a transaction that does not end"
_KEPT = "nothing of this write was kept, all that was acknowledged is there"


def translated(error: BaseException, place: str) -> BaseException:
    """The error to raise for one that came from SQLite; others stay themselves."""
    if isinstance(error, HoldfastError) or not isinstance(error, apsw.Error):
        return error
    found = _of(error, place)
    found.__cause__ = error
    return found


def unknown(error: BaseException, place: str) -> OutcomeUnknown:
    """The error for a commit of which nobody can say whether it is there."""
    found = OutcomeUnknown(
        f"{place}: the disk failed in a commit ({error}); this write may or may not be "
        "there: open the store again and look before you repeat it"
    )
    found.__cause__ = error
    return found


def _of(error: apsw.Error, place: str) -> HoldfastError:
    for theirs, ours, says in _TABLE:
        if isinstance(error, theirs):
            return ours(says.format(place=place, error=error))
    return StorageFailed(f"{place}: the disk or the file failed ({error}); {_KEPT}")


_TABLE: tuple[tuple[tuple[type[apsw.Error], ...], type[HoldfastError], str], ...] = (
    (
        (apsw.FullError,),
        StorageFull,
        "{place}: the disk is full; " + _KEPT + ": make room and go on",
    ),
    (
        (apsw.BusyError, apsw.LockedError),
        Busy,
        "{place}: another process kept the store for too long; " + _KEPT,
    ),
    (
        (apsw.ReadOnlyError,),
        Refused,
        "{place} cannot be written to ({error}); nothing was written",
    ),
    (
        (apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError),
        CannotOpen,
        "{place} cannot be opened or written to ({error})",
    ),
    (
        (apsw.NotADBError, apsw.CorruptError),
        NotAStore,
        "{place} is no SQLite file, or a damaged one ({error})" + _LEFT,
    ),
    (
        (apsw.ConstraintError, apsw.MismatchError),
        Refused,
        "the schema refuses this ({error}); nothing was written",
    ),
    ((apsw.InterruptError,), TimedOut, "{place}: interrupted; " + _KEPT),
    (
        (apsw.TooBigError,),
        TooLarge,
        "{place}: past SQLite's own limit; nothing was written",
    ),
    (
        (apsw.ConnectionClosedError, apsw.CursorClosedError),
        Closed,
        "{place} was closed",
    ),
    ((apsw.SQLError,), Refused, "{place}: SQLite refuses a statement ({error})"),
)
