"""Saving: what sections have in memory, to the store.

Answers for: when changes are saved, on which thread; trying again; what is saved at the
end; when the store is looked at for what others have saved.
Leaves to others: what a section is in memory (`sections`), carrying it to the store
(`stored_sections`), what is written (`kinds/state`), signals (`last_words`).
Always holds: saving begins at half of `limits.state_seconds` after the first change
that is not saved, so that as much is left for the write itself; what could not be saved
stays in memory, and is tried again.
"""

import os
import threading
import time
import weakref
from collections.abc import Mapping

from holdfast.bell import Bell
from holdfast.codec import Document
from holdfast.core import Core
from holdfast.engine import Terms, Unit
from holdfast.errors import Closed, Held, HoldfastError
from holdfast.kinds.state import State
from holdfast.logs import logger
from holdfast.passing import PASSING
from holdfast.runtime.state import last_words
from holdfast.runtime.state.stored_sections import Known, StoredSections
from holdfast.sections.memory import Looked
from holdfast.sections.merging import Change

_AGAIN_SECONDS = 1.0
"""After what could not be saved."""
_LOOK_SECONDS = 0.1
"""How long what others save may be unknown."""
_NAMED = 5
"""Sections that are named when they are lost."""


class Saver(StoredSections):
    """The sections of one open store, and what saves them in time."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._delay = core.limits.state_seconds / 2
        self._look_seconds = None if core.engine.place == ":memory:" else _LOOK_SECONDS
        self._news = Bell()
        self._due: float | None = None
        """When what is not saved is to be; None if nobody waits for that."""
        self._thread: threading.Thread | None = None
        self._troubled = False
        """Whether it was said that saving fails for now."""
        core.events.endings.append(self.end)
        if not core.read_only:
            last_words.keep(self)

    # Changes.

    def crowded(self) -> bool:
        """Whether so much waits that there has to be room first."""
        return self.size > self._core.limits.state_unsaved

    def take_in(self, owner: str, section: str, changes: Mapping[str, Change]) -> None:
        """Hold changes until they are saved. Raises `Closed`."""
        with self._mutex:
            self.refuse_over()
            first = self._due is None
            if first or self._thread is None:  # first of all: an interrupt may come
                self._wake()
                self._due = self._due or time.monotonic() + self._delay
            self.change(owner, section, changes)
        if first:
            last_words.listen(changed=True)

    # Looking.

    def known(self, owner: str, section: str, key: str) -> tuple[bool, Document | None]:
        """What a key has, and before that, whether that is known without a look."""
        self.refuse_over()
        return self.at_hand(owner, section, key, self._look_seconds)

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

    def flush(
        self,
        owner: str | None = None,
        section: str | None = None,
        *,
        patient: bool = True,
    ) -> int:
        """Save what is not; how many keys were written. Raises what keeps it from that.

        All owners' sections, or one owner's, or one.
        """
        self.refuse_over()
        return self._save(self.dirty(owner, section), patient=patient)

    # The thread.

    def _wake(self) -> None:
        """Have the thread look when something is due."""
        if self._thread is None:
            self._begin()
        self._news.set()

    def _begin(self) -> None:
        thread = threading.Thread(
            target=_serve,
            args=(weakref.ref(self), self._news),
            name="holdfast-state",
            daemon=True,
        )
        if self._thread is not None:  # a signal's handler came, and has begun it
            return
        self._thread = thread
        try:
            thread.start()
        except BaseException as error:
            if not thread.is_alive():
                self._thread = None
            if not isinstance(error, RuntimeError):
                raise
            return  # no more threads now, or the interpreter ends, and saves by that
        weakref.finalize(self, self._news.set).atexit = False

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
        if not sections:  # a transaction has saved them
            return
        try:
            told = {"sections": len(sections)}
            self._core.events.own("autosave:triggered", told, level="debug")
            self._save(sections, patient=False)
        except Closed:
            return
        except Exception as error:
            with self._mutex:
                again = time.monotonic() + _AGAIN_SECONDS
                self._due = again if self._due is None else min(self._due, again)
            self._say_trouble(error)
        else:
            self._troubled = False

    def _say_trouble(self, error: Exception) -> None:
        """Say that saving fails: once, until it does not."""
        if self._troubled:
            return
        self._troubled = True
        waiting = self.dirty()
        logger("holdfast.state").error(
            "changes in %s cannot be saved for now; they are held in memory, and tried "
            "again each second: %s",
            _many(len(waiting), "section"),
            error,
        )
        self._tell(error, waiting)

    def _tell(self, error: BaseException, waiting: list[Known]) -> None:
        told = {"error": type(error).__name__, "what": str(error)}
        names = sorted({section for _, section in waiting})[:100]
        self._core.events.own(
            "state:save-error", {**told, "sections": names}, level="error"
        )

    # The end.

    def end(self) -> None:
        """Save what is not, for the last time; take in nothing more.

        Raises what keeps it from the disk, and says what is lost by that.
        """
        with self._mutex:
            if self.over:
                return
            self.over = True
        self._news.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        failure = self._save_last()
        if failure is not None:
            self._tell(failure, self.dirty())
            lost = self._lost(failure)
            logger("holdfast.state").error("%s", lost)
            raise lost from failure

    def _save_last(self) -> Exception | None:
        """Save one section after another, on this thread: another may not start now."""
        failure: Exception | None = None
        for known in self.dirty():
            try:
                self._core.engine.write(self._saving(known, patient=False))
            except Exception as error:
                failure = error
        return failure

    def _lost(self, failure: Exception) -> HoldfastError:
        """What to raise when the store closes on what could not be saved."""
        keys = _many(self.keys_unsaved(), "key")
        named = sorted({repr(section) for _, section in self.dirty()})
        more = "" if len(named) <= _NAMED else f" and {len(named) - _NAMED} more"
        kind = type(failure) if isinstance(failure, (Held, *PASSING)) else HoldfastError
        return kind(
            f"{self._core.engine.place} was closed, and the newest changes of {keys} "
            f"are lost (section {', '.join(named[:_NAMED])}{more}): {failure}"
        )

    def say(self) -> None:
        """Save what is not, because the process is about to end."""
        try:
            self._save(self.dirty(), patient=False)
        except Exception as error:
            logger("holdfast.state").error(
                "%s could not be saved before the end: %s",
                _many(self.keys_unsaved(), "key"),
                error,
            )

    def disown(self) -> None:
        """In a process that was forked: what is not saved is the parent's to save."""
        self._forget_all()
        self._thread = None
        self.over = True


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


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
