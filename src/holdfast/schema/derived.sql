-- tables --
-- How far each derived index has come with each table that feeds it. It is no state: an
-- index is made again from the rows where this says nothing of it. `source` names the
-- table, and the columns that were taken. `place` says how far, while that is being done.
create table derived (
    name text not null,
    source text not null,
    version integer not null,
    cursor integer not null,
    place integer,
    primary key (name, source)
) strict, without rowid;

-- derived_state --
-- The newest change, the last one that was trimmed, and how far an index has come with
-- each table; with none, if it was not begun.
select (select max(c.seq) from change c), cast(s.value as bigint),
    d.source, d.version, d.cursor, d.place
from store s left join derived d on d.name = :name where s.name = 'journal_floor'

-- derived_put --
-- Say how far an index has come with a table.
insert into derived (name, source, version, cursor, place)
values (:name, :source, :version, :cursor, :place)
on conflict (name, source) do update set version = excluded.version,
    cursor = excluded.cursor, place = excluded.place

-- derived_drop --
-- Have an index made again, by whoever asks it next.
delete from derived where name = :name

-- derived_changes --
-- Which rows were changed after a place, in order.
select seq, kind, no, op from change where seq > :after order by seq limit :limit
