-- tables --
-- What participants had in memory at a time. `run` is the open store that it was taken
-- by, `process` says which process that was; `failed` is a JSON object with what was
-- wrong by participant. Checkpoints are not journalled.
create table memory_checkpoint (
    owner text not null,
    id text not null,
    run text not null,
    process text not null,
    reason text not null,
    failed text not null,
    taken_at integer not null,
    primary key (owner, id)
) strict;
create index memory_checkpoint_newest on memory_checkpoint (owner, taken_at, id);
create index memory_checkpoint_run on memory_checkpoint (owner, run, taken_at, id);
-- What one participant had. `status` is waiting, claimed, restored or replaced; `claimed`
-- is the run that it is, or was, restored by.
create table memory_part (
    owner text not null,
    checkpoint text not null,
    name text not null,
    run text not null,
    taken_at integer not null,
    status text not null,
    attempts integer not null,
    claimed text,
    error text,
    restored_at integer,
    data text not null,
    primary key (owner, checkpoint, name)
) strict;
create index memory_part_waiting on memory_part (owner, taken_at, checkpoint, name)
    where status = 'waiting';
create index memory_part_run on memory_part (owner, run, name)
    where status = 'waiting';
-- An open store that has participants, as long as it is open: which process it is in,
-- and when that last said so. `asked` counts how often it was asked for a checkpoint,
-- `answered` up to which of those it has answered, `answer` how, as JSON.
create table memory_run (
    owner text not null,
    id text not null,
    machine text not null,
    pid integer not null,
    started text not null,
    process text not null,
    beat_at integer not null,
    asked integer not null,
    answered integer not null,
    answer text,
    primary key (owner, id)
) strict, without rowid;
create index memory_run_beat on memory_run (owner, beat_at);

-- memory_fields --
-- What a checkpoint's record is made of, but for its parts.
select m.id, m.owner, m.process, m.reason, m.failed, m.taken_at

-- memory_get --
-- One checkpoint.
{memory_fields}
from memory_checkpoint m where m.owner = :owner and m.id = :id

-- memory_list --
-- Checkpoints of one owner, newest first, after a place in that order.
{memory_fields}
from memory_checkpoint m
where m.owner = :owner and (m.taken_at, m.id) < (:before_at, :before_id)
order by m.taken_at desc, m.id desc limit :limit

-- memory_newest_at --
-- When the newest checkpoint of an owner was taken.
select max(m.taken_at) from memory_checkpoint m where m.owner = :owner

-- memory_newest --
-- The newest checkpoint of an owner.
{memory_fields}
from memory_checkpoint m where m.owner = :owner
order by m.taken_at desc, m.id desc limit 1

-- memory_last_of --
-- The newest checkpoint that a run has taken.
select m.id, m.failed from memory_checkpoint m
where m.owner = :owner and m.run = :run
order by m.taken_at desc, m.id desc limit 1

-- memory_places --
-- Checkpoints of an owner, newest first, each with whether a part of it waits.
select m.id, (select min(p.name) from memory_part p where p.owner = m.owner
    and p.checkpoint = m.id and p.status = 'waiting') is not null
from memory_checkpoint m where m.owner = :owner
order by m.taken_at desc, m.id desc limit :limit

-- memory_add --
-- Keep a new checkpoint.
insert into memory_checkpoint (owner, id, run, process, reason, failed, taken_at)
values (:owner, :id, :run, :process, :reason, :failed, :now)

-- memory_drop --
-- Delete a checkpoint, but for its parts.
delete from memory_checkpoint where owner = :owner and id = :id

-- memory_usage --
-- How many checkpoints an owner has, and the bytes of what they say.
select count(*), coalesce(sum(octet_length(failed)), 0)
from memory_checkpoint where owner = :owner

-- checkpoints_owners --
-- The first owner of a checkpoint, from a place in their order on.
select min(owner) from memory_checkpoint where owner >= :after

-- memory_part_list --
-- The parts of one checkpoint, without what is in them.
select p.name, p.status, octet_length(p.data), p.attempts, p.error, p.restored_at
from memory_part p where p.owner = :owner and p.checkpoint = :checkpoint
order by p.name limit :limit

