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
    match error:
        case apsw.FullError():
            return StorageFull(
                f"{place}: the disk is full; {_KEPT}: make room and go on"
            )
        case apsw.BusyError() | apsw.LockedError():
            return Busy(
                f"{place}: another process kept the store for too long; {_KEPT}: "
                "try again, or look for a transaction that does not end"
            )
        case apsw.ReadOnlyError():
            return Refused(f"{place} is open read-only; nothing was written")
        case apsw.CantOpenError() | apsw.PermissionsError() | apsw.AuthError():
            return CannotOpen(f"{place} cannot be opened or written to ({error})")
        case apsw.NotADBError() | apsw.CorruptError():
            return NotAStore(
                f"{place} is no SQLite file, or a damaged one ({error}); it was left "
                "as it was: restore a backup, or see `holdfast check`"
            )
        case apsw.ConstraintError() | apsw.MismatchError():
            return Refused(f"the schema refuses this ({error}); nothing was written")
        case apsw.InterruptError():
            return TimedOut(f"{place}: interrupted; {_KEPT}")
        case apsw.TooBigError():
            return TooLarge(f"{place}: past SQLite's own limit; nothing was written")
        case apsw.ConnectionClosedError() | apsw.CursorClosedError():
            return Closed(f"{place} was closed")
        case apsw.SQLError():
            return Refused(f"{place}: SQLite refuses a statement ({error})")
        case _:
            return StorageFailed(f"{place}: the disk or the file failed ({error}); {_KEPT}")
