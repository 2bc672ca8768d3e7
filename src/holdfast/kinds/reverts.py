"""Reverts: a session put back as it was, with what was said in it.

Answers for: which of a session's messages of then are still where they were, and what
becomes of the others.
Leaves to others: the rows of a record in general (`restoring`), which records are put
back (`history`), lines and segments (`histories`).
Always holds: what another session shows stays as it is; a message that comes back has
the id, the position and the time that it had.

A session that shares nothing is mended row by row. One that does begins a new line, as
if it had changed what others share: what is still there is shared on, the rest comes
back as rows of the new line.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from holdfast import codec
from holdfast.contract import Kind
from holdfast.edges import Id
from holdfast.kinds.histories import LAST, Place
from holdfast.kinds.messages import Messages
from holdfast.limits import hold
from holdfast.restoring import Fields, Plan, Restoring

_Run = tuple[int, int, int]
"""Positions from a first to a last, and the line that they are in."""
_SAID = ("segment", "mark", "message", "message_part")


class Reverts(Messages):
    """The part of the sessions' operations that puts sessions back."""

    name = "sessions"
    bookkeeping = frozenset({"revision", "updated_at", "base", "line"})

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """What puts a session back, with its messages, its summaries and its tags."""
        assert isinstance(past, Reverts)
        was, now = past._known(id), self._known(id)
        if was is None:
            return (
                None
                if now is None
                else Plan("delete", 1, functools.partial(self.delete, id))
            )
        if now is None:
            return self._made_again(id, past)
        if self._alone(was, now):
            return Restoring(self, past, but=("segment", "mark")).plan(id)
        return self._relined(id, past)

    def lines(self, id: str) -> list[int]:
        """The lines that a session has, or had, beside that of its own number."""
        found = self.tx.all("session_lines", owner=self.owner, id=id)
        return sorted(line for (line,) in found if line is not None)

    def records(self, numbers: Sequence[int]) -> list[Fields]:
        """The sessions of these numbers, and of the lines that have them."""
        lines = self.tx.fields_of(
            "session_of_line", [{"owner": self.owner, "line": no} for no in numbers]
        )
        return [*super().records(numbers), *(row for row in lines if row is not None)]

    def revised(self, was: Fields, now: Fields | None, past: Kind) -> Fields:
        """A session's own row as it is put back; what was said is not looked at."""
        assert isinstance(past, Reverts)
        then = past._read_place(was["id"])
        return {
            **was,
            "revision": self._unused_version(was["id"], then) - then.last,
            "updated_at": self.tx.now,
            "base": now["base"] if now else 0,
            "line": now["line"] if now else None,
        }

    def remade(self, table: str, row: Fields) -> Fields:
        """A message that comes back is found by its id, and not by its number."""
        return {**row, "given": 1} if table == "message" else row

    def in_sight(self, table: str, row: Fields, record: Fields) -> bool:
        """Messages that a session let go of are not seen, though they may be there."""
        if table != "message":
            return True
        return bool(self.place_in(table, row, record) == row["session"])

    def place_in(self, table: str, row: Fields, record: Fields) -> int | None:
        """The line that a session has a message's position in, if it has it."""
        if table != "message":
            return super().place_in(table, row, record)
        position = row["position"]
        if position < record["first"]:
            return None
        if position > record["base"]:
            return int(record["line"] or record["no"])
        where = {"owner": self.owner, "session": record["no"], "before": position + 1}
        rows = self.tx.all("segment_page_back", **where, limit=1)
        return next((line for _, _, last, line in rows if last >= position), None)

    def sharing(self, table: str, row: Fields) -> Fields | None:
        """The session that shows a message which is not in its own line."""
        if table != "message":
            return None
        where = {"line": row["session"], "position": row["position"]}
        found = self.tx.one("message_shown_in", owner=self.owner, **where)
        return None if found is None else self._known(found[0])

    def settled(self, row: Fields) -> None:
        """Have a session found by its tags."""
        self.tx.put("session_tag_drop", no=row["no"])
        self._tag(row["no"], row["created_at"], tuple(codec.decode(row["tags"])))

    def delete(self, id: Id) -> bool:
        """Delete a session and its messages."""
        raise NotImplementedError

    def _known(self, id: str) -> Fields | None:
        return self.tx.fields("session_known", owner=self.owner, id=id)

    def _alone(self, was: Fields, now: Fields) -> bool:
        """Whether all messages, then and now, are in the session's first line."""
        if was["no"] != now["no"] or was["first"] != now["first"]:
            return False
        if any(row["line"] or row["base"] >= row["first"] for row in (was, now)):
            return False
        return not self._shared(self._read_place(now["id"]), 0, LAST)

    def _unused_version(self, id: str, then: Place) -> int:
        """A version that a session never had before."""
        versions = [then.version]
        if self._known(id):
            versions.append(self._read_place(id).version)
        for revision, first, *places in self.tx.all(
            "session_last", owner=self.owner, id=id
        ):
            newest = max(place or 0 for place in places)
            versions.append(revision + max(newest, first - 1))
        return max(versions) + 1

    def _made_again(self, id: str, past: "Reverts") -> Plan | None:
        then = past._read_place(id)
        own = Restoring(self, past, but=_SAID).plan(id)
        said = self._copies(past, then, [(then.first, then.last)])
        if own is None:
            return None

        def write() -> None:
            own.write()
            self._say_again(said, (self._known(id) or {})["no"])

        return Plan(own.op, own.rows + len(said), write, own.no)

    def _relined(self, id: str, past: "Reverts") -> Plan | None:
        then, place = past._read_place(id), self._read_place(id)
        own = Restoring(self, past, but=_SAID).plan(id)
        shown = self._segments(place, place.last)
        kept = self._kept(past, past._segments(then, then.last), shown)
        lost = list(_between(kept, then.first, then.last))
        said = self._copies(past, then, lost)
        there = self._copies(self, place, _within(lost, place.first, place.last))
        kept += _alike(said, there)
        lost = list(_between(sorted(kept), then.first, then.last))
        if not lost and (then.first, then.last) == (place.first, place.last):
            return own
        version = self._unused_version(id, then)

        def write() -> None:
            if own is not None:
                own.write()
            line = self._lined(place).line
            self.tx.put("segment_drop", owner=self.owner, session=place.no, after=0)
            again = [(first, last, line) for first, last in lost]
            self._add_segments(place.no, _joined([*kept, *again]))
            gone = {at for first, last in lost for at in range(first, last + 1)}
            self._say_again((row for row in said if row["position"] in gone), line)
            self.tx.put(
                "session_cut",
                no=place.no,
                revision=version - then.last,
                first=then.first,
                base=then.last,
                line=line,
                now=self.tx.now,
            )
            for left in {place.line, *(line for *_, line in shown)}:
                self._unshown(left)

        return Plan("update", 1 + len(said), write)

    def _kept(
        self, past: "Reverts", then: Sequence[_Run], now: Sequence[_Run]
    ) -> list[_Run]:
        """What was shown then, is shown now, and was not touched in between."""
        kept: list[_Run] = []
        for line in sorted({line for *_, line in now}):
            both = [
                (max(first, other_first), min(last, other_last))
                for first, last, in_line in then
                for other_first, other_last, other_line in now
                if in_line == line == other_line
            ]
            touched = self._touched(past, line) if both else []
            for first, last in both:
                gone = [(at, at, line) for at in touched if first <= at <= last]
                kept += [(*run, line) for run in _between(gone, first, last)]
        return sorted(kept)

    def _touched(self, past: "Reverts", line: int) -> list[int]:
        """The positions of a line whose messages are not as they were then."""
        where = {"owner": self.owner, "no": line, "since": past.tx.terms.moment}
        messages = {no for (no,) in self.tx.all("message_touched", **where)}
        parts = {no for (no,) in self.tx.all("message_part_touched", **where)}
        asked = [{"no": no} for no in sorted(parts)]
        for tx in (past.tx, self.tx):
            found = tx.fields_of("message_part_now", asked)
            messages |= {part["message"] for part in found if part}
        asked = [{"no": no} for no in sorted(messages)]
        found = past.tx.fields_of("message_now", asked)
        return sorted(
            row["position"] for row in found if row and row["session"] == line
        )

    def _copies(
        self, past: "Reverts", then: Place, runs: Iterable[tuple[int, int]]
    ) -> list[Fields]:
        """Messages of then as rows that can be added, but for number and line."""
        limits = self.tx.limits
        copies: list[Fields] = []
        for first, last in runs:
            hold(len(copies) + last + 1 - first, limits.revert, self.name, "revert")
            at = first
            while at <= last:
                rows = past._on(then, at, last + 1, limits.page)
                copies += list(past._as_drafts(rows))
                at = copies[-1]["position"] + 1
        return copies

    def _as_drafts(self, rows: Sequence[Any]) -> Iterator[Fields]:
        for message, row in zip(self._shown("", rows), rows, strict=True):
            yield {
                "owner": self.owner,
                "position": message.position,
                "id": message.id,
                "created_at": row[5],
                "role": message.role,
                "content": codec.text_of(message.content) if row[6] else row[3],
                "metadata": row[4],
                "given": 1,
                "partial": row[6],
                "session": row[8],
            }

    def _say_again(self, said: Iterable[Fields], line: int) -> None:
        for row in said:
            new = {**row, "no": self.tx.new_no(), "session": line}
            self.tx.put("message_back", **new)


