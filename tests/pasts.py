"""Histories that tests live through, and what of a store can be seen at each moment.

Run as a program, this writes to a store as one owner does, and prints what it saw after
each transaction: `python pasts.py TARGET OWNER SEED STEPS`.
"""

import contextlib
import hashlib
import json
import random
import sys

import holdfast
from holdfast import errors

TALKS, TASKS = ("s0", "s0", "s1", "f0"), ("t0", "t0", "t1")


def begin(store):
    """What every history begins with."""
    with store.transaction("me") as tx:
        tx.sessions.create(id="s0", tags=["a"])
        tx.sessions.extend("s0", [{"role": "user", "content": n} for n in range(5)])
        tx.tasks.create("task", id="t0", session="s0")


def change_something(tx, chance):
    """One random change of sessions or tasks; it may be refused."""
    talk, task = chance.choice(TALKS), chance.choice(TASKS)
    content = chance.choice(["hi", {"a": [1, None]}, "x" * 50])
    some = [{"role": "user", "content": n} for n in range(chance.randrange(9))]
    tags = chance.choice([["a"], ["b", 'a"b,'], []])
    chance.choice([
        lambda: tx.sessions.create("", id=talk),
        lambda: tx.sessions.create("", id=talk, tags=["b"]),
        lambda: tx.sessions.create(id=talk, parent="s0", tags=["a"]),
        lambda: tx.sessions.append(talk, "user", content),
        lambda: tx.sessions.append(talk, "user", content, message_id="m"),
        lambda: tx.sessions.extend(talk, some),
        lambda: tx.sessions.extend(talk, some),
        lambda: tx.sessions.update(talk, title=chance.choice("abc"), metadata={"a": 1}),
        lambda: tx.sessions.update(talk, tags=tags),
        lambda: tx.sessions.pop(talk),
        lambda: tx.sessions.clear(talk),
        lambda: tx.sessions.close(talk),
        lambda: tx.sessions.delete(talk),
        lambda: tx.sessions.fork(talk, chance.randrange(6), new_id="f0"),
        lambda: tx.sessions.amend(talk, "m", chance.choice("abc")),
        lambda: tx.sessions.summarize(talk, chance.randrange(6), chance.choice("ab")),
        lambda: tx.sessions.begin_reply(talk, text="a", message_id="r"),
        lambda: tx.sessions.extend_reply(talk, "r", "b"),
        lambda: tx.sessions.end_reply(talk, "r", "c"),
        lambda: tx.tasks.create("task", id=task, session=talk),
        lambda: tx.tasks.create("other", id=task, tool="saw"),
        lambda: tx.tasks.update(task, session=talk),
        lambda: tx.tasks.start(task),
        lambda: tx.tasks.complete(task, content),
        lambda: tx.tasks.fail(task, "no"),
        lambda: tx.tasks.progress(task, chance.randrange(9)),
        lambda: tx.tasks.log(task, "line"),
        lambda: tx.tasks.delete(task),
    ])()  # fmt: skip


def change(store, chance, cause=None):
    """A transaction of a few random changes."""
    with store.transaction("me", cause) as tx:
        for _ in range(chance.choice([1, 1, 1, 3])):
            with contextlib.suppress(errors.HoldfastError), tx.savepoint():
                change_something(tx, chance)


def seen(store):
    """All that an owner can see, as records, by every way to read them."""
    talks = store.sessions.list(limit=1000)
    jobs = store.tasks.list(limit=1000)
    return {
        "sessions": list(talks),
        "one by one": [store.sessions.get(s.id) for s in talks],
        "messages": {s.id: list(store.sessions.history(s.id)) for s in talks},
        "last": {s.id: list(store.sessions.messages(s.id, 2)) for s in talks},
        "middle": {
            s.id: list(store.sessions.messages(s.id, 2, after=2)) for s in talks
        },
        "contexts": {s.id: store.sessions.context(s.id, messages=4) for s in talks},
        "summaries": {s.id: list(store.sessions.summaries(s.id)) for s in talks},
        "families": {s.id: store.sessions.family(s.id) for s in talks},
        "children": [s.id for s in store.sessions.list(parent="s0")],
        "closed": [s.id for s in store.sessions.list(status="completed")],
        "tagged": [s.id for s in store.sessions.list(tag="a")],
        "oddly tagged": [s.id for s in store.sessions.list(tag='a"b,', parent="s0")],
        "tasks": list(jobs),
        "task by task": [store.tasks.get(task.id) for task in jobs],
        "logs": {task.id: list(store.tasks.logs(task.id)) for task in jobs},
        "running": [t.id for t in store.tasks.list(status="in_progress")],
        "of a session": [t.id for t in store.tasks.list(session="s1")],
        "of a tool": [t.id for t in store.tasks.list(tool="saw", status="pending")],
        "metrics": store.tasks.metrics(),
    }


def digest(store):
    """What an owner can see, in short."""
    return hashlib.sha256(repr(seen(store)).encode()).hexdigest()


def write(store, seed, steps):
    """Live through a history; what there was after each transaction, by its cause."""
    chance = random.Random(seed)
    begin(store)
    found = {}
    for step in range(steps):
        cause = f"{store.owner} {step}"
        change(store, chance, cause)
        found[cause] = digest(store)
    return found


if __name__ == "__main__":
    target, owner, seed, steps = sys.argv[1:]
    with holdfast.open(target) as opened:
        print(json.dumps(write(opened.owned_by(owner), seed, int(steps))))
