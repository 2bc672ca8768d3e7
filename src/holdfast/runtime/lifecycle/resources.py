"""Resources: what a module opened, closed again after its shutdown handler.

Answers for: the module as its handlers hold it; entering, and what leaves again.
Leaves to others: when that is (`sequence`).
Always holds: what was entered is left once, the last first, also if a later handler of
the module failed; an async resource is entered and left by one task, as anyio wants it.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from holdfast.errors import Refused
from holdfast.logs import logger

if TYPE_CHECKING:
    import asyncio

    from holdfast.runtime.lifecycle.lifecycle import Lifecycle

T = TypeVar("T")


class Resource(msgspec.Struct, frozen=True):
    """What was entered, by its type's name, and what leaves it."""

    what: str
    leave: Callable[[], Any]
    on_loop: bool = False


class Resources:
    """What one module entered, as long as it was not shut down."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._mutex = threading.Lock()
        self._kept: list[Resource] = []
        self._over = False

    def keep(self, resource: Resource) -> bool:
        """Leave it later; False if the module was shut down meanwhile."""
        with self._mutex:
            if not self._over:
                self._kept.append(resource)
            return not self._over

    def taken(self) -> list[Resource]:
        """What is to be left now, the last first; from here on, nothing is kept."""
        with self._mutex:
            self._over = True
            kept, self._kept = self._kept[::-1], []
        return kept

    def refuse_over(self) -> None:
        """Raise `Refused` once the module was shut down."""
        if self._over:
            raise self.over()

    def over(self) -> Refused:
        """What is raised then."""
        return Refused(
            f"module {self.name!r} was shut down: nothing stays entered; enter what "
            "it needs before that"
        )


class Module:
    """A module in the hands of its handlers.

    `module["db"]` is what a handler of the module `db` gave.
    """

    def __init__(self, life: "Lifecycle", resources: Resources) -> None:
        self._life = life
        self._resources = resources

    @property
    def name(self) -> str:
        """Its name."""
        return self._resources.name

    @property
    def life(self) -> "Lifecycle":
        """The life that it is part of."""
        return self._life

    @property
    def store(self) -> Any:
        """The store of this life."""
        return self._life.store

    @property
    def stopping(self) -> bool:
        """Whether the program is to stop."""
        return self._life.stopping

    def __getitem__(self, name: str) -> Any:
        return self._life[name]

    def enter(self, resource: AbstractContextManager[T]) -> T:
        """Enter a context manager; it is left after the shutdown handler.

        Raises `Refused` once the module was shut down.
        """
        self._resources.refuse_over()
        value = resource.__enter__()

        def leave() -> None:
            resource.__exit__(None, None, None)

        if not self._resources.keep(Resource(type(resource).__name__, leave)):
            leave()
            raise self._resources.over()
        return value

    async def aenter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """As `enter`, awaited; a task of its own enters and leaves it."""
        self._resources.refuse_over()
        keeper = Keeper(resource, self.name)
        value: T = await keeper.enter()
        kept = Resource(type(resource).__name__, keeper.leave, on_loop=True)
        if not self._resources.keep(kept):
            await keeper.leave()
            raise self._resources.over()
        return value

    def __repr__(self) -> str:
        return f"<holdfast module {self.name!r}>"


class Keeper:
    """A task that enters an async context manager, and leaves it."""

    def __init__(self, resource: AbstractAsyncContextManager[Any], name: str) -> None:
        import asyncio  # noqa: PLC0415  # who is here has it

        self._resource = resource
        self._name = name
        self._end = asyncio.Event()
        self._entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold())

    async def enter(self) -> Any:
        """What entering gives. Raises what it raises."""
        import asyncio  # noqa: PLC0415  # as said

        try:
            await asyncio.wait(
                {self._entered, self._task}, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if not self._entered.done():
            await self._task
        self._task.add_done_callback(self._ended)
        return self._entered.result()

    async def leave(self) -> None:
        """Leave it. Raises what that raises, or what ended it before."""
        self._end.set()
        await self._task

    async def _hold(self) -> None:
        async with self._resource as value:
            self._entered.set_result(value)
            await self._end.wait()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not self._end.is_set() and not task.cancelled() and task.exception():
            logger("holdfast.lifecycle").error(
                "module %r: its %s has ended by itself: %r",
                self._name,
                type(self._resource).__name__,
                task.exception(),
            )
