"""Search where there is much: leading the index on, and looking for a rare word.

Goals: leading the index on at no less than 50,000 messages a second, of 200 characters,
which is the average of what people and agents say in real transcripts of a help desk,
both when it is made from the rows and when it follows the journal; in a store of a
million messages, the first 20 with a rare word within 20 times a lookup of a session by
its id.

Always holds: hits are asked for with their records and pieces.
"""

import time

import holdfast
from bench import million
from bench.beside import Peers
from bench.lines import FULL, Line, at_least, at_most, compared
from bench.million import CHARACTERS, RARE
from bench.reading import timed_in_turn
from bench.rounds import Run

HITS = million.RARELY
PART_SINCE = 5


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Messages a second into the index; a rare word against a lookup by id."""
    count = sum(million.sizes(run))
    since = count // PART_SINCE
    with million.copy_of_much(run) as path, holdfast.open(path) as store:
        made = count / led_on(store)
        million.say(store, "s0", million.texts(since))
        followed = since / led_on(store)
        ours, theirs = timed_in_turn(
            [
                lambda: store.sessions.search(RARE, limit=HITS),
                lambda: store.sessions.get("s0"),
            ]
        )
    return [
        _rate("made from the rows", made),
        _rate("led on along the journal", followed),
        compared(
            f"{HITS} messages of {count:,} with a rare word",
            ours,
            theirs,
            against="a session by id",
            unit="µs",
            durability="",
            goal=at_most(20),
        ),
    ]


def led_on(store: holdfast.Store) -> float:
    """Seconds until a search has what was written since the last one."""
    started = time.perf_counter()
    hits = store.sessions.search(RARE, limit=HITS)
    took = time.perf_counter() - started
    assert len(hits) == HITS
    return took


def _rate(how: str, rate: float) -> Line:
    return Line(
        measure=f"search index {how}, {CHARACTERS} characters a message",
        ours=rate,
        unit="/s",
        durability=FULL,
        goal=at_least(50_000),
    )
