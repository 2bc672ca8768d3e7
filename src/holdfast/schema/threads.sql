-- tables --
-- A thread is what a framework's run goes on in, step by step.
create table thread (
    no integer primary key,
    owner text not null,
    id text not null,
    created_at integer not null,
    unique (owner, id)
) strict;
create index thread_newest on thread (owner, created_at, no);
-- What a thread had come to after a step. One that only writes are known of has no state
-- yet. `held` says for each channel which value it has, or has a small one itself.
create table checkpoint (
    no integer primary key,
    owner text not null,
    thread integer not null,
    ns text not null,
    id text not null,
    parent text,
    run text,
    created_at integer not null,
    state text,
    held text not null,
    metadata text not null,
    note text,
    unique (thread, ns, id)
) strict;
create index checkpoint_newest on checkpoint (thread, id, ns);
create index checkpoint_run on checkpoint (owner, run) where run is not null;
-- What tasks wrote after a checkpoint.
create table checkpoint_write (
    no integer primary key,
    owner text not null,
    checkpoint integer not null,
    task text not null,
    idx integer not null,
    path text not null,
    channel text not null,
    type text not null,
    body text not null,
    unique (checkpoint, task, idx)
) strict;
-- The values of a thread's channels, each once, by the digest of what it says.
create table channel_value (
    no integer primary key,
    owner text not null,
    thread integer not null,
    digest text not null,
    type text not null,
    body text not null,
    unique (thread, digest)
) strict;

-- thread_get --
-- One thread.
select t.no, t.id, t.owner, t.created_at from thread t
where t.owner = :owner and t.id = :id

-- thread_add --
-- Keep a new thread.
insert into thread (no, owner, id, created_at) values (:no, :owner, :id, :now)

-- thread_list --
-- Threads of one owner, newest first, after a place in that order.
select t.no, t.id, t.owner, t.created_at from thread t
where t.owner = :owner and (t.created_at, t.no) < (:before_at, :before_no)
order by t.created_at desc, t.no desc limit :limit

-- thread_drop --
-- Delete a thread's own row.
delete from thread where owner = :owner and no = :no

-- thread_count --
-- How many threads an owner has.
select count(*) from thread where owner = :owner

-- thread_usage --
-- How many checkpoints an owner has, and their bytes.
select count(*), coalesce(sum(u.bytes), 0) from (
    select coalesce(octet_length(k.state), 0)
        + octet_length(k.held) + octet_length(k.metadata) as bytes
    from checkpoint k
    where k.owner = :owner
        and k.thread in (select t.no from thread t where t.owner = :owner)) u

-- checkpoint_fields --
-- What a checkpoint's record is made of, but for values and writes.
select k.no, k.ns, k.id, k.parent, k.run, k.created_at, k.state, k.held, k.metadata,
    k.note

-- checkpoint_known --
-- The number of a thread, and of a checkpoint in it.
select t.no, k.no from thread t
left join checkpoint k on k.owner = :owner and k.thread = t.no and k.ns = :ns
    and k.id = :checkpoint
where t.owner = :owner and t.id = :id

-- checkpoint_get --
-- One checkpoint of a thread.
{checkpoint_fields}
from checkpoint k
where k.owner = :owner and k.thread = :thread and k.ns = :ns and k.id = :id
    and k.state is not null

-- checkpoint_last --
-- The newest checkpoint of a namespace.
{checkpoint_fields}
from checkpoint k
where k.owner = :owner and k.thread = :thread and k.ns = :ns and k.state is not null
order by k.id desc limit 1

-- checkpoint_page --
-- Checkpoints of one namespace before one, newest first.
{checkpoint_fields}
from checkpoint k
where k.owner = :owner and k.thread = :thread and k.ns = :ns and k.id < :before
    and k.state is not null
order by k.id desc limit :limit

-- checkpoint_page_all --
-- Checkpoints of all namespaces before one, newest first.
{checkpoint_fields}
from checkpoint k
where k.owner = :owner and k.thread = :thread and (k.id, k.ns) < (:before, :before_ns)
    and k.state is not null
order by k.id desc, k.ns desc limit :limit

