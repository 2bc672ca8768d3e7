"""Cutting: making a store fail before the n-th statement that it gives its engine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import apsw
import pytest

from holdfast.engine import Terms
from holdfast.engines.postgres.wire import Bound, Values, Wire


class Cut(Exception):
    """What a statement that was cut raises."""


class Knife:
    """Counts the statements of a store's writing connection, and cuts one of them."""

    def __init__(self, store: Any) -> None:
        core = store._core
        self._connection = None
        if not core.engine.place.startswith("postgresql:"):
            writing = core.unit(lambda tx: tx._connection, Terms())
            self._connection = core.engine.write(writing)
        self.seen: list[str] = []
        self.fell = False

    @contextmanager
    def before(self, place: int, raises: BaseException | None = None) -> Iterator[None]:
        """Cut before the statement at that place, from 1 on; the later ones run."""
        self.seen, self.fell = [], False
        error = Cut() if raises is None else raises

        def trace(_: object, text: str, __: object) -> bool:
            self.seen.append(text)
            if len(self.seen) == place:
                self.fell = True
                raise error
            return True

        if self._connection is None:
            with _traced(trace):
                yield
            return
        self._connection.exec_trace = trace
        try:
            yield
        finally:
            with suppress(apsw.ConnectionClosedError):  # it failed, and was replaced
                self._connection.exec_trace = None


@contextmanager
def _traced(trace: Callable[[object, str, object], bool]) -> Iterator[None]:
    """Have every statement that goes to PostgreSQL meanwhile passed to `trace`."""
    send = Wire._send

    def traced(wire: Wire, what: Bound, values: Values) -> None:
        if threading.current_thread().name != "holdfast-events":  # no part of it
            trace(wire, what.text.decode(), values)
        send(wire, what, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "_send", traced)
        yield
