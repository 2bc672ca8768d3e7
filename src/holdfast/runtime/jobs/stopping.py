"""Stopping: signals that have a program stop in order.

Answers for: SIGTERM and SIGINT, for as long as a block of code runs on the main thread.
Always holds: who handled them before does so again afterwards, and from the second
signal on.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopped_by_signals(stop: Callable[[bool], None]) -> Iterator[None]:
    """Call `stop` on a signal, with False on the first, with True on the second.

    Elsewhere than on the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}
    asked = False

    def on_signal(_: int, __: FrameType | None) -> None:
        nonlocal asked
        if asked:
            _restore(before)
        stop(asked)
        asked = True

    for one in _SIGNALS:
        before[one] = signal.signal(one, on_signal)
    try:
        yield
    finally:
        _restore(before)


def _restore(before: dict[signal.Signals, Any]) -> None:
    for one, handler in before.items():
        if handler is not None:  # which Python did not set, and cannot
            signal.signal(one, handler)
