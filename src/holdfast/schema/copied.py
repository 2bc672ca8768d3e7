"""Copied: which tables a copy of a store takes along, and the statements it needs.

Answers for: finding each table's key in the text that makes it, and the statements by
which any engine reads a table in the order of that key, and takes rows out of it.
Leaves to others: the order of a copy (`care`), putting rows in (each engine's loader).
Always holds: `store` is not among them: while a copy is made, it says how far it is.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from holdfast.engine import Part
from holdfast.schema.format import ELSEWHERE
from holdfast.schema.statements import TABLES, parse

HISTORY = "change"
_SAYS = "store"
_MADE = re.compile(r"create table (\w+) \((.*?)\n\)", re.DOTALL | re.IGNORECASE)
_KEY = re.compile(r"^\s*primary key \(([\w, ]+)\)", re.MULTILINE | re.IGNORECASE)
_COLUMN = re.compile(r"^\s+(\w+) (?:integer|int|text|blob|real|any)\b", re.MULTILINE)
_KEY_COLUMN = re.compile(r"^\s*(\w+) .*\bprimary key\b", re.MULTILINE | re.IGNORECASE)


class Copied(msgspec.Struct, frozen=True):
    """A table that is copied, and the columns of its key."""

    name: str
    key: tuple[str, ...]
    journalled: bool = False
    image: bool = False
    columns: tuple[str, ...] = ()

    @property
    def appended(self) -> bool:
        """Whether it is history: what is in it stays as it is."""
        return self.image or self.name == HISTORY

    @property
    def images(self) -> str:
        """The table of its rows as they were."""
        return f"was_{self.name}"


def copied(parts: tuple[Part, ...]) -> tuple[Copied, ...]:
    """Every table of a store: the history first, then the records, then the others."""
    tables = list(_tables(parts))
    images = [
        Copied(table.images, ("died",), image=True)
        for table in tables
        if table.journalled
    ]
    return tuple(sorted([*images, *tables], key=_order))


def statements(parts: tuple[Part, ...]) -> Part:
    """What a copy needs beside a store's own statements; it brings no tables."""
    blocks = ["-- tables --\n-- A copy brings no tables of its own.\n", _OWN]
    for table in copied(parts):
        blocks += _reading(table.name, table.key)
        if table.appended:
            blocks.append(_history(table.name, table.key[0]))
        if table.journalled:
            blocks += _changed(table.name)
            blocks.append(_then(table.name, table.columns))
    return Part("copying", "\n".join(blocks), ())


def _order(table: Copied) -> int:
    return (table.name == HISTORY, table.image, table.journalled, True).index(True)


def _tables(parts: Iterable[Part]) -> Iterator[Copied]:
    for part in parts:
        if part.derived or part.beside:  # each store makes its own, or keeps it
            continue
        journalled = {table.name for table in part.tables if table.journalled}
        for name, columns in _MADE.findall(parse(part.sql)[TABLES].text):
            if name != _SAYS:
                key = _KEY.search(columns) or _KEY_COLUMN.search(columns)
                assert key is not None, name
                yield Copied(
                    name,
                    tuple(key[1].split(", ")),
                    name in journalled,
                    columns=tuple(_COLUMN.findall(columns)),
                )


def _reading(name: str, key: tuple[str, ...]) -> Iterator[str]:
    columns = ", ".join(key)
    after = ", ".join(f":after_{column}" for column in key)
    last = ", ".join(f"{column} desc" for column in key)
    yield f"""
-- copy_first_{name} --
-- The first rows of {name}, in the order of its key.
select * from {name} order by {columns} limit :limit
-- copy_next_{name} --
-- Rows of {name} after a place, in the order of its key.
select * from {name} where ({columns}) > ({after}) order by {columns} limit :limit
-- copy_last_{name} --
-- The last place in {name}.
select {columns} from {name} order by {last} limit 1
-- copy_count_{name} --
-- How many rows {name} has.
select count(*) from {name}
-- copy_empty_{name} --
-- Take every row out of {name}.
delete from {name}"""


def _history(name: str, key: str) -> str:
    return f"""
-- copy_cut_{name} --
-- Take out of {name} what is after a place.
delete from {name} where {key} > :after
-- copy_trim_{name} --
-- Take out of {name} what is before a place.
delete from {name} where {key} < :before
-- copy_then_{name} --
-- Rows of {name} that were there at a moment, after a place, in the order of its key.
select * from {name} where {key} > :after and {key} <= :moment
order by {key} limit :limit"""


