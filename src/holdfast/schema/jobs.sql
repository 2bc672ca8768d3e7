-- tables --
-- A job is work that is to be done once. Its row says what was asked, and never changes.
-- `place` orders those of a lane and a priority.
-- A time has microseconds.
create table job (
    no integer primary key,
    owner text not null,
    id text not null,
    kind text not null,
    lane text,
    session text,
    parent text,
    priority integer not null,
    place integer not null,
    body text,
    run_at integer,
    deadline integer,
    max_attempts integer not null,
    backoff text,
    trace text,
    created_at integer not null,
    unique (owner, id)
) strict;
create index job_newest on job (owner, created_at, no);
create index job_kind on job (owner, kind, created_at, no);
create index job_lane on job (owner, lane, created_at, no) where lane is not null;
create index job_session on job (owner, session, created_at, no)
    where session is not null;
create index job_parent on job (owner, parent, created_at, no)
    where parent is not null;
-- How a job ended. One that has no such row has not.
create table job_end (
    no integer primary key,
    owner text not null,
    job integer not null,
    kind text not null,
    status text not null,
    attempt integer not null,
    fence integer not null,
    worker text,
    version text,
    result text,
    error text,
    finished_at integer not null,
    unique (job)
) strict;
create index job_end_newest on job_end (owner, status, finished_at, no);
-- How each job stands that has not ended; `no` is the job's. A state is 0 (another job of
-- its lane comes first), 1 (ready since then), 2 (due at `until_at`), 3 (claimed until
-- then), or 4 (its handler waits, perhaps until then). It is not journalled, and can be
-- made again from `job` and `job_end`.
create table job_turn (
    no integer primary key,
    owner text not null,
    lane text,
    parent text,
    kind text not null,
    priority integer not null,
    place integer not null,
    since integer not null,
    state integer not null,
    until_at integer,
    deadline integer,
    worker text,
    attempt integer not null,
    fence integer not null,
    error text,
    waits_for text,
    cancelling integer not null,
    version text
) strict;
create index job_turn_ready on job_turn (owner, kind, priority desc, since, no)
    where state = 1;
create index job_turn_timed on job_turn (owner, state, until_at, kind)
    where state > 1;
create index job_turn_behind on job_turn (owner, lane, priority desc, place)
    where state = 0;
create unique index job_turn_first on job_turn (owner, lane)
    where lane is not null and state > 0;
create index job_turn_child on job_turn (owner, parent) where parent is not null;
create index job_turn_cancelling on job_turn (owner, worker) where cancelling = 1;
-- What a handler has done so far: it is not done again. `pending` is 1 for a step that
-- waits for a signal until `due_at`.
create table job_step (
    no integer primary key,
    owner text not null,
    job integer not null,
    position integer not null,
    name text not null,
    nth integer not null,
    result text,
    due_at integer,
    pending integer not null,
    at integer not null,
    unique (job, name, nth)
) strict;
-- Signals that no handler has taken yet.
create table job_signal (
    no integer primary key,
    owner text not null,
    job integer not null,
    name text not null,
    payload text,
    at integer not null
) strict;
create index job_signal_oldest on job_signal (job, name, no);
-- How many jobs of a kind may be active, and begin within a time; not journalled.
create table job_limit (
    owner text not null,
    kind text not null,
    concurrency integer,
    rate integer,
    per_us integer,
    primary key (owner, kind)
) strict, without rowid;
-- When jobs of a kind with a rate began, as long as that counts.
create table job_start (
    owner text not null,
    kind text not null,
    at integer not null,
    no integer not null,
    fence integer not null,
    primary key (owner, kind, at, no, fence)
) strict, without rowid;

-- job_fields --
-- What a job's record is made of, but for how it stands.
select j.no, j.owner, j.id, j.kind, j.lane, j.session, j.parent, j.priority, j.body,
    j.run_at, j.deadline, j.max_attempts, j.backoff, j.trace, j.created_at

-- job_add --
-- Keep a new job.
insert into job (no, owner, id, kind, lane, session, parent, priority, place, body,
    run_at, deadline, max_attempts, backoff, trace, created_at)
values (:no, :owner, :id, :kind, :lane, :session, :parent, :priority, :place, :body,
    :run_at, :deadline, :max_attempts, :backoff, :trace, :now)

-- end_add --
-- Say how a job ended.
insert into job_end (no, owner, job, kind, status, attempt, fence, worker, version,
    result, error, finished_at)
values (:no, :owner, :job, :kind, :status, :attempt, :fence, :worker, :version,
    :result, :error, :now)