def _alike(said: Iterable[Fields], there: Iterable[Fields]) -> list[_Run]:
    """Where a message that is there says what was said at its position."""
    now = {row["position"]: row for row in there}
    return [
        (row["position"], row["position"], found["session"])
        for row in said
        if (found := now.get(row["position"]))
        and found == {**row, "session": found["session"]}
    ]


def _joined(runs: Iterable[_Run]) -> list[_Run]:
    """The same positions, in as few runs as can be, in order."""
    joined: list[_Run] = []
    for first, last, line in sorted(runs):
        if joined and joined[-1][1:] == (first - 1, line):
            joined[-1] = joined[-1][0], last, line
        else:
            joined.append((first, last, line))
    return joined


def _within(
    runs: Iterable[tuple[int, int]], first: int, last: int
) -> Iterator[tuple[int, int]]:
    """What of some positions is from a first to a last."""
    for begin, end in runs:
        if max(begin, first) <= min(end, last):
            yield max(begin, first), min(end, last)


def _between(runs: Iterable[_Run], first: int, last: int) -> Iterator[tuple[int, int]]:
    """The positions from a first to a last that are in none of some runs, in order."""
    for begin, end, _ in runs:
        if begin > first:
            yield first, begin - 1
        first = end + 1
    if first <= last:
        yield first, last
