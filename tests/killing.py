"""Killing: work in processes of their own, which say on a pipe what was acknowledged.

A worker is forked from the test, which has no store open then. Each line that it
writes to its pipe is one write, in one system call: a line is there or it is not.
"""

import os
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any

_READ_BYTES = 65_536
_PATIENCE_SECONDS = 60.0


class Worker:
    """A process that runs `work(say)`, until it ends or is killed."""

    def __init__(self, work: Callable[[Callable[[str], None]], Any]) -> None:
        self.lines: list[str] = []
        self._rest = b""
        self._pipe, child_end = os.pipe()
        self._pid: int | None = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            _run(work, child_end)
        os.close(child_end)

    def wait_for(self, count: int) -> None:
        """Wait until it has said so many lines."""
        while len(self.lines) < count:
            ready, _, _ = select.select([self._pipe], [], [], _PATIENCE_SECONDS)
            assert ready, f"a worker said nothing for {_PATIENCE_SECONDS} s"
            if not self._read():
                raise AssertionError("a worker ended early; see its standard error")

    def kill(self) -> list[str]:
        """End it with SIGKILL, at once; every line that it has said."""
        assert self._pid is not None
        os.kill(self._pid, signal.SIGKILL)
        status = self._reap()
        assert os.WIFSIGNALED(status), f"a worker had failed before: {status}"
        return self.lines

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._pid is not None
        os.kill(self._pid, number)

    def finish(self) -> list[str]:
        """Wait until it ends by itself, which it must do well; what it has said."""
        while self._read():
            pass
        assert self._reap() == 0
        return self.lines

    def close(self) -> None:
        """End it, whatever it does."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()

    def _read(self) -> bool:
        found = os.read(self._pipe, _READ_BYTES)
        *lines, self._rest = (self._rest + found).split(b"\n")
        self.lines += [line.decode() for line in lines]
        return bool(found)

    def _reap(self) -> int:
        while self._read():
            pass
        os.close(self._pipe)
        assert self._pid is not None
        _, status = os.waitpid(self._pid, 0)
        self._pid = None
        return status


def _run(work: Callable[[Callable[[str], None]], Any], pipe: int) -> None:
    """In the child: do the work, and never return into the test."""
    try:
        work(lambda line: _say(pipe, line))
        code = 0
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def _say(pipe: int, line: str) -> None:
    data = f"{line}\n".encode()
    assert os.write(pipe, data) == len(data)
