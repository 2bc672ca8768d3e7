"""Work: what the suite has engines do, and how it opens and drives them.

Answers for: engines opened on one target, units and bodies on them, a few statements
that every store has, threads and event loops with a time limit.
Always holds: nothing here sleeps, and what waits for something to happen has a limit
(a call of the engine's own has none: pytest-timeout ends a test in which that hangs).
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from holdfast.changes import Change
from holdfast.clock import Clock, SystemClock
from holdfast.contract import Kind, Registry
from holdfast.core import Core
from holdfast.declared import registry
from holdfast.engine import Loan, Options, Terms, Transaction, Unit, Work
from holdfast.errors import Closed
from holdfast.limits import Limits
from holdfast.store import Store

T = TypeVar("T")
ME = Terms()
_GATES = 4
"""More units than most engines run at once: what comes after them waits together."""
_LAST = 2**62
"""A time after all, in microseconds."""


class Boom(Exception):
    """What work raises when it is to fail."""


# What is done.


def add(id: str, description: str = "") -> Work[int]:
    """Work that adds a task, and gives its number."""

    def work(tx: Transaction) -> int:
        no = tx.new_no()
        names = ("tool", "session", "assigned_to", "metadata")
        said = {**dict.fromkeys(names), "description": description}
        tx.put("task_add", no=no, owner=tx.terms.owner, id=id, now=tx.now, **said)
        return no

    return work


def add_all(*ids: str) -> Work[None]:
    """Work that adds several tasks."""

    def work(tx: Transaction) -> None:
        for id in ids:
            add(id)(tx)

    return work


def then_fail(work: Work[Any], error: BaseException) -> Work[None]:
    """Work that raises once it is done."""

    def failing(tx: Transaction) -> None:
        work(tx)
        raise error

    return failing


def change(no: int, description: str) -> Work[int]:
    """Work that gives a task another description; how many rows that were."""
    names = ("tool", "session", "assigned_to", "metadata")
    said = {**dict.fromkeys(names), "description": description}
    return lambda tx: tx.run("task_change", no=no, now=tx.now, **said)


def drop(no: int) -> Work[int]:
    """Work that deletes a task; how many rows that were."""
    return lambda tx: tx.run("task_drop", no=no)


def rows(tx: Transaction) -> list[tuple[Any, ...]]:
    """The tasks that are there."""
    owner = tx.terms.owner
    return tx.all(
        "task_list", owner=owner, before_at=_LAST, before_no=_LAST, limit=10_000
    )


def ids(tx: Transaction) -> list[str]:
    """The ids of the tasks that are there, in order."""
    return sorted(row[2] for row in rows(tx))


def number_at(tx: Transaction, name: str) -> int:
    """A number that is kept under a name; it is in no journal."""
    row = tx.one("follower_get", owner=tx.terms.owner, name=name)
    return row[0] if row else 0


def set_number(tx: Transaction, name: str, value: int) -> None:
    """Keep a number under a name."""
    tx.put("follower_put", owner=tx.terms.owner, name=name, cursor=value, now=tx.now)


# Where it is done.


class Opened:
    """An engine, opened as a store opens it, and that store."""

    def __init__(self, core: Core, seconds: float) -> None:
        self.core = core
        self._seconds = seconds
        self.engine = core.engine
        self.store = Store(core, ME)

    def unit(self, work: Work[T], terms: Terms = ME) -> Unit[T]:
        """A unit of work."""
        return self.core.unit(work, terms)

    def write(self, work: Work[T], terms: Terms = ME) -> T:
        """Run it to its commit."""
        return self.engine.write(self.unit(work, terms))

    def read(self, work: Work[T]) -> T:
        """Run it on one snapshot."""
        return self.engine.read(self.unit(work))

    def posted(self, work: Work[T], terms: Terms = ME) -> "asyncio.Future[T]":
        """Have it run; its answer, on the running event loop."""
        unit = self.unit(work, terms)
        future = unit.awaited(asyncio.get_running_loop())
        self.engine.post(unit)
        return future

    def posted_read(self, work: Work[T]) -> "asyncio.Future[T]":
        """Have it run on one snapshot."""
        unit = self.unit(work)
        future = unit.awaited(asyncio.get_running_loop())
        self.engine.post_read(unit)
        return future

    def body(self, seconds: float | None = None) -> AbstractContextManager[Transaction]:
        """A transaction for a block of code."""
        return self.engine.borrow(ME, seconds or self._seconds)

    async def loan(self, seconds: float | None = None) -> Loan:
        """A transaction for awaiting code."""
        return await self.engine.lend(ME, seconds or self._seconds)

    def ids(self) -> list[str]:
        """The ids of the tasks that are there, in order."""
        return self.read(ids)

    def journal(self, after: int = 0) -> list[Change]:
        """Every change after a place."""
        found: list[Change] = []
        while True:
            stretch = self.store.journal.stretch(after)
            found += stretch.changes
            if stretch.reached == after:
                return found
            after = stretch.reached


class Place:
    """A target, on which any number of engines is opened, and closed at the end."""

    def __init__(self, target: str, patience_seconds: float) -> None:
        self.target = target
        self.patience_seconds = patience_seconds
        self.opened: list[Opened] = []

    def open(
        self,
        *kinds: type[Kind],
        clock: Clock | None = None,
        migrate: str = "auto",
        read_only: bool = False,
    ) -> Opened:
        """An engine of its own on the target, with some kinds more than holdfast's."""
        options = Options(
            durability="power-loss",
            read_only=read_only,
            migrate=migrate,
            limits=Limits(),
            clock=clock or SystemClock(),
        )
        core = Core(self.target, _with(kinds), options)
        self.opened.append(Opened(core, self.patience_seconds * 2))
        return self.opened[-1]

    def inspect(self) -> None:
        """See that the store is sound, by an engine that is open still."""
        for opened in self.opened:
            with suppress(Closed):
                assert opened.engine.check().problems == ()
                return

    def close(self) -> None:
        """Close what was opened."""
        for opened in self.opened:
            opened.engine.close()

    # Waiting, with patience.

    def awaited(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on an event loop of its own; what hangs fails."""

        async def limited() -> T:
            return await asyncio.wait_for(work, self.patience_seconds)

        return asyncio.run(limited())

    def at_once(self, count: int, work: Callable[[int], T]) -> list[T]:
        """What so many threads give that begin together."""
        given: list[T] = []
        start = threading.Barrier(count)

        def one(number: int) -> None:
            start.wait(self.patience_seconds)
            given.append(work(number))

        with self.threads(*(partial(one, number) for number in range(count))):
            pass
        return given

    @contextmanager
    def threads(self, *works: Callable[[], object]) -> Iterator[None]:
        """Threads that run beside the block and end after it; what they raise."""
        failed: list[BaseException] = []

        def run(work: Callable[[], object]) -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        made = [threading.Thread(target=run, args=[w], daemon=True) for w in works]
        for thread in made:
            thread.start()
        try:
            yield
        finally:
            for thread in made:
                thread.join(self.patience_seconds)
        assert not any(thread.is_alive() for thread in made), "it hangs"
        if failed:
            raise failed[0]

    def met(self, event: threading.Event) -> bool:
        """Whether something happened, having waited for it."""
        return event.wait(self.patience_seconds)

    def keep_asking(self, ask: Callable[[], object]) -> None:
        """Ask again and again, for as long as patience lasts, or until it raises."""
        deadline = time.monotonic() + self.patience_seconds
        while time.monotonic() < deadline:
            ask()


class Gates:
    """Units that keep an engine busy, so that those behind them wait together."""

    def __init__(self, one: Opened, place: Place) -> None:
        self._open = threading.Event()
        self.answers = [
            one.posted(lambda _: place.met(self._open)) for _ in range(_GATES)
        ]

    def open(self) -> None:
        """Let the engine go on."""
        self._open.set()


def _with(kinds: Iterable[type[Kind]]) -> Registry:
    found = registry()
    more = {kind.name: kind for kind in kinds}
    return Registry(
        {**found.kinds, **more}, found.every_journal, found.indexes.values()
    )
