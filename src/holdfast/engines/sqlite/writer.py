"""The writer: whose turn it is to write, in this process.

Answers for: the turn, the queue, and the thread that serves it.
Leaves to others: what is done with the turn (commit, loans), reading (readers).
Always holds: one at a time has the turn. When nobody waits, a caller's own thread runs
its unit at once; otherwise all who wait are served in the order in which they came, as
many as fit together in one transaction. A unit is answered after its commit.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from holdfast.clock import Clock
from holdfast.engine import Terms, Transaction, Unit, answer
from holdfast.engines.sqlite.commit import Committer
from holdfast.engines.sqlite.loans import Body, Loan, Turn

T = TypeVar("T")
_GROUP_UNITS = 64
_GLANCE_SECONDS = 0.05
_Waiting: TypeAlias = Unit[Any] | Turn | Loan


class Writer:
    """Serves everyone who writes through one `Committer`.

    `after` is called when a group was answered, and still has the turn.
    """

    def __init__(
        self, committer: Committer, clock: Clock, after: Callable[[], None]
    ) -> None:
        self.inside: object = None
        """The thread that has the turn, or the loan; None if nobody has it."""
        self._committer = committer
        self._clock = clock
        self._after = after
        self._turn = threading.Lock()
        self._wanted = False
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._body: Body | None = None
        self._thread: threading.Thread | None = None
        self._done: list[Unit[Any]] = []
        """Units that were committed, and are answered during the next commit."""
        committer.meanwhile = self._answer
        self._entering = threading.Lock()
        self._closed: BaseException | None = None

    def write(self, unit: Unit[T]) -> T:
        """Run a unit to its commit, on this thread if nobody waits."""
        if self._take_if_idle():
            try:
                self._commit([unit])
                self._after()
            finally:
                self._turn.release()
        else:
            unit.expected()
            self._enqueue(unit)
        return unit.outcome()

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run on the writer's thread."""
        self._enqueue(unit)

    @contextmanager
    def borrow(self, terms: Terms, seconds: float) -> Iterator[Transaction]:
        """The turn, and a transaction, for a body on this thread."""
        if not self._take_if_idle():
            turn = Turn()
            self._enqueue(turn)
            try:
                turn.wait()
            except BaseException:
                if turn.leave():
                    self._turn.release()
                raise
        try:
            body = Body(self._committer, terms, self._clock, seconds)
        except BaseException:
            self._turn.release()
            raise
        self._body, self.inside = body, threading.get_ident()
        try:
            yield body.tx
        except BaseException:
            body.finish(keep=False)
            raise
        else:
            body.finish(keep=True)
        finally:
            self._give_back(body)

    def lend(self, loan: Loan) -> None:
        """Have a loan served on the writer's thread."""
        self._enqueue(loan)

    def close(self, why: BaseException) -> None:
        """Serve who waits already, then nobody any more."""
        with self._entering:
            self._closed = self._closed or why
            if self._thread is not None:
                self._queue.put(None)
        if self._thread is not None:
            self._thread.join()
        while not self._queue.empty():
            self._refuse(self._queue.get(), why)
        self._take_turn()
        self._turn.release()

    def disown(self, why: BaseException) -> None:
        """Serve nobody any more, and touch nothing: the thread is another process's."""
        self._closed = why
        self._thread = None

    def _take_if_idle(self) -> bool:
        if self._closed is not None:
            raise self._closed
        return (
            not self._wanted
            and self._queue.empty()
            and self._turn.acquire(blocking=False)
        )

    def _enqueue(self, waiting: _Waiting) -> None:
        if self._closed is not None:
            raise self._closed
        with self._entering:  # nobody comes in behind the end that `close` puts
            if self._closed is not None:
                raise self._closed
            if self._thread is None:
                self._start()
            self._queue.put(waiting)

    def _start(self) -> None:
        thread = threading.Thread(
            target=self._serve, name="holdfast-writer", daemon=True
        )
        thread.start()
        self._thread = thread

    def _serve(self) -> None:
        while (waiting := self._queue.get()) is not None:
            self._take_turn()
            units: list[Unit[Any]] = []
            while isinstance(waiting, Unit):
                units.append(waiting)
                if len(units) == _GROUP_UNITS:
                    break
                waiting = self._next()
            self._run(units)
            if isinstance(waiting, Turn):
                self._answer()
                if waiting.give():
                    continue  # the turn is that thread's now
            if isinstance(waiting, Loan):
                self._answer()
                self._serve_loan(waiting)
            self._turn.release()
        self._answer()

    def _next(self) -> _Waiting | None:
        try:
            waiting = self._queue.get_nowait()
        except queue.Empty:
            return None
        if waiting is None:
            self._queue.put(None)  # the end; to be met again by `_serve`
        return waiting

    def _run(self, units: list[Unit[Any]]) -> None:
        """Run units to their commits; when others wait, answer during theirs.

        While a commit waits for the disk, other threads have Python to themselves: the
        best time for those who were answered to go on.
        """
        while units:
            ran = self._commit(units)
            self._answer()
            self._done = units[:ran]
            del units[:ran]
            if self._queue.empty() and not units:
                self._answer()
            self._after()

    def _commit(self, units: list[Unit[Any]]) -> int:
        self.inside = threading.get_ident()
        try:
            return self._committer.group(units)
        finally:
            self.inside = None

    def _answer(self) -> None:
        if self._done:
            done, self._done = self._done, []
            answer(done)

    def _serve_loan(self, loan: Loan) -> None:
        self.inside = loan
        loan.serve(self._committer)
        self.inside = None
        self._after()

    def _take_turn(self) -> None:
        """Wait for the turn; a body whose time is up loses it."""
        self._wanted = True
        while not self._turn.acquire(blocking=False):
            self._answer()
            body = self._body
            patience = _GLANCE_SECONDS if body is None else body.remaining
            if self._turn.acquire(timeout=patience):
                break
            if body is not None and body.expire():
                self._forget(body)
                break  # the turn was the body's, and is ours now
        self._wanted = False

    def _give_back(self, body: Body) -> None:
        if body.taken:
            return
        self._forget(body)
        self._after()
        self._turn.release()

    def _forget(self, body: Body) -> None:
        if self._body is body:
            self._body, self.inside = None, None

    def _refuse(self, waiting: _Waiting | None, why: BaseException) -> None:
        if isinstance(waiting, Unit):
            waiting.error = why
            answer([waiting])
        elif waiting is not None:
            waiting.refuse(why)