def _then(name: str, columns: tuple[str, ...]) -> str:
    """A page of what was: of rows that were not touched since, and of images.

    It says `is null` and `no + 0` so that PostgreSQL, for a page, does not read every
    change (as for `not exists`), nor every row that follows.
    """
    now, was = (", ".join(f"{a}.{column}" for column in columns) for a in "tw")
    touched = "select c.seq from change c where c.no = t.no and c.seq > :moment"
    return f"""
-- copy_then_{name} --
-- Rows of {name} as they were at a moment, after a place, in the order of its key.
select * from (
    select * from (select {now} from {name} t
        where t.no > :after and (t.no + 0 <= :moment or t.no + 0 >= {ELSEWHERE})
            and ({touched} and c.op <> 'create' limit 1) is null
            and ({touched} and c.op = 'create' and c.no <> c.seq limit 1) is null
        order by t.no limit :limit) untouched
    union all
    select * from (select {was} from was_{name} w
        where w.no > :after and w.died > :moment and w.born <= :moment
        order by w.no limit :limit) since) found
order by no limit :limit"""


def _changed(name: str) -> Iterator[str]:
    which = (
        "select c.no from change c where c.seq > :after and c.seq <= :upto "
        f"and c.kind = '{name}'"
    )
    yield f"""
-- copy_changed_{name} --
-- The rows of {name} that some changes name, as they are now.
select * from {name} where no in ({which})
-- copy_drop_{name} --
-- Take out of {name} the rows that some changes name.
delete from {name} where no in ({which})"""


_OWN = """
-- copy_said --
-- What a store says of itself.
select name, value from store
-- copy_say --
-- Have a store say something of itself.
insert into store (name, value) values (:name, :value)
on conflict (name) do update set value = excluded.value
-- copy_oldest --
-- The oldest change.
select seq from change order by seq limit 1
-- copy_unswept_sessions --
-- Remember messages that may be out of sight: in a line of which no session has all, or
-- which several share.
insert into leftover (kind, no, below)
select 'sessions', l.line, l.last + 1 from (
    select m.session as line, min(m.position) as first, max(m.position) as last
    from message m group by m.session) l
where (select max(g.no) from segment g where g.source = l.line) is not null
    or (select s.no from session s where s.no = l.line and s.line is null
        and s.first <= l.first) is null
    and (select max(s.no) from session s where s.line = l.line
        and s.first <= l.first) is null
-- copy_unswept_marks --
-- Remember marks whose session is gone.
insert into leftover (kind, no, below)
select 'sessions', k.session, 1 from mark k
where (select s.no from session s where s.no = k.session) is null group by k.session
on conflict (kind, no) do nothing
-- copy_unswept_tasks --
-- Remember lines of logs whose task is gone.
insert into leftover (kind, no, below)
select 'tasks', g.task, max(g.position) + 1 from task_log g
where (select t.no from task t where t.no = g.task) is null group by g.task
-- copy_unswept_agents --
-- Remember links whose agent is gone.
insert into leftover (kind, no, below)
select 'agents', l.agent, 1 from agent_link l
where (select a.no from agent a where a.no = l.agent) is null group by l.agent
-- copy_unswept_threads --
-- Remember checkpoints and values whose thread is gone.
insert into leftover (kind, no, below)
select 'threads', h.thread, 1 from (
    select k.thread from checkpoint k union select v.thread from channel_value v) h
where (select t.no from thread t where t.no = h.thread) is null
-- copy_unswept_jobs --
-- Remember steps and signals whose job is gone.
insert into leftover (kind, no, below)
select 'jobs', s.job, 1 from (
    select p.job from job_step p union select g.job from job_signal g) s
where (select j.no from job j where j.no = s.job) is null
-- copy_schedules_due --
-- Have it counted anew when schedules are due, by who looks first.
insert into schedule_due (no, owner, next_at)
select s.no, s.owner, 0 from schedule s
where s.paused = 0 and (
    select d.no from schedule_due d where d.owner = s.owner and d.no = s.no) is null
-- copy_unsay --
-- Have a store say something no more.
delete from store where name = :name
-- copy_still --
-- Whether a copy is still the one that was begun last; keeps others waiting.
update store set value = value where name = 'copying_run' and value = :run"""
