"""Engines: the protocol of an engine, of a transaction, and of a unit of work.

Answers for: what a kind may ask of the transaction that it works in; what a store may
ask of an engine; how a waiting caller is answered.
Leaves to others: how it is done (`engines/`, found by URL), what is done (kinds).
Always holds: a unit's time and chance are fixed before its first run, so that it can
be run again; a unit is answered once, after its commit or its failure.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from holdfast.clock import Clock, uuid7
from holdfast.limits import Limits
from holdfast.provided import Provided

if TYPE_CHECKING:
    import asyncio  # it loads slowly, and not everyone needs it

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]


class Fence(msgspec.Struct, frozen=True):
    """What a fenced write carries: which record's lease, and its number."""

    kind: str
    owner: str
    id: str
    number: int


class Terms(msgspec.Struct, frozen=True):
    """For whom and why a unit runs, the same for every unit of one view of a store."""

    owner: str = ""
    actor: str | None = None
    cause: str | None = None
    fence: Fence | None = None
    every_owner: bool = False
    """Whether all owners' rows are looked at, and not those of one."""
    beside: bool = False
    """Whether it is about what is kept beside the state, which has no journal."""
    moment: int | None = None
    """As of which moment is read; None for what is."""
    provided: Provided = msgspec.field(default_factory=Provided)
    """The functions that this process brings to the store."""


class Told(msgspec.Struct, frozen=True):
    """Something that happens in a transaction: an event, once it is committed.

    `data` is JSON data, or a `codec.Document`; where no `source` is named, it is the
    transaction's actor.
    """

    name: str
    data: Any = None
    session: str | None = None
    correlation: str | None = None
    source: str | None = None
    level: str = "info"

    def heard(self, terms: Terms) -> None:
        """Take note that it is committed; called before anyone is answered."""


Tellings: TypeAlias = list[tuple[Terms, Told]]
"""What is told, each with the terms on which it happened, in order."""


class Unheard(list[tuple[Terms, Told]]):
    """Where a transaction tells things whose commit is somebody else's: to nobody."""

    def append(self, _: object) -> None:
        """Keep nothing: nobody would learn whether it was committed."""