-- end_get --
-- How a job ended.
select e.status, e.attempt, e.fence, e.worker, e.version, e.result, e.error,
    e.finished_at
from job_end e where e.owner = :owner and e.job = :no

-- end_drop --
-- Take back that a job has ended.
delete from job_end where owner = :owner and job = :no

-- end_page --
-- Jobs that ended in one way before a time: those that ended first.
select e.job, j.id from job_end e cross join job j
where e.owner = :owner and e.status = :status and e.finished_at < :before
    and j.owner = :owner and j.no = e.job
order by e.finished_at, e.no limit :limit

-- job_filter_fields --
-- What else may be asked of jobs in a list.
    and (cast(:kind as text) is null or j.kind = :kind)
    and (cast(:lane as text) is null or j.lane = :lane)
    and (cast(:session as text) is null or j.session = :session)
    and (cast(:parent as text) is null or j.parent = :parent)

-- job_queued_fields --
-- Whether a job has not ended, and its handler has not begun or is to begin again.
    (select t.no from job_turn t
        where t.owner = j.owner and t.no = j.no and t.state <= 2) is not null

-- job_list_newest --
-- Jobs, newest first, after a place; those of an outcome alone, if one is given.
{job_fields}
from job j
where j.owner = :owner and (j.created_at, j.no) < (:before_at, :before_no)
    and (cast(:ended as text) is null or :ended = (select e.status from job_end e
        where e.owner = j.owner and e.job = j.no))
    and (:queued = 0 or
{job_queued_fields}
    )
order by j.created_at desc, j.no desc limit :limit

-- job_list_kind --
-- Jobs of one kind, newest first, after a place; of an outcome, if one is given, and
-- with what else is asked.
{job_fields}
from job j
where j.owner = :owner and j.kind = :kind
    and (j.created_at, j.no) < (:before_at, :before_no)
    and (cast(:ended as text) is null or :ended = (select e.status from job_end e
        where e.owner = j.owner and e.job = j.no))
    and (:queued = 0 or
{job_queued_fields}
    )
{job_filter_fields}
order by j.created_at desc, j.no desc limit :limit

-- job_list_lane --
-- Jobs of one lane, newest first, after a place; of an outcome, if one is given, and
-- with what else is asked.
{job_fields}
from job j
where j.owner = :owner and j.lane = :lane
    and (j.created_at, j.no) < (:before_at, :before_no)
    and (cast(:ended as text) is null or :ended = (select e.status from job_end e
        where e.owner = j.owner and e.job = j.no))
    and (:queued = 0 or
{job_queued_fields}
    )
{job_filter_fields}
order by j.created_at desc, j.no desc limit :limit

-- job_list_session --
-- Jobs of one session, newest first, after a place; of an outcome, if one is given, and
-- with what else is asked.
{job_fields}
from job j
where j.owner = :owner and j.session = :session
    and (j.created_at, j.no) < (:before_at, :before_no)
    and (cast(:ended as text) is null or :ended = (select e.status from job_end e
        where e.owner = j.owner and e.job = j.no))
    and (:queued = 0 or
{job_queued_fields}
    )
{job_filter_fields}
order by j.created_at desc, j.no desc limit :limit

-- job_list_parent --
-- Jobs of one parent, newest first, after a place; of an outcome, if one is given, and
-- with what else is asked.
{job_fields}
from job j
where j.owner = :owner and j.parent = :parent
    and (j.created_at, j.no) < (:before_at, :before_no)
    and (cast(:ended as text) is null or :ended = (select e.status from job_end e
        where e.owner = j.owner and e.job = j.no))
    and (:queued = 0 or
{job_queued_fields}
    )
{job_filter_fields}
order by j.created_at desc, j.no desc limit :limit

-- job_list_ended --
-- Jobs that ended in one way, those that ended last first, after a place.
{job_fields}
    , e.finished_at, e.no
from job_end e cross join job j
where e.owner = :owner and e.status = :ended
    and (e.finished_at, e.no) < (:before_at, :before_no)
    and j.owner = :owner and j.no = e.job
{job_filter_fields}
order by e.finished_at desc, e.no desc limit :limit

-- job_list_busy --
-- Jobs that are claimed, or whose handlers wait, newest first, after a place.
{job_fields}
from job_turn t cross join job j
where t.owner = :owner and t.state = :state and t.state > 1
    and j.owner = :owner and j.no = t.no
    and (j.created_at, j.no) < (:before_at, :before_no)
{job_filter_fields}
order by j.created_at desc, j.no desc limit :limit

-- end_counts --
-- How many jobs of each kind ended in each way.
select kind, status, count(*) from job_end where owner = :owner group by kind, status

