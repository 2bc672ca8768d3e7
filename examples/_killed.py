"""What the examples share: a process that dies in its tool, and one that goes on."""

import functools
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Tool = Callable[..., Awaitable[Any]]
Ends = Callable[[Tool], Tool]


def run(*agents: Callable[[Path, Ends], None]) -> None:
    """Run each agent twice, in processes of their own; the first one dies.

    An agent gets a folder for what it keeps, and what to put around its tool: there
    the process dies, when the tool is done and nobody has been told yet.
    """
    processes = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        for agent in agents:
            for ends, code in (dies, -signal.SIGKILL), (lives, 0):
                process = processes.Process(target=agent, args=(Path(folder), ends))
                process.start()
                process.join()
                assert process.exitcode == code


def dies(tool: Tool) -> Tool:
    """A tool that ends as a machine does that loses its power."""

    @functools.wraps(tool)
    async def last(*args: Any, **kwargs: Any) -> None:
        await tool(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    return last


def lives(tool: Tool) -> Tool:
    """The tool itself."""
    return tool
