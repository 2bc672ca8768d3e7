"""Crowds: threads, and processes, that begin at one moment; nothing waits for ever."""

import os
import threading
from collections.abc import Callable
from typing import Any

from killing import Worker
from turns import JOIN_SECONDS, joined

Say = Callable[[str], None]


class Gate:
    """Where processes that were forked from this one wait, until it lets them on."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._out, self._in = os.pipe()

    def wait(self) -> None:
        """In a forked process: wait to be let on."""
        assert os.read(self._out, 1) == b"x"

    def open(self) -> None:
        """Let all on, and have done."""
        os.write(self._in, b"x" * self._count)
        os.close(self._in)
        os.close(self._out)


class Crowd:
    """Processes that each run `work(number, say, wait)`; `wait` ends for all at once.

    They are forked: the test has no store open, and no thread, when it makes them.
    """

    def __init__(self, count: int, work: Callable[[int, Say, Callable], Any]) -> None:
        self._gate = Gate(count)
        self.workers = [
            Worker(lambda say, n=n: work(n, say, self._ready(say)))
            for n in range(count)
        ]

    def go(self) -> None:
        """When all are waiting, let them on."""
        for worker in self.workers:
            worker.wait_for(1)
        self._gate.open()

    def finish(self) -> list[list[str]]:
        """What each has said, when all have ended well."""
        return [worker.finish()[1:] for worker in self.workers]

    def close(self) -> None:
        """End all, whatever they do."""
        for worker in self.workers:
            worker.close()

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready(self, say: Say) -> Callable[[], None]:
        def wait() -> None:
            say("ready")
            self._gate.wait()

        return wait


def in_processes(count: int, work: Callable[[int, Say, Callable], Any]) -> list:
    """The lines that so many processes say, each in a list of its own."""
    with Crowd(count, work) as crowd:
        crowd.go()
        return crowd.finish()


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What so many threads give that begin at one moment; errors among it."""
    start = threading.Barrier(count)
    given: list[Any] = [None] * count

    def one(number: int) -> None:
        start.wait(JOIN_SECONDS)
        given[number] = outcome(lambda: work(number))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    joined(*threads)
    return given


def outcome(work: Callable[[], Any]) -> Any:
    """What it gives, or the error that it raises."""
    try:
        return work()
    except BaseException as error:
        return error


class Aside:
    """Work on a thread of its own, from now on; `result` waits for it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._given: Any = None
        self._work = work
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether it gave or raised something."""
        return not self._thread.is_alive()

    def result(self) -> Any:
        """What it gave; raises what it raised."""
        joined(self._thread)
        if isinstance(self._given, BaseException):
            raise self._given
        return self._given

    def _run(self) -> None:
        self._given = outcome(self._work)
