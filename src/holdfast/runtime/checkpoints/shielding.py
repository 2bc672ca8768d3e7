"""Shielding: work that a cancelled task waits for all the same.

Always holds: who is cancelled meanwhile is so once the work is done, and not before.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(function: Callable[..., T], *args: Any) -> T:
    """Have a function run on a thread, to its end, however often that is cancelled.

    The event loop goes on meanwhile.
    """
    around = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    going = loop.run_in_executor(None, lambda: around.run(function, *args))
    cancelled: asyncio.CancelledError | None = None
    while not going.done():
        try:
            await asyncio.shield(going)
        except asyncio.CancelledError as error:
            if going.cancelled():
                raise
            cancelled = error
        except BaseException:
            break
    if cancelled is not None:
        going.exception()  # it is looked at, and told by the log
        raise cancelled
    return going.result()
