"""Loans: a transaction, lent to a body of code that takes its own time.

Answers for: bodies on a caller's thread (`with`), bodies that await (`async with`),
and taking the transaction back when the time is up.
Leaves to others: who may begin one, and how it begins and commits (each engine).
Always holds: a loan ends once, by its body, by its time, or by the store's closing;
after that, its body can do nothing any more.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from holdfast.clock import Clock
from holdfast.engine import Row, Terms, Told, Transaction, Unit, Work, answer
from holdfast.errors import HoldfastError, Refused, TimedOut

T = TypeVar("T")


class Committer(Protocol):
    """What begins, stamps and ends one transaction at a time, in an engine's way."""

    def begin(self) -> None:
        """Begin a transaction."""
        ...

    def transaction(self, terms: Terms, now: int, chance: int) -> Transaction:
        """What is done in it goes through this."""
        ...

    def stamp(self, tx: Any) -> None:
        """Say when, who and why, if it changed anything."""
        ...

    def commit(self) -> None:
        """Commit; raises ours if it did not, having rolled everything back."""
        ...

    def rollback(self) -> None:
        """Undo all of it; nothing happens if it is over already."""
        ...

    def translated(self, error: BaseException) -> BaseException:
        """Holdfast's error for one of the driver's."""
        ...


class Whereabouts(Protocol):
    """Who is inside a transaction of their own."""

    def left(self, who: object, *, overdue: bool) -> None:
        """It is over; an overdue one's block of code has not ended yet."""
        ...

    def ended(self, who: object) -> None:
        """The block of code has ended."""
        ...


