"""The index as an async store shows it: the same calls, awaited.

Answers for: what of `store.index` is no single transaction, for asyncio.
Leaves to others: what it does (`shown`, `scanning`, `folder_watching`).
Always holds: no file is read on the event loop; a scan whose caller is cancelled ends
with the files that it is at, and leaves the index right as far as it has come.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from os import PathLike
from typing import TYPE_CHECKING

from holdfast import edges
from holdfast.afaces import AsyncIndex
from holdfast.errors import Closed
from holdfast.kinds.index_records import folder_of
from holdfast.runtime.index.folder_watching import FolderWatching
from holdfast.runtime.index.scanning import ScanReport, empty, scan
from holdfast.runtime.index.shown import LOOK_SECONDS, indexing_of, path_of

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore


class AsyncStoreIndex(AsyncIndex):
    """The index as an async store shows it: brought up to date from files."""

    _target: "AsyncStore"

    async def scan(
        self, path: str | PathLike[str] | None = None, *, thorough: bool = False
    ) -> ScanReport:
        """As `store.index.scan`: bring the index up to what is in its folders."""
        core, terms = indexing_of(self._target._core, self._target._terms, "scan")  # noqa: SLF001
        folder, cancelled = path_of(path, core), threading.Event()
        try:
            return await asyncio.to_thread(
                scan, core, terms, folder, thorough=thorough, stopped=cancelled.is_set
            )
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def remove_folder(self, path: str | PathLike[str]) -> bool:
        """As `store.index.remove_folder`: leave a folder and its compositions out."""
        core, terms = indexing_of(
            self._target._core,  # noqa: SLF001
            self._target._terms,  # noqa: SLF001
            "remove_folder",
        )
        folder = folder_of(path, "path", core.limits)
        await asyncio.to_thread(empty, core, terms, folder)
        return await super().remove_folder(path)

    def watch(self, *, every_seconds: float = LOOK_SECONDS) -> "AsyncFolderWatching":
        """As `store.index.watch`; to be awaited, or entered with `async with`."""
        indexing_of(self._target._core, self._target._terms, "watch")  # noqa: SLF001
        return AsyncFolderWatching(self._target, every_seconds)


class AsyncFolderWatching:
    """Folders that are watched, until `stop`, or the end of an `async with` block."""

    def __init__(self, store: "AsyncStore", every_seconds: float) -> None:
        self._store = store
        self._every = every_seconds
        self._made: FolderWatching | None = None

    @property
    def report(self) -> ScanReport:
        """What the newest scan came to that changed something, or the first."""
        return self._watching.report

    @property
    def error(self) -> BaseException | None:
        """Why the newest scan failed; None since one succeeded."""
        return self._watching.error

    @property
    def stopped(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._watching.stopped

    async def next(self, *, timeout_seconds: float | None = None) -> ScanReport:
        """As of a sync watch: wait until a scan has changed what was not told yet."""
        watching, limits = self._watching, self._store._core.limits  # noqa: SLF001
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", limits)
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(news.set)

        watching.listen(wake)
        try:
            async with asyncio.timeout(seconds):
                while not watching.has_news:  # another task may have been quicker
                    await news.wait()
                    news.clear()
        except TimeoutError:
            pass
        finally:
            watching.forget(wake)
        return watching.newest(seconds)

    async def stop(self) -> None:
        """Watch no more. Safe to call twice."""
        if self._made is not None:
            await asyncio.to_thread(self._made.stop)

    def __await__(self) -> Generator[object, None, "AsyncFolderWatching"]:
        return self._begin().__await__()

    async def __aenter__(self) -> "AsyncFolderWatching":
        return await self._begin()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def __aiter__(self) -> AsyncIterator[ScanReport]:
        """Each scan that changes something, until it is stopped."""
        while True:
            try:
                yield await self.next()
            except Closed:
                return

    async def _begin(self) -> "AsyncFolderWatching":
        """Scan and begin, once; who is cancelled meanwhile has nothing left behind."""
        if self._made is not None:
            return self
        core, terms = self._store._core, self._store._terms  # noqa: SLF001
        stop = threading.Event()
        making = asyncio.ensure_future(
            asyncio.to_thread(FolderWatching, core, terms, self._every, stop)
        )
        try:
            self._made = await asyncio.shield(making)
        except asyncio.CancelledError:
            stop.set()  # which ends the scan, and the thread if it has begun
            making.add_done_callback(_looked_at)
            await asyncio.wait([making])
            if making.exception() is None:
                await asyncio.to_thread(making.result().stop)
            raise
        return self

    @property
    def _watching(self) -> FolderWatching:
        if self._made is None:
            raise RuntimeError("these folders are not watched yet: await it first")
        return self._made


def _looked_at(made: "asyncio.Future[FolderWatching]") -> None:
    """Have an error that nobody waits for any more go without a word."""
    if not made.cancelled():
        made.exception()
