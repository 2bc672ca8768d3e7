"""Events: what happens, by name and time.

Answers for: telling of one within a transaction, finding those that were told, how much
of them is kept.
Leaves to others: holding and writing them (`events/log`), how they are found
(`event_search`), following them (`events/following`).
Always holds: they are beside the state: no transaction waits for them, and none of them
is in the journal. What a transaction tells is told at its commit, or never.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

from holdfast import contract
from holdfast.clock import to_datetime, to_us
from holdfast.codec import Json
from holdfast.contract import Kind, beside, operation
from holdfast.edges import Edge, Id, Name, PageSize, Time
from holdfast.engine import Part, Row, Told, Transaction, Unheard
from holdfast.errors import InvalidId, Refused, WrongType
from holdfast.guarantees import Promise
from holdfast.kinds.event_figures import EventStats, bucket_for, figures
from holdfast.kinds.event_records import (
    AT,
    LEVELS,
    NAME,
    OWNER,
    WRITER,
    Event,
    EventPolicy,
    EventsTrimmed,
    Kept,
)
from holdfast.kinds.event_search import ALL_TIME, Span, Wanted, find
from holdfast.kinds.event_texts import data_of, text_of
from holdfast.limits import Limits
from holdfast.page import Page
from holdfast.patterns import Scalar, patterns_of, where_of
from holdfast.schema.statements import shipped

MINUTE_US = 60_000_000
_DAY_US = 86_400_000_000
_SWEPT_AT_ONCE = 2_000
_OURS = frozenset(
    {
        "autosave:triggered",
        "shutdown:save",
        "state:loaded",
        "state:save-error",
        "state:saved",
    }
)
_OUR_PREFIXES = ("checkpoint:", "lifecycle:", "observation:")
_AGE, _BYTES = "max_age_us", "max_bytes"


def refuse_ours(name: str) -> None:
    """Raise `InvalidId` for a name by which holdfast alone tells of things."""
    if name in _OURS or name.startswith(_OUR_PREFIXES):
        raise InvalidId(
            f"name: {name!r} is told by holdfast itself: give the event another name"
        )


def level_of(value: object, name: str, limits: Limits | None = None) -> str:
    """One of the levels."""
    if not isinstance(value, str) or value not in LEVELS:
        raise WrongType(f"{name}: {value!r} is none of: {', '.join(LEVELS)}")
    return str(value)


AnyLevel = Annotated[str, Edge(level_of)]
Data = Annotated[Json, Edge(data_of)]
AnyPattern = Annotated[str | Sequence[str], Edge(patterns_of)]
Where = Annotated[dict[str, Scalar], Edge(where_of)]


class Events(Kind):
    """What happened; held in memory, and on disk within a second."""

    name = "events"
    promise = Promise.DEBOUNCED
    why = "what happens is told at the cost of a write to memory"
    changed_by = "emit, and what holdfast itself does; keep"
    exported = True
    unwritten: Sequence[Kept] = ()
    """What is in memory, and was not on disk when the transaction began."""

    @classmethod
    def part(cls) -> Part:
        """Tables beside the state, with versions of their own."""
        return Part(cls.name, shipped(cls.name), (), beside=True)

    @operation
    def emit(
        self,
        name: Name,
        data: Data = None,
        *,
        session: Id | None = None,
        correlation: Id | None = None,
        level: AnyLevel = "info",
        source: Id | None = None,
        whole: bool = False,
    ) -> None:
        """Say that something happened; costs no more than a write to memory.

        Large texts in `data` are cut to `limits.event_text` characters, with length and
        digest, unless they are to be kept `whole`. Within a transaction it is told at
        the commit, and never if there is none. Raises `NotStorable`, `InvalidId`,
        `TooLarge`, `WrongType`,
        `Refused` (a joined transaction, whose commit is not ours).
        """
        if isinstance(self.tx.tellings, Unheard):
            raise Refused(
                "the commit of a joined transaction is yours, and nobody here learns "
                "of it: emit the event on the store once it is committed"
            )
        refuse_ours(name)
        document: Any = data
        text = text_of(document, self.tx.limits, whole=whole)
        self.tx.tell(Told(name, text, session, correlation, source, level))

    @beside
    @contract.query
    def query(
        self,
        pattern: AnyPattern = "*",
        *,
        since: Time | None = None,
        until: Time | None = None,
        session: Id | None = None,
        correlation: Id | None = None,
        source: Id | None = None,
        level: AnyLevel | None = None,
        where: Where | None = None,
        newest_first: bool = False,
        limit: PageSize = 100,
        cursor: str | None = None,
    ) -> Page[Event]:
        """Events by their time, those in memory and those on disk as one sequence.

        `*` in a pattern stands for any run of characters; of several, any may fit.
        `until` is outside; `level` and those above it; `where` has dotted paths in the
        data, and what has to be there. A page may be shorter than `limit`, and even
        empty, while its cursor leads on, in the same list alone.
        """
        wanted = Wanted(
            owner=self.owner,
            pattern=patterns_of(pattern, "pattern"),
            session=session,
            correlation=correlation,
            source=source,
            level=level,
            where=where,
        )
        span = _span(since, until, newest_first=newest_first, cursor=cursor)
        return find(self.tx, self.unwritten, wanted, span, limit)

    @beside
    @contract.query
    def chain(
        self, correlation: Id, *, limit: PageSize = 1_000, cursor: str | None = None
    ) -> Page[Event]:
        """What belongs together by its correlation, oldest first."""
        wanted = Wanted(owner=self.owner, correlation=correlation)
        return find(self.tx, self.unwritten, wanted, Span(cursor=cursor), limit)

    @beside
    @contract.query
    def stats(
        self, *, since: Time | None = None, until: Time | None = None
    ) -> EventStats:
        """How many events there were, by name and time, and what is unusual in that.

        Of the last day, if `since` is not said. What is unusual are bursts, silences
        and new names (`holdfast.kinds.event_figures` says which).
        """
        end = self._end() if until is None else min(to_us(until), self._end())
        start = end - _DAY_US if since is None else to_us(since)
        start = max(start, self._oldest(start, end))
        bucket = bucket_for(start, end)
        rows = self.tx.all(
            "event_figures", owner=self.owner, since=start, until=end, bucket=bucket
        )
        rows += self._in_memory(start, end, bucket)
        known = self._known({row[0] for row in rows}, start)
        return figures(rows, start=start, end=end, bucket=bucket, known=known)

    @beside
    @contract.query
    def policy(self) -> EventPolicy:
        """How much is kept."""
        return kept(self.tx)

    def _end(self) -> int:
        """The time behind everything that happened."""
        return max([self.tx.now, *(kept[AT] for kept in self.unwritten)]) + 1

    def _oldest(self, start: int, end: int) -> int:
        """The time of the first event of a span; the end if there is none."""
        times: list[int] = [end]
        times += (kept[AT] for kept in self.unwritten if kept[AT] >= start)
        times += (
            row[AT]
            for row in self.tx.all(
                "event_after", owner=self.owner, at=start, writer=-1, end=end, limit=1
            )
        )
        return min(times)

    def _in_memory(self, start: int, end: int, bucket: int) -> Iterator[Row]:
        """What is in memory alone, as rows of figures."""
        writers = {kept[WRITER] for kept in self.unwritten}
        on_disk = {writer: self._newest(writer) for writer in writers}
        for kept in self.unwritten:
            at = kept[AT]
            if kept[OWNER] != self.owner or not start <= at < end:
                continue
            if at > on_disk[kept[WRITER]]:
                yield kept[NAME], at // bucket, 1, at, at

    def _newest(self, writer: int) -> int:
        """How far a writer's events are on disk."""
        row = self.tx.one("event_newest", writer=writer)
        return 0 if row is None else int(row[0])

    def _known(self, names: Iterable[str], before: int) -> set[str]:
        """Which of these names came before a time."""
        asked = [
            {
                "owner": self.owner,
                "key": name,
                "at": before,
                "writer": -1,
                "end": 0,
                "limit": 1,
            }
            for name in sorted(names)
        ]
        found = self.tx.each("event_name_before", asked)
        return {rows[0][NAME] for rows in found if rows}


