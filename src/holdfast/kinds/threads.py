"""Threads: what frameworks that run step by step keep between two steps.

Answers for: checkpoints, by namespace and id; what tasks wrote after a checkpoint;
which ones are copied, and which are not needed.
Leaves to others: what a value or a state says (`integrations`), keeping each value once
and what goes with a checkpoint (`thread_rows`), what all look like (`thread_records`).
Always holds: a checkpoint has the values that it was put with, whatever is dropped
beside it; one of which only writes are known is not shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Id, Object, PageSize, Text, Value
from holdfast.engine import Row, Table
from holdfast.errors import AlreadyExists, NotFound
from holdfast.guarantees import Promise
from holdfast.kinds import thread_rows
from holdfast.kinds.thread_records import (
    Channels,
    ChannelValue,
    Checkpoint,
    Dropped,
    Ids,
    Indexed,
    Renamed,
    Thread,
    Values,
    WriteDraft,
    Writes,
    thread_of,
)
from holdfast.page import Page, cursor_of, place_of

_ALL = 2**62
_SWEPT_AT_ONCE = 1_000
_LAST = "\U0010ffff"
"""Past every id."""


class Threads(Kind):
    """Threads and their checkpoints; each call is a transaction, or part of one."""

    name = "threads"
    promise = Promise.DURABLE
    why = "a graph goes on from its last step, and does none twice"
    changed_by = "a framework's checkpointer: put, put_writes, prune"
    leased = False
    tables = (
        Table("thread"),
        Table(
            "checkpoint",
            json=("state", "held", "metadata"),
            parent=("thread", "thread"),
        ),
        Table("checkpoint_write", parent=("checkpoint", "checkpoint")),
        Table("channel_value", parent=("thread", "thread")),
    )

    @operation
    def put(
        self,
        id: Id,
        checkpoint: Id,
        *,
        ns: Indexed = "",
        parent: Id | None = None,
        state: Value = None,
        values: Values | None = None,
        metadata: Object = None,
        run: Indexed | None = None,
        note: Text | None = None,
    ) -> bool:
        """Keep a checkpoint of a thread, which begins with its first one.

        `values` has for each channel a dict of `type` and `body`, both of them text;
        a value that the thread has already is not kept again. `note` is whatever its
        writer wants to be told when it goes. One that is there by the same id is
        replaced; True if there was none.
        """
        thread, no = self._place(id, ns, checkpoint)
        values = values or {}
        held: thread_rows.Held = {
            name: thread_rows.held_as(value) for name, value in values.items()
        }
        thread_rows.keep(self.tx, thread, held, values)
        self.tx.put(
            "checkpoint_add" if no is None else "checkpoint_put",
            **({"thread": thread, "ns": ns, "id": checkpoint} if no is None else {}),
            no=self.tx.new_no() if no is None else no,
            owner=self.owner,
            parent=parent,
            run=run,
            now=self.tx.now,
            state=codec.document(state).text,
            held=codec.document(held).text,
            metadata=codec.document(metadata or {}).text,
            note=note,
        )
        return no is None

    @operation
    def put_writes(
        self,
        id: Id,
        checkpoint: Id,
        task: Indexed,
        writes: Writes,
        *,
        ns: Indexed = "",
        path: Text = "",
    ) -> int:
        """Keep what a task wrote after a checkpoint; how many of it were new.

        Each write is a dict of `index`, `channel`, `type` and `body`. One that is there
        by the same task and index stays as it is; below index 0 it is replaced. The
        checkpoint may be put later.
        """
        thread, no = self._place(id, ns, checkpoint)
        known: dict[int, int] = {}
        if no is None:
            no = self._announce(thread, ns, checkpoint)
        else:
            where = {"owner": self.owner, "checkpoint": no, "task": task}
            known = dict(self.tx.all("write_known", **where))
        added = 0
        drafts: Sequence[WriteDraft] = tuple(writes)  # type: ignore[arg-type]
        for draft in drafts:
            index = draft.index
            said = {
                "path": path,
                "channel": draft.channel,
                "type": draft.type,
                "body": draft.body,
            }
            if index not in known:
                added += 1
                place = {"checkpoint": no, "task": task, "idx": index}
                known[index] = self.tx.new_no()
                own = {"no": known[index], "owner": self.owner}
                self.tx.put("write_add", **own, **place, **said)
            elif index < 0:
                own = {"no": known[index], "owner": self.owner}
                self.tx.put("write_put", **own, **said)
        return added

    @query
    def get(self, id: Id) -> Thread:
        """One thread, without its checkpoints. Raises `NotFound`."""
        return thread_of(self._thread(id))

    @query
    def list(self, *, limit: PageSize = 50, cursor: str | None = None) -> Page[Thread]:
        """Threads, newest first."""
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        rows = self.tx.all(
            "thread_list",
            owner=self.owner,
            before_at=before[0],
            before_no=before[1],
            limit=limit + 1,
        )
        more = len(rows) > limit and cursor_of(rows[limit - 1][3], rows[limit - 1][0])
        return Page(map(thread_of, rows[:limit]), more or None)

    @query
    def checkpoint(
        self, id: Id, checkpoint: Id | None = None, *, ns: Text = ""
    ) -> Checkpoint:
        """One checkpoint of a thread (the newest, by its id), with what it holds.

        Raises `NotFound`.
        """
        thread = self._thread(id)[0]
        where = {"owner": self.owner, "thread": thread, "ns": ns}
        if checkpoint is None:
            row = self.tx.one("checkpoint_last", **where)
        else:
            row = self.tx.one("checkpoint_get", **where, id=checkpoint)
        if row is None:
            raise NotFound("checkpoint", checkpoint or "(the newest)")
        (found,) = thread_rows.shown(self.tx, id, thread, [row])
        return found

    @query
    def checkpoints(
        self,
        id: Id,
        *,
        ns: Text | None = None,
        before: Id | None = None,
        where: Object = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Checkpoint]:
        """Checkpoints of a thread by their ids, newest first, of one namespace or all.

        `where` names what their metadata has to have; then a page may be shorter than
        `limit`, and even empty, while its cursor leads on. Raises `NotFound`.
        """
        thread = self._thread(id)[0]
        last, last_ns = (before or _LAST, "")
        if cursor is not None:
            last, last_ns = (str(part) for part in place_of(cursor, str, str))
        asked = {"owner": self.owner, "thread": thread, "limit": limit + 1}
        if ns is None:
            name, place = "checkpoint_page_all", {"before_ns": last_ns}
        else:
            name, place = "checkpoint_page", {"ns": ns}
        rows = self.tx.all(name, **asked, **place, before=last)
        more = len(rows) > limit and cursor_of(rows[limit - 1][2], rows[limit - 1][1])
        wanted = codec.value_of(where) or {}
        chosen = [row for row in rows[:limit] if _has(codec.decode(row[8]), wanted)]
        return Page(thread_rows.shown(self.tx, id, thread, chosen), more or None)

    @query
    def newest(self, id: Id) -> tuple[Checkpoint, ...]:
        """The newest checkpoint of each namespace. Raises `NotFound`."""
        thread = self._thread(id)[0]
        where = {"owner": self.owner, "thread": thread}
        spaces = [""]
        while row := self.tx.one("checkpoint_ns_next", **where, after=spaces[-1]):
            spaces.append(row[0])
        found = self.tx.each("checkpoint_last", [{**where, "ns": ns} for ns in spaces])
        last = [row for rows in found for row in rows]
        return tuple(thread_rows.shown(self.tx, id, thread, last))

    @query
    def ancestry(
        self, id: Id, checkpoint: Id, channels: Channels, *, ns: Text = ""
    ) -> tuple[Checkpoint, ...]:
        """The checkpoints that led to one, the nearest first.

        As far back as it takes for each of the channels to have a value in one of them;
        with their values and writes. Raises `NotFound`.
        """
        thread = self._thread(id)[0]
        where = {"owner": self.owner, "thread": thread, "ns": ns}
        row = self.tx.one("checkpoint_get", **where, id=checkpoint)
        if row is None:
            raise NotFound("checkpoint", checkpoint)
        missing, rows, seen = set(channels), [], {checkpoint}
        while missing and row[3] is not None and row[3] not in seen:
            seen.add(row[3])
            row = self.tx.one("checkpoint_get", **where, id=row[3])
            if row is None:
                break
            rows.append(row)
            missing -= codec.decode(row[7]).keys()
        return tuple(thread_rows.shown(self.tx, id, thread, rows))

    @query
    def notes(self, id: Id) -> tuple[str, ...]:
        """The notes that a thread's checkpoints have, each once. Raises `NotFound`."""
        where = {"owner": self.owner, "thread": self._thread(id)[0]}
        found = self.tx.all("checkpoint_notes", **where)
        return tuple(sorted({note for (note,) in found}))

    @operation
    def copy(self, id: Id, to: Id, *, notes: Renamed = None) -> Thread:
        """Copy a thread: its checkpoints by the same ids, their values and writes.

        `notes` says which notes the copies have instead of others. Raises `NotFound`,
        `AlreadyExists` (the thread to copy to).
        """
        self.lock(to)
        thread = self._thread(id)[0]
        if self.tx.one("thread_get", owner=self.owner, id=to) is not None:
            raise AlreadyExists("thread", to)
        made, notes = self._begin(to), notes or {}
        where = {"owner": self.owner, "thread": thread}
        for digest, *value in self.tx.all("value_whole", **where):
            thread_rows.add_value(self.tx, made, digest, ChannelValue(*value))
        rows = self.tx.all("checkpoint_whole", **where)
        asked = [{"owner": self.owner, "checkpoint": row[0]} for row in rows]
        writes = self.tx.each("write_list", asked)
        for row, written in zip(rows, writes, strict=True):
            thread_rows.copy(self.tx, made, row, written, notes)
        return self.get(to)

    @operation
    def delete(self, id: Id) -> bool:
        """Delete a thread; True only if there was one.

        What it has is out of sight at once; if it is much, it is deleted by and by.
        """
        row = self.tx.one("thread_get", owner=self.owner, id=id)
        if row is None:
            return False
        self.tx.put("thread_drop", owner=self.owner, no=row[0])
        if thread_rows.sweep(self.tx, row[0], _SWEPT_AT_ONCE):
            self.tx.put("leftover_add", kind=self.name, no=row[0], below=_ALL)
            self.tx.untidy()
        return True

    @operation
    def delete_runs(self, runs: Channels) -> Dropped:
        """Delete the checkpoints of some runs, in whatever threads they are."""
        chosen = set(runs)
        asked = [{"owner": self.owner, "run": run} for run in sorted(chosen)]
        found = self.tx.each("checkpoint_of_run", asked)
        count, notes = 0, set[str]()
        for id in sorted({id for rows in found for (id,) in rows}):
            self.lock(id)
            row = self.tx.one("thread_get", owner=self.owner, id=id)
            if row is not None:
                dropped = thread_rows.drop(
                    self.tx, row[0], lambda found: found[5] not in chosen
                )
                count += dropped.checkpoints
                notes.update(dropped.notes)
        return Dropped(checkpoints=count, notes=tuple(sorted(notes)))

    @operation
    def prune(self, id: Id, keep: Ids, *, limit: Count | None = None) -> Dropped:
        """Delete all checkpoints of a thread but those of these ids.

        In every namespace, with their writes, and with values that no other one has.
        With `limit` at most so many, the oldest first, then at most so many values: so
        that others wait less long. The answer says whether there is more.
        """
        kept = set(keep)
        row = self.tx.one("thread_get", owner=self.owner, id=id)
        if row is None:
            return Dropped(checkpoints=0, notes=())
        return thread_rows.drop(self.tx, row[0], lambda found: found[2] in kept, limit)

    def tidy(self, limit: int) -> bool:
        """Delete what threads had that were deleted."""
        row = self.tx.one("leftover_next", kind=self.name)
        if row is None:
            return False
        if not thread_rows.sweep(self.tx, row[0], limit):
            self.tx.put("leftover_done", kind=self.name, no=row[0])
        return True

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many threads and checkpoints the owner has, and the latters' bytes."""
        (threads,) = self.tx.one("thread_count", owner=self.owner) or (0,)
        count, size = self.tx.one("thread_usage", owner=self.owner) or (0, 0)
        return {"thread": (threads, 0), "checkpoint": (count, size)}

    def _thread(self, id: str) -> Row:
        row = self.tx.one("thread_get", owner=self.owner, id=id)
        if row is None:
            raise NotFound("thread", id)
        return row

    def _place(self, id: str, ns: str, checkpoint: str) -> Row:
        """The numbers of a thread, begun if need be, and of a checkpoint, if any."""
        where = {"owner": self.owner, "id": id, "ns": ns, "checkpoint": checkpoint}
        return self.tx.one("checkpoint_known", **where) or (self._begin(id), None)

    def _begin(self, id: str) -> int:
        no = self.tx.new_no()
        self.tx.put("thread_add", no=no, owner=self.owner, id=id, now=self.tx.now)
        return no

    def _announce(self, thread: int, ns: str, checkpoint: str) -> int:
        """A row for a checkpoint that only writes are known of so far."""
        no = self.tx.new_no()
        self.tx.put(
            "checkpoint_add",
            no=no,
            owner=self.owner,
            thread=thread,
            ns=ns,
            id=checkpoint,
            parent=None,
            run=None,
            now=self.tx.now,
            state=None,
            held="{}",
            metadata="{}",
            note=None,
        )
        return no


def _has(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(
        key in metadata and metadata[key] == value for key, value in wanted.items()
    )
