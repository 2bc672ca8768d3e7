"""Shielding: work that a cancelled task waits for all the same.

Always holds: it begins at once, on a thread of its own: those that an event loop has
for its programs may all be busy, or hang. Who is cancelled meanwhile is so once the
work is done, and not before.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(function: Callable[..., T], *args: Any) -> T:
    """Have a function run on a thread, to its end, however often that is cancelled.

    The event loop goes on meanwhile.
    """
    work, thread = _begun(function, *args)
    going = asyncio.wrap_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not going.done():
        try:
            await asyncio.shield(going)
        except asyncio.CancelledError as error:
            cancelled = error
        except BaseException:
            if not going.done():
                raise
    thread.join()  # it has nothing more to do
    if cancelled is not None:
        raise cancelled from going.exception()
    return going.result()


def _begun(
    function: Callable[..., T], *args: Any
) -> "tuple[Future[T], threading.Thread]":
    """What comes of a function that runs from now on, and the thread that it is on."""
    around = contextvars.copy_context()
    found: Future[T] = Future()
    found.set_running_or_notify_cancel()  # from here on nobody can cancel it

    def run() -> None:
        try:
            found.set_result(around.run(function, *args))
        except BaseException as error:
            found.set_exception(error)

    thread = threading.Thread(target=run, name="holdfast-to-its-end", daemon=True)
    thread.start()
    return found, thread
