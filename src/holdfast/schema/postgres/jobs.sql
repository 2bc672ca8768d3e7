-- turn_held --
-- How a job stands whose turn it is, with what decides how it goes on, and its step of
-- a name, if that was done. Nobody else changes it any more.
select j.no, j.id, j.kind, j.lane, j.parent, j.max_attempts, j.backoff, t.deadline,
    t.state, t.until_at, t.attempt, t.fence, t.worker, t.error, t.waits_for,
    t.cancelling, t.version,
    (select s.no from job_step s
        where s.owner = :owner and s.job = j.no and s.name = :name and s.nth = :nth)
from job j cross join job_turn t
where j.owner = :owner and j.id = :id and t.owner = :owner and t.no = j.no
for update of t

-- turn_tell --
-- Wake those who watch, though nothing was journalled.
select pg_notify('holdfast_' || current_schema(), '')

-- turn_ready --
-- Jobs of one kind that can be claimed, the first first; not those that somebody is
-- claiming.
{job_fields}
    , t.since,
{turn_fields}
from job_turn t cross join job j
where t.owner = :owner and t.kind = :kind and t.state = 1
    and j.owner = :owner and j.no = t.no
order by t.priority desc, t.since, t.no limit :limit
for update of t skip locked

-- turn_ready_in_lane --
-- The job that can be claimed in a lane, if nobody is claiming it.
{job_fields}
    , t.since,
{turn_fields}
from job_turn t cross join job j
where t.owner = :owner and t.lane = :lane and t.state = 1
    and j.owner = :owner and j.no = t.no
for update of t skip locked

-- turns_claim --
-- Give jobs to a worker, whose numbers are a list of JSON.
update job_turn set state = 3, until_at = :until_at, worker = :worker,
    attempt = attempt + 1, fence = fence + 1, waits_for = null, version = :version
where owner = :owner and no = any (array(
    select n.value::bigint from json_array_elements_text(cast(:numbers as json)) n))

-- turn_wake --
-- Let jobs be claimed whose time has come, and that nobody else wakes.
update job_turn set state = 1, since = until_at, until_at = null, waits_for = null
where owner = :owner and no = any (array(
    select t.no from job_turn t
    where t.owner = :owner and t.state = :state and t.state > 1 and t.until_at <= :now
    order by t.until_at limit :limit
    for update skip locked))

-- step_sweep --
-- Delete some steps of a job.
delete from job_step where no = any (array(
    select s.no from job_step s where s.job = :job limit :limit))

-- signal_sweep --
-- Delete some signals of a job.
delete from job_signal where no = any (array(
    select g.no from job_signal g where g.job = :job limit :limit))

-- turn_free --
-- How a job stands that has not ended, unless somebody is changing that just now; as
-- `turn_held` has it. Nobody else changes it then.
select j.no, j.id, j.kind, j.lane, j.parent, j.max_attempts, j.backoff, t.deadline,
    t.state, t.until_at, t.attempt, t.fence, t.worker, t.error, t.waits_for,
    t.cancelling, t.version, cast(null as bigint)
from job j cross join job_turn t
where j.owner = :owner and j.id = :id and t.owner = :owner and t.no = j.no
for update of t skip locked
