"""How the journal looks to people: transactions, and what each changed.

Answers for: a heading for each transaction (when, who, why), a line for each change.
Leaves to others: choosing the changes (`look`).
Always holds: it needs one change at a time, so that it serves a live stream as well.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from holdfast.cli.output import cut, one_line, safe, when
from holdfast.cli.records import progress
from holdfast.cli.speech import in_one_line
from holdfast.kinds.task_records import Progress

if TYPE_CHECKING:
    from holdfast.changes import Change

_STYLES = {"create": "green", "update": "yellow", "delete": "red", "purge": "red"}
_KINDS = {"task_log": "task log"}
_TEXTS = {
    "session": "title",
    "task": "description",
    "task_log": "message",
}
_SILENT = {"updated_at", "version", "revision", "first"}
"""Fields that change with every change, and say nothing of their own."""
_ENOUGH_COLUMNS = 24
_INDENT = 17


class Chronicle:
    """Turns changes into lines, and remembers which transaction it is in."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._moment: int | None = None

    def lines(self, change: "Change") -> Iterator[Text]:
        """The lines for one more change."""
        if change.moment != self._moment:
            self._moment = change.moment
            yield self._heading(change)
        yield from self._change(change)

    def _heading(self, change: "Change") -> Text:
        who = safe(change.actor or "")
        why = one_line(change.cause or "")
        owner = safe(change.owner)
        heading = Text.assemble(
            (f"{change.moment}", "bold"),
            (f"  {when(change.at)} UTC", "dim"),
            (f"  {who}" if who else "", "bold cyan"),
            f"  {why}" if why else "",
            (f"  for {owner}" if owner else "", "dim"),
        )
        return cut_text(heading, self._width)

    def _change(self, change: "Change") -> Iterator[Text]:
        kind = _KINDS.get(change.kind, change.kind)
        line = Text.assemble(
            "  ", (f"{change.op:<7}", _STYLES.get(change.op, "")), f"{kind:<8} "
        )
        line.append(safe(_name(change)))
        said = _said(change)
        room = self._width - line.cell_len - 2
        if not said:
            yield line
        elif room >= min(len(said), _ENOUGH_COLUMNS):
            yield Text.assemble(line, "  ", cut(said, room, "dim"))
        else:
            yield line
            indent = " " * _INDENT
            yield Text.assemble(indent, cut(said, self._width - _INDENT, "dim"))


def cut_text(text: Text, width: int) -> Text:
    """The same, in one line of at most so many columns."""
    text.truncate(width, overflow="ellipsis")
    return text


def _name(change: "Change") -> str:
    """The record's id; of a message, or of a line of a log, whose it is."""
    fields = change.after or change.before
    if not fields:
        return change.id or "(purged)"
    if change.kind == "message":
        return f"of {fields.get('session')}"
    if change.kind == "task_log":
        return f"of {fields.get('task')}"
    return change.id or "(purged)"


def _said(change: "Change") -> str:
    """What is worth telling of a change."""
    before, after = change.before, change.after
    if change.op == "update" and before is not None and after is not None:
        return ", ".join(_differences(before, after))
    fields = after or before or {}
    if change.kind == "message":
        return in_one_line(fields)
    return one_line(fields.get(_TEXTS.get(change.kind, ""), fields) or "")


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key, value in after.items():
        was = before.get(key)
        if value == was or key in _SILENT:
            continue
        if key == "status":
            yield f"{was} → {value}"
        elif key == "progress" and isinstance(value, dict):
            yield f"progress {progress(msgspec.convert(value, Progress))}"
        elif not str(key).endswith("_at"):
            yield f"{key} {one_line(value)}"