-- job_counts --
-- How many jobs there are of each kind, whether they ended or not.
select kind, count(*) from job where owner = :owner group by kind

-- turn_busy_counts --
-- How many of them are claimed, and how many wait for something.
select kind, state, count(*) from job_turn
where owner = :owner and state > 2 and state > 1 group by kind, state

-- turn_child --
-- One of a job's children that has not ended.
select t.no from job_turn t where t.owner = :owner and t.parent = :id limit 1

-- turn_child_behind --
-- A child of a job that waits behind it in its own lane.
select j.id from job_turn t cross join job j
where t.owner = :owner and t.parent = :id and t.lane = :lane
    and j.owner = :owner and j.no = t.no limit 1

-- turn_add --
-- Let a job without a lane stand in nobody's line.
insert into job_turn (no, owner, parent, kind, priority, place, since, state, until_at,
    deadline, attempt, fence, cancelling)
values (:no, :owner, :parent, :kind, :priority, :place, :now, :state, :until_at,
    :deadline, 0, :fence, 0)

-- turn_add_in_lane --
-- Let a job stand in its lane: first if no other is, or else behind.
insert into job_turn (no, owner, lane, parent, kind, priority, place, since, state,
    until_at, deadline, attempt, fence, cancelling)
values (:no, :owner, :lane, :parent, :kind, :priority, :place, :now,
    case when (select t.no from job_turn t
        where t.owner = :owner and t.lane = :lane and t.state > 0) is null
        then cast(:state as integer) else 0 end,
    :until_at, :deadline, 0, :fence, 0)

-- turn_last --
-- The last place of a priority in a lane, behind its first job, and the place of that.
select (select max(t.place) from job_turn t
        where t.owner = :owner and t.lane = :lane and t.state = 0
            and t.priority = :priority),
    (select max(t.place) from job_turn t
        where t.owner = :owner and t.lane = :lane and t.state > 0)

-- job_place --
-- The place of a job in its lane.
select j.place from job j where j.owner = :owner and j.no = :no

-- turn_pass --
-- Put the first job of a lane behind another one, if it has not begun.
update job_turn set state = 0
where owner = :owner and lane = :lane and state > 0 and state < 3 and fence = 0
    and (priority < :priority or (priority = :priority and place > :place))

-- turn_next --
-- Let the next job of a lane be its first, if it has none.
update job_turn set state = case when until_at > :now then 2 else 1 end, since = :now,
    until_at = case when until_at > :now then until_at else null end
where no = (select t.no from job_turn t
    where t.owner = :owner and t.lane = :lane and t.state = 0
        and (select f.no from job_turn f
            where f.owner = :owner and f.lane = :lane and f.state > 0) is null
    order by t.priority desc, t.place limit 1)

-- turns_again --
-- Let every job that has not ended stand in its line, in a store that was made from the
-- rows of another.
insert into job_turn (no, owner, lane, parent, kind, priority, place, since, state,
    until_at, deadline, attempt, fence, cancelling)
select j.no, j.owner, j.lane, j.parent, j.kind, j.priority, j.place, j.created_at,
    case when j.lane is not null then 0 when j.run_at is null then 1 else 2 end,
    j.run_at, j.deadline, 0, 0, 0
from job j
where (select e.no from job_end e where e.owner = j.owner and e.job = j.no) is null
on conflict do nothing

-- turns_first --
-- Let the next job of every lane be its first, where there is none.
update job_turn set state = case when until_at is null then 1 else 2 end
where state = 0 and no = (select t.no from job_turn t
    where t.owner = job_turn.owner and t.lane = job_turn.lane and t.state = 0
        and (select f.no from job_turn f
            where f.owner = t.owner and f.lane = t.lane and f.state > 0) is null
    order by t.priority desc, t.place limit 1)

-- turn_fields --
-- What a turn is made of.
    t.state, t.until_at, t.attempt, t.fence, t.worker, t.error, t.waits_for,
    t.cancelling, t.version, t.deadline

-- job_get --
-- One job.
{job_fields}
from job j where j.owner = :owner and j.id = :id

-- job_drop --
-- Delete a job's own row.
delete from job where owner = :owner and no = :no

-- job_ready_since --
-- When the job that has been ready for longest became so, of one kind.
select min(since) from job_turn where owner = :owner and kind = :kind and state = 1

-- job_usage --
-- How many jobs an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(coalesce(octet_length(body), 0)), 0)
from job where owner = :owner

-- job_end_usage --
-- How many jobs of an owner have ended, and the bytes of what they gave.
select count(*), coalesce(sum(coalesce(octet_length(result), 0)
    + coalesce(octet_length(error), 0)), 0)
