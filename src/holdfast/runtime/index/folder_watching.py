"""Watching folders: the index of compositions brought up to date as files change.

Answers for: the thread that waits for changes in an owner's folders and scans what has
changed; folders that come and go; ending it.
Leaves to others: scanning (`scanning`), noticing changes (watchfiles).
Always holds: a change is in the index moments after, or, where the system tells nothing
(a network drive, too much at once), with the next look at everything; a scan that
fails is logged, told by `error`, and tried again; it keeps no other folder from being
scanned; nothing outlives the store, but what a drive that hangs does not give back.
"""

import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import edges
from holdfast.engine import Terms
from holdfast.errors import Closed, NotFound, Refused, TimedOut
from holdfast.kinds.index_rows import every_folder
from holdfast.logs import logger
from holdfast.runtime.index.composition_files import SUFFIXES
from holdfast.runtime.index.scanning import ScanReport, scan

if TYPE_CHECKING:
    from holdfast.core import Core

_TICK_MS = 250
_STEP_MS = 25
_GATHER_MS = 400
"""So long changes that come one upon the other are gathered, at most."""
_FOLDERS_SECONDS = 1.0
"""How often it is looked which folders there are."""
_END_SECONDS = 10.0
"""So long a scan is waited for at the end, which a drive that hangs might hold up."""
_LATER_SECONDS = 1.0
"""How long after a failure it is tried again."""


def watcher() -> Any:
    """What notices changes. Raises `Refused` where watchfiles is not installed."""
    try:
        import watchfiles  # noqa: PLC0415  # an extra
    except ImportError:
        raise Refused(
            "watching folders needs watchfiles: pip install 'holdfast[index]'; without "
            "it, call store.index.scan() when files have changed"
        ) from None
    return watchfiles


