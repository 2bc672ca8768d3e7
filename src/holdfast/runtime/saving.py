"""Saving: what sections have in memory, to the store.

Answers for: when changes are saved, on which thread; trying again; what is saved at the
end; when the store is looked at for what others have saved.
Leaves to others: what a section is in memory (`sections`), what is written
(`kinds/state`), signals (`last_words`).
Always holds: saving begins at half of `limits.state_seconds` after the first change
that is not saved, so that as much is left for the write itself; what could not be saved
stays in memory, and is tried again.
"""

import os
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from holdfast.bell import Bell
from holdfast.core import Core
from holdfast.engine import Terms, Unit, Work
from holdfast.errors import Closed, HoldfastError
from holdfast.kinds.state import State
from holdfast.logs import logger
from holdfast.provided import Provided
from holdfast.runtime import last_words
from holdfast.sections.memory import Looked
from holdfast.sections.merging import Change
from holdfast.sections.unsaved import Unsaved

Known: TypeAlias = tuple[str, str]
"""A section, by its owner and its name."""
_AGAIN_SECONDS = 1.0
"""After what could not be saved."""
_LOOK_SECONDS = 0.1
"""How long what others save may be unknown."""


class Saver(Unsaved):
    """The sections of one open store, and what saves them."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self._core = core
        self._delay = core.limits.state_seconds / 2
        self._look_seconds = None if core.engine.place == ":memory:" else _LOOK_SECONDS
        self._provided = Provided()
        self._provided.unsaved = self
        self._news = Bell()
        self._due: float | None = None
        """When what is not saved is to be; None if nobody waits for that."""
        self._thread: threading.Thread | None = None
        self._troubled = False
        """Whether it was said that saving fails for now."""
        self.over = False
        """Whether nothing more is taken in."""
        core.events.endings.append(self.end)
        last_words.keep(self)

    # Changes.

    def crowded(self) -> bool:
        """Whether so much waits that there has to be room first."""
        return self.size > self._core.limits.state_unsaved

    def take_in(self, owner: str, section: str, changes: Mapping[str, Change]) -> None:
        """Hold changes until they are saved. Raises `Closed`."""
        with self._mutex:
            self.refuse_over()
            self.change(owner, section, changes)
            if self._due is not None:
                return
            self._due = time.monotonic() + self._delay
            self._wake()
        last_words.listen()

    def refuse_over(self) -> None:
        """Raise `Closed` if the store was closed, or is a parent process's."""
        self._core.refuse_closed()
        if self.over:
            raise Closed(f"{self._core.engine.place} was closed: open it again")

    # Looking.

    def look(self, owner: str, section: str, *, anew: bool) -> Unit[Looked] | None:
        """What looks at the store, if that is to be done; `anew`: whatever is known."""
        self.refuse_over()
        seconds = 0.0 if anew else self._look_seconds
        due = self.look_due(owner, section, seconds)
        if due is None:
            return None
        epoch, stamp, loaded = due
        unit = self._unit(
            owner, lambda tx: State(tx).look(section, epoch, stamp, loaded=loaded)
        )
        unit.patient = anew or not loaded
        return unit

    # Saving.

    def flush(self, owner: str | None = None, section: str | None = None) -> int:
        """Save what is not; how many keys were written. Raises what keeps it from that.

        All owners' sections, or one owner's, or one.
        """
        self.refuse_over()
        return self._save(self.dirty(owner, section), patient=True)

    def _save(self, sections: Iterable[Known], *, patient: bool) -> int:
        """Save sections, each in a unit of its own; raises the first failure."""
        units = [(known, self._saving(known, patient=patient)) for known in sections]
        if len(units) == 1:
            return self._outcomes(units, self._core.engine.write)
        for _, unit in units:
            self._post(unit)
        return self._outcomes(units, self._outcome)

    def _post(self, unit: Unit[int]) -> None:
        unit.expected()
        try:
            self._core.engine.post(unit)
        except HoldfastError as error:
            unit.error = error
            assert unit.answered is not None
            unit.answered.release()
        except RuntimeError:  # the interpreter ends: no thread may start any more
            unit.answered = None

    def _outcome(self, unit: Unit[int]) -> int:
        return (
            self._core.engine.write(unit) if unit.answered is None else unit.outcome()
        )

    def _outcomes(self, units: list[tuple[Known, Unit[int]]], outcome: Any) -> int:
        """What became of some units; each is waited for."""
        total, failure = 0, None
        for known, unit in units:
            try:
                total += outcome(unit)
            except Exception as error:
                self.settle(*known)
                failure = failure or error
        if failure is not None:
            raise failure
        return total

    def _saving(self, known: Known, *, patient: bool) -> Unit[int]:
        owner, section = known
        unit = self._unit(owner, lambda tx: State(tx).save(section))
        unit.patient = patient
        return unit

    def _unit(self, owner: str, work: Work[Any]) -> Unit[Any]:
        terms = Terms(owner=owner, provided=self._provided)
        return self._core.unit(work, terms)

    # The thread.

    def _wake(self) -> None:
        """Have the thread look when something is due."""
        if self._thread is None:
            thread = threading.Thread(
                target=_serve,
                args=(weakref.ref(self), self._news),
                name="holdfast-state",
                daemon=True,
            )
            with suppress(RuntimeError):  # the interpreter ends, and saves by that
                thread.start()
                self._thread = thread
                weakref.finalize(self, self._news.set).atexit = False
        self._news.set()

    def serve(self) -> float | None:
        """Save what is due; for how many seconds nothing will be, None if nothing is.

        For the thread that saves.
        """
        self._news.clear()  # before it is looked: what comes after wakes again
        with self._mutex:
            due, now = self._due, time.monotonic()
            if due is None or self.over:
                return None
            if due > now:
                return due - now
            self._due = None
        self._serve_once()
        return 0.0

    def _serve_once(self) -> None:
        sections = self.dirty()
        told = {"sections": len(sections)}
        self._core.events.own("autosave:triggered", told, level="debug")
        try:
            self._save(sections, patient=False)
        except Closed:
            return
        except Exception as error:
            self._say_trouble(error)
            with self._mutex:
                again = time.monotonic() + _AGAIN_SECONDS
                self._due = again if self._due is None else min(self._due, again)
        else:
            self._troubled = False

    def _say_trouble(self, error: Exception) -> None:
        """Say that saving fails: once, until it does not."""
        if self._troubled:
            return
        self._troubled = True
        waiting = self.dirty()
        said = f"changes of {len(waiting)} sections cannot be saved for now"
        logger("holdfast.state").error("%s, and are held in memory: %s", said, error)
        self._tell(error, waiting)

    def _tell(self, error: BaseException, waiting: list[Known]) -> None:
        told = {"error": type(error).__name__, "what": str(error)}
        names = sorted({section for _, section in waiting})[:100]
        self._core.events.own(
            "state:save-error", {**told, "sections": names}, level="error"
        )

    # The end.

    def end(self) -> None:
        """Save what is not, for the last time; take in nothing more."""
        with self._mutex:
            if self.over:
                return
            self.over = True
        self._news.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._save_last()

    def _save_last(self) -> None:
        """Save one section after another, on this thread: another may not start now."""
        failure: Exception | None = None
        for known in self.dirty():
            try:
                self._core.engine.write(self._saving(known, patient=False))
            except Exception as error:
                failure = error
        if failure is not None:
            logger("holdfast.state").error(
                "%d keys of %d sections could not be saved when %s was closed: %s",
                self.keys_unsaved(),
                len(self.dirty()),
                self._core.engine.place,
                failure,
            )
            self._tell(failure, self.dirty())

    def say(self) -> None:
        """Save what is not, because the process is about to end."""
        try:
            self._save(self.dirty(), patient=False)
        except Exception as error:
            logger("holdfast.state").error(
                "%d keys could not be saved before the end: %s",
                self.keys_unsaved(),
                error,
            )

    def disown(self) -> None:
        """In a process that was forked: what is not saved is the parent's to save."""
        self._forget_all()
        self._thread = None
        self.over = True