class Transaction:
    """The transaction that a kind works in: named statements, one time, fresh ids.

    `now` is in microseconds since 1970, and stands still for the whole transaction;
    `tellings` are those of the transaction that it is a part of.
    """

    __slots__ = ("_chance", "limits", "now", "tellings", "terms")

    def __init__(self, terms: Terms, limits: Limits, now: int, chance: int) -> None:
        self.terms = terms
        self.limits = limits
        self.now = now
        self._chance = chance
        self.tellings: Tellings = []

    def one(self, name: str, /, **values: object) -> Row | None:
        """The first row of a named statement, or None."""
        raise NotImplementedError

    def all(self, name: str, /, **values: object) -> list[Row]:
        """Every row of a named statement that says its own limit."""
        raise NotImplementedError

    def run(self, name: str, /, **values: object) -> int:
        """Run a named statement; how many rows it changed."""
        raise NotImplementedError

    def put(self, name: str, /, **values: object) -> None:
        """Run a named statement of which nothing is asked.

        It may be sent together with the next one; if it fails, that is told by the end
        of the transaction, or of the savepoint that it stands in.
        """
        raise NotImplementedError

    def put_each(self, name: str, values: Iterable[dict[str, Any]]) -> None:
        """As `put`, for each of several sets of values."""
        for given in values:
            self.put(name, **given)

    def lock(self, kind: str, id: str) -> None:
        """Keep every other transaction from writing to a record until this one ends.

        What is read after this is still so when this transaction commits, as long as
        all who write to the record lock it. Every operation that writes has locked the
        record that its `id` names.
        """
        raise NotImplementedError

    def fields(self, name: str, /, **values: object) -> dict[str, Any] | None:
        """The first row of a named statement, by its columns' names, or None."""
        raise NotImplementedError

    def each(self, name: str, values: Sequence[dict[str, Any]]) -> list[list[Row]]:
        """The rows of a named statement for each of several sets of values."""
        return [self.all(name, **given) for given in values]

    def fields_of(
        self, name: str, values: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        """As `fields`, for each of several sets of values."""
        return [self.fields(name, **given) for given in values]

    def knows(self, name: str) -> bool:
        """Whether there is a statement of that name."""
        raise NotImplementedError

    def new_no(self) -> int:
        """The number for a row that this transaction is about to add."""
        raise NotImplementedError

    def end(self) -> None:
        """Do nothing more from here on: what was lent to a caller may still be held."""
        raise NotImplementedError

    def savepoint(self) -> AbstractContextManager[None]:
        """A part that can fail by itself: what it did is undone if it raises."""
        raise NotImplementedError

    def untidy(self) -> None:
        """Say that rows which are out of sight are still to be deleted."""
        raise NotImplementedError

    def tell(self, told: Told) -> None:
        """Have something told when this transaction is committed; else it never is."""
        self.tellings.append((self.terms, told))

    def new_id(self, number: int | None = None) -> str:
        """A new UUIDv7, which may end in a number; the same again in a second run."""
        self._chance += 1
        return uuid7(self.now, self._chance, number)


Work: TypeAlias = Callable[[Transaction], T]


class Unit(Generic[T]):
    """A piece of work on its way through an engine, and whoever waits for it."""

    foreign = False
    """Whether a user's own function is run, which may take its time."""
    apart = False
    """Whether it shares its transaction with no other unit: it looks at the past, and a
    journal that is written at commit does not tell yet what others did in there."""
    patient = True
    """Whether it waits for a server that is away: not what is tried again anyway.

    Whoever runs it minds it; units that share a transaction wait as long as the most
    patient of them."""
    result: T | None = None
    error: BaseException | None = None
    answered: "threading.Lock | None" = None
    future: "asyncio.Future[T] | None" = None

    def __init__(self, work: Work[T], terms: Terms, clock: Clock) -> None:
        self.work = work
        self.terms = terms
        self.now = clock.now_us()
        self.chance = clock.chance()

    @property
    def abandoned(self) -> bool:
        """Whether the awaiting caller was cancelled."""
        return self.future is not None and self.future.cancelled()

    def awaited(self, loop: "asyncio.AbstractEventLoop") -> "asyncio.Future[T]":
        """The future that is given the answer, on its event loop."""
        self.future = loop.create_future()
        return self.future

    def expected(self) -> None:
        """Have the answer waited for with `outcome`, by another thread."""
        self.answered = threading.Lock()
        self.answered.acquire()

    @property
    def done(self) -> bool:
        """Whether an answer that is `expected` has come."""
        return self.answered is not None and not self.answered.locked()

    def outcome(self) -> T:
        """The result, or the error raised; waits until there is one."""
        if self.answered is not None:
            self.answered.acquire()
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]

    def settle(self) -> None:
        """Give a future its answer; to be called on its event loop."""
        future = self.future
        if future is None or future.done():
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.result)  # type: ignore[arg-type]


def answer(units: Iterable[Unit[Any]]) -> None:
    """Tell everyone who waits for these units, each event loop with a single call."""
    loops: dict[asyncio.AbstractEventLoop, list[Unit[Any]]] = {}
    for unit in units:
        if unit.future is not None:
            loops.setdefault(unit.future.get_loop(), []).append(unit)
        elif unit.answered is not None:
            unit.answered.release()
    for loop, waiting in loops.items():
        try:
            loop.call_soon_threadsafe(_settle_all, waiting)
        except RuntimeError:  # that event loop was closed: nobody waits there any more
            continue


def _settle_all(units: list[Unit[Any]]) -> None:
    for unit in units:
        unit.settle()


class Options(msgspec.Struct, frozen=True):
    """What a store is opened with, beside the place where it is."""

    durability: str
    read_only: bool
    migrate: str
    limits: Limits
    clock: Clock
    filling: bool = False
    """Whether a store that a copy is being made into may be opened."""


class Table(msgspec.Struct, frozen=True):
    """A table of state: what its journal entries are called, and how to read them.

    `parent` is (column, table): the column holds the `no` of a row of that table.
    `text` names the columns that people's words are in, which are searched, `numbers`
    those that hold no time, though they are called as if.
    """

    name: str
    journalled: bool = True
    json: tuple[str, ...] = ()
    parent: tuple[str, str] | None = None
    text: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True):
    """What a kind brings into the schema: its tables, statements and migrations.

    `own` marks a user's kind, whose versions are counted apart from holdfast's.
    `derived` marks an index: its tables have a version of their own, are made again for
    another one, and are never copied. `instead` has their text for single engines.
    `beside` marks what is kept beside the state (`Engine.beside`).
    """

    kind: str
    sql: str
    tables: tuple[Table, ...]
    migrations: tuple[str, ...] = ()
    own: bool = False
    derived: bool = False
    version: int = 1
    instead: Mapping[str, str] = {}
    beside: bool = False