class FolderWatching:
    """Folders that are watched, until `stop`, or the end of a `with` block.

    `report` is what the newest scan came to that changed something, or the first;
    `error` why the newest scan failed, None since one succeeded.
    """

    def __init__(
        self,
        core: "Core",
        terms: Terms,
        every_seconds: float,
        stop: threading.Event | None = None,
    ) -> None:
        self._watchfiles = watcher()
        self._core = core
        self._terms = terms
        self._every = edges.seconds_of(every_seconds, "every_seconds", core.limits)
        self._stop = threading.Event() if stop is None else stop
        self._news = threading.Condition()
        self._count = self._told = 0
        self._wakers: list[Callable[[], None]] = []
        self.error: BaseException | None = None
        self.report = scan(core, terms, stopped=self._stop.is_set)
        self._begun_at = self._looked_at = time.monotonic()
        self._thread = threading.Thread(
            target=self._serve, name="holdfast-index", daemon=True
        )
        self._thread.start()
        core.events.endings.append(self.stop)

    def stop(self) -> None:
        """Watch no more; what a scan has begun to write it ends. Safe to call twice."""
        self._stop.set()
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_SECONDS)
        endings = self._core.events.endings
        if self.stop in endings and not self._core.events.ending:
            endings.remove(self.stop)

    @property
    def stopped(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._stop.is_set()

    def next(self, *, timeout_seconds: float | None = None) -> ScanReport:
        """Wait until a scan has changed something that was not told yet.

        Gives the newest report since the last call, or since the beginning. Raises
        `TimedOut`, `Closed` (it was stopped, or the store closed).
        """
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", self._core.limits)
        with self._news:
            self._news.wait_for(lambda: self.has_news, seconds)
            return self.newest(seconds)

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell, be it the end."""
        return self._count > self._told or self.stopped

    def newest(self, seconds: float | None) -> ScanReport:
        """The newest report, if it was not told yet; else why there is none."""
        if self._count > self._told:
            self._told = self._count
            return self.report
        if self.stopped:
            raise Closed("these folders are watched no more: watch them again")
        raise TimedOut(f"no composition changed within {seconds} seconds")

    def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called at each report, and at the end."""
        with self._news:
            self._wakers.append(wake)

    def forget(self, wake: Callable[[], None]) -> None:
        """Have it called no more."""
        with self._news:
            self._wakers.remove(wake)

    def __enter__(self) -> "FolderWatching":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self) -> None:
        polling = False
        while not self.stopped:
            try:
                self._wait_in(self._folders(), polling=polling)
            except Closed:
                self._stop.set()
                self._wake()
            except FileNotFoundError:  # a folder went just now
                self._stop.wait(_LATER_SECONDS)
            except OSError as error:  # of who notices changes: scans tell their own
                polling = True
                said = "the system tells no changes here: folders are looked at instead"
                self._failed(error, said)
            except Exception as error:
                self._failed(error, "folders could not be watched")

    def _failed(self, error: BaseException, said: str) -> None:
        """Say what went wrong, once for each thing; wait until it is tried again."""
        if repr(error) != repr(self.error):
            logger("holdfast.index").warning("%s: %r", said, error, exc_info=error)
        self.error = error
        self._stop.wait(_LATER_SECONDS)

    def _folders(self) -> list[str]:
        """The folders of the owner as they now are."""
        core, owner = self._core, self._terms.owner
        unit = core.unit(lambda tx: list(every_folder(tx, owner)), self._terms)
        return [folder.path for folder in core.engine.read(unit)]

    def _wait_in(self, folders: list[str], *, polling: bool) -> None:
        """Scan what changes in some folders, until there are other folders."""
        there = _there(folders)
        if not there:
            self._look(folders)
            self._stop.wait(_FOLDERS_SECONDS)
            return
        changes = self._watchfiles.watch(
            *there,
            watch_filter=_Meant(self._watchfiles.Change.deleted, there),
            debounce=_GATHER_MS,
            step=_STEP_MS,
            stop_event=self._stop,
            rust_timeout=_TICK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=polling or None,
            ignore_permission_denied=True,
        )
        with closing(changes):
            self._follow(changes, folders, there)

    def _follow(
        self,
        changes: Iterator[set[tuple[Any, str]]],
        folders: list[str],
        there: dict[str, tuple[int, int]],
    ) -> None:
        armed, asked_at = False, time.monotonic()
        for changed in changes:
            now = time.monotonic()
            if not armed or now - self._looked_at >= self._every:
                self._look(folders)  # also for what changed before it was watched
                armed = True
            elif changed:
                self._scan(_named(folders, (path for _, path in changed)) or folders)
            if changed or now - asked_at >= _FOLDERS_SECONDS:
                asked_at = now
                if self._folders() != folders or _there(folders) != there:
                    return

    def _look(self, folders: list[str]) -> None:
        """Look at everything."""
        self._looked_at = time.monotonic()
        self._scan(folders)

    def _scan(self, folders: Iterable[str]) -> None:
        failed: Exception | None = None
        for folder in folders:
            if self.stopped:
                return
            try:
                report = scan(
                    self._core, self._terms, folder, stopped=self._stop.is_set
                )
            except Closed:
                raise
            except NotFound:  # it was removed from the index
                continue
            except Exception as error:
                failed = error  # and the other folders are scanned all the same
                continue
            if report.changed:
                self._tell(report)
        if failed is None:
            self.error = None
            return
        self._failed(failed, "folders could not be scanned")
        self._looked_at = -math.inf  # look at everything as soon as it may go well

    def _tell(self, report: ScanReport) -> None:
        with self._news:
            self.report = report
            self._count += 1
        self._wake()

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()
            wakers = tuple(self._wakers)
        for wake in wakers:
            with suppress(RuntimeError):  # its event loop was closed
                wake()


def _there(folders: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The folders that are there, each as the one that it is."""
    found = {}
    for folder in folders:
        try:
            there = os.stat(folder)  # noqa: PTH116 - a path as text
        except OSError:
            continue
        if stat.S_ISDIR(there.st_mode):
            found[folder] = there.st_dev, there.st_ino
    return found


class _Meant:
    """Whether a change may be one of a composition, or of a folder that has some."""

    def __init__(self, deleted: object, folders: Iterable[str]) -> None:
        self._deleted = deleted
        self._folders = [os.path.join(folder, "") for folder in folders]  # noqa: PTH118

    def __call__(self, change: object, path: str) -> bool:
        within = (path[len(f) :] for f in self._folders if path.startswith(f))
        names = Path(min(within, key=len, default=path)).parts
        if any(name.startswith(".") and name[1:2] != "." for name in names):
            return False
        name = names[-1] if names else ""
        if change == self._deleted or name.lower().endswith(SUFFIXES):
            return True
        return "." not in name or name.startswith("..") or Path(path).is_dir()


def _named(folders: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The folders that some paths are in."""
    changed = [Path(path) for path in paths]
    return [
        folder
        for folder in folders
        if any(path.is_relative_to(folder) for path in changed)
    ]