class Body:
    """A transaction that a body of code on some thread has borrowed."""

    def __init__(
        self,
        committer: Committer,
        terms: Terms,
        clock: Clock,
        seconds: float,
    ) -> None:
        try:
            committer.begin()
        except BaseException as error:
            raise committer.translated(error) from error
        self._committer = committer
        self._mutex = threading.RLock()
        self._over: BaseException | None = None
        self.taken = False
        """Whether the turn was taken from this body, because its time was up."""
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        inner = committer.transaction(terms, clock.now_us(), clock.chance())
        self.tx = _Guarded(inner, self)

    @property
    def remaining(self) -> float:
        """Seconds until the body's time is up."""
        return max(0.0, self._until - time.monotonic())

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step of the body, which nobody can interrupt; refused when it is over."""
        with self._mutex:
            if self._over is None and not self.remaining:
                self._end(timed_out(self._seconds))
            if self._over is not None:
                raise self._over
            try:
                yield
            except BaseException as error:
                raise self._committer.translated(error) from error

    def expire(self) -> bool:
        """Take the transaction and the turn, if the time is up; whether that was so."""
        with self._mutex:
            if self._over is not None or self.remaining:
                return False
            self._end(timed_out(self._seconds))
            self.taken = True
            return True

    def finish(self, *, keep: bool) -> None:
        """Commit, or roll back; `TimedOut` if the time was up before."""
        with self._mutex:
            try:
                if keep:
                    with self.step():
                        self._committer.stamp(self.tx.inner)
                        self._committer.commit()
            finally:
                if self._over is None:
                    self._end(Refused("this transaction has ended: begin another"))

    def _end(self, why: BaseException) -> None:
        self._over = why
        self._committer.rollback()


class _Guarded(Transaction):
    """A transaction each of whose statements is a step of a body."""

    __slots__ = ("_body", "inner")

    def __init__(self, inner: Transaction, body: Body) -> None:
        self.inner = inner
        self._body = body
        self.terms = inner.terms
        self.limits = inner.limits
        self.now = inner.now
        self._chance = inner._chance  # noqa: SLF001
        self.tellings = inner.tellings

    def one(self, name: str, /, **values: object) -> Row | None:
        with self._body.step():
            return self.inner.one(name, **values)

    def all(self, name: str, /, **values: object) -> list[Row]:
        with self._body.step():
            return self.inner.all(name, **values)

    def run(self, name: str, /, **values: object) -> int:
        with self._body.step():
            return self.inner.run(name, **values)

    def put(self, name: str, /, **values: object) -> None:
        with self._body.step():
            self.inner.put(name, **values)

    def lock(self, kind: str, id: str) -> None:
        with self._body.step():
            self.inner.lock(kind, id)

    def fields(self, name: str, /, **values: object) -> dict[str, Any] | None:
        with self._body.step():
            return self.inner.fields(name, **values)

    def each(self, name: str, values: Sequence[dict[str, Any]]) -> list[list[Row]]:
        with self._body.step():
            return self.inner.each(name, values)

    def fields_of(
        self, name: str, values: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        with self._body.step():
            return self.inner.fields_of(name, values)

    def knows(self, name: str) -> bool:
        return self.inner.knows(name)

    def new_no(self) -> int:
        with self._body.step():
            return self.inner.new_no()

    def untidy(self) -> None:
        self.inner.untidy()

    def tell(self, told: Told) -> None:
        with self._body.step():
            self.inner.tell(told)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with self._body.step():
            part = self.inner.savepoint()
            part.__enter__()
        try:
            yield
        except BaseException as error:
            with self._body.step():
                part.__exit__(type(error), error, error.__traceback__)
            raise
        with self._body.step():
            part.__exit__(None, None, None)


class Loan:
    """A transaction lent to awaiting code; each step runs on the engine's thread."""

    def __init__(
        self, terms: Terms, clock: Clock, seconds: float, whereabouts: Whereabouts
    ) -> None:
        self.task = asyncio.current_task()
        """Who is inside this transaction."""
        self._whereabouts = whereabouts
        self._terms = terms
        self._clock = clock
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._steps: queue.SimpleQueue[Unit[Any]] = queue.SimpleQueue()
        self._mutex = threading.Lock()
        self._over: BaseException | None = None
        self._keep: bool | None = None
        self._begun = self._unit(_nothing)

    async def begun(self) -> "Loan":
        """Wait until the transaction has begun."""
        try:
            await self._answer_to(self._begun)
        except asyncio.CancelledError:
            self._steps.put(self._unit(self._drop))  # it ends as soon as it begins
            raise
        return self

    async def do(self, work: Work[T]) -> T:
        """Run one step; what it raises leaves the transaction open."""
        return await self._put(self._unit(work))

    async def end(self, *, keep: bool) -> None:
        """Commit (`keep`), or roll all of it back, which is so if it is over too."""
        try:
            await self._put(self._unit(self._commit if keep else self._drop))
        except HoldfastError:
            if keep:
                raise
        finally:
            self._whereabouts.ended(self.task)

    def serve(self, committer: Committer) -> None:
        """Run the steps as they come, on this thread, until the loan ends."""
        try:
            committer.begin()
        except BaseException as error:
            self.refuse(committer.translated(error))
            return
        answer([self._begun])
        tx = committer.transaction(
            self._terms, self._clock.now_us(), self._clock.chance()
        )
        until = time.monotonic() + self._seconds
        while self._over is None:
            self._serve_one(committer, tx, until)
        tx.end()
        committer.rollback()
        self._refuse_rest()

    def refuse(self, error: BaseException) -> None:
        """Give the transaction to nobody."""
        self._over = error
        self._begun.error = error
        answer([self._begun])

    def _serve_one(self, committer: Committer, tx: Transaction, until: float) -> None:
        unit = self._next(until)
        if unit is None:
            self._whereabouts.left(self.task, overdue=True)
            self._over = timed_out(self._seconds)
            return
        try:
            unit.result = unit.work(tx)
            if self._keep:
                committer.stamp(tx)
                committer.commit()
            elif self._keep is False:
                committer.rollback()
        except BaseException as error:
            unit.error = committer.translated(error)
        if self._keep is not None:
            self._whereabouts.left(self.task, overdue=False)
            self._over = Refused("this transaction has ended: begin another")
        answer([unit])

    def _next(self, until: float) -> Unit[Any] | None:
        remaining = until - time.monotonic()
        with suppress(queue.Empty):
            return self._steps.get(timeout=remaining) if remaining > 0 else None
        return None

    def _refuse_rest(self) -> None:
        with self._mutex:
            while not self._steps.empty():
                unit = self._steps.get()
                unit.error = self._over
                answer([unit])

    def _commit(self, _: object) -> None:
        """The last step; those before it have been made by now."""
        self._keep = True

    def _drop(self, _: object) -> None:
        self._keep = False

    def _unit(self, work: Work[T]) -> Unit[T]:
        unit = Unit(work, self._terms, self._clock)
        unit.awaited(self._loop)
        return unit

    async def _answer_to(self, unit: Unit[T]) -> T:
        assert unit.future is not None
        return await unit.future

    async def _put(self, unit: Unit[T]) -> T:
        with self._mutex:
            if self._over is not None:
                raise self._over
            self._steps.put(unit)
        return await self._answer_to(unit)


def _nothing(_: object) -> None:
    """A step that only marks a beginning or an end."""


def timed_out(seconds: float) -> TimedOut:
    """The error for a transaction whose time is up."""
    return TimedOut(
        f"a transaction ran past its {seconds:g} s, which keep all others waiting; "
        "all of it was rolled back: do slow work outside, or give it timeout_seconds="
    )
