"""Retention: how much of its past a store keeps, and deleting what is older.

Answers for: the policy, which the store keeps for itself; from which moment on the past
can be read; deleting, in slices, what was before; what the past costs.
Leaves to others: when a slice is done (core, engines), whose call it is (stores).
Always holds: the past is given up first, and deleted after that, oldest first, so that
nobody reads half of it, and whoever comes next goes on where it was left. The moment
that the past begins with keeps its last change, which says when that was.
"""

import time
from collections.abc import Sequence
from datetime import datetime

import msgspec

from holdfast.clock import to_datetime, to_us
from holdfast.engine import Transaction
from holdfast.errors import Refused, Trimmed
from holdfast.moments import moment_of, newest

_SLICE_SECONDS = 0.005
_SLICE_BYTES = 100_000
"""What a slice deletes: the commit, which has to write all pages that it was on, takes
longer than deleting does."""
_CHANGES_AT_FIRST = 16
_CHANGES_AT_MOST = 256
_LOCK = "journal", "trim"
_DAY_US = 86_400_000_000


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much of its past a store keeps: all of it, but for what passes one of these.

    `max_bytes` is what changes and images hold, without indexes.
    """

    max_age_seconds: float | None = None
    max_changes: int | None = None
    max_bytes: int | None = None


class Reach(msgspec.Struct, frozen=True):
    """How far a store's past reaches.

    `horizon` is the oldest moment that can be read, `at` its time (None while nothing
    was ever written). `left` is how many older changes are still to be deleted.
    """

    horizon: int
    at: datetime | None
    left: int


class TableStats(msgspec.Struct, frozen=True):
    """The past of one kind of record: its changes, rows as they were, their bytes."""

    changes: int
    images: int
    bytes: int


class JournalStats(msgspec.Struct, frozen=True):
    """What a store's past costs; `bytes` are those on the disk, indexes included."""

    bytes: int
    changes: int
    changes_a_day: float
    reach: Reach
    newest: int
    newest_at: datetime | None
    policy: Policy
    tables: dict[str, TableStats]


_policy = msgspec.json.Decoder(Policy)


def keep(tx: Transaction, policy: Policy) -> Policy:
    """Have a store keep so much of its past from here on."""
    text = msgspec.json.encode(policy).decode()
    tx.put("store_say", name="journal_keep", value=text)
    tx.untidy()
    return policy


def kept(tx: Transaction) -> Policy:
    """How much of its past a store keeps."""
    return _Past(tx, ()).policy


def due(tx: Transaction) -> bool:
    """Whether there is a policy to apply, or anything left to be deleted."""
    return _Past(tx, ()).due


def trim(tx: Transaction, kinds: Sequence[str], before: int | datetime | None) -> Reach:
    """Give up what was before a moment (None: what the policy says), and begin with it.

    Raises `Refused` for a moment that lies ahead.
    """
    tx.lock(*_LOCK)
    past = _Past(tx, kinds)
    if before is not None:
        past.give_up(_moment_before(tx, before))
    past.sweep()
    return reach(tx)


def sweep(tx: Transaction, kinds: Sequence[str]) -> None:
    """Delete a slice of what was given up, and give up what the policy says."""
    if due(tx):
        tx.lock(*_LOCK)
        _Past(tx, kinds).sweep()


def reach(tx: Transaction) -> Reach:
    """How far a store's past reaches."""
    past = _Past(tx, ())
    row = tx.one("journal_moment", seq=past.floor)
    at = None if row is None else to_datetime(row[1])
    return Reach(past.floor, at, max(past.floor - past.first, 0))


def stats(tx: Transaction, kinds: Sequence[str]) -> JournalStats:
    """What a store's past costs. Reads all of it."""
    found, last = reach(tx), newest(tx)
    row = tx.one("journal_upto", seq=last)
    newest_at = None if row is None else to_datetime(row[1])
    counts = {kind: rest for kind, *rest in tx.all("journal_counts")}
    sizes = {name: int(size) for name, size in tx.all("journal_sizes")}
    tables = {}
    for name in kinds:
        changes, images = counts.get(name, (0, 0))
        size = sizes.get(f"was_{name}", 0)
        tables[name] = TableStats(int(changes), int(images), size)
    days = 1.0
    if newest_at is not None and found.at is not None:
        days = max(days, (to_us(newest_at) - to_us(found.at)) / _DAY_US)
    return JournalStats(
        bytes=sum(sizes.values()),
        changes=sum(int(changes) for changes, _ in counts.values()),
        changes_a_day=(last - found.horizon) / days,
        reach=found,
        newest=last,
        newest_at=newest_at,
        policy=kept(tx),
        tables=tables,
    )