-- memory_part_whole --
-- The parts of one checkpoint, with what is in them.
select p.name, p.status, octet_length(p.data), p.attempts, p.error, p.restored_at,
    p.data
from memory_part p where p.owner = :owner and p.checkpoint = :checkpoint
order by p.name limit :limit

-- memory_part_of_run --
-- The participants of which a run has a part that waits.
select distinct p.name from memory_part p
where p.owner = :owner and p.run = :run and p.status = 'waiting'
order by p.name limit :limit

-- memory_part_waiting --
-- Parts that wait to be restored, oldest first, each with its run, and when that beat.
select p.checkpoint, p.name, p.run, p.taken_at, r.machine, r.pid, r.started,
    r.process, r.beat_at
from memory_part p
left join memory_run r on r.owner = p.owner and r.id = p.run
where p.owner = :owner and p.status = 'waiting'
order by p.taken_at, p.checkpoint, p.name limit :limit

-- memory_part_claim --
-- Have a part restored by a run, if it waits and its own run has not beaten since.
update memory_part set status = 'claimed', claimed = :claimed,
    attempts = attempts + 1
where owner = :owner and checkpoint = :checkpoint and name = :name
    and status = 'waiting'
    and coalesce((select r.beat_at from memory_run r
        where r.owner = :owner and r.id = memory_part.run), 0) <= :beat_at

-- memory_part_data --
-- What is in a part.
select data from memory_part
where owner = :owner and checkpoint = :checkpoint and name = :name

-- memory_part_settle --
-- Say what became of a part that a run has claimed.
update memory_part set status = :status, error = :error, restored_at = :restored_at
where owner = :owner and checkpoint = :checkpoint and name = :name
    and status = 'claimed' and claimed = :claimed

-- memory_part_replace --
-- Have a run's part of a participant wait no more: a newer one has taken its place.
update memory_part set status = 'replaced'
where owner = :owner and run = :run and name = :name and status = 'waiting'

-- memory_part_retry --
-- Let the parts of a checkpoint be restored again, whatever became of them.
update memory_part set status = 'waiting', claimed = null, restored_at = null,
    attempts = 0, error = null
where owner = :owner and checkpoint = :checkpoint and status <> 'waiting'

-- memory_part_add --
-- Keep what a participant has.
insert into memory_part (owner, checkpoint, name, run, taken_at, status, attempts, data)
values (:owner, :checkpoint, :name, :run, :now, 'waiting', 0, :data)

-- memory_part_drop --
-- Delete the parts of a checkpoint.
delete from memory_part where owner = :owner and checkpoint = :checkpoint

-- memory_part_usage --
-- How many parts an owner has, and the bytes of what is in them.
select count(*), coalesce(sum(octet_length(data) + coalesce(octet_length(error), 0)), 0)
from memory_part where owner = :owner

-- memory_run_beat --
-- Say that a run is there.
insert into memory_run (owner, id, machine, pid, started, process, beat_at, asked,
    answered)
values (:owner, :id, :machine, :pid, :started, :process, :now, 0, 0)
on conflict (owner, id) do update set beat_at = excluded.beat_at

-- memory_run_get --
-- How often a run was asked, and what it has answered.
select r.asked, r.answered, r.answer
from memory_run r where r.owner = :owner and r.id = :id

-- memory_run_list --
-- The runs that an owner has, those first that last said that they are there.
select r.id, r.machine, r.pid, r.started, r.process, r.beat_at, r.asked
from memory_run r where r.owner = :owner order by r.beat_at desc limit :limit

-- memory_run_owners --
-- The first owner of a run, from a place in their order on.
select min(owner) from memory_run where owner >= :after

-- memory_run_ask --
-- Ask a run for a checkpoint.
update memory_run set asked = asked + 1 where owner = :owner and id = :id

-- memory_run_answer --
-- Keep what a run has answered.
update memory_run set answered = :answered, answer = :answer, beat_at = :now
where owner = :owner and id = :id and answered < :answered

-- memory_run_end --
-- Say that a run is over.
delete from memory_run where owner = :owner and id = :id

-- memory_run_sweep --
-- Forget the runs of which nothing was heard since a time.
delete from memory_run where owner = :owner and beat_at < :before
