"""Remembering: something in memory that takes part in checkpoints, for tests.

Answers for: a participant that says what it was given; a process that had something in
memory and is over; how the parts of checkpoints stand.
"""

from contextlib import contextmanager

import holdfast
from driving import Driven
from holdfast.runtime.checkpoints import keeper as keepers


class Memory:
    """Something in memory, which takes part."""

    def __init__(self, value=None):
        self.value = value
        self.given = []
        self.wrong = None

    def collect(self):
        return self.value

    def restore(self, data):
        if self.wrong is not None:
            raise self.wrong
        self.given.append(data)
        self.value = data

    def take_part(self, store, name="queue", **options):
        return store.checkpoints.participant(
            name, self.collect, self.restore, **options
        )


def taken_in(target, value, name="queue", reason="manual", **options):
    """A process of its own that had something in memory, and is over."""
    with holdfast.open(target, **options) as store:
        Memory(value).take_part(store, name)
        store.checkpoints.take(reason)


def hurry(monkeypatch):
    """Have processes that begin from here on look often whether they are asked."""
    monkeypatch.setattr(keepers, "_LOOK_SECONDS", 0.01)


def statuses(store):
    """Of each checkpoint, newest first, how its parts stand."""
    return [
        {part.name: part.status for part in one.parts}
        for one in store.checkpoints.list()
    ]


@contextmanager
def opened(target, face, loop, **options):
    store = holdfast.open(target, **options)
    try:
        yield store if face == "sync" else Driven(store.aio, loop)
    finally:
        if face == "sync":
            store.close()
        else:
            loop.run_until_complete(store.aio.close())
