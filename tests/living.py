"""Living: a lifecycle led through either face, with handlers plain or awaited.

Answers for: the same test for `with` and `async with`, and for programs of their own
that say on a pipe how far they are.
"""

import asyncio
import logging
import os
import select
import signal
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from holdfast.runtime.lifecycle import Lifecycle, LifecycleReport

FACES = ("plain", "awaited")
PATIENCE_SECONDS = 20.0
SOURCE = Path(__file__).parent.parent / "src"


def lived(
    life: Lifecycle, face: str, block: Callable[[], Any] = lambda: None
) -> LifecycleReport:
    """Live through a block, on threads or on an event loop; how it went."""
    if face == "plain":
        with life:
            block()
        return life.report()

    async def live() -> None:
        async with life:
            block()

    asyncio.run(live())
    return life.report()


def handler(kind: str, work: Callable[[], Any]) -> Callable[..., Any]:
    """A handler that does some work: a plain function, or one that is awaited."""
    if kind == "plain":
        return work

    async def awaited() -> Any:
        return work()

    return awaited


class Noted:
    """Modules whose handlers note that they were called."""

    def __init__(self, life: Lifecycle, kind: str = "plain") -> None:
        self.life, self.kind = life, kind
        self.calls: list[str] = []

    def add(
        self,
        name: str,
        phases: Iterable[str] = ("startup", "shutdown"),
        *,
        failing: Iterable[str] = (),
        **options: Any,
    ) -> None:
        """Register a module; in phases where it is `failing`, it raises."""

        def work(phase: str) -> None:
            self.calls.append(f"{name} {phase}")
            if phase in failing:
                raise ValueError(f"{name} cannot {phase}")

        turns: dict[str, Any] = {
            phase: handler(self.kind, lambda phase=phase: work(phase))
            for phase in phases
        }
        self.life.module(name, **turns, **options)


async def turned(so: Callable[[], object]) -> None:
    """Let the event loop turn until it is so."""
    deadline = time.monotonic() + 10
    while not so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def going(report: LifecycleReport) -> list[str]:
    """What a report tells of handlers: whose, in which phase, and how it went."""
    return [
        f"{step.module} {step.phase}"
        + ("" if step.outcome == "done" else f" {step.outcome}")
        for step in report.steps
        if step.what == "handler"
    ]


BEGINNING = """
import asyncio, os, signal, sys, threading, time
import holdfast
from holdfast.runtime import Lifecycle

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def rest():
    "Stay there; a signal that comes just before a sleep is heard of after it."
    while True:
        time.sleep(0.1)

def held(*words):
    "Say something, and go on once the test says so."
    say(*words)
    sys.stdin.readline()
"""


class Program:
    """A Python program in a process of its own, with a store's path as an argument.

    It is forked from the test, which has no store open then; where how Python itself
    exits matters, it is `fresh`, which takes much longer.
    """

    def __init__(
        self, text: str, folder: Path, *more: str, fresh: bool = False
    ) -> None:
        self.script = folder / "program.py"
        self.script.write_text(BEGINNING + textwrap.dedent(text), encoding="utf-8")
        self._arguments = [str(self.script), str(folder / "agent.db"), *more]
        self._log = folder / f"errors-{len(list(folder.glob('errors-*')))}"
        theirs, self._stdin = os.pipe()
        self._stdout, ours = os.pipe()
        self._pid: int | None = os.fork()
        if self._pid == 0:
            for number in (self._stdin, self._stdout):
                os.close(number)
            self._become(theirs, ours, fresh=fresh)
        os.close(theirs)
        os.close(ours)
        self.said: list[str] = []
        self._rest = b""
        self._status = 0

    @property
    def errors(self) -> str:
        """What it has written to its standard error."""
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, line: str) -> None:
        """Wait until it has said a line."""
        while line not in self.said:
            if not self._read():
                self.end()
                raise AssertionError(f"{line!r} is not in {self.said}\n{self.errors}")

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._pid is not None
        os.kill(self._pid, number)

    def go_on(self) -> None:
        """Let it go on where it is held."""
        os.write(self._stdin, b"\n")

    def end(self) -> int:
        """Wait until it ends: its status, or the signal that ended it, negative."""
        if self._pid is not None:
            while self._read():
                pass
            _, status = os.waitpid(self._pid, 0)
            self._status = os.waitstatus_to_exitcode(status)
            self._pid = None
            os.close(self._stdin)
            os.close(self._stdout)
        return self._status

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send(signal.SIGKILL)
        self.end()

    def close(self) -> None:
        """End it, whatever it does, and what it has forked."""
        if self._pid is not None:
            os.killpg(self._pid, signal.SIGKILL)
            self.end()

    def _read(self) -> bool:
        ready, _, _ = select.select([self._stdout], [], [], PATIENCE_SECONDS)
        assert ready, f"it says nothing more, and has not ended: {self.said}"
        found = os.read(self._stdout, 65_536)
        *lines, self._rest = (self._rest + found).split(b"\n")
        self.said += [line.decode() for line in lines]
        return bool(found)

    def _become(self, stdin: int, stdout: int, *, fresh: bool) -> NoReturn:
        """In the child: be that program, and never return into the test."""
        os.setsid()
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT, 0o600)
        for number, place in ((stdin, 0), (stdout, 1), (log, 2)):
            os.dup2(number, place)
            os.close(number)
        os.chdir(self.script.parent)
        if fresh:
            os.environ["PYTHONPATH"] = str(SOURCE)
            os.execv(sys.executable, [sys.executable, *self._arguments])
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, encoding="utf-8")
            for number, mode in enumerate(("r", "w", "w"))
        )
        sys.argv = self._arguments
        sys.excepthook, threading.excepthook = sys.__excepthook__, _thread_hook
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        logging.getLogger().handlers = []
        os._exit(_status_of(self.script))


_thread_hook = threading.__excepthook__


def _status_of(script: Path) -> int:
    """Run a script, as Python runs its main one; its status."""
    try:
        code = compile(script.read_text(encoding="utf-8"), str(script), "exec")
        exec(code, {"__name__": "__main__"})
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    sys.stderr.flush()
    return status