def keep(
    tx: Transaction, max_age_seconds: float | None, max_bytes: int | None
) -> EventPolicy:
    """Keep so much from now on; None leaves it as it was."""
    age = None if max_age_seconds is None else round(max_age_seconds * 1e6)
    for name, value in ((_AGE, age), (_BYTES, max_bytes)):
        if value is not None:
            tx.put("event_keep", name=name, value=value)
    return kept(tx)


def trim(tx: Transaction) -> EventsTrimmed:
    """Delete what is older, or more, than is kept: all of it."""
    before = reach(tx)
    deleted = 0
    while found := sweep(tx, before):
        deleted += found
    return EventsTrimmed(deleted, to_datetime(before))


def kept(tx: Transaction) -> EventPolicy:
    """How much is kept."""
    said: dict[str, int] = dict(tx.all("event_policy"))
    usual = EventPolicy()
    age = said.get(_AGE)
    return EventPolicy(
        max_age_seconds=usual.max_age_seconds if age is None else age / 1e6,
        max_bytes=said.get(_BYTES, usual.max_bytes),
    )


def reach(tx: Transaction) -> int:
    """The time, in microseconds, from which on events are kept."""
    policy = kept(tx)
    before = max(tx.now - round(policy.max_age_seconds * 1e6), 0)
    room, newest = policy.max_bytes, None
    for minute, size in tx.all("event_minutes"):
        room -= size
        if newest is None:
            newest = int(minute)  # it is kept, however much it has
        elif room < 0:
            return max(before, (int(minute) + 1) * MINUTE_US)
    return before


def sweep(tx: Transaction, before: int, limit: int = _SWEPT_AT_ONCE) -> int:
    """Delete some of what was before a time; how much, 0 when nothing is left."""
    after, deleted = "", 0
    while (row := tx.one("event_next_owner", after=after)) and row[0] is not None:
        asked = {"owner": row[0], "before": before, "limit": limit}
        deleted += tx.run("event_sweep", **asked)
        if deleted >= limit:
            return deleted
        after = row[0] + "\x01"
    deleted += tx.run("observed_sweep", before=before, limit=limit)
    if not deleted:
        tx.put("event_minute_sweep", before=before // MINUTE_US)
        tx.put("event_writer_sweep", before=before)
    return deleted


def span_of(since: datetime | None, until: datetime | None) -> Span:
    """From when to when; None for from the beginning, and to the end."""
    return _span(since, until, newest_first=False, cursor=None)


def _span(
    since: datetime | None,
    until: datetime | None,
    *,
    newest_first: bool,
    cursor: str | None,
) -> Span:
    return Span(
        since=0 if since is None else to_us(since),
        until=ALL_TIME if until is None else to_us(until),
        newest_first=newest_first,
        cursor=cursor,
    )
