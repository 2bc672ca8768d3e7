"""Every error that holdfast raises, under one base.

    HoldfastError
    ├── NotFound          no record of that kind has that id
    ├── AlreadyExists     the id is taken by a record with other content
    ├── BadInput          what was handed in cannot be taken; nothing was written
    │   ├── BrokenFile    a file that is not what it should be; `line` tells where
    │   ├── InvalidConfig  settings that cannot be; each by its name and place
    │   ├── InvalidId     an id, a name or a cursor that is not safe to keep
    │   ├── NotStorable   a value that JSON text cannot carry
    │   ├── TooLarge      past a limit, which the message names
    │   └── WrongType     an argument of a type that the operation does not take
    ├── Conflict          the record is not at the version that was expected
    ├── Held              another holder has a live lease on the record
    ├── Fenced            the lease that this write carries is no longer the newest
    ├── Refused           not here, or not in this status; the message says what to do
    ├── Unusable          the store as a whole cannot be used
    │   ├── CannotOpen    no such place, no permission, or a place that is not safe
    │   ├── NotAStore     a file of another kind, or of another program
    │   ├── TooNew        a newer version of holdfast owns this store's format
    │   ├── NeedsMigration  an older format, and migrations were only to be told
    │   ├── Moved         the file was moved or replaced while it was open
    │   └── Closed        the store was closed, or belongs to a parent process
    ├── Busy              another process kept the store for too long
    ├── Unreachable       the database server is gone; nothing of this write was kept
    ├── TimedOut          a transaction ran past its time, and was rolled back
    ├── StorageFull       the disk is full; what was acknowledged is there
    ├── StorageFailed     the disk failed; what was acknowledged is there
    ├── OutcomeUnknown    disk or server failed in a commit: it may be there or not
    ├── StartFailed       a program's module could not be started; it is named
    └── Trimmed           the journal no longer reaches back that far

Answers for: what can go wrong, said in terms of the caller's world.
Leaves to others: turning a driver's errors into these (each engine, once).
Always holds: no message and no attribute carries a stored value.
"""

from collections.abc import Iterable


class HoldfastError(Exception):
    """The base of every error that holdfast raises."""


class NotFound(HoldfastError, LookupError):
    """No record of that kind has that id (under this owner)."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"there is no {kind} {id!r} here")
        self.kind = kind
        self.id = id


class AlreadyExists(HoldfastError):
    """The id is taken by a record with other content; nothing was written."""

    def __init__(
        self,
        kind: str,
        id: str,
        *,
        instead: str = "use another id, or update the record that is there",
    ) -> None:
        super().__init__(
            f"{kind} {id!r} is already there with other content; nothing was written: "
            f"{instead}"
        )
        self.kind = kind
        self.id = id


class BadInput(HoldfastError, ValueError):
    """What was handed in cannot be taken; nothing was written."""


class BrokenFile(BadInput):
    """A file that is not what it should be; `line` tells where, counted from 1."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


class InvalidConfig(BadInput):
    """Settings that cannot be; `problems` has each, with its name and its place."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        several = f"{len(self.problems)} settings cannot be taken:\n  "
        begin = several if len(self.problems) > 1 else ""
        super().__init__(begin + "\n  ".join(self.problems))


class InvalidId(BadInput):
    """An id, a name or a cursor that is not safe to keep."""


class NotStorable(BadInput):
    """A value that JSON text cannot carry; nothing was written."""


class TooLarge(BadInput):
    """Past a limit, which the message names; nothing was written."""


class WrongType(BadInput, TypeError):
    """An argument of a type that the operation does not take."""


class Conflict(HoldfastError):
    """The record is not at the version, or in the state, that was expected."""

    def __init__(
        self,
        kind: str,
        id: str,
        *,
        expected: int | str,
        found: int | str,
        by: str = "version",
    ) -> None:
        super().__init__(
            f"{kind} {id!r} is at {by} {found}, not {expected}; nothing was written: "
            "read it again, and decide again"
        )
        self.kind = kind
        self.id = id
        self.expected = expected
        self.found = found


class Held(HoldfastError):
    """Another holder has a live lease on the record; nothing was written."""


class Fenced(HoldfastError):
    """The lease that this write carries is over; nothing was written."""


class Refused(HoldfastError):
    """Not here, or not in this status; the message says what to do instead."""


class Unusable(HoldfastError):
    """The store as a whole cannot be used."""


class CannotOpen(Unusable):
    """No such place, no permission, or a place where a store is not safe."""


class NotAStore(Unusable):
    """The file is of another kind, or of another program; it was left as it was."""


class TooNew(Unusable):
    """A newer version of holdfast owns the store's format; it was left as it was."""


class NeedsMigration(Unusable):
    """The store has an older format, and `migrate="check"` only tells."""


class Moved(Unusable):
    """The store's file was moved or replaced while it was open."""


class Closed(Unusable):
    """The store was closed, or was opened by the process that this one forked from."""


class Busy(HoldfastError):
    """Another process or transaction kept the store for too long."""


class Unreachable(HoldfastError):
    """The database server cannot be reached; nothing of this write was kept."""


class TimedOut(HoldfastError):
    """A transaction ran past its time; all of it was rolled back."""


class StorageFull(HoldfastError):
    """The disk is full; nothing of this write was kept, all acknowledged ones are."""


class StorageFailed(HoldfastError):
    """The disk failed; nothing of this write was kept, all acknowledged ones are."""


class OutcomeUnknown(HoldfastError):
    """Disk or server failed in a commit: this write may or may not be there."""


class StartFailed(HoldfastError):
    """A module of a program could not be started; what had begun was shut down."""

    def __init__(self, module: str | None, phase: str | None, what: str) -> None:
        who = "the program" if module is None else f"module {module!r}"
        super().__init__(f"{who} was not started: {what}; what had begun was shut down")
        self.module = module
        """Which one; None where the start was broken off."""
        self.phase = phase
        """In which phase; None where the start was broken off."""


class Trimmed(HoldfastError):
    """The journal no longer reaches back that far."""