from job_end where owner = :owner

-- job_step_usage --
-- How many steps an owner's jobs have, and their bytes.
select count(*), coalesce(sum(u.bytes), 0) from (
    select coalesce(octet_length(s.result), 0) as bytes from job_step s
    where s.owner = :owner
        and s.job in (select j.no from job j where j.owner = :owner)) u

-- turn_get --
-- How a job stands whose turn it is.
select
{turn_fields}
from job_turn t where t.owner = :owner and t.no = :no

-- turn_held --
-- How a job stands whose turn it is, with what decides how it goes on, and its step of
-- a name, if that was done. On a server nobody else changes it any more.
select j.no, j.id, j.kind, j.lane, j.parent, j.max_attempts, j.backoff, t.deadline,
    t.state, t.until_at, t.attempt, t.fence, t.worker, t.error, t.waits_for,
    t.cancelling, t.version,
    (select s.no from job_step s
        where s.owner = :owner and s.job = j.no and s.name = :name and s.nth = :nth)
from job j cross join job_turn t
where j.owner = :owner and j.id = :id and t.owner = :owner and t.no = j.no

-- turns_ahead --
-- What may have to be done before jobs are claimed: when the next schedule is due, the
-- next job that waits for its time, the next pause over, the next claim; and how many
-- limits there are.
select (select min(next_at) from schedule_due
        where owner = :owner and next_at is not null),
    (select min(until_at) from job_turn
        where owner = :owner and state = 2 and state > 1),
    (select min(until_at) from job_turn
        where owner = :owner and state = 4 and state > 1),
    (select min(until_at) from job_turn
        where owner = :owner and state = 3 and state > 1),
    (select count(*) from job_limit where owner = :owner)

-- turn_owner --
-- The first owner who has jobs that have not ended, or schedules, from a place in their
-- order on.
select min(u.owner) from (
    select min(owner) as owner from job_turn where owner >= :after and state = 1
    union all
    select min(owner) from job_turn where owner >= :after and state > 1
    union all
    select min(owner) from schedule_due
    where owner >= :after and next_at is not null) u

-- turn_drop --
-- Take a job's turn away: it has ended.
delete from job_turn where owner = :owner and no = :no

-- turn_ready --
-- Jobs of one kind that can be claimed, the first first.
{job_fields}
    , t.since,
{turn_fields}
from job_turn t cross join job j
where t.owner = :owner and t.kind = :kind and t.state = 1
    and j.owner = :owner and j.no = t.no
order by t.priority desc, t.since, t.no limit :limit

-- turn_ready_in_lane --
-- The job that can be claimed in a lane.
{job_fields}
    , t.since,
{turn_fields}
from job_turn t cross join job j
where t.owner = :owner and t.lane = :lane and t.state = 1 and t.state > 0
    and j.owner = :owner and j.no = t.no

-- turn_kind --
-- The first kind that has something ready, after one.
select min(kind) from job_turn where owner = :owner and state = 1 and kind > :after

-- turn_kind_count --
-- How many jobs of a kind are ready, up to a number.
select count(*) from (select t.no from job_turn t
    where t.owner = :owner and t.kind = :kind and t.state = 1 limit :limit) u

-- turn_any --
-- A job of one kind that is ready.
select t.no from job_turn t
where t.owner = :owner and t.kind = :kind and t.state = 1 limit 1

-- turn_any_in_lane --
-- The job that is ready in a lane.
select t.no, t.kind from job_turn t
where t.owner = :owner and t.lane = :lane and t.state = 1 and t.state > 0

-- turns_claim --
-- Give jobs to a worker, whose numbers are a list of JSON.
update job_turn set state = 3, until_at = :until_at, worker = :worker,
    attempt = attempt + 1, fence = fence + 1, waits_for = null, version = :version
where owner = :owner and no in (select value from json_each(:numbers))

-- turn_lapsed --
-- Jobs whose claim ran out, those of longest first.
select j.id, j.lane from job_turn t cross join job j
where t.owner = :owner and t.state = 3 and t.state > 1 and t.until_at <= :now
    and j.owner = :owner and j.no = t.no
order by t.until_at limit :limit

-- turn_wake --
-- Let jobs be claimed whose time has come.
update job_turn set state = 1, since = until_at, until_at = null, waits_for = null
where no in (select t.no from job_turn t
    where t.owner = :owner and t.state = :state and t.state > 1 and t.until_at <= :now
    order by t.until_at limit :limit)

