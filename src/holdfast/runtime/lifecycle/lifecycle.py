"""The lifecycle: a program's way from its start to an orderly end.

Answers for: what a user gives and holds: modules, blocks, `run`, the report.
Leaves to others: what has its turn when (`sequence`), how a life is led on threads
(`runner`) and on an event loop (`arunner`), what is written in trouble (`dumps`).
Always holds: a life that has begun ends once, however it comes to that.
"""

from collections.abc import Awaitable, Callable, Iterable
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any

from holdfast.errors import Refused
from holdfast.runtime.lifecycle.calls import is_async
from holdfast.runtime.lifecycle.control import Control
from holdfast.runtime.lifecycle.modules import F, Handler, phase_of, takes_argument
from holdfast.runtime.lifecycle.phases import LifecycleReport, Phase
from holdfast.runtime.lifecycle.runner import Runner, refuse_loop

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.runtime.lifecycle.arunner import AsyncRunner
    from holdfast.store import Store

SECONDS = 10.0


class Lifecycle:
    """Starts a program's modules in order, and shuts them down in reverse.

    `store` is open and left open, or it is what opens one (`holdfast.aopen(…)`, or a
    function), which is then closed at the end. `seconds` is how long a handler may
    take. Use `with`, `async with` or `run`; it lives once.
    """

    def __init__(
        self,
        store: "Store | AsyncStore | Awaitable[AsyncStore] | Callable[[], object]",
        *,
        seconds: float = SECONDS,
        signals: bool = True,
        checkpoints: bool = True,
        dumps: bool | str | PathLike[str] = True,
        faults: bool = False,
    ) -> None:
        """Raises `WrongType`, `Closed`, `Refused` (a store as of a moment)."""
        self._control = Control(
            self,
            store,
            seconds,
            signals=signals,
            checkpoints=checkpoints,
            dumps=dumps,
            faults=faults,
        )
        self._runner: Runner | None = None
        self._arunner: AsyncRunner | None = None

    # Modules.

    def module(
        self,
        name: str,
        *,
        core: Handler | None = None,
        startup: Handler | None = None,
        context: Handler | None = None,
        ready: Handler | None = None,
        shutdown: Handler | None = None,
        needs: Iterable[str] = (),
        after: Iterable[str] = (),
        optional: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Register a module: what it does in each phase, and what it needs for that.

        In each phase it has its turn after those that it `needs`, and after those in
        `after` that are there; at the shutdown before them. One that is `optional` is
        left out if it fails, with all that need it. Raises `AlreadyExists`,
        `InvalidId`, `WrongType`, `Refused` (the life has begun).
        """
        given = {
            Phase.CORE: core,
            Phase.STARTUP: startup,
            Phase.CONTEXT: context,
            Phase.READY: ready,
            Phase.SHUTDOWN: shutdown,
        }
        self._control.plans.add(
            name,
            {phase: one for phase, one in given.items() if one is not None},
            needs=needs,
            after=after,
            optional=optional,
            seconds=seconds,
        )

    def on(
        self,
        phase: str,
        name: str | None = None,
        *,
        needs: Iterable[str] = (),
        after: Iterable[str] = (),
        optional: bool = False,
        seconds: float | None = None,
    ) -> Callable[[F], F]:
        """Register a function for a phase of a module, by default of its own name.

        A decorator; it adds to a module that is there. Raises as `module` does, and
        `AlreadyExists` if the module has a handler for that phase.
        """
        checked = phase_of(phase)

        def register(function: F) -> F:
            self._control.plans.extend(
                getattr(function, "__name__", "") if name is None else name,
                checked,
                function,
                needs=needs,
                after=after,
                optional=optional,
                seconds=seconds,
            )
            return function

        return register

    # What there is.

    @property
    def store(self) -> Any:
        """The store, once it is open."""
        found = self._control.store_steps.store
        if found is None:
            raise Refused("the store is not open yet: the life has not begun")
        return found

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        return self._control.sequence.phase

    @property
    def stopping(self) -> bool:
        """Whether it is to end, or has ended."""
        return self._control.stopping

    def __getitem__(self, name: str) -> Any:
        """What a module's handlers gave, the last that was not None. Raises `NotFound`.

        None for a module that gave nothing, or was left out.
        """
        return self._control.sequence.value(name)

    def report(self) -> LifecycleReport:
        """How it went so far: who began, who was left out, every step."""
        return self._control.sequence.report()

    def dump(self, what: str = "asked for") -> str | None:
        """Write an emergency dump now; its path, or None if that failed.

        It has the phases, the modules, what participants of checkpoints have in memory,
        and where each thread stands. Secrets are masked.
        """
        return self._control.dump(what)

    # Runner.

    def start(self) -> None:
        """Bring all modules up, from core to ready.

        Raises `StartFailed`, naming the module, once those that were up are shut down;
        and `Refused` (a need that nobody registered, needs in a circle, an event loop
        that runs here, a life that has begun before).
        """
        self._lived().start()

    def close(self) -> LifecycleReport:
        """Shut everything down, in reverse; how it went. Safe to call twice.

        A start that is under way elsewhere goes no further. In a signal's handler that
        came amid the start or the shutdown, it is asked for, and not waited for. Raises
        `Refused` in a handler of the life, and before the start.
        """
        if self._runner is None:
            raise Refused("nothing to close: it was not started with `start` or `with`")
        self._runner.close()
        return self.report()

    def wait(self) -> None:
        """Wait until it is to end: for a signal, or `stop`."""
        if self._runner is None:
            raise Refused("nothing to wait for: it was not started")
        self._runner.wait()

    def stop(self) -> None:
        """Say that it is to end; from anywhere. It does not wait until that is so.

        `wait` and `await_stop` return; a start goes no further.
        """
        self._control.ask("stop")

    def __enter__(self) -> "Lifecycle":
        self._lived().start(in_block=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert self._runner is not None
        return self._runner.leave(error)

    # Runner, awaited.

    async def astart(self) -> None:
        """As `start`, on this event loop; its end is the life's end, too."""
        await self._awaited().start()

    async def aclose(self) -> LifecycleReport:
        """As `close`. Raises `Refused` on another event loop while the life's runs."""
        if self._arunner is None:
            raise Refused(
                "nothing to close: it was not started with `astart` or `async with`"
            )
        await self._arunner.close()
        return self.report()

    async def await_stop(self) -> None:
        """As `wait`."""
        if self._arunner is None:
            raise Refused("nothing to wait for: it was not started")
        await self._arunner.wait()

    async def __aenter__(self) -> "Lifecycle":
        await self._awaited().start(in_block=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert self._arunner is not None
        return await self._arunner.leave(error)

    def run(self, main: Handler | None = None) -> Any:
        """Live for as long as a function runs, plain or async; gives what it gives.

        It is given the lifecycle, if it takes an argument. Without one, live until a
        signal or `stop`. A signal that has ended it is passed on at the end, and by
        default ends the process. Raises as `start` does.
        """
        wanted = main is not None and takes_argument(main, "main")
        arguments = [self] if wanted else []
        if main is not None and is_async(main):
            refuse_loop()
            import asyncio  # noqa: PLC0415  # it loads slowly

            return asyncio.run(self._run(main, arguments))
        with self:
            return self.wait() if main is None else main(*arguments)

    async def _run(self, main: Handler, arguments: list[Any]) -> Any:
        async with self:
            found: Any = main(*arguments)
            return await found

    def _lived(self) -> Runner:
        runner = Runner(self._control)
        runner.begin()
        self._runner = runner
        return runner

    def _awaited(self) -> "AsyncRunner":
        from holdfast.runtime.lifecycle.arunner import (  # noqa: PLC0415  # as said
            AsyncRunner,
        )

        arunner = AsyncRunner(self._control)
        arunner.begin()
        self._arunner = arunner
        return arunner

    def __repr__(self) -> str:
        return f"<holdfast.runtime.Lifecycle {self.phase}>"
