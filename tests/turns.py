"""Turns: keeping a store's only writer busy, so that all others wait.

What waits meanwhile is served together when the turn is free again.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import holdfast

JOIN_SECONDS = 30.0


@contextmanager
def turn_held(store: holdfast.Store, seconds: float = 30.0) -> Iterator[None]:
    """Hold the writer's turn on another thread, for as long as the block runs."""
    entered, over = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def hold() -> None:
        try:
            with store.transaction(timeout_seconds=seconds):
                entered.set()
                over.wait(JOIN_SECONDS)
        except BaseException as error:
            failed.append(error)
            entered.set()

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(JOIN_SECONDS)
    try:
        yield
    finally:
        over.set()
        joined(thread)
    if failed:
        raise failed[0]


def joined(*threads: threading.Thread) -> None:
    """Wait for threads; one that does not end is a deadlock."""
    for thread in threads:
        thread.join(JOIN_SECONDS)
        assert not thread.is_alive(), f"{thread.name} hangs"
