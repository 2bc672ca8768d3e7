-- tables --
-- A machine is what its newest step says; its own row never changes.
create table machine (
    no integer primary key,
    owner text not null,
    id text not null,
    name text not null,
    created_at integer not null,
    unique (owner, id)
) strict;
create index machine_newest on machine (owner, created_at, no);
create index machine_name on machine (owner, name, created_at, no);
-- How a machine came from one state to another, and what it is since then: its first
-- step has no state before it. With step `entered`, at `entered_at`, it came into its
-- state; `version` is the one of its definition that it follows.
create table machine_step (
    no integer primary key,
    owner text not null,
    machine integer not null,
    position integer not null,
    at integer not null,
    event text,
    from_state text,
    to_state text not null,
    once text,
    note text,
    version integer not null,
    entered integer not null,
    entered_at integer not null,
    context text not null,
    unique (owner, machine, position)
) strict;
create unique index machine_step_once on machine_step (owner, machine, once)
    where once is not null;
-- In which state a machine is, by its number. It is not journalled, and can be made
-- again from `machine` and `machine_step`.
create table machine_now (
    no integer primary key,
    owner text not null,
    name text not null,
    version integer not null,
    state text not null,
    created_at integer not null
) strict;
create index machine_now_state on machine_now (owner, name, state, created_at, no);
create index machine_now_version on machine_now (owner, name, version, no);
-- A job whose end a machine is told of: an effect of one of its steps, or, if it has an
-- event, a timer. `entered` is the step by which the machine came into the state that
-- is told; null if none is.
create table machine_effect (
    no integer primary key,
    owner text not null,
    machine integer not null,
    job text not null,
    step integer not null,
    entered integer,
    event text,
    last integer not null,
    on_success text,
    payload text,
    unique (owner, job)
) strict;
create index machine_effect_machine on machine_effect (owner, machine, step);
-- What machines of a name are, in one version; its row never changes.
create table machine_definition (
    no integer primary key,
    owner text not null,
    name text not null,
    version integer not null,
    spec text not null,
    unknown text not null,
    from_versions text,
    digest text not null,
    created_at integer not null,
    unique (owner, name, version)
) strict;

-- machine_fields --
-- What a machine's record is made of: its own row and its newest step.
select m.no, m.owner, m.id, m.name, g.version, g.to_state, g.context, g.position,
    g.entered, g.entered_at, m.created_at, g.at

-- machine_newest_fields --
-- Machines, each with its newest step.
from machine m join machine_step g on g.owner = m.owner and g.machine = m.no
    and g.position = (select max(x.position) from machine_step x
        where x.owner = m.owner and x.machine = m.no)

-- machine_get --
-- One machine.
{machine_fields}
{machine_newest_fields}
where m.owner = :owner and m.id = :id

-- machine_defined --
-- One machine, with the fence of a live lease on it, if there is one, and the newest
-- version of its definition.
{machine_fields}
    , (select l.fence from lease l where l.kind = 'machines' and l.owner = m.owner
        and l.id = m.id and l.until_at > :now),
    d.version, d.digest
from machine m
join machine_step g on g.owner = m.owner and g.machine = m.no
join machine_definition d on d.owner = m.owner and d.name = m.name
where m.owner = :owner and m.id = :id
order by g.position desc, d.version desc limit 1

-- machine_list --
-- Machines of one owner, newest first, after a place in that order.
{machine_fields}
{machine_newest_fields}
where m.owner = :owner and (m.created_at, m.no) < (:before_at, :before_no)
order by m.created_at desc, m.no desc limit :limit

-- machine_list_name --
-- As `machine_list`, of one definition.
{machine_fields}
{machine_newest_fields}
where m.owner = :owner and m.name = :name
    and (m.created_at, m.no) < (:before_at, :before_no)
order by m.created_at desc, m.no desc limit :limit

-- machine_list_state --
-- As `machine_list`, of one definition and in one state.
{machine_fields}
from machine_now w
join machine m on m.owner = w.owner and m.no = w.no
join machine_step g on g.owner = m.owner and g.machine = m.no
    and g.position = (select max(x.position) from machine_step x
        where x.owner = m.owner and x.machine = m.no)
where w.owner = :owner and w.name = :name and w.state = :state
    and (w.created_at, w.no) < (:before_at, :before_no)
order by w.created_at desc, w.no desc limit :limit

-- machine_list_state_past --
-- As `machine_list_state`, at a moment.
{machine_fields}
{machine_newest_fields}
where m.owner = :owner and m.name = :name and g.to_state = :state
    and (m.created_at, m.no) < (:before_at, :before_no)
order by m.created_at desc, m.no desc limit :limit

-- machine_behind --
-- Machines of a definition that follow an older version of it.
select m.id from machine_now w join machine m on m.owner = w.owner and m.no = w.no
where w.owner = :owner and w.name = :name and w.version < :version
order by w.version, w.no limit :limit

