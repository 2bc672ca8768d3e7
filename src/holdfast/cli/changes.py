"""How the journal looks to people: transactions, and what each changed.

Answers for: a heading for each transaction (when, who, why), a line for each change;
where they are asked for, the fields that it changed.
Leaves to others: choosing the changes (`look`), old and new values (`differences`).
Always holds: it needs one change at a time, so that it serves a live stream as well.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import RenderableType
from rich.text import Text

from holdfast.cli.differences import SILENT, differences
from holdfast.cli.output import cut, one_line, safe, when
from holdfast.cli.records import progress
from holdfast.cli.speech import in_one_line
from holdfast.kinds.task_records import Progress

if TYPE_CHECKING:
    from holdfast.changes import Change
    from holdfast.history import Difference

STYLES = {"create": "green", "update": "yellow", "delete": "red", "purge": "red"}
_TEXTS = {
    "session": "title",
    "task": "description",
    "task_log": "message",
    "message_part": "text",
    "summary": "text",
}
_SAID = {
    "inbox_message": ("recipient", "body"),
    "observation": ("observer", "target"),
    "job": ("kind", "body"),
    "schedule": ("kind", "body"),
    "job_end": ("status", "result"),
    "job_step": ("name", "result"),
    "job_signal": ("name", "payload"),
}
"""The fields of which something is told, in kinds where it is more than a text."""
_BELONG_TO = {
    "message": "session",
    "segment": "session",
    "summary": "session",
    "message_part": "message",
    "task_log": "task",
    "job_end": "job",
    "job_step": "job",
    "job_signal": "job",
}
"""What is part of a record, and the field that names the record."""
_ENOUGH_COLUMNS = 24
_INDENT = 17


class Chronicle:
    """Turns changes into lines, and remembers which transaction it is in."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._moment: int | None = None

    def lines(self, change: "Change") -> Iterator[Text]:
        """The lines for one more change."""
        yield from self._headed(change)
        line = Text.assemble(_opening(change), safe(name_of(change)))
        said = said_of(change)
        room = self._width - line.cell_len - 2
        if not said:
            yield line
        elif room >= min(len(said), _ENOUGH_COLUMNS):
            yield Text.assemble(line, "  ", cut(said, room, "dim"))
        else:
            yield line
            indent = " " * _INDENT
            yield Text.assemble(indent, cut(said, self._width - _INDENT, "dim"))

    def in_detail(
        self, change: "Change", *, full: bool = False
    ) -> Iterator[RenderableType]:
        """The same, with the fields that changed, each old and new.

        What was deleted, and what is part of a record, is told in one line, unless all
        of it was asked for.
        """
        yield from self._headed(change)
        part = change.kind in _BELONG_TO
        line = Text.assemble(_opening(change), safe(name_of(change, within=True)))
        if change.op == "delete" or (change.op == "create" and part and not full):
            room = self._width - line.cell_len - 2
            line = Text.assemble(line, "  ", cut(said_of(change), room, "dim"))
            yield line
            return
        yield line
        fields = differences(change.before, change.after, self._width, full=full)
        if fields is not None:
            yield fields

    def _headed(self, change: "Change") -> Iterator[Text]:
        if change.moment != self._moment:
            self._moment = change.moment
            yield self._heading(change)

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


def cut_text(text: Text, width: int) -> Text:
    """The same, in one line of at most so many columns."""
    text.truncate(width, overflow="ellipsis")
    return text


def _opening(change: "Change") -> Text:
    """What was done, and to what kind of thing."""
    kind = change.kind.replace("_", " ")
    return Text.assemble(
        "  ", (f"{change.op:<7}", STYLES.get(change.op, "")), f"{kind:<8} "
    )


def name_of(change: "Change | Difference", *, within: bool = False) -> str:
    """The record's id; of a part of one, whose it is, or its place `within` that."""
    fields = change.after or change.before
    if not fields:
        return change.id or "(purged)"
    if change.kind not in _BELONG_TO:
        return change.id or "(purged)"
    if within and "position" in fields:
        return str(fields["position"])
    return f"of {fields.get(_BELONG_TO[change.kind])}"


def said_of(change: "Change | Difference") -> str:
    """What is worth telling of a change."""
    before, after = change.before, change.after
    if change.op == "update" and before is not None and after is not None:
        return ", ".join(_differences(before, after))
    fields = after or before or {}
    if change.kind == "message":
        return in_one_line(fields)
    if change.kind == "segment" and fields:
        first, last = fields["first"], fields["last"]
        return f"messages {first} to {last}" if first < last else f"message {first}"
    if change.kind in _SAID and fields:
        first, second = _SAID[change.kind]
        parts = [fields[first], fields[second], fields.get("error")]
        return "  ".join(one_line(part) for part in parts if part is not None)
    return one_line(fields.get(_TEXTS.get(change.kind, ""), fields) or "")


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for key, value in after.items():
        was = before.get(key)
        if value == was or key in SILENT:
            continue
        if key == "status":
            yield f"{was} → {value}"
        elif key == "progress" and isinstance(value, dict):
            yield f"progress {progress(msgspec.convert(value, Progress))}"
        elif not str(key).endswith("_at"):
            yield f"{key} {one_line(value)}"
