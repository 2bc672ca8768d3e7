"""Processing: giving the messages of an inbox to a handler, one after another.

Answers for: `store.inbox.process`, sync and async: a transaction for each message, and
what becomes of one that its handler cannot process.
Leaves to others: which message is next, and the count of attempts (`kinds/inbox`).
Always holds: a message is marked in the transaction of its handler's effects; only an
`Exception` that is the handler's, and not the store's, counts as an attempt.
"""

import inspect
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from holdfast import edges
from holdfast.errors import (
    Busy,
    Fenced,
    OutcomeUnknown,
    Refused,
    StorageFailed,
    StorageFull,
    TimedOut,
    Unreachable,
    Unusable,
)
from holdfast.kinds.inbox_records import InboxMessage, InboxStatus
from holdfast.kinds.job_records import Attempts
from holdfast.runtime.error_texts import error_text

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.atransaction import AsyncTransaction
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

Handler: TypeAlias = Callable[["OpenTransaction", InboxMessage], object]
"""What is done about a message, in the transaction that marks it as processed."""
AsyncHandler: TypeAlias = Callable[["AsyncTransaction", InboxMessage], object]
"""The same, plain or awaited."""
HANDLER_SECONDS = 5.0
"""How long a handler may take with a message, unless told."""
_FAIR = 0.8
"""How much of its time a handler has had at least if it is blamed for taking longer."""
_THE_STORES = (
    Busy,
    Fenced,
    OutcomeUnknown,
    StorageFailed,
    StorageFull,
    Unreachable,
    Unusable,
)
"""Errors that are no message's fault, and that the next attempt may not meet."""


class Processed(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages were processed, and how many set aside."""

    processed: int = 0
    set_aside: int = 0


class _Run:
    """What one call of `process` has done so far."""

    def __init__(self, limit: int | None, seconds: float) -> None:
        self._limit = limit
        self._fair_seconds = seconds * _FAIR
        self._processed = self._set_aside = 0
        self._message: InboxMessage | None = None
        self._taken_at = 0.0

    def goes_on(self) -> bool:
        """Whether another message is to be taken; there is none in hand any more."""
        self._message = None
        return self._limit is None or self._processed + self._set_aside < self._limit

    def took(self, message: InboxMessage | None) -> InboxMessage | None:
        """Have a message in hand, if there was one."""
        self._message, self._taken_at = message, time.monotonic()
        return message

    def processed(self) -> bool:
        """Count the message in hand; False if there was none left."""
        self._processed += self._message is not None
        return self._message is not None

    def failed(self, found: InboxMessage) -> None:
        """Count a message that was set aside; one that is tried again is not."""
        self._set_aside += found.status is InboxStatus.SET_ASIDE

    def blamed(self, error: Exception) -> str | None:
        """The id of the message to blame; raises what is not the handler's fault.

        None if too much of the time went by in waiting for others who process these
        messages: it is tried again.
        """
        if self._message is None or isinstance(error, _THE_STORES):
            raise error
        spent = time.monotonic() - self._taken_at
        if isinstance(error, TimedOut) and spent < self._fair_seconds:
            return None
        return self._message.id

    def report(self) -> Processed:
        """What became of all of them."""
        return Processed(processed=self._processed, set_aside=self._set_aside)


def process(
    store: "Store",
    to: str,
    handler: Handler,
    *,
    limit: int | None,
    max_attempts: int,
    timeout_seconds: float,
) -> Processed:
    """Give a recipient's messages to a handler, until none is pending, or `limit`."""
    if inspect.iscoroutinefunction(handler):
        raise Refused(
            "process takes a plain handler, which is not awaited: use await "
            "store.aio.inbox.process"
        )
    run = _begun(store, handler, limit, max_attempts, timeout_seconds)
    while run.goes_on():
        try:
            with store.transaction(timeout_seconds=timeout_seconds) as tx:
                message = run.took(tx.inbox.take(to))
                if message is not None:
                    handler(tx, message)
        except Exception as error:
            id, said = run.blamed(error), error_text(error)
            if id is not None:
                run.failed(store.inbox.fail(id, said, max_attempts=max_attempts))
        else:
            if not run.processed():
                break
    return run.report()


async def process_async(
    store: "AsyncStore",
    to: str,
    handler: AsyncHandler,
    *,
    limit: int | None,
    max_attempts: int,
    timeout_seconds: float,
) -> Processed:
    """As `process`, awaited; the handler may be plain."""
    run = _begun(store, handler, limit, max_attempts, timeout_seconds)
    while run.goes_on():
        try:
            async with store.transaction(timeout_seconds=timeout_seconds) as tx:
                message = run.took(await tx.inbox.take(to))
                if message is not None:
                    done = handler(tx, message)
                    if inspect.isawaitable(done):
                        await done
        except Exception as error:
            id, said = run.blamed(error), error_text(error)
            if id is not None:
                run.failed(await store.inbox.fail(id, said, max_attempts=max_attempts))
        else:
            if not run.processed():
                break
    return run.report()


def _begun(
    store: "Store | AsyncStore",
    handler: object,
    limit: object,
    max_attempts: object,
    timeout_seconds: object,
) -> _Run:
    """A run whose arguments are looked over. Raises `WrongType`, `Refused`."""
    core = store._core  # noqa: SLF001
    core.refuse_inside("inbox.process")
    if not callable(handler):
        raise edges.wrong_type("handler", "a function of tx and a message", handler)
    edges.check_for(Attempts)(max_attempts, "max_attempts", core.limits)
    seconds = edges.seconds_of(timeout_seconds, "timeout_seconds", core.limits)
    if limit is not None:
        limit = edges.count_of(limit, "limit", core.limits)
    return _Run(limit, seconds)
