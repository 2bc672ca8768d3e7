"""The writer: who gets the turn to write next, in this process.

Answers for: the queue, and the thread that serves it.
Leaves to others: what the turn is (turn), what is done with it (commit, loans), reading
(readers).
Always holds: when nobody waits, a caller's own thread runs its unit at once; otherwise
all who wait are served in the order in which they came, as many as fit together in one
transaction. A unit is answered after its commit.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from holdfast.clock import Clock
from holdfast.engine import Terms, Transaction, Unit, answer
from holdfast.engines.loans import Body, Loan
from holdfast.engines.sqlite.commit import Committer
from holdfast.engines.sqlite.tickets import Ticket
from holdfast.turn import Token, Turn

T = TypeVar("T")
_GROUP_UNITS = 64
_GLANCE_SECONDS = 0.05
_Waiting: TypeAlias = Unit[Any] | Ticket | Loan


class Writer:
    """Serves everyone who writes through one `Committer`.

    `after` is called when a group was answered, and still has the turn.
    """

    def __init__(
        self, committer: Committer, clock: Clock, after: Callable[[], None]
    ) -> None:
        self.turn = Turn()
        self._committer = committer
        self._clock = clock
        self._after = after
        self._wanted = False
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lent: tuple[Body, Token] | None = None
        """Who has borrowed the turn, and the token with it."""
        self._thread: threading.Thread | None = None
        self._done: list[Unit[Any]] = []
        """Units that were committed, and are answered during the next commit."""
        committer.meanwhile = self._answer
        self._entering = threading.Lock()
        self._closed: BaseException | None = None

    def write(self, unit: Unit[T]) -> T:
        """Run a unit to its commit, on this thread if nobody waits."""
        token = self._take_if_idle()
        if token is not None:
            try:
                token.enter()
                self._committer.alone(unit)
                self._after()
            finally:  # no call of Python's comes between, and so no interrupt
                self.turn.inside = None
                self.turn.put(token)
                del token  # a traceback that is kept must not keep it
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
        me = threading.get_ident()
        token = self._take_if_idle() or self._queue_up()
        try:
            token.enter()
            body = Body(self._committer, terms, self._clock, seconds)
        except BaseException:
            token.back()
            del token  # as above
            raise
        self._lent = body, token
        try:
            yield body.tx
        except BaseException:
            body.finish(keep=False)
            raise
        else:
            body.finish(keep=True)
        finally:
            self.turn.overdue.discard(me)
            if not body.taken:
                self._lent = None
                self._after()
                token.back()
            del token

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
        self._wait_for_turn().back()

    def disown(self, why: BaseException) -> None:
        """Serve nobody any more, and touch nothing: the thread is another process's."""
        self._closed = why
        self._thread = None

    def _take_if_idle(self) -> Token | None:
        if self._closed is not None:
            raise self._closed
        if self._wanted or not self._queue.empty():
            return None
        return self.turn.take()

    def _queue_up(self) -> Token:
        ticket = Ticket()
        self._enqueue(ticket)
        try:
            return ticket.wait()
        except BaseException:
            ticket.leave()
            raise

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
            token = self._wait_for_turn()
            units: list[Unit[Any]] = []
            while isinstance(waiting, Unit):
                units.append(waiting)
                if len(units) == _GROUP_UNITS:
                    break
                waiting = self._next()
            self._run(units, token)
            if isinstance(waiting, Ticket):
                self._answer()
                waiting.give(token)
                del token, waiting  # the turn is that thread's now
                continue
            if isinstance(waiting, Loan):
                self._answer()
                self._serve_loan(waiting, token)
            token.back()
        self._answer()

    def _next(self) -> _Waiting | None:
        try:
            waiting = self._queue.get_nowait()
        except queue.Empty:
            return None
        if waiting is None:
            self._queue.put(None)  # the end; to be met again by `_serve`
        return waiting

    def _run(self, units: list[Unit[Any]], token: Token) -> None:
        """Run units to their commits; when others wait, answer during theirs.

        While a commit waits for the disk, other threads have Python to themselves: the
        best time for those who were answered to go on.
        """
        while units:
            token.enter()
            ran = self._committer.group(units)
            self.turn.inside = None
            self._answer()
            self._done = units[:ran]
            del units[:ran]
            if self._queue.empty() and not units:
                self._answer()
            self._after()

    def _answer(self) -> None:
        if self._done:
            done, self._done = self._done, []
            answer(done)

    def _serve_loan(self, loan: Loan, token: Token) -> None:
        token.enter(loan.task)
        loan.serve(self._committer)
        self.turn.inside = None
        self._after()

    def _wait_for_turn(self) -> Token:
        """Wait for the turn; a body whose time is up loses it."""
        self._wanted = True
        token = self.turn.take()
        while token is None:
            self._answer()
            lent = self._lent
            token = self.turn.take(lent[0].remaining if lent else _GLANCE_SECONDS)
            if token is None and lent is not None:
                token = self._evict(*lent)
        self._wanted = False
        return token

    def _evict(self, body: Body, token: Token) -> Token | None:
        """The token of a body whose time is up; None if it is not."""
        who = self.turn.inside
        if not body.expire():
            return None
        self._lent = None
        self.turn.overdue.add(who)
        self.turn.inside = None
        return token

    def _refuse(self, waiting: _Waiting | None, why: BaseException) -> None:
        if isinstance(waiting, Unit):
            waiting.error = why
            answer([waiting])
        elif waiting is not None:
            waiting.refuse(why)