-- machine_add --
-- Keep a new machine.
insert into machine (no, owner, id, name, created_at)
values (:no, :owner, :id, :name, :now)

-- machine_drop --
-- Delete a machine.
delete from machine where owner = :owner and no = :no

-- machine_usage --
-- How many machines an owner has.
select count(*), 0 from machine where owner = :owner

-- machine_now_add --
-- Say in which state a new machine is.
insert into machine_now (no, owner, name, version, state, created_at)
values (:no, :owner, :name, :version, :state, :created_at)

-- machine_now_change --
-- Say in which state a machine is now.
update machine_now set version = :version, state = :state
where owner = :owner and no = :no

-- machine_now_drop --
-- Say no more in which state a machine is.
delete from machine_now where owner = :owner and no = :no

-- machines_again --
-- Say of every machine in which state it is, in a store that was made from the rows of
-- another.
insert into machine_now (no, owner, name, version, state, created_at)
select m.no, m.owner, m.name, g.version, g.to_state, m.created_at
{machine_newest_fields}
where (select w.no from machine_now w where w.owner = m.owner and w.no = m.no) is null

-- machine_step_add --
-- Keep a step of a machine.
insert into machine_step (no, owner, machine, position, at, event, from_state,
    to_state, once, note, version, entered, entered_at, context)
values (:no, :owner, :machine, :position, :now, :event, :from_state,
    :to_state, :once, :note, :version, :entered, :entered_at, :context)

-- machine_step_list --
-- Steps of a machine, in their order, after a place in it.
select g.position, g.at, g.event, g.from_state, g.to_state, g.note
from machine_step g
where g.owner = :owner and g.machine = :machine and g.position > :after
order by g.position limit :limit

-- machine_step_once --
-- The step that an event led to which was to be sent once.
select g.position, g.at, g.event, g.from_state, g.to_state, g.note
from machine_step g
where g.owner = :owner and g.machine = :machine and g.once = :once

-- machine_step_forget --
-- Delete steps of a machine up to one.
delete from machine_step
where owner = :owner and machine = :machine and position <= :upto

-- machine_step_usage --
-- How many steps an owner's machines have kept, and the bytes of their contexts.
select count(*), coalesce(sum(octet_length(context)), 0)
from machine_step where owner = :owner

-- machine_effect_add --
-- Have a machine be told of a job's end.
insert into machine_effect (no, owner, machine, job, step, entered, event, last,
    on_success, payload)
values (:no, :owner, :machine, :job, :step, :entered, :event, :last,
    :on_success, :payload)

-- machine_effect_of --
-- What a machine is to be told of a job's end, and that machine's id.
select e.no, e.machine, e.step, e.entered, e.event, e.last, e.on_success, e.payload,
    m.id
from machine_effect e join machine m on m.no = e.machine and m.owner = e.owner
where e.owner = :owner and e.job = :job

-- machine_effect_list --
-- What a machine waits for, in the order in which it was queued.
select e.no, e.job, e.step, e.event, e.last from machine_effect e
where e.owner = :owner and e.machine = :machine order by e.step, e.no

-- machine_effect_told --
-- All that a machine is to be told of jobs' ends.
select e.job, e.machine, e.step, e.entered, e.event, e.last, e.on_success, e.payload
from machine_effect e where e.owner = :owner and e.machine = :machine
order by e.step, e.no

-- machine_job_end --
-- How a job ended.
select e.status, e.result, e.error
from job j join job_end e on e.owner = j.owner and e.job = j.no
where j.owner = :owner and j.id = :id

-- machine_effect_drop --
-- Have a machine not be told any more of a job's end.
delete from machine_effect where owner = :owner and no = :no

-- machine_definition_get --
-- One version of a definition.
select d.name, d.version, d.spec, d.unknown, d.from_versions, d.digest, d.created_at
from machine_definition d
where d.owner = :owner and d.name = :name and d.version = :version

-- machine_definition_newest --
-- The newest version of a definition.
select d.name, d.version, d.spec, d.unknown, d.from_versions, d.digest, d.created_at
from machine_definition d
where d.owner = :owner and d.name = :name
order by d.version desc limit 1

-- machine_definition_since --
-- The versions of a definition after one, in their order.
select d.name, d.version, d.spec, d.unknown, d.from_versions, d.digest, d.created_at
from machine_definition d
where d.owner = :owner and d.name = :name and d.version > :after
order by d.version limit :limit

-- machine_definition_list --
-- The definitions of one owner, after a place among them.
select d.name, d.version, d.spec, d.unknown, d.from_versions, d.digest, d.created_at
from machine_definition d
where d.owner = :owner and (d.name, d.version) > (:after_name, :after_version)
order by d.name, d.version limit :limit

-- machine_definition_add --
-- Keep a version of a definition.
insert into machine_definition (no, owner, name, version, spec, unknown,
    from_versions, digest, created_at)
values (:no, :owner, :name, :version, :spec, :unknown,
    :from_versions, :digest, :now)
