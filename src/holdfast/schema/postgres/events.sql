-- event_add --
-- Keep events that one writer brings, each once; a JSON list of lists has their fields.
insert into event (owner, at, writer, name, level, source, session, correlation, data)
select b.value ->> 1, (b.value ->> 0)::bigint, :writer, b.value ->> 2, b.value ->> 3,
    b.value ->> 4, b.value ->> 5, b.value ->> 6, b.value ->> 7
from json_array_elements(cast(:batch as json)) b
on conflict do nothing

-- event_come --
-- Say how far a writer's events are here, at no earlier a time than anyone before.
insert into event_writer (writer, newest, written_at)
values (:writer, :newest,
    greatest(:now, (select max(w.written_at) from event_writer w)))
on conflict (writer) do update set newest = excluded.newest,
    written_at = excluded.written_at

-- event_told --
-- Tell those who listen.
select pg_notify('holdfast_' || current_schema(), '')

-- event_sweep --
-- Delete some of an owner's events from before a time, the oldest first.
delete from event where owner = :owner and at = any (array(
    select e.at from event e where e.owner = :owner and e.at < :before
    order by e.at limit :limit))

-- observed_add --
-- Keep which events observations saw, each once; a JSON list of lists has them.
insert into event_observed (owner, observation, at, writer)
select b.value ->> 0, b.value ->> 1, (b.value ->> 2)::bigint, :writer
from json_array_elements(cast(:batch as json)) b
on conflict do nothing

-- observed_after --
-- What an observation saw after a place in time, in order.
{event_fields}
from event_observed o join event e
    on e.owner = o.owner and e.at = o.at and e.writer = o.writer
where o.owner = :owner and o.observation = :key
    and (o.at, o.writer) > (:at, :writer) and o.at < :end
order by o.at, o.writer limit :limit

-- observed_since --
-- What an observation saw of what one writer brought after a time, in order.
{event_fields}
from event_observed o join event e
    on e.owner = o.owner and e.at = o.at and e.writer = o.writer
where o.owner = :owner and o.observation = :key and o.at > :after and o.at <= :upto
    and o.writer = :writer
order by o.at limit :limit

-- observed_drop --
-- Forget what an observation saw before a time: some of it, the oldest first.
delete from event_observed where owner = :owner and observation = :key
    and at = any (array(select o.at from event_observed o
        where o.owner = :owner and o.observation = :key and o.at < :before
        order by o.at limit :limit))

-- observed_sweep --
-- Forget what was seen before a time: some of it, the oldest first.
delete from event_observed where at + 0 = any (array(
    select o.at + 0 from event_observed o where o.at + 0 < :before
    order by o.at + 0 limit :limit))
