"""Conversations that fork, said once more in plain lists, and tried at random.

Answers for: a model of sessions that share messages, in which each has a list of its
own; random steps for it and for a store; what must be the same in both.
"""

import random
from typing import Any

from examples import dump
from holdfast.engine import Terms

SESSIONS = ("s0", "s1", "s2", "s3", "s4")
IDS = ("m0", "m1", "m2", "m3")


class Said:
    """A message; sessions that share it have this very object in their lists."""

    def __init__(self, id: str, content: Any) -> None:
        self.id = id
        self.content = content


class Talks:
    """Sessions as lists of messages, each with the position that it begins at."""

    def __init__(self) -> None:
        self.said: dict[str, list[Said]] = {}
        self.first: dict[str, int] = {}
        self.marks: dict[str, tuple[str, int, list[Said]]] = {}

    def create(self, id: str) -> None:
        self.said[id], self.first[id] = [], 1

    def fork(self, id: str, at: int, new_id: str) -> None:
        self.said[new_id] = self.said[id][: at - self.first[id] + 1]
        self.first[new_id] = self.first[id]

    def clear(self, id: str) -> None:
        self.first[id] += len(self.said[id])
        self.said[id] = []

    def delete(self, id: str) -> None:
        del self.said[id], self.first[id]
        for mark, (session, *_) in list(self.marks.items()):
            if session == id:
                del self.marks[mark]

    def mark(self, id: str, at: int, mark: str) -> None:
        kept = self.said[id][: at - self.first[id] + 1]
        self.marks[mark] = (id, self.first[id], kept)

    def rewind(self, id: str, at: int) -> None:
        del self.said[id][at - self.first[id] + 1 :]

    def amend(self, id: str, message_id: str, content: Any) -> None:
        """In this session alone: the others keep the object that they have."""
        said = self.said[id]
        place = [message.id for message in said].index(message_id)
        if said[place].content != content:
            said[place] = Said(message_id, content)

    def seen(self, id: str) -> list[tuple[int, str, Any]]:
        return placed(self.first[id], self.said[id])

    def marked(self, mark: str) -> list[tuple[int, str, Any]]:
        _, first, kept = self.marks[mark]
        return placed(first, kept)

    def rows(self) -> int:
        """How many messages there are, however many sessions and marks share each."""
        lists = [*self.said.values(), *(kept for *_, kept in self.marks.values())]
        return len({id(message) for said in lists for message in said})


def placed(first: int, said: list[Said]) -> list[tuple[int, str, Any]]:
    places = enumerate(said, first)
    return [(place, message.id, message.content) for place, message in places]


class Trying:
    """Does the same at random in a store and in a model."""

    def __init__(self, sessions: Any, seed: int) -> None:
        self.sessions = sessions
        self.talks = Talks()
        self.chance = random.Random(seed)
        self._names = 0

    def step(self) -> None:
        there = sorted(self.talks.said)
        missing = [id for id in SESSIONS if id not in there]
        if missing and self.chance.random() < 0.25:
            self._make(missing[0], there)
        elif there:
            id = self.chance.choice(there)
            self.chance.choices(
                (
                    self._append,
                    self._pop,
                    self._amend,
                    self._clear,
                    self._delete,
                    self._mark,
                    self._unmark,
                    self._rewind,
                ),
                (40, 18, 25, 4, 5, 12, 6, 8),
            )[0](id)

    def _make(self, id: str, there: list[str]) -> None:
        if not there or self.chance.random() < 0.15:
            self.sessions.create(id=id)
            self.talks.create(id)
            return
        source = self.chance.choice(there)
        first, count = self.talks.first[source], len(self.talks.said[source])
        at = first - 1 + self.chance.randint(0, count)
        made = self.sessions.fork(source, at, new_id=id)
        assert (made.parent, made.forked_at, made.message_count) == (
            source,
            at,
            at - first + 1,
        )
        self.talks.fork(source, at, id)

    def _append(self, id: str) -> None:
        content = self.chance.random()
        message_id = self.chance.choice((*IDS, None, None))
        if any(message.id == message_id for message in self.talks.said[id]):
            message_id = None
        kept = self.sessions.append(id, "user", content, message_id=message_id)
        self.talks.said[id].append(Said(kept.id, content))

    def _pop(self, id: str) -> None:
        popped = self.sessions.pop(id)
        if self.talks.said[id]:
            said = self.talks.said[id].pop()
            assert (popped.id, popped.content) == (said.id, said.content)
        else:
            assert popped is None

    def _amend(self, id: str) -> None:
        if not self.talks.said[id]:
            return
        message_id = self.chance.choice(self.talks.said[id]).id
        content = self.chance.random()
        version = self.sessions.get(id).version
        amended = self.sessions.amend(id, message_id, content)
        assert (amended.id, amended.content) == (message_id, content)
        assert self.sessions.get(id).version == version + 1
        self.talks.amend(id, message_id, content)

    def _clear(self, id: str) -> None:
        assert self.sessions.clear(id) == len(self.talks.said[id])
        self.talks.clear(id)

    def _delete(self, id: str) -> None:
        assert self.sessions.delete(id)
        self.talks.delete(id)

    def _mark(self, id: str) -> None:
        at = self._somewhere(id)
        made = self.sessions.mark(id, at)
        assert (made.session, made.first, made.last) == (id, self.talks.first[id], at)
        self.talks.mark(id, at, made.id)

    def _unmark(self, id: str) -> None:
        for mark in [m for m, (of, *_) in self.talks.marks.items() if of == id][:1]:
            assert self.sessions.unmark(mark)
            assert not self.sessions.unmark(mark)
            del self.talks.marks[mark]

    def _rewind(self, id: str) -> None:
        at = self._somewhere(id)
        there = self.sessions.get(id)
        left = self.sessions.rewind(id, at)
        changed = len(self.talks.said[id]) != left.message_count
        assert left.version == there.version + changed
        self.talks.rewind(id, at)
        assert left.message_count == len(self.talks.said[id])

    def _somewhere(self, id: str) -> int:
        first = self.talks.first[id]
        return first - 1 + self.chance.randint(0, len(self.talks.said[id]))


def seen(sessions: Any, id: str) -> list[tuple[int, str, Any]]:
    """A session's messages, the same from either end and in pages of any size."""
    history = list(sessions.history(id))
    assert list(sessions.messages(id, 1_000)) == history
    assert sessions.get(id).message_count == len(history)
    back, cursor = [], None
    while True:
        page = sessions.messages(id, 3, cursor=cursor)
        back[:0] = page
        cursor = page.cursor
        if cursor is None:
            break
    assert back == history
    return [(message.position, message.id, message.content) for message in history]


def finished(store: Any) -> dict[str, list[Any]]:
    """All rows of a store, after what is out of sight was deleted to the last."""
    core = store._core
    while (found := dump(store))["leftover"]:
        core.engine.write(core.unit(core._tidy, Terms(every_owner=True)))
    return found


def marked(sessions: Any, mark: str) -> list[tuple[int, str, Any]]:
    """What a mark keeps, read in pages."""
    found, cursor = [], None
    while True:
        page = sessions.marked(mark, limit=3, cursor=cursor)
        found += page
        cursor = page.cursor
        if cursor is None:
            return [(kept.position, kept.id, kept.content) for kept in found]
