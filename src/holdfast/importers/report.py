"""What an import did: what went in, what was there, what was set aside and why.

Answers for: the record that every importer returns.
Always holds: nothing of a file is dropped without being counted or named here; the
names of what was set aside are bounded, their count is not.
"""

from collections.abc import Sequence

import msgspec

from holdfast.runtime.transfer.admission import SessionsReport

NAMED_AT_MOST = 10_000
_SAMPLE_CHARACTERS = 120


class SetAside(msgspec.Struct, frozen=True):
    """One thing of the file that did not go in.

    `position` is its place as `jq` writes it (`[16].traj[3]`, counted from 0; or a
    line, counted from 1); `at_byte` is the byte where it, or the item that holds it,
    begins, where that is known. A fault of the file itself has the byte where reading
    ended.
    """

    position: str
    at_byte: int | None
    reason: str
    sample: str = ""


class SetAsides:
    """What was set aside so far: all of it counted, the first of it named."""

    def __init__(self) -> None:
        self.named: list[SetAside] = []
        self.count = 0

    def append(self, one: SetAside) -> None:
        """One more thing did not go in."""
        self.count += 1
        if len(self.named) < NAMED_AT_MOST:
            self.named.append(one)


class Others(msgspec.Struct, frozen=True, kw_only=True):
    """How many of something else than messages there were, and what went in of it.

    `what` is one of `checkpoint`, `item`, `state`. One that was there and is now as it
    is in the source counts as added.
    """

    what: str
    found: int
    added: int
    already_there: int


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did with one file.

    `messages` were read and could be kept: `added` went in, `already_there` were in
    the store before. `broken_at` is the byte past which the file could not be read.
    """

    file: str
    sessions: int
    sessions_added: int
    messages: int
    added: int
    already_there: int
    set_aside: tuple[SetAside, ...]
    set_aside_count: int
    broken_at: int | None = None
    others: tuple[Others, ...] = ()


def report_of(
    done: SessionsReport,
    set_aside: SetAsides | None = None,
    others: Sequence[Others] = (),
) -> ImportReport:
    """The report of an import of sessions, beside what was set aside before that."""
    before = set_aside or SetAsides()
    named = [*before.named]
    named += [SetAside(one.place, None, one.reason) for one in done.refused]
    named += [
        SetAside(
            f"session {id!r}",
            None,
            "its title, its status or the like is another in the store, and was left "
            "as it is there",
        )
        for id in done.differing
    ]
    return ImportReport(
        file=done.file,
        sessions=done.sessions,
        sessions_added=done.sessions_added,
        messages=done.messages,
        added=done.added,
        already_there=done.already_there,
        set_aside=tuple(named[:NAMED_AT_MOST]),
        set_aside_count=before.count + done.refused_count + len(done.differing),
        others=tuple(others),
    )


def sample_of(value: object) -> str:
    """The beginning of a value, in one line, for people to recognise it."""
    if not isinstance(value, bytes):
        try:
            value = msgspec.json.encode(value)
        except (TypeError, ValueError, RecursionError):
            value = repr(value).encode(errors="backslashreplace")
    text = value[: _SAMPLE_CHARACTERS * 4].decode(errors="replace")
    text = " ".join(text.split())
    if len(text) <= _SAMPLE_CHARACTERS:
        return text
    return text[: _SAMPLE_CHARACTERS - 1] + "…"
