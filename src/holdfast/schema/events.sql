-- tables --
-- What happened, by time: `at` rises within what one writer (an open store) wrote, so
-- that both together are an event's own. `data` is JSON text.
create table event (
    owner text not null,
    at integer not null,
    writer integer not null,
    name text not null,
    level text not null,
    source text,
    session text,
    correlation text,
    data text,
    primary key (owner, at, writer)
) strict, without rowid;
create index event_name on event (owner, name, at, writer);
create index event_session on event (owner, session, at, writer)
    where session is not null;
create index event_correlation on event (owner, correlation, at, writer)
    where correlation is not null;
-- How far each writer's events are here, and when that was said, by the clock that is
-- ahead of all others: those who follow it go by that.
create table event_writer (
    writer integer primary key,
    newest integer not null,
    written_at integer not null
) strict;
create index event_writer_written on event_writer (written_at);
-- How many events each minute has, and about how many bytes.
create table event_minute (
    minute integer primary key,
    events integer not null,
    bytes integer not null
) strict;
-- What is kept: for how long, and how much.
create table event_setting (
    name text primary key,
    value integer not null
) strict, without rowid;
-- Which events an observation saw.
create table event_observed (
    owner text not null,
    observation text not null,
    at integer not null,
    writer integer not null,
    primary key (owner, observation, at, writer)
) strict, without rowid;
-- By a sum, which only the sweep asks for: a planner is not to look through what all
-- observations saw for what one of them did.
create index event_observed_old on event_observed ((at + 0));

-- event_fields --
-- What an event's record is made of.
select e.at, e.owner, e.name, e.level, e.source, e.session, e.correlation, e.data,
    e.writer

-- event_add --
-- Keep events that one writer brings, each once; a JSON list of lists has their fields.
insert into event (owner, at, writer, name, level, source, session, correlation, data)
select b.value ->> 1, b.value ->> 0, :writer, b.value ->> 2, b.value ->> 3,
    b.value ->> 4, b.value ->> 5, b.value ->> 6, b.value ->> 7
from json_each(:batch) b where true
on conflict do nothing

-- event_writer_add --
-- Take a writer's number, if nobody has it.
insert into event_writer (writer, newest, written_at) values (:writer, 0, 0)
on conflict (writer) do nothing

-- event_come --
-- Say how far a writer's events are here, at no earlier a time than anyone before.
insert into event_writer (writer, newest, written_at)
values (:writer, :newest,
    max(:now, coalesce((select max(w.written_at) from event_writer w), 0)))
on conflict (writer) do update set newest = excluded.newest,
    written_at = excluded.written_at

-- event_told --
-- Tell those who listen; where they look by themselves, there is nothing to do.
select 1

-- event_writers --
-- How far the events are here of those writers who brought some since a time.
select writer, newest, written_at from event_writer where written_at >= :since

-- event_newest --
-- How far one writer's events are here.
select newest from event_writer where writer = :writer

-- event_counted --
-- Count what was added in a minute.
insert into event_minute (minute, events, bytes) values (:minute, :events, :bytes)
on conflict (minute) do update set events = event_minute.events + excluded.events,
    bytes = event_minute.bytes + excluded.bytes

-- event_after --
-- Events after a place in time, in order.
{event_fields}
from event e where e.owner = :owner and (e.at, e.writer) > (:at, :writer)
    and e.at < :end
order by e.at, e.writer limit :limit

-- event_before --
-- Events before a place in time, the newest first.
{event_fields}
from event e where e.owner = :owner and (e.at, e.writer) < (:at, :writer)
    and e.at >= :end
order by e.at desc, e.writer desc limit :limit

-- event_name_after --
-- As event_after, of one name.
{event_fields}
from event e where e.owner = :owner and e.name = :key
    and (e.at, e.writer) > (:at, :writer) and e.at < :end
order by e.at, e.writer limit :limit

-- event_name_before --
-- As event_before, of one name.
{event_fields}
from event e where e.owner = :owner and e.name = :key
    and (e.at, e.writer) < (:at, :writer) and e.at >= :end
order by e.at desc, e.writer desc limit :limit

