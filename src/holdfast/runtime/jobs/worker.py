"""The worker: runs a store's jobs, with a handler for each kind.

Answers for: what a user gives and holds: `Worker`, `Handler`, and the figures; where
it runs: on this thread, on an event loop, or in the background.
Leaves to others: the work itself (`serving`), what a handler gets (`running`).
Always holds: one that stops in order leaves no job claimed; one that dies leaves its
jobs to others, as soon as their leases run out.
"""

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from holdfast import edges
from holdfast.errors import Refused
from holdfast.kinds.job_records import Job
from holdfast.runtime.jobs.effects import with_effects
from holdfast.runtime.jobs.handlers import Function, Handler
from holdfast.runtime.jobs.plans import plan_of
from holdfast.runtime.jobs.reporting import Tally, WorkerReport
from holdfast.runtime.leases.leasing import new_holder

if TYPE_CHECKING:
    import asyncio

    from holdfast.astore import AsyncStore
    from holdfast.runtime.jobs.serving import Serving
    from holdfast.runtime.jobs.setting import Setting
    from holdfast.store import Store

__all__ = ["Handler", "Worker", "WorkerReport"]

_WEEK_SECONDS = 7 * 86_400.0


class Worker:
    """Does a store's jobs, as many at once as `concurrency` says.

    `handlers` has a function, plain or async, for each kind; plain ones run on threads
    of their own. `run` blocks, `serve` is awaited, `with` and `async with` have it work
    in the background. It may be started again after it has stopped.
    """

    def __init__(
        self,
        store: "Store | AsyncStore",
        handlers: Mapping[str, Function | Handler],
        concurrency: int = 10,
        *,
        name: str | None = None,
        lanes: Iterable[str] | None = None,
        lease_seconds: float = 30.0,
        grace_seconds: float = 30.0,
        timeout_seconds: float | None = None,
        on_new_version: Literal["go_on", "stop"] = "go_on",
        keep_seconds: float | None = _WEEK_SECONDS,
        across_owners: bool = False,
    ) -> None:
        """Raises `WrongType`, `InvalidId`, `Refused`.

        Refused are a store as of a moment and, across owners, one that is pinned to an
        owner.
        """
        core = store._core  # noqa: SLF001
        self.name = edges.id_of(name or new_holder(core.clock), "name")
        self._core = core
        self._terms = core.terms(store._terms, f"worker:{self.name}")  # noqa: SLF001
        self._store = store
        self._plan = plan_of(
            with_effects(handlers, self._terms.provided),
            core.limits,
            timeout_seconds=timeout_seconds,
            concurrency=concurrency,
            lanes=lanes,
            lease_seconds=lease_seconds,
            grace_seconds=grace_seconds,
            keep_seconds=keep_seconds,
            on_new_version=on_new_version,
            across_owners=across_owners,
        )
        if across_owners and self._terms.owner:
            raise Refused(
                "a worker across owners is the store's, and not "
                f"{self._terms.owner!r}'s alone; nothing was done: give it "
                'store.owned_by("")'
            )
        self._tally = Tally()
        self._mutex = threading.RLock()
        """Taken by signals' handlers, too, wherever they come between."""
        self._serving: Serving | None = None
        self._to_stop: bool | None = None
        """Whether it is to stop, and if so, whether at once."""
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Work until it is stopped. On the main thread, SIGTERM and SIGINT stop it.

        The first one has it claim no more, and wait `grace_seconds` for what runs; what
        is left is given back. The second one has it give back everything at once.
        """
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        from holdfast.runtime.jobs.stopping import stopped_by_signals  # noqa: PLC0415

        with stopped_by_signals(lambda at_once: self.stop(at_once=at_once)):
            asyncio.run(self.serve())

    async def serve(self) -> None:
        """Work on this event loop until it is stopped."""
        from holdfast.runtime.jobs.serving import Serving  # noqa: PLC0415

        with self._mutex:
            if self._serving is not None:
                raise Refused(f"worker {self.name!r} works already: make another one")
            self._serving = serving = Serving(self._setting(), self._plan, self._tally)
            if self._to_stop is not None:
                serving.stop(at_once=self._to_stop)
        try:
            await serving.serve()
        finally:
            with self._mutex:
                self._serving = None
                self._to_stop = None

    def stop(self, *, at_once: bool = False) -> None:
        """Stop, in order; from anywhere. It does not wait until that is so.

        One that has not begun ends as soon as it does.
        """
        with self._mutex:
            self._to_stop = at_once or bool(self._to_stop)
            if self._serving is not None:
                self._serving.stop(at_once=at_once)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that it does: those it was given, and what machines need."""
        return self._plan.kinds

    def report(self) -> WorkerReport:
        """What it has done since it was made."""
        return self._tally.report(self.name)

    def __enter__(self) -> "Worker":
        """Work in the background, on a thread with an event loop of its own."""
        if self._thread is not None and self._thread.is_alive():
            raise Refused(f"worker {self.name!r} works already: make another one")
        self._thread = threading.Thread(
            target=self._run_aside, name="holdfast-jobs", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        if self._thread.is_alive():
            self.stop()
        self._thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def __aenter__(self) -> "Worker":
        """Work in the background of this event loop."""
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        self._task = asyncio.create_task(self.serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        if not self._task.done():
            self.stop()
        await self._task

    def _run_aside(self) -> None:
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        try:
            asyncio.run(self.serve())
        except BaseException as error:
            self._error = error  # for who leaves the block

    def __repr__(self) -> str:
        return f"<holdfast.Worker {self.name!r} of {self._core.engine.place!r}>"

    def _setting(self) -> "Setting":
        from holdfast.runtime.jobs.setting import Setting  # noqa: PLC0415

        store: Any = self._store
        plain = store if hasattr(type(store), "aio") else store.sync
        return Setting(
            core=self._core,
            terms=self._terms,
            name=self.name,
            lease_seconds=self._plan.lease_seconds,
            goes_on=self._plan.goes_on,
            store=type(plain),
            async_store=type(plain.aio),
            told=self._changed,
        )

    def _changed(self, job: Job, what: str) -> None:
        """A job began under another version of its handler."""
        import logging  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        self._tally.count("changed")
        logging.getLogger("holdfast.worker").warning(
            "job %r of kind %r: the code of its handler has changed: %s",
            job.id,
            job.kind,
            what,
        )
