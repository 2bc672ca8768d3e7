"""Reverts of marks: a session that is put back has the marks again that it had.

Answers for: which marks a session lost since a moment, keeping again what they kept.
Leaves to others: putting the session itself back (`reverts`), what a mark is (`marks`).
Always holds: a mark that was made since stays; one that comes back keeps what it kept,
under the id that it had.

What is to be swept away cannot be shared again: what marks kept of a line comes back as
a line of its own, once for all of them.
"""

from collections.abc import Iterable, Sequence

from holdfast.contract import Kind
from holdfast.engine import Row
from holdfast.kinds.histories import Part, Place
from holdfast.kinds.marks import Marks
from holdfast.kinds.reverts import Reverts
from holdfast.restoring import Fields, Plan
from holdfast.schema.records import shapes


class MarkReverts(Marks, Reverts):
    """The part of the sessions' operations that puts marks back."""

    name = "sessions"

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """What puts a session back, with the marks that it has no more."""
        assert isinstance(past, MarkReverts)
        plan = super().put_back(id, past)
        lost, unswept = self._lost(id, past)
        if not lost:
            return plan
        runs = [past._kept_in(mark) for mark in lost]
        said = self._lines_of(past, [run for parts in runs for run in parts])

        def write() -> None:
            if plan is not None:
                plan.write()
            self._unmark(unswept)
            session = self._read_place(id).no
            lines = {}
            for line, messages in said.items():
                lines[line] = self.tx.new_no()  # for a row that is added next
                self._say_again(messages, lines[line])
            for mark, parts in zip(lost, runs, strict=True):
                no = self.tx.new_no()
                self.tx.put("mark_back", **{**mark, "no": no, "session": session})
                again = [(first, last, lines[line]) for first, last, line in parts]
                self._add_segments(no, again)

        rows = len(lost) + sum(map(len, said.values()))
        if plan is None:
            return Plan("update", rows, write)
        return Plan(plan.op, plan.rows + rows, write, plan.no)

    def _lost(
        self, id: str, past: "MarkReverts"
    ) -> tuple[Sequence[Fields], Sequence[Row]]:
        """The marks that a session had then and are not in sight now.

        And those that still are to be let go of, each by its number and its owner.
        """
        was = past._known(id)
        if was is None:
            return (), ()
        columns = shapes(self.part().sql)["mark"].columns
        rows = past.tx.all("mark_within", owner=self.owner, no=was["no"])
        then = [dict(zip(columns, row, strict=True)) for row in rows]
        asked = [{"owner": self.owner, "id": mark["id"]} for mark in then]
        there = [
            found[0] if found else (None,) * 3
            for found in self.tx.each("mark_get", asked)
        ]
        lost = [mark for mark, now in zip(then, there, strict=True) if now[2] is None]
        return lost, [(now[0], self.owner) for now in there if now[0] and not now[2]]

    def _kept_in(self, mark: Fields) -> list[Part]:
        """Where what a mark keeps is."""
        no, first, last = mark["no"], mark["first"], mark["last"]
        if last < first:
            return []
        return self._segments(Place(no, 0, first, last, base=last, line=no), last)

    def _lines_of(
        self, past: "MarkReverts", parts: Iterable[Part]
    ) -> dict[int, list[Fields]]:
        """What stood then in some parts of lines, once, by the line."""
        found: dict[int, list[Fields]] = {}
        for line, first, last in _joined(parts):
            place = Place(line, 0, first, last, base=first - 1, line=line)
            found.setdefault(line, []).extend(
                self._copies(past, place, [(first, last)])
            )
        return found


def _joined(parts: Iterable[Part]) -> list[Part]:
    """Lines, and their positions that are in any of some parts, as few as can be."""
    joined: list[Part] = []
    for line, first, last in sorted((line, first, last) for first, last, line in parts):
        if joined and joined[-1][0] == line and joined[-1][2] >= first - 1:
            joined[-1] = line, joined[-1][1], max(joined[-1][2], last)
        else:
            joined.append((line, first, last))
    return joined
