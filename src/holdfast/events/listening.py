"""Listening: callbacks that are told of events, on a thread of the store's own.

Answers for: calling each back, in order, with what it asked for.
Leaves to others: what comes next (`following`), what a program does in a callback.
Always holds: who tells of an event waits for no callback; one that raises stops neither
itself nor others; one that is too slow misses events, which is said in the log.
"""

import threading
from collections.abc import Callable

from holdfast.errors import HoldfastError
from holdfast.events.following import Following, Outage
from holdfast.kinds.event_records import Event
from holdfast.logs import logger

AGAIN_SECONDS = 0.5
"""After what could not be read."""


class Troubles:
    """What the log says of a callback: what it missed, and what it raised."""

    def __init__(self, callback: Callable[[Event], object]) -> None:
        self._callback = callback
        self._missed = 0
        self._outage = Outage()

    def past(self, missed: int) -> None:
        """Events can be read again; so many were missed by now."""
        self._outage.over()
        if missed != self._missed:
            logger("holdfast.events").warning(
                "%r was too slow for %d events", self._callback, missed - self._missed
            )
        self._missed = missed

    def reading(self, error: HoldfastError) -> None:
        """Events cannot be read: said once, until they can be."""
        self._outage.met(error)

    def raised(self, event: Event) -> None:
        """It raised, on an event, what is being handled."""
        logger("holdfast.events").exception(
            "%r raised on the event %r", self._callback, event.name
        )


class Listener:
    """A callback, and the thread on which it is told of what comes."""

    def __init__(
        self, following: Following, callback: Callable[[Event], object]
    ) -> None:
        self._following = following
        self._callback = callback
        self._troubles = Troubles(callback)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, name="holdfast-listener", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Tell it of nothing more; what it is told of now may still go on."""
        self._following.close()
        self._stopped.set()

    def _serve(self) -> None:
        while True:
            try:
                event = next(self._following)
            except StopIteration:
                return
            except HoldfastError as error:
                self._troubles.reading(error)
                self._stopped.wait(AGAIN_SECONDS)
                continue
            self._troubles.past(self._following.missed)
            try:
                self._callback(event)
            except BaseException:
                self._troubles.raised(event)
