"""What huey's consumer is started with: the queue, and what it says of its work.

Always holds: a line says what happened, and when by the machine's monotonic clock,
which processes share: `ready`, `began` with the first job, `ended` with the last one's
result.
"""

import os
import time
from itertools import count
from pathlib import Path

import on_huey
from huey import signals  # type: ignore[import-untyped]

huey, work = on_huey.opened(Path(os.environ[on_huey.FILE]))
last = int(os.environ[on_huey.COUNT])
begun, done = count(1), count(1)


def say(what: str) -> None:
    os.write(1, f"{what} {time.perf_counter()}\n".encode())


@huey.on_startup()  # type: ignore[untyped-decorator]
def ready() -> None:
    say("ready")


@huey.signal(signals.SIGNAL_EXECUTING)  # type: ignore[untyped-decorator]
def began(*_: object) -> None:
    if next(begun) == 1:
        say("began")


@huey.signal(signals.SIGNAL_COMPLETE)  # type: ignore[untyped-decorator]
def ended(*_: object) -> None:
    if next(done) == last:
        say("ended")
