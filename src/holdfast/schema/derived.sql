-- tables --
-- How far each derived index has come. It is no state: an index is made again from the
-- rows where this says nothing of it. `place` says how far, while that is being done.
create table derived (
    name text primary key,
    version integer not null,
    cursor integer not null,
    place text
) strict, without rowid;

-- derived_state --
-- The newest change, the last one that was trimmed, and how far an index has come.
select (select max(c.seq) from change c),
    (select cast(s.value as bigint) from store s where s.name = 'journal_floor'),
    (select d.version from derived d where d.name = :name),
    (select d.cursor from derived d where d.name = :name),
    (select d.place from derived d where d.name = :name)

-- derived_put --
-- Say how far an index has come.
insert into derived (name, version, cursor, place)
values (:name, :version, :cursor, :place)
on conflict (name) do update set version = excluded.version,
    cursor = excluded.cursor, place = excluded.place

-- derived_drop --
-- Have an index made again, by whoever asks it next.
delete from derived where name = :name

-- derived_changes --
-- Which rows were changed after a place, in order.
select seq, kind, no, op from change where seq > :after order by seq limit :limit