-- turn_back --
-- Give a job back: it is ready since then, due at a time, or waits for something.
update job_turn set state = :state, since = :now, until_at = :until_at,
    worker = null, attempt = :attempt, error = :error, waits_for = :waits_for
where owner = :owner and no = :no

-- turn_rouse --
-- Let a job go on that waited for something.
update job_turn set state = 1, since = :now, until_at = null, waits_for = null
where owner = :owner and no = :no and state = 4 and waits_for = :waits_for

-- turn_extend --
-- Let a claim last longer.
update job_turn set until_at = :until_at where owner = :owner and no = :no

-- turn_cancel --
-- Ask the worker that has a job to cancel it.
update job_turn set cancelling = 1 where owner = :owner and no = :no

-- turn_tell --
-- Wake those who watch, though nothing was journalled. Where every commit wakes them,
-- there is nothing to do.
select 1

-- turn_cancelling --
-- Which of a worker's jobs are to be cancelled.
select j.id from job_turn t cross join job j
where t.owner = :owner and t.worker = :worker and t.cancelling = 1 and t.state = 3
    and j.owner = :owner and j.no = t.no

-- turn_active --
-- How many jobs of a kind are claimed, up to a number.
select count(*) from (select t.no from job_turn t
    where t.owner = :owner and t.state = 3 and t.state > 1 and t.kind = :kind
    limit :limit) u

-- step_list --
-- The steps of a job, in order.
select s.position, s.name, s.nth, s.result, s.due_at, s.at, s.pending from job_step s
where s.owner = :owner and s.job = :job
order by s.position, s.no limit :limit

-- step_get --
-- One step of a job.
select s.position, s.name, s.nth, s.result, s.due_at, s.at, s.pending from job_step s
where s.owner = :owner and s.job = :job and s.name = :name and s.nth = :nth

-- step_add --
-- Keep a step of a job.
insert into job_step (no, owner, job, position, name, nth, result, due_at, pending, at)
values (:no, :owner, :job, :position, :name, :nth, :result, :due_at, :pending, :now)

-- step_done --
-- Say that what a step waited for is there, or that its time is over.
update job_step set result = :result, pending = 0, at = :now
where owner = :owner and job = :job and name = :name and nth = :nth

-- step_sweep --
-- Delete some steps of a job.
delete from job_step where no in (
    select no from job_step where job = :job limit :limit)

-- signal_add --
-- Keep a signal until a handler takes it.
insert into job_signal (no, owner, job, name, payload, at)
values (:no, :owner, :job, :name, :payload, :now)

-- signal_oldest --
-- The oldest signal of a name that a job was sent.
select g.no, g.payload from job_signal g
where g.owner = :owner and g.job = :job and g.name = :name order by g.no limit 1

-- signal_drop --
-- Delete a signal: it was taken.
delete from job_signal where owner = :owner and no = :no

-- signal_sweep --
-- Delete some signals of a job.
delete from job_signal where no in (
    select no from job_signal where job = :job limit :limit)

-- limit_put --
-- Say how many jobs of a kind there may be at once.
insert into job_limit (owner, kind, concurrency, rate, per_us)
values (:owner, :kind, :concurrency, :rate, :per_us)
on conflict (owner, kind) do update set concurrency = excluded.concurrency,
    rate = excluded.rate, per_us = excluded.per_us

-- limit_drop --
-- Let there be any number of a kind.
delete from job_limit where owner = :owner and kind = :kind

-- limit_list --
-- Every limit of an owner.
select kind, concurrency, rate, per_us from job_limit where owner = :owner order by kind

-- start_add --
-- Count a job that began.
insert into job_start (owner, kind, at, no, fence)
values (:owner, :kind, :now, :no, :fence)
on conflict do nothing

-- start_count --
-- How many jobs of a kind began after a time.
select count(*) from job_start where owner = :owner and kind = :kind and at > :after

-- start_nth --
-- When the job began that has so many after it.
select at from job_start where owner = :owner and kind = :kind
order by at desc limit 1 offset :nth

-- start_sweep --
-- Count no more what began up to a time.
delete from job_start where owner = :owner and kind = :kind and at <= :upto

-- turn_free --
-- How a job stands that has not ended, unless somebody is changing that just now; as
-- `turn_held` has it. Nobody else changes it then.
select j.no, j.id, j.kind, j.lane, j.parent, j.max_attempts, j.backoff, t.deadline,
    t.state, t.until_at, t.attempt, t.fence, t.worker, t.error, t.waits_for,
    t.cancelling, t.version, cast(null as integer)
from job j cross join job_turn t
where j.owner = :owner and j.id = :id and t.owner = :owner and t.no = j.no
