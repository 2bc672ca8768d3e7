-- tables --
-- A schedule says which job is put again and again, and when: at the times of a cron
-- text in a time zone, or every so many microseconds from its creation on.
create table schedule (
    no integer primary key,
    owner text not null,
    id text not null,
    kind text not null,
    body text,
    cron text,
    every_us integer,
    timezone text not null,
    lane text,
    priority integer not null,
    max_attempts integer not null,
    missed text not null,
    paused integer not null,
    created_at integer not null,
    updated_at integer not null,
    unique (owner, id)
) strict;
create index schedule_newest on schedule (owner, created_at, no);
-- When a schedule, by its number, is due next; 0 if that is still to be counted. It is
-- not journalled, and can be made again from `schedule`.
create table schedule_due (
    no integer primary key,
    owner text not null,
    next_at integer
) strict;
create index schedule_due_next on schedule_due (owner, next_at);

-- schedule_fields --
-- What a schedule's record is made of, but for when it is due.
select s.no, s.owner, s.id, s.kind, s.body, s.cron, s.every_us, s.timezone, s.lane,
    s.priority, s.max_attempts, s.missed, s.paused, s.created_at, s.updated_at,

-- schedule_get --
-- One schedule.
{schedule_fields}
    (select d.next_at from schedule_due d where d.owner = s.owner and d.no = s.no)
from schedule s where s.owner = :owner and s.id = :id

-- schedule_get_past --
-- As `schedule_get`, at a moment: when it was due is not known any more.
{schedule_fields}
    cast(null as integer)
from schedule s where s.owner = :owner and s.id = :id

-- schedule_list --
-- Schedules of one owner, newest first, after a place in that order.
{schedule_fields}
    (select d.next_at from schedule_due d where d.owner = s.owner and d.no = s.no)
from schedule s
where s.owner = :owner and (s.created_at, s.no) < (:before_at, :before_no)
order by s.created_at desc, s.no desc limit :limit

-- schedule_list_past --
-- As `schedule_list`, at a moment.
{schedule_fields}
    cast(null as integer)
from schedule s
where s.owner = :owner and (s.created_at, s.no) < (:before_at, :before_no)
order by s.created_at desc, s.no desc limit :limit

-- schedule_add --
-- Keep a new schedule.
insert into schedule (no, owner, id, kind, body, cron, every_us, timezone, lane,
    priority, max_attempts, missed, paused, created_at, updated_at)
values (:no, :owner, :id, :kind, :body, :cron, :every_us, :timezone, :lane,
    :priority, :max_attempts, :missed, 0, :now, :now)

-- schedule_change --
-- Put another content into a schedule.
update schedule set kind = :kind, body = :body, cron = :cron, every_us = :every_us,
    timezone = :timezone, lane = :lane, priority = :priority,
    max_attempts = :max_attempts, missed = :missed, updated_at = :now
where owner = :owner and no = :no

-- schedule_pause --
-- Say whether a schedule is paused.
update schedule set paused = :paused, updated_at = :now
where owner = :owner and no = :no

-- schedule_drop --
-- Delete a schedule.
delete from schedule where owner = :owner and no = :no

-- schedule_usage --
-- How many schedules an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(coalesce(octet_length(body), 0)), 0)
from schedule where owner = :owner

-- schedule_due_upto --
-- The schedules that are due first, up to a time.
{schedule_fields}
    d.next_at
from schedule_due d join schedule s on s.owner = d.owner and s.no = d.no
where d.owner = :owner and d.next_at <= :upto
order by d.next_at limit :limit

-- schedule_due_add --
-- Say when a schedule is due.
insert into schedule_due (no, owner, next_at) values (:no, :owner, :next_at)

-- schedule_due_move --
-- Say when a schedule is due next.
update schedule_due set next_at = :next_at where owner = :owner and no = :no

-- schedule_due_drop --
-- Say no more when a schedule is due.
delete from schedule_due where owner = :owner and no = :no
