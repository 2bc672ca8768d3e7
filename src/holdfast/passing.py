"""Passing: the errors of a store that is away for a while."""

from holdfast.errors import (
    Busy,
    OutcomeUnknown,
    StorageFailed,
    StorageFull,
    TimedOut,
    Unreachable,
)

PASSING = (
    Busy,
    OutcomeUnknown,
    StorageFailed,
    StorageFull,
    TimedOut,
    Unreachable,
)
"""What those who go on by themselves wait for to be over."""