-- event_session_after --
-- As event_after, of one session.
{event_fields}
from event e where e.owner = :owner and e.session = :key
    and (e.at, e.writer) > (:at, :writer) and e.at < :end
order by e.at, e.writer limit :limit

-- event_session_before --
-- As event_before, of one session.
{event_fields}
from event e where e.owner = :owner and e.session = :key
    and (e.at, e.writer) < (:at, :writer) and e.at >= :end
order by e.at desc, e.writer desc limit :limit

-- event_correlation_after --
-- As event_after, of one correlation.
{event_fields}
from event e where e.owner = :owner and e.correlation = :key
    and (e.at, e.writer) > (:at, :writer) and e.at < :end
order by e.at, e.writer limit :limit

-- event_correlation_before --
-- As event_before, of one correlation.
{event_fields}
from event e where e.owner = :owner and e.correlation = :key
    and (e.at, e.writer) < (:at, :writer) and e.at >= :end
order by e.at desc, e.writer desc limit :limit

-- event_since --
-- Events that one writer brought after a time, in order.
{event_fields}
from event e where e.owner = :owner and e.at > :after and e.at <= :upto
    and e.writer = :writer
order by e.at limit :limit

-- event_names --
-- The names that an owner's events have, in order.
with recursive n (name) as (
    select min(e.name) from event e where e.owner = :owner
    union all
    select (select min(e.name) from event e
        where e.owner = :owner and e.name > n.name)
    from n where n.name is not null
)
select n.name from n where n.name is not null limit :limit

-- event_figures --
-- How many events of each name there were in each part of a span of time.
select e.name, e.at / :bucket, count(*), min(e.at), max(e.at) from event e
where e.owner = :owner and e.at >= :since and e.at < :until
group by e.name, e.at / :bucket

-- event_next_owner --
-- The first owner of an event, from a place in their order on.
select min(owner) from event where owner >= :after

-- event_policy --
-- What is kept.
select name, value from event_setting

-- event_keep --
-- Keep so much from now on.
insert into event_setting (name, value) values (:name, :value)
on conflict (name) do update set value = excluded.value

-- event_minutes --
-- How many bytes each minute has, the newest first.
select minute, bytes from event_minute order by minute desc

-- event_sweep --
-- Delete some of an owner's events from before a time, the oldest first.
delete from event where owner = :owner and at <= (
    select max(o.at) from (select e.at from event e
        where e.owner = :owner and e.at < :before
        order by e.at limit :limit) o)

-- event_minute_sweep --
-- Forget what minutes before a time had.
delete from event_minute where minute < :before

-- event_writer_sweep --
-- Forget writers whose events are gone.
delete from event_writer where newest < :before

-- observed_add --
-- Keep which events observations saw, each once; a JSON list of lists has them.
insert into event_observed (owner, observation, at, writer)
select b.value ->> 0, b.value ->> 1, b.value ->> 2, :writer
from json_each(:batch) b where true
on conflict do nothing

-- observed_after --
-- What an observation saw after a place in time, in order.
{event_fields}
from event_observed o cross join event e
where o.owner = :owner and o.observation = :key
    and (o.at, o.writer) > (:at, :writer) and o.at < :end
    and e.owner = o.owner and e.at = o.at and e.writer = o.writer
order by o.at, o.writer limit :limit

-- observed_since --
-- What an observation saw of what one writer brought after a time, in order.
{event_fields}
from event_observed o cross join event e
where o.owner = :owner and o.observation = :key and o.at > :after and o.at <= :upto
    and o.writer = :writer
    and e.owner = o.owner and e.at = o.at and e.writer = o.writer
order by o.at limit :limit

-- observed_drop --
-- Forget what an observation saw before a time: some of it, the oldest first.
delete from event_observed where owner = :owner and observation = :key and at <= (
    select max(p.at) from (select o.at from event_observed o
        where o.owner = :owner and o.observation = :key and o.at < :before
        order by o.at limit :limit) p)

-- observed_sweep --
-- Forget what was seen before a time: some of it, the oldest first.
delete from event_observed where at + 0 <= (
    select max(p.old) from (select o.at + 0 as old from event_observed o
        where o.at + 0 < :before order by o.at + 0 limit :limit) p)
