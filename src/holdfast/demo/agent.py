"""The process that is killed: it takes a conversation, and replays it step by step.

    python -m holdfast.demo.agent WAY STORE LOAD NAME

Answers for: the order of an agent's work, the same for both ways of keeping: think,
keep the step, and only then acknowledge it.
Leaves to others: what keeping means (`keeping`), listening (`crew`).
Always holds: a line on standard output tells what is already so: "took 7 3 3" (the
store had 3 messages of conversation 7, its task said 3), "kept 7 3", "let 7".
"""

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path

import msgspec

from holdfast.demo.keeping import Desk, Keeping, Taken, TakenAway
from holdfast.demo.load import Load, Talk
from holdfast.demo.with_holdfast import WithHoldfast
from holdfast.demo.with_sqlite import Plain

WAYS: dict[str, Keeping] = {"holdfast": WithHoldfast(), "sqlite": Plain()}

IDLE_SECONDS = 0.02
"""How long an agent waits before it asks again for work that another still has."""


def say(*words: object) -> None:
    """Tell the supervisor, with a single write."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def think(talk: Talk, number: int, pause_seconds: float) -> None:
    """Make the prompt that a model would get now, and read all of it."""
    prompt = msgspec.json.encode(talk.steps[:number])
    hashlib.sha256(prompt).digest()
    if pause_seconds:
        time.sleep(pause_seconds)


def replay(talk: Talk, taken: Taken, pause_seconds: float) -> None:
    """Do the steps that are not there yet."""
    for number in range(taken.messages, len(talk.steps)):
        think(talk, number, pause_seconds)
        taken.keep(number, talk.steps[number])
        say("kept", taken.index, number)
    taken.finish()


def work(desk: Desk, load: Load) -> None:
    """Take conversations and replay them, until nothing is left to take."""
    while (taken := desk.take()) or not desk.is_over():
        if taken is None:
            time.sleep(IDLE_SECONDS)
            continue
        say("took", taken.index, taken.messages, taken.done)
        with contextlib.suppress(TakenAway), contextlib.closing(taken):
            replay(load.talks[taken.index], taken, load.pause_seconds)
        say("let", taken.index)


def main(way: str, store: str, load_file: str, name: str) -> None:
    """Be one agent, until its work is done or it is killed."""
    load = Load.saved(Path(load_file))
    with contextlib.closing(WAYS[way].open(Path(store), load, name)) as desk:
        work(desk, load)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        main(*sys.argv[1:])
