"""How long writes stand still when a primary dies: `python -m bench.failover`.

Answers for: the longest time without an answer to a caller that appends all the time,
when its primary is killed and the synchronous standby promoted; for docs/scale.md, run
by hand.
Always holds: the standby is promoted at once, which nobody's tool does: the time that
it takes to notice comes on top.
"""

import argparse
import threading
import time
from pathlib import Path
from statistics import median

from tests import postgres

import holdfast
from bench import raw
from bench.rounds import working_folder

WARM = 200
"""Appends before the primary dies."""


class Caller(threading.Thread):
    """Appends all the time, and notes when it was answered."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.over = threading.Event()
        self.answers: list[float] = []

    def run(self) -> None:
        """Append until it is over."""
        with holdfast.open(self._url) as store:
            session = store.sessions.create("bench").id
            while not self.over.is_set():
                store.sessions.append(session, "user", raw.TEXT)
                self.answers.append(time.perf_counter())


def fail_over(folder: Path) -> tuple[float, float]:
    """Milliseconds without an answer, and those since the promotion alone."""
    with (
        postgres.Server(folder / "primary") as primary,
        primary.standby(folder / "standby") as standby,
    ):
        caller = Caller(postgres.together(primary, standby, schema="bench"))
        caller.start()
        postgres.until(lambda: len(caller.answers) > WARM)
        killed = time.perf_counter()
        primary.kill()
        standby.promote()
        promoted = time.perf_counter()
        postgres.until(lambda: caller.answers[-1] > promoted)
        caller.over.set()
        caller.join()
    dead = [at for at in caller.answers if at > killed]
    longest = max(
        after - before for before, after in zip([killed, *dead], dead, strict=False)
    )
    first = next(at for at in dead if at > promoted)
    return longest * 1000, (first - promoted) * 1000


def main() -> None:
    """Measure some times, and show each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    found = []
    with working_folder(asked.folder) as folder:
        for number in range(asked.rounds):
            found.append(fail_over(folder / str(number)))
            print(
                "still for {:,.0f} ms, {:,.0f} since the promotion".format(*found[-1])
            )
    still = [each for each, _ in found]
    print(f"median {median(still):,.0f} ms, at most {max(still):,.0f}")


if __name__ == "__main__":
    main()