class Report(msgspec.Struct, frozen=True):
    """What a check found: `ok` if there are no problems."""

    problems: tuple[str, ...]
    counts: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Witness(Protocol):
    """Who is told of what becomes of an engine's transactions, from any thread."""

    def committed(self, tellings: Tellings) -> None:
        """A transaction was committed that changed something, or that told of this."""
        ...

    def failed(self, error: BaseException) -> None:
        """Something was not kept, because of where state is kept."""
        ...

    def closing(self) -> None:
        """The engine is about to close, and does all that it is asked until it has."""
        ...

    def closed(self, why: BaseException) -> None:
        """The state is closed; what is beside it can be written to for the last time.

        `why` is what whoever comes after gets.
        """
        ...

    def disowned(self, why: BaseException) -> None:
        """The engine belongs to the process that this one was forked from."""
        ...


class Beside(Protocol):
    """A database beside the state, with no journal and no part in its transactions.

    It is made by the first unit that writes; who reads looks whether it is `there`.
    """

    @property
    def there(self) -> bool:
        """Whether it was made yet."""
        ...

    def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, on one snapshot."""
        ...

    def post_read(self, unit: Unit[Any]) -> None:
        """Have a unit run that only reads; its future is answered."""
        ...

    def write(self, unit: Unit[T]) -> T:
        """Run a unit to its commit, and give its result."""
        ...

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run; its future is answered after the commit."""
        ...

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called after commits, from any thread; returns how to stop."""
        ...


class Engine(Protocol):
    """Where state is kept. It knows tables and units of work, and no kind."""

    place: str
    """Where the store is, in words for people."""
    tidy: Work[None] | None
    """What deletes rows that are out of sight, a slice at a time; set by the store.

    Run after a unit that was `untidy`, and now and then while there are commits."""
    witness: Witness | None
    """Who is told of commits, failures and the end; set by the store."""

    @property
    def beside(self) -> Beside:
        """What is kept beside the state."""
        ...

    def write(self, unit: Unit[T]) -> T:
        """Run a unit to its commit, and give its result."""
        ...

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run; its future is answered after the commit."""
        ...

    def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, on one snapshot."""
        ...

    def post_read(self, unit: Unit[Any]) -> None:
        """Have a unit run that only reads; its future is answered."""
        ...

    def borrow(
        self, terms: Terms, timeout_seconds: float
    ) -> AbstractContextManager[Transaction]:
        """A transaction for a body of code on the caller's own thread."""
        ...

    async def lend(self, terms: Terms, timeout_seconds: float) -> "Loan":
        """A transaction for a body of awaiting code."""
        ...

    def join(
        self, connection: object, terms: Terms, who: object
    ) -> AbstractContextManager[Transaction]:
        """A block of a transaction that a user has begun on a connection of theirs.

        `who` is inside it meanwhile: a thread's number, or a task.
        """
        ...

    def inside(self) -> bool:
        """Whether the calling thread or task is inside a transaction of its own."""
        ...

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called after commits, from any thread; returns how to stop."""
        ...

    def check(self) -> Report:
        """Look for damage."""
        ...

    def loader(self) -> "Loader":
        """What fills this store with another's rows."""
        ...

    def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        ...


class Loader(Protocol):
    """Fills a store with rows that another store's journal tells of already."""

    def step(self) -> AbstractContextManager[None]:
        """A transaction that all of the following is done in, or none of it."""
        ...

    def run(self, name: str, /, **values: object) -> int:
        """Run a named statement; how many rows it changed."""
        ...

    def all(self, name: str, /, **values: object) -> list[Row]:
        """Every row of a named statement."""
        ...

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Put rows into a table, but for those whose key or place is taken."""
        ...

    def unguard(self) -> None:
        """Have nothing journalled any more, and nothing refused."""
        ...

    def guard(self) -> None:
        """Have every change journalled again, and new rows numbered past these."""
        ...

    def close(self) -> None:
        """Let go of everything; a step that has not ended is undone."""
        ...


class Loan(Protocol):
    """A transaction lent to awaiting code; every step runs in the engine's place."""

    async def do(self, work: Work[T]) -> T:
        """Run one step of the transaction."""
        ...

    async def end(self, *, keep: bool) -> None:
        """Commit (`keep`), or roll all of it back."""
        ...