-- checkpoint_ns_next --
-- The namespace of a thread that comes next after one.
select k.ns from checkpoint k
where k.owner = :owner and k.thread = :thread and k.ns > :after
order by k.ns limit 1

-- checkpoint_whole --
-- Every checkpoint of a thread, also those that only writes are known of.
{checkpoint_fields}
from checkpoint k where k.owner = :owner and k.thread = :thread

-- checkpoint_all --
-- Every checkpoint of a thread, as far as a deletion needs it.
select k.no, k.ns, k.id, k.held, k.note, k.run from checkpoint k
where k.owner = :owner and k.thread = :thread

-- checkpoint_notes --
-- The notes that the checkpoints of a thread have.
select k.note from checkpoint k
where k.owner = :owner and k.thread = :thread and k.note is not null

-- checkpoint_of_run --
-- The threads that have checkpoints of a run.
select t.id from checkpoint k join thread t on t.no = k.thread
where k.owner = :owner and k.run = :run

-- checkpoint_add --
-- Keep a new checkpoint.
insert into checkpoint (no, owner, thread, ns, id, parent, run, created_at, state, held,
    metadata, note)
values (:no, :owner, :thread, :ns, :id, :parent, :run, :now, :state, :held,
    :metadata, :note)

-- checkpoint_put --
-- Put a checkpoint in the place of what was known of it.
update checkpoint set parent = :parent, run = :run, created_at = :now, state = :state,
    held = :held, metadata = :metadata, note = :note
where owner = :owner and no = :no

-- checkpoint_drop --
-- Delete a checkpoint's own row.
delete from checkpoint where owner = :owner and no = :no

-- checkpoint_sweep --
-- Delete some checkpoints of a thread, in their order.
delete from checkpoint where no in (
    select k.no from checkpoint k where k.thread = :thread
    order by k.id, k.ns limit :limit)

-- write_list --
-- The writes after a checkpoint, in the order in which they are applied.
select g.task, g.idx, g.path, g.channel, g.type, g.body from checkpoint_write g
where g.owner = :owner and g.checkpoint = :checkpoint
order by g.path, g.task, g.idx

-- write_known --
-- The places of the writes of one task after a checkpoint.
select g.idx, g.no from checkpoint_write g
where g.owner = :owner and g.checkpoint = :checkpoint and g.task = :task

-- write_add --
-- Keep a write.
insert into checkpoint_write (no, owner, checkpoint, task, idx, path, channel, type, body)
values (:no, :owner, :checkpoint, :task, :idx, :path, :channel, :type, :body)

-- write_put --
-- Put a write in the place of another.
update checkpoint_write set path = :path, channel = :channel, type = :type, body = :body
where owner = :owner and no = :no

-- write_drop --
-- Delete the writes after a checkpoint.
delete from checkpoint_write where owner = :owner and checkpoint = :no

-- write_sweep --
-- Delete some of the writes after those checkpoints that are deleted next.
delete from checkpoint_write where no in (
    select g.no from checkpoint_write g where g.checkpoint in (
        select k.no from checkpoint k where k.thread = :thread
        order by k.id, k.ns limit :limit)
    limit :limit)

-- value_get --
-- A value of a thread, by its digest.
select v.type, v.body from channel_value v
where v.owner = :owner and v.thread = :thread and v.digest = :digest

-- value_list --
-- The digests of a thread's values.
select v.digest, v.no from channel_value v where v.owner = :owner and v.thread = :thread

-- value_whole --
-- Every value of a thread.
select v.digest, v.type, v.body from channel_value v
where v.owner = :owner and v.thread = :thread

-- value_known --
-- Whether a thread has a value, by its digest.
select v.digest from channel_value v
where v.owner = :owner and v.thread = :thread and v.digest = :digest

-- value_add --
-- Keep a value.
insert into channel_value (no, owner, thread, digest, type, body)
values (:no, :owner, :thread, :digest, :type, :body)

-- value_drop --
-- Delete a value.
delete from channel_value where owner = :owner and no = :no

-- value_sweep --
-- Delete some values of a thread.
delete from channel_value where no in (
    select v.no from channel_value v where v.thread = :thread limit :limit)
