"""The watcher: wakes followers when something was committed, by any process.

Answers for: listening for what the journal's trigger says at each commit, on a
connection of its own; looking by itself where nobody tells it (a standby, a pooler).
Leaves to others: what was committed (the journal).
Always holds: after the listening connection was lost, everyone is woken once it is
there again, so that nothing said meanwhile is missed. While someone listens, the lock
that listeners share is held: the trigger tells nobody when there is nobody.
"""

import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from holdfast.engines.postgres.ddl import channel, locks_of
from holdfast.engines.postgres.links import connect
from holdfast.engines.postgres.target import Target
from holdfast.engines.postgres.wire import is_direct

_LOOK_SECONDS = 1.0
"""How often it looks by itself while it is told, in case a word was lost."""
_POLL_SECONDS = 0.02
_RETRY_SECONDS = 0.2


class Watcher:
    """Calls everyone who watches, from a thread of its own."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._mutex = threading.RLock()  # a finalizer may stop to watch at any point
        self._watching: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stop = threading.Event()
        self._head: int | None = None

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called after commits; returns how to stop that."""
        with self._mutex:
            self._watching.append(wake)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._serve, name="holdfast-watcher", daemon=True
                )
                self._thread.start()

        def stop() -> None:
            with self._mutex:
                if wake in self._watching:
                    self._watching.remove(wake)

        return stop

    def close(self) -> None:
        """Stop, and wake everyone for the last time."""
        with self._mutex:
            self._closed = True
            thread = self._thread
        self._stop.set()
        if thread is not None:
            thread.join()
        self._wake_all()

    def disown(self) -> None:
        """Touch nothing any more: the thread and its connection are another's."""
        self._closed = True
        self._thread = None

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._target.listen_url or self._target.conninfo) as own:
                    pause = self._listen(own)
                    self._wake_all()  # whatever was committed while nobody listened
                    self._attend(own, pause)
            except psycopg.Error:
                self._wake_all()  # news each time: the followers will meet the error
                self._stop.wait(_RETRY_SECONDS)

    def _listen(self, own: psycopg.Connection[Any]) -> float:
        """Listen, if this server lets us; how long to wait between looks."""
        if not is_direct(own):
            return _POLL_SECONDS  # a pooler would keep what we listen for, and the lock
        lock = locks_of(self._target.schema).listening
        try:
            own.execute(f"listen {channel(self._target.schema)}")
            own.execute(f"select pg_advisory_lock_shared({lock})")
        except (
            psycopg.errors.ReadOnlySqlTransaction,
            psycopg.errors.FeatureNotSupported,
        ):
            return _POLL_SECONDS  # a standby tells nobody
        return _LOOK_SECONDS

    def _attend(self, own: psycopg.Connection[Any], pause: float) -> None:
        looked = time.monotonic()
        while not self._stop.is_set():
            told = self._told(own, pause)
            if told or time.monotonic() - looked >= pause:
                looked = time.monotonic()
                if self._moved(own) or told:
                    self._wake_all()

    def _told(self, own: psycopg.Connection[Any], seconds: float) -> bool:
        """Whether something was said within so many seconds, or before `close`."""
        until = time.monotonic() + seconds
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            if any(True for _ in own.notifies(timeout=0, stop_after=1)):
                return True
            pause = min(left, _RETRY_SECONDS)
            waiting = select.poll()  # which takes any descriptor, as `select` does not
            waiting.register(own.fileno(), select.POLLIN)
            waiting.poll(pause * 1000)
        return False

    def _moved(self, own: psycopg.Connection[Any]) -> bool:
        text = f"select max(seq) from {self._target.schema}.change"
        ((head,),) = own.execute(text).fetchall()
        before, self._head = self._head, head
        return bool(head != before)

    def _wake_all(self) -> None:
        with self._mutex:
            watching = list(self._watching)
        for wake in watching:
            with suppress(Exception):
                wake()
