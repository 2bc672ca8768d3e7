"""Loops: which event loop a thread runs, without loading asyncio for that."""

import sys


def running_loop() -> object:
    """The event loop that this thread runs, or None."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:  # then no event loop was ever begun
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
