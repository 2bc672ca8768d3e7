"""Shown: kinds as a store shows them, with what spans many transactions.

Answers for: what `store.sessions`, `store.tasks` and `store.journal` can do beside
their kinds' own operations.
Leaves to others: how it is done (`runtime/`), the store itself (`store`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdfast import edges
from holdfast.changes import Change
from holdfast.contract import Kind
from holdfast.journal import Journal, names_of, refuse_across, refuse_past
from holdfast.kinds.agents import Agents
from holdfast.kinds.checkpoints import Checkpoints
from holdfast.kinds.events import Events
from holdfast.kinds.inbox import Inbox
from holdfast.kinds.index import Index
from holdfast.kinds.jobs import Jobs
from holdfast.kinds.observations import Observations
from holdfast.kinds.sessions import Sessions
from holdfast.kinds.state import State
from holdfast.kinds.tasks import Tasks
from holdfast.kinds.toolsets import Toolsets
from holdfast.retention import JournalStats, Policy, Reach, kept
from holdfast.runtime.agents.shown import StoreAgents
from holdfast.runtime.cache.overviews import OverviewedSessions
from holdfast.runtime.cache.toolsets import StoreToolsets
from holdfast.runtime.checkpoints.shown import StoreCheckpoints
from holdfast.runtime.events.shown import StoreEvents
from holdfast.runtime.following import Follower, follow
from holdfast.runtime.index.shown import StoreIndex
from holdfast.runtime.jobs.processing import (
    HANDLER_SECONDS,
    Handler,
    Processed,
    process,
)
from holdfast.runtime.jobs.results import result
from holdfast.runtime.leases.working import Work, work
from holdfast.runtime.observations.shown import StoreObservations
from holdfast.runtime.sessions.replying import Reply, replying
from holdfast.runtime.sessions.talking import Draft, Talk
from holdfast.runtime.state.shown import StoreState
from holdfast.runtime.transfer.admission import SessionsReport
from holdfast.runtime.transfer.exporting import ExportReport, Place, export_sessions
from holdfast.runtime.transfer.importing import import_sessions
from holdfast.searching.hits import Hit

if TYPE_CHECKING:
    from holdfast.store import Store

HITS = 20
"""How many hits a search gives, unless told."""
_WORK_SECONDS = 30.0
_classes: dict[type[Kind], type[Any]] = {}


def shown(kind: type[Kind]) -> type[Any]:
    """The class by which a store shows a kind: with what spans transactions."""
    if kind not in _classes:
        _classes[kind] = _make(kind)
    return _classes[kind]


def _make(kind: type[Kind]) -> type[Any]:
    more: dict[type[Kind], type[Any]] = {
        Sessions: StoreSessions,
        Agents: StoreAgents,
        Checkpoints: StoreCheckpoints,
        Events: StoreEvents,
        Inbox: StoreInbox,
        Index: StoreIndex,
        Jobs: StoreJobs,
        Tasks: StoreTasks,
        Journal: StoreJournal,
        Observations: StoreObservations,
        Toolsets: StoreToolsets,
        State: StoreState,
    }
    for plain, ours in more.items():
        if issubclass(kind, ours):
            return kind
        if issubclass(kind, plain):
            own = type(kind.__name__, (ours, kind), {"__doc__": kind.__doc__})
            return ours if kind is plain else own
    return kind


class StoreSessions(OverviewedSessions):
    """Sessions as a store shows them: with what spans many transactions."""

    _target: "Store"

    def search(self, query: str, *, limit: int = HITS) -> tuple[Hit, ...]:
        """Messages, and sessions by their titles, as `store.search` finds them."""
        return self._target.search(query, kinds=[self.name], limit=limit)

    def export_to(
        self, target: Place, *, id: str | Iterable[str] | None = None
    ) -> ExportReport:
        """Write sessions to a path or a binary file: those named, or every one.

        All of it is of one moment, which is read page by page. A path has the new file
        once all of it is on the disk, for its owner's eyes only. `import_from` takes
        it in. Raises `NotFound`, `CannotOpen`, `StorageFull`.
        """
        return export_sessions(self._target, target, id)

    def import_from(
        self,
        source: Place,
        *,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> SessionsReport:
        """Take in what `export_to` wrote, or `render(id, "json")`, with ids and times.

        A session that is there is given the messages that it lacks at its end; one
        that has other messages is left as it is, and told of in the report. Twice adds
        nothing, and a run that broke off is finished by the next. `on_progress` is
        told the bytes read, the bytes to read, and the messages that are in. Raises
        `BrokenFile`, or what else is wrong with a record of the file, with nothing
        written, and `CannotOpen`.
        """
        return import_sessions(self._target, source, on_progress)

    def load(self, id: str) -> Talk:
        """A session in hand: `send`, `get_messages`, `reply`. Raises `NotFound`."""
        return Talk(self._target, self.get(id))

    def draft(
        self,
        title: str = "",
        *,
        id: str | None = None,
        parent: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] = (),
        max_context_messages: int | None = None,
    ) -> Talk:
        """A new session in hand, which is in memory until its `save`, and lost before.

        Takes what `create` does; a parent is looked for by `save`.
        """
        memory = self._target._in_memory()  # noqa: SLF001
        draft = Draft(memory, self._target, parent)
        session = memory.sessions.create(
            title,
            id=id,
            metadata=metadata,
            tags=tags,
            max_context_messages=max_context_messages,
        )
        return Talk(memory, session, draft)

    @contextmanager
    def reply(
        self,
        id: str,
        role: str = "assistant",
        *,
        metadata: dict[str, Any] | None = None,
        message_id: str | None = None,
    ) -> Iterator[Reply]:
        """A message that grows as its pieces come: `reply.add(delta)`.

        It takes its place now. What came is in the store within a second, marked as
        partial, and becomes whole when the block ends; a block that raises leaves it
        partial. With the `message_id` of a partial one, it goes on with that. Raises as
        `begin_reply` and `end_reply` do.
        """
        message = self.begin_reply(id, role, message_id=message_id, metadata=metadata)
        with replying(self._target, message) as handle:
            yield handle


class StoreTasks(Tasks):
    """Tasks as a store shows them: with `work`, which spans many transactions."""

    _target: "Store"

    @contextmanager
    def work(
        self, id: str, *, seconds: float = _WORK_SECONDS, holder: str | None = None
    ) -> Iterator[Work]:
        """Work on a task under a lease, which is renewed for as long as the block runs.

        Starts the task, or takes over one whose holder died. A block that raises an
        `Exception` fails the task; one that is interrupted, or ends without finishing
        it, leaves it in progress for another. Raises `NotFound`, `Held` (somebody else
        works on it), `Refused` (it is finished); a write after the lease was lost is
        `Fenced`.
        """
        store = self._target
        with (
            store.lease("tasks", id, holder=holder, seconds=seconds) as lease,
            work(lease, id, seconds) as handle,
        ):
            yield handle


class StoreInbox(Inbox):
    """The inbox as a store shows it: with `process`, which spans many transactions."""

    _target: "Store"

    def process(
        self,
        to: str,
        handler: Handler,
        *,
        limit: int | None = None,
        max_attempts: int = 3,
        timeout_seconds: float = HANDLER_SECONDS,
    ) -> Processed:
        """Give messages to `handler(tx, message)`, in order, until none is pending.

        Each is marked as processed in the transaction of what the handler does through
        `tx`: after a crash, both are there or neither. A handler that raises has done
        nothing; its message is tried so many times, then set aside with the error, and
        the next one goes on. At most `limit` are processed or set aside. Any number of
        threads and processes may process one inbox at once: one message at a time is
        in hand. Raises `Held`, `Busy` or `TimedOut` (another kept it for too long),
        `Refused` (inside a transaction), and what is wrong with the store itself, which
        counts as no attempt.
        """
        return process(
            self._target,
            to,
            handler,
            limit=limit,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
        )


class StoreJobs(Jobs):
    """Jobs as a store shows them: with `result`, which waits."""

    _target: "Store"

    def result(self, id: str, *, timeout_seconds: float | None = None) -> Any:
        """What a job gives, once some worker has done it; waits for that.

        Raises `NotFound`, `Refused` (it is dead, or cancelled), `TimedOut` (it is not
        done by then; it goes on all the same).
        """
        core = self._target._core  # noqa: SLF001
        core.refuse_inside("jobs.result")
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", core.limits)
        return result(lambda: self.get(id), core.engine, seconds)


class StoreJournal(Journal):
    """The journal as a store shows it: with iterators that wait for more."""

    _target: "Store"

    def follow(
        self,
        after: int | None = None,
        *,
        kinds: Iterable[str] | None = None,
        id: str | None = None,
    ) -> Iterator[Change]:
        """Changes after a `seq` (None: from now on), then those to come, as they come.

        Other processes' commits are seen within 50 ms. Ends when the store is closed.
        Raises `Trimmed`, `Refused` (a store as of a moment: no more comes).
        """
        refuse_past(self._target._terms.moment)  # noqa: SLF001
        start = self.head() if after is None else after
        core = self._target._core  # noqa: SLF001
        names = None if kinds is None else names_of(kinds, "kinds", core.limits)
        return follow(
            lambda place: self.stretch(place, kinds=names, id=id),
            start,
            core.engine,
        )

    def follower(self, name: str) -> Follower:
        """A follower that keeps its place in the journal with its effects.

        Raises `Refused` across owners: its place and its effects are one owner's; and
        for a store as of a moment.
        """
        refuse_across(self.all_owners)
        refuse_past(self._target._terms.moment)  # noqa: SLF001
        return Follower(name, self._target)

    def keep(
        self,
        *,
        max_age_seconds: float | None = None,
        max_changes: int | None = None,
        max_bytes: int | None = None,
    ) -> Policy:
        """Keep so much of the past from here on, and no more; without limits: all.

        Kept in the store, for every process. What passes a limit is given up while the
        store is written to, and when it is opened. Raises `Refused` for one owner's
        store: the past is everyone's.
        """
        core = self._target._core  # noqa: SLF001
        work = core.policy(max_age_seconds, max_changes, max_bytes)
        return self._target._run_store(work)  # noqa: SLF001

    def policy(self) -> Policy:
        """How much of its past the store keeps. Raises `Refused` as `keep` does."""
        return self._target._run_store(kept, reads=True)  # noqa: SLF001

    def trim(self, before: int | datetime | str | None = None) -> Reach:
        """Give up the past before a moment, or before a time; None: as the policy says.

        The moment itself can be read from then on, and nothing older. What was before
        is deleted in slices: some now, the rest while the store is open; `left` says
        how much that is, and another call does the next slice. Raises `Refused` (the
        moment lies ahead; one owner's store).
        """
        work = self._target._core.trimming(before)  # noqa: SLF001
        return self._target._run_store(work)  # noqa: SLF001

    def stats(self) -> JournalStats:
        """What the past costs, in changes and bytes. Reads all of it.

        Raises `Refused` as `keep` does.
        """
        work = self._target._core.journal_stats  # noqa: SLF001
        return self._target._run_store(work, reads=True)  # noqa: SLF001
