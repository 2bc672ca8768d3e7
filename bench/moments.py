"""Looking at the past, against looking at now.

Goal: in a store of a million messages, as of a moment 100,000 changes ago, one record
or the newest 20 messages of a session in at most five times today's time. The changes
since are of the kinds that could hurt: a session that grew by 80,000 messages, one
whose own row changed 10,000 times, and a task that did, which had as many before.
Reported without a goal: lists, which pass over all those versions; and PostgreSQL,
whose store has a tenth of each, since it takes long to fill, and is analyzed then.

Always holds: nothing is copied: the same store is read, as it is and as it was.
"""

from collections.abc import Callable

import psycopg

import holdfast
from bench import million, raw
from bench.beside import Peers
from bench.lines import Goal, Line, at_most, compared
from bench.postgres import target
from bench.reading import LISTED, NEWEST, timed_in_turn
from bench.rounds import Run
from bench.server import running

GREW, CHANGED, AT_ONCE = 80_000, 10_000, 500
TENTH = 10
FIVE_TIMES = at_most(5)

Look = Callable[[holdfast.Store], object]
GREW_ID, CHANGED_ID, OTHER_ID, HOT_ID = "s0", "s1", "s2", "hot"
RECORDS: dict[str, Look] = {
    "a task that changed before and since": lambda s: s.tasks.get(HOT_ID),
    "a session that grew": lambda s: s.sessions.get(GREW_ID),
    "a session that changed": lambda s: s.sessions.get(CHANGED_ID),
    "newest 20 messages of one that grew": lambda s: s.sessions.messages(
        GREW_ID, NEWEST
    ),
    "newest 20 messages of another": lambda s: s.sessions.messages(OTHER_ID, NEWEST),
}
LISTS: dict[str, Look] = {
    "50 sessions": lambda s: s.sessions.list(limit=LISTED),
    "50 tasks": lambda s: s.tasks.list(limit=LISTED),
}


def change(store: holdfast.Store, part: int) -> int:
    """Make those changes, or a part of each; the moment before the last of them."""
    store.tasks.create("bench", id=HOT_ID)
    for number in range(LISTED - million.SESSIONS):
        store.tasks.create("bench")
        session = store.sessions.create("bench")
        store.sessions.append(session.id, "user", number)
    progress(store, CHANGED // part)
    then = store.moment()
    progress(store, CHANGED // part)
    million.say(store, GREW_ID, [raw.TEXT] * (GREW // part))
    repeat(store, CHANGED // part, lambda tx: tx.sessions.update(CHANGED_ID, title="b"))
    return then


def progress(store: holdfast.Store, count: int) -> None:
    """Give the task so many more versions."""
    repeat(store, count, lambda tx: tx.tasks.progress(HOT_ID, 1))


def repeat(
    store: holdfast.Store, count: int, change: Callable[[holdfast.Transaction], object]
) -> None:
    """Do the same so often, some hundreds in a transaction."""
    for start in range(0, count, AT_ONCE):
        with store.transaction(timeout_seconds=60) as tx:
            for _ in range(min(AT_ONCE, count - start)):
                change(tx)


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Microseconds a look, now and as of then, on both engines."""
    with million.copy_of_much(run) as path, holdfast.open(path) as store:
        then = change(store, TENTH if run.quick else 1)
        lines = _lines(store, then, "", FIVE_TIMES)
    with run.fresh() as folder, running(folder) as server, server.database() as url:
        part = TENTH * (TENTH if run.quick else 1)
        with holdfast.open(target(url)) as store:
            million.fill(store, [million.LONG // part] * million.SESSIONS)
            then = change(store, part)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("analyze")
            return [*lines, *_lines(store, then, "PostgreSQL: ", None)]


def _lines(
    store: holdfast.Store, then: int, where: str, goal: Goal | None
) -> list[Line]:
    before = store.as_of(then)
    ago = f"{where}{store.moment() - then:,} changes ago"

    def line(what: str, look: Look, goal: Goal | None) -> Line:
        past, present = timed_in_turn([lambda: look(before), lambda: look(store)])
        return compared(
            f"{ago}: {what}",
            past,
            present,
            against="now",
            unit="µs",
            durability="",
            goal=goal,
        )

    return [
        *(line(what, look, goal) for what, look in RECORDS.items()),
        *(line(what, look, None) for what, look in LISTS.items()),
    ]