class _Past:
    """A store's past while a slice of it is deleted."""

    def __init__(self, tx: Transaction, kinds: Sequence[str]) -> None:
        first, floor, policy, weighed = tx.one("journal_reach") or (None,) * 4
        self.first = int(first or 0)
        """The oldest change that is there, and so are its image and all later ones."""
        self.floor = int(floor or 0)
        self.policy = _policy.decode(policy) if policy else Policy()
        self._weighed = weighed
        upto, size = (int(part) for part in (weighed or "0 0").split())
        self._upto, self._bytes = (upto, size) if upto > self.first else (self.first, 0)
        """Up to which change this past was weighed, and what it weighs up to there."""
        self._tx = tx
        self._kinds = kinds
        self._stride = _CHANGES_AT_FIRST
        self._until = time.monotonic() + _SLICE_SECONDS
        self._begun = False
        self._deleted = 0

    @property
    def due(self) -> bool:
        """Whether there is a policy to apply, or anything left to be deleted."""
        return self.first < self.floor or self.policy != Policy()

    @property
    def over(self) -> bool:
        """Whether this slice has done something, and enough."""
        return self._deleted > _SLICE_BYTES or (
            self._begun and time.monotonic() > self._until
        )

    def give_up(self, moment: int) -> None:
        """Let nothing be read any more of what was before a moment."""
        if moment > self.floor:
            self._tx.put("store_say", name="journal_floor", value=str(moment))
            self.floor = moment

    def sweep(self) -> None:
        """Delete for the time of a slice; if that was not enough, have another done."""
        self._delete()
        if not self.over:
            self.give_up(self._too_old())
            self.give_up(self._too_many())
            self._delete()
        if self.policy.max_bytes is not None:
            self._lighten(self.policy.max_bytes)
        weighed = f"{self._upto} {self._bytes}"
        if self._upto > self.first and weighed != self._weighed:
            self._tx.put("store_say", name="journal_weighed", value=weighed)
        if self.over:
            self._tx.untidy()

    def _delete(self) -> None:
        while self.first < self.floor and not self.over:
            upto, size = self._stretch(self.first, self.floor)
            for kind in self._kinds:
                self._tx.put(f"{kind}_trim", first=self.first, upto=upto)
            self._tx.run("journal_trim", first=self.first, upto=upto)
            self._bytes = self._bytes - size if upto <= self._upto else 0
            self._upto = max(upto, self._upto)
            self._deleted += size
            self.first = upto

    def _too_old(self) -> int:
        """The moment before which everything is older than is kept."""
        seconds = self.policy.max_age_seconds
        if seconds is None:
            return 0
        at = self._tx.now - round(seconds * 1_000_000)
        following = self._tx.one("journal_moment", seq=self.floor + 1)
        if following is None or following[1] > at:
            return 0
        return moment_of(self._tx, to_datetime(at))

    def _too_many(self) -> int:
        """The moment after which there are no more changes than are kept."""
        most = self.policy.max_changes
        if most is None:
            return 0
        past = newest(self._tx) - most
        if past <= self.floor:
            return 0
        (moment, *_) = self._tx.one("journal_moment", seq=past) or (0,)
        return int(moment)

    def _lighten(self, most: int) -> None:
        """Weigh what was not weighed yet; give up the oldest until no more is kept."""
        head = newest(self._tx)
        while self._upto < head and not self.over:
            self._upto, size = self._stretch(self._upto, head)
            self._bytes += size
        while self._bytes > most and self.first < head and not self.over:
            upto, size = self._stretch(self.first, head)
            while self._bytes - size < most and upto > self.first + 1:
                upto = (self.first + upto) // 2
                size = self._weight(self.first, upto)
            (moment, *_) = self._tx.one("journal_moment", seq=upto) or (head,)
            self.give_up(int(moment))
            self._delete()

    def _stretch(self, first: int, most: int) -> tuple[int, int]:
        """The end of the changes to be done next, and how much there is up to it."""
        while True:
            upto = min(first + self._stride, most)
            size = self._weight(first, upto)
            if size <= _SLICE_BYTES or upto == first + 1:
                break
            self._stride = max(1, self._stride // 2)
        self._stride = min(2 * self._stride, _CHANGES_AT_MOST)
        self._begun = True
        return upto, size

    def _weight(self, first: int, upto: int) -> int:
        names = ["journal_weight", *(f"{kind}_weight" for kind in self._kinds)]
        rows = [self._tx.one(name, first=first, upto=upto) for name in names]
        return sum(int(row[0]) for row in rows if row)


def _moment_before(tx: Transaction, before: int | datetime) -> int:
    """The newest moment that is no later; 0 if none can be read."""
    if isinstance(before, datetime):
        try:
            return moment_of(tx, min(before, to_datetime(tx.now)))
        except Trimmed:
            return 0
    if before > newest(tx):
        raise Refused(
            f"moment {before} lies ahead, and the newest is {newest(tx)}; nothing was "
            "trimmed"
        )
    (moment, *_) = tx.one("journal_upto", seq=before) or (0,)
    return int(moment)
