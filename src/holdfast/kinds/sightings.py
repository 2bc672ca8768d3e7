"""Sightings: in which session a message can be seen, if in any.

Answers for: rows of messages as callers know them, wherever they are kept.
Leaves to others: where the messages of a session are (`histories`).
Always holds: a message that was cleared, or whose sessions are gone, is out of sight
though its row may still be there; one that several sessions share is seen in the one
whose own it is, or else in the oldest of them.
"""

from collections.abc import Sequence
from typing import Any

from holdfast.changes import data_of
from holdfast.engine import Row, Table
from holdfast.kinds.histories import Histories


class Sightings(Histories):
    """The part of the sessions' operations that knows who shows a message."""

    name = "sessions"

    def shown(
        self, table: Table, rows: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        """Rows of one of the tables as callers know them; None for one out of sight."""
        if table.name != "message":
            return super().shown(table, rows)
        sessions = self._sessions_of(rows)
        return [
            None if id is None else data_of(table, row, id)
            for row, id in zip(rows, sessions, strict=True)
        ]

    def _sessions_of(self, rows: Sequence[dict[str, Any]]) -> list[str | None]:
        """The id of the session that shows each message; None if none does."""
        lines = list({row["session"] for row in rows})
        found = self.tx.each("session_on_own_line", [{"no": line} for line in lines])
        begun = dict(zip(lines, found, strict=True))
        sessions = [_own(row["position"], begun[row["session"]]) for row in rows]
        others = [place for place, id in enumerate(sessions) if id is None]
        asked = [
            {
                "owner": self.owner,
                "line": rows[place]["session"],
                "position": rows[place]["position"],
            }
            for place in others
        ]
        shown = self.tx.each("message_shown_in", asked)
        for place, sessions_there in zip(others, shown, strict=True):
            sessions[place] = sessions_there[0][0] if sessions_there else None
        return sessions


def _own(position: int, begun: Sequence[Row]) -> str | None:
    """The id of the session that a line began with, if the message is still its own."""
    for id, first, base in begun:
        if position >= first and position > base:
            return str(id)
    return None
