-- tables --
-- What the store says of itself: its id, its format, who may use it.
create table store (
    name text primary key,
    value text not null
) strict, without rowid;
-- The migrations that were run, of each kind.
create table migration (
    kind text not null,
    version integer not null,
    at integer not null,
    primary key (kind, version)
) strict, without rowid;
-- Every change of every journalled row, in one order; written by triggers. The last
-- change of a transaction is its moment, and alone says when, who and why.
create table change (
    seq integer primary key,
    kind text not null,
    owner text not null,
    no integer not null,
    op text not null,
    at integer,
    origin text,
    actor text,
    cause text
) strict;
create index change_no on change (no, seq) where op <> 'create';
create index change_made on change (no, seq) where op = 'create' and no <> seq;
-- How far each named follower has come.
create table follower (
    owner text not null,
    name text not null,
    cursor integer not null,
    updated_at integer not null,
    primary key (owner, name)
) strict, without rowid;
-- What `run(…, once=key)` gave, for all time.
create table once (
    owner text not null,
    key text not null,
    result text not null,
    at integer not null,
    primary key (owner, key)
) strict, without rowid;
-- Rows that are out of sight and still to be deleted, in slices.
create table leftover (
    kind text not null,
    no integer not null,
    below integer not null,
    primary key (kind, no)
) strict, without rowid;

-- journal_head --
-- The newest change (also one made from outside, which no moment has yet), the time of
-- the newest moment, and the oldest format that may still write.
select (select max(seq) from change),
    (select at from change where at is not null order by seq desc limit 1),
    (select value from store where name = 'writes_from')

-- format_short --
-- Whether those may still write who do not know a version of the tables.
select 1 from store
where name = 'writes_from' and cast(value as integer) < cast(:format as integer)

-- format_needed --
-- Keep away who does not know a version of the tables, of which use is made by now.
update store set value = cast(cast(:format as integer) as text)
where name in ('reads_from', 'writes_from')
    and cast(value as integer) < cast(:format as integer)

-- journal_last --
-- The newest change.
select max(seq) from change

-- journal_newest --
-- The newest moment; no row if nothing was ever written.
select seq from change where at is not null order by seq desc limit 1

-- journal_moment --
-- The moment that a change belongs to: when, who and why.
select seq, at, origin, actor, cause from change
where seq >= :seq and at is not null order by seq limit 1

-- journal_at --
-- One change.
select seq, kind, owner, no, op, at, origin, actor, cause from change where seq = :seq

-- journal_later --
-- Whether a row was changed again after a change, up to a moment.
select 1 from change
where no = :no and op <> 'create' and seq > :seq and seq <= :upto limit 1

-- journal_stamp --
-- Make the last change of a transaction its moment: say when, who and why.
update change set at = :at, origin = :origin, actor = :actor, cause = :cause
where seq = :seq

-- journal_floor --
-- The oldest moment that can be read; 0 if nothing was trimmed.
select cast(value as bigint) from store where name = 'journal_floor'

-- journal_upto --
-- The newest moment that is no later than a place.
select seq, at from change
where seq <= :seq and at is not null order by seq desc limit 1

-- journal_reach --
-- How far the journal reaches: the oldest change that is there, the oldest moment that
-- can be read, what is to be kept, and what was weighed.
select (select seq from change order by seq limit 1),
    (select cast(value as bigint) from store where name = 'journal_floor'),
    (select value from store where name = 'journal_keep'),
    (select value from store where name = 'journal_weighed')

-- journal_weight --
-- About how many bytes some changes take, without their images.
select coalesce(sum(48 + octet_length(kind) + octet_length(owner)
    + coalesce(octet_length(actor), 0) + coalesce(octet_length(cause), 0)), 0)
from change where seq >= :first and seq < :upto

-- journal_trim --
-- Delete some changes.
delete from change where seq >= :first and seq < :upto

-- journal_counts --
-- How many changes of each kind there are, and how many of them left an image.
select kind, count(*), sum(case when op = 'create' then 0 else 1 end)
from change group by kind

-- journal_sizes --
-- How many bytes the journal and each table of images take, with their indexes.
select s.tbl_name, sum(d.pgsize) from sqlite_schema s
cross join dbstat d on d.name = s.name and d.aggregate = 1
where s.tbl_name = 'change' or s.tbl_name like 'was\_%' escape '\'
group by s.tbl_name

-- store_say --
-- Have the store say something of itself.
insert into store (name, value) values (:name, :value)
on conflict (name) do update set value = excluded.value

-- journal_page --
-- Changes after a place, in order (of one owner, if given).
select seq, kind, owner, no, op, at, origin, actor, cause from change
where seq > :after and (cast(:owner as text) is null or owner = :owner)
order by seq limit :limit

-- follower_get --
-- How far a named follower has come.
select cursor from follower where owner = :owner and name = :name

-- follower_put --
-- Say how far a named follower has come.
insert into follower (owner, name, cursor, updated_at)
values (:owner, :name, :cursor, :now)
on conflict (owner, name) do update
set cursor = excluded.cursor, updated_at = excluded.updated_at

-- once_get --
-- What a keyed run gave, if it was run.
select result from once where owner = :owner and key = :key

-- once_put --
-- Keep what a keyed run gave.
insert into once (owner, key, result, at) values (:owner, :key, :result, :now)

-- leftover_add --
-- Remember rows that are out of sight and still to be deleted.
insert into leftover (kind, no, below) values (:kind, :no, :below)
on conflict (kind, no) do update set below = excluded.below

-- leftover_next --
-- One lot of rows of a kind that is still to be deleted.
select no, below from leftover where kind = :kind limit 1

-- leftover_done --
-- Forget a lot of which nothing is left.
delete from leftover where kind = :kind and no = :no

-- leftover_any --
-- Whether any row is still to be deleted.
select 1 from leftover limit 1