def _serve(ref: "weakref.ref[Saver]", news: Bell) -> None:
    """Save for as long as the store is there; while nothing waits, it may go."""
    while (saver := ref()) is not None and not saver.over:
        seconds = saver.serve()
        if seconds is None:
            del saver
        news.wait(seconds)


_savers: "weakref.WeakValueDictionary[int, Saver]" = weakref.WeakValueDictionary()
_entering = threading.Lock()


def known_saver(core: Core, terms: Terms) -> Saver | None:
    """The saver of an open store, if it has one by now."""
    found = terms.provided.unsaved
    return found if isinstance(found, Saver) else _savers.get(id(core))


def saver_of(core: Core, terms: Terms) -> Saver:
    """The saver of an open store; it keeps the store's core, so its number stays."""
    found = terms.provided.unsaved
    if isinstance(found, Saver):
        return found
    with _entering:
        saver = _savers.get(id(core))
        if saver is None:
            core.refuse_closed()
            saver = _savers[id(core)] = Saver(core)
        terms.provided.unsaved = saver
    return saver


def _disown_all() -> None:
    global _entering  # another thread of the parent's may hold it
    _entering = threading.Lock()
    for saver in list(_savers.values()):
        saver.disown()


os.register_at_fork(after_in_child=_disown_all)
