"""The PostgreSQL engine: one store for any number of processes and machines.

Answers for: opening, and putting together the lanes, the bodies and the watcher.
Leaves to others: what each of these does (the files beside this one).
Always holds: an engine that was closed, or that a parent process opened before a fork,
serves nobody; an exit without a close is an orderly close.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from holdfast.engine import Loan as LoanProtocol
from holdfast.engine import (
    Options,
    Part,
    Report,
    Terms,
    Transaction,
    Unit,
    Witness,
    Work,
    answer,
)
from holdfast.engines import living
from holdfast.engines.checks import check
from holdfast.engines.loans import Body, Loan
from holdfast.engines.postgres.aside import Aside
from holdfast.engines.postgres.commit import Committer
from holdfast.engines.postgres.inside import Inside
from holdfast.engines.postgres.joining import joined
from holdfast.engines.postgres.lanes import Lanes
from holdfast.engines.postgres.links import Links
from holdfast.engines.postgres.loading import PostgresLoader
from holdfast.engines.postgres.opening import bring_up
from holdfast.engines.postgres.relay import PostgresRelay
from holdfast.engines.postgres.target import target_of
from holdfast.engines.postgres.transaction import (
    Numbers,
    PostgresTransaction,
    Shared,
)
from holdfast.engines.postgres.units import Runner
from holdfast.engines.postgres.upkeep import Upkeep
from holdfast.engines.postgres.watcher import Watcher
from holdfast.engines.postgres.wire import bound, columns_of_bytes
from holdfast.engines.rounds import Rounds
from holdfast.errors import Closed, Refused
from holdfast.schema.catalog import catalog
from holdfast.schema.past import Statements
from holdfast.schema.statements import overrides

T = TypeVar("T")
_READERS = 4


class PostgresEngine:
    """A store in a schema of a PostgreSQL database."""

    def __init__(self, url: str, parts: tuple[Part, ...], options: Options) -> None:
        self._options = options
        self._parts = parts
        asked = target_of(url, read_only=options.read_only)
        self._target, store_id = bring_up(asked, parts, options)
        target = self._target
        self.place = target.place
        statements = {**catalog(parts), **overrides("postgres")}
        bind = partial(bound, of_bytes=columns_of_bytes(parts))
        self._shared = Shared(
            place=target.place,
            store_id=store_id,
            statements=Statements(statements, parts, bind),
            limits=options.limits,
            numbers=Numbers(),
        )
        self._links = Links(target, self._shared.numbers.forget)
        self._inside = Inside()
        self._readers = ThreadPoolExecutor(_READERS, "holdfast-reader")
        self._bodies = ThreadPoolExecutor(target.pool_size, "holdfast-body")
        aside = Aside(self._runner, self._bodies, max(1, target.pool_size // 2))
        self._lanes = Lanes(self._runner, aside, self._after)
        self._watcher = Watcher(target)
        self.tidy: Work[None] | None = None
        self.witness: Witness | None = None
        self.there = True
        """Whether what is beside the state was made: with the tables of the state."""
        self._rounds = Rounds()
        self._doing = threading.Condition()
        self._running = 0
        self._upkeep = Upkeep()
        self._closed = False
        self._why: Closed | None = None
        living.opened(self)

    # What a store asks of it, in the order of the protocol.

    def write(self, unit: Unit[T]) -> T:
        """Run a unit to its commit, and give its result."""
        if unit.terms.beside:
            return self._write_beside(unit)
        self._writing()
        with self._at_work():
            return self._lanes.write(unit)

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run; its future is answered after the commit."""
        self._writing()
        self._lanes.post(unit)

    def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, on one snapshot."""
        with self._at_work():
            self._read(unit)
        return unit.outcome()

    def post_read(self, unit: Unit[Any]) -> None:
        """Have a unit run that only reads; its future is answered."""
        if self._why is not None:
            raise self._why
        self._readers.submit(self._read_and_answer, unit)

    @contextmanager
    def borrow(self, terms: Terms, timeout_seconds: float) -> Iterator[Transaction]:
        """A transaction for a body of code on the caller's own thread."""
        self._writing()
        committer, me = self._committer(timeout_seconds), threading.get_ident()
        with self._at_work(), self._inside.of(me):
            try:
                body = Body(committer, terms, self._options.clock, timeout_seconds)
                try:
                    yield body.tx
                except BaseException:
                    body.finish(keep=False)
                    raise
                else:
                    body.finish(keep=True)
            finally:
                committer.rollback()
                committer.let_go()
        self._after(committer)

    async def lend(self, terms: Terms, timeout_seconds: float) -> LoanProtocol:
        """A transaction for a body of awaiting code."""
        self._writing()
        loan = Loan(terms, self._options.clock, timeout_seconds, self._inside)
        self._bodies.submit(self._serve_loan, loan, timeout_seconds)
        return await loan.begun()

    @contextmanager
    def join(
        self, connection: object, terms: Terms, who: object
    ) -> Iterator[Transaction]:
        """A block of a transaction that a user has begun on a connection of theirs."""
        self._writing()
        with (
            self._at_work(),
            self._inside.of(who),
            joined(
                connection, self._target, self._shared, terms, self._options.clock
            ) as tx,
        ):
            yield tx

    def inside(self) -> bool:
        """Whether the calling thread or task is inside a transaction of its own."""
        if not self._inside.anyone:
            return False
        task = living.current_task()
        return self._inside.has(threading.get_ident()) or (
            task is not None and self._inside.has(task)
        )

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called after commits; returns how to stop."""
        if self._why is not None:
            raise self._why
        return self._watcher.watch(wake)

    def relay(self) -> PostgresRelay:
        """What carries a bus between the processes that have this store open."""
        if self._why is not None:
            raise self._why
        return PostgresRelay(self._target)

    def check(self) -> Report:
        """Look for damage."""
        if self.inside():
            raise Refused(
                f"{self.place} cannot be checked from inside an open transaction: "
                "check it when that has ended"
            )
        terms = Terms(every_owner=True)
        return self.read(Unit(self._check, terms, self._options.clock))

    def loader(self) -> PostgresLoader:
        """What fills this store with another's rows."""
        return PostgresLoader(self._target, self._parts, self._shared.statements)

    def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        if self.inside():
            raise Refused(
                f"{self.place} cannot be closed from inside an open transaction, which "
                "it would wait for: close it when that has ended"
            )
        with self._doing:
            if self._closed:
                return
            self._closed = True
        try:
            if self.witness is not None:
                self.witness.closing()
        finally:
            self._let_go(Closed(f"{self.place} was closed: open it again"))

    def _let_go(self, why: Closed) -> None:
        with self._doing:
            self._why = why
        living.closed(self)
        self._lanes.close(why)
        with self._doing:
            self._doing.wait_for(lambda: self._running == 0)
        self._readers.shutdown()
        self._bodies.shutdown()
        self._watcher.close()
        try:
            if self.witness is not None:
                self.witness.closed(why)
        finally:
            self._links.close()

    def disown(self) -> None:
        """In a process that was forked from the store's own: serve nobody."""
        self._closed = True
        self._why = why = Closed(
            f"{self.place} was opened by the process that this one was forked from: "
            "open it again here"
        )
        self._lanes.disown(why)
        self._watcher.disown()
        if self.witness is not None:
            self.witness.disowned(why)

    @property
    def beside(self) -> "PostgresEngine":
        """What is kept beside the state: in tables of the same schema."""
        return self

    # How it is put together.

    def _committer(self, body_seconds: float = 0) -> Committer:
        return Committer(
            self._links, self._target, self._shared, body_seconds, self.witness
        )

    def _runner(self) -> Runner:
        return Runner(self._committer(), self._links, self._shared)

    def _write_beside(self, unit: Unit[T]) -> T:
        """Run a unit that is not about the state, also when that is closed already."""
        if self._options.read_only:
            self._writing()
        runner = self._runner()
        try:
            runner.alone(unit)
        finally:
            runner.committer.let_go()
        return unit.outcome()

    def _read(self, unit: Unit[Any]) -> None:
        runner = self._runner()
        try:
            runner.read(unit)
        finally:
            runner.committer.let_go()

    def _read_and_answer(self, unit: Unit[Any]) -> None:
        self._read(unit)
        answer([unit])

    def _serve_loan(self, loan: Loan, seconds: float) -> None:
        committer = self._committer(seconds)
        with self._inside.of(loan.task):
            try:
                loan.serve(committer)
            finally:
                committer.rollback()
                committer.let_go()
        self._after(committer)

    def _after(self, committer: Committer) -> None:
        """What follows once callers were answered."""
        if self._rounds.due(untidy=committer.untidy) and self.tidy is not None:
            committer.untidy = False
            self._post_own(self._rounds.one(self.tidy))
        for chore in self._upkeep.due(committer.receipts):
            self._post_own(chore)
        committer.receipts = 0

    def _post_own(self, work: Work[None]) -> None:
        """Have work of our own done; if we are closed, the next who opens does it."""
        unit = Unit(work, Terms(every_owner=True), self._options.clock)
        unit.patient = False
        with suppress(Closed):
            self.post(unit)

    def _writing(self) -> None:
        if self._why is not None:
            raise self._why
        if self._options.read_only:
            raise Refused(
                f"{self.place} is open read-only; nothing was written: open it without "
                "read_only=True"
            )

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Something that `close` waits for."""
        with self._doing:
            if self._why is not None:
                raise self._why
            self._running += 1
        try:
            yield
        finally:
            with self._doing:
                self._running -= 1
                self._doing.notify_all()

    def _check(self, tx: Transaction) -> Report:
        assert isinstance(tx, PostgresTransaction)
        return check(tx.ask, self._parts)
