-- tables --
-- Who an agent is; what it has done is counted in its tally, which changes often.
create table agent (
    no integer primary key,
    owner text not null,
    id text not null,
    name text not null,
    role text,
    traits text not null,
    preferences text not null,
    status text not null,
    metadata text,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    unique (owner, id)
) strict;
create index agent_newest on agent (owner, created_at, no);
create index agent_role on agent (owner, role, created_at, no) where role is not null;
create index agent_status on agent (owner, status, created_at, no);
create table agent_tally (
    no integer primary key,
    owner text not null,
    agent integer not null,
    statistics text not null,
    active_at integer not null,
    unique (owner, agent)
) strict;
-- From one agent (its number) to another (its id), by what stands between them.
create table agent_link (
    no integer primary key,
    owner text not null,
    agent integer not null,
    relation text not null,
    target text not null,
    metadata text,
    created_at integer not null,
    unique (agent, relation, target)
) strict;
create index agent_link_made on agent_link (agent, created_at, no);
create index agent_link_named on agent_link (agent, relation, created_at, no);
create index agent_link_target on agent_link (owner, target, created_at, no);
create index agent_link_target_named
    on agent_link (owner, target, relation, created_at, no);
-- Who runs an agent; none once that is over. The row stays, so that the next fence is
-- larger. What runs, and the life of who runs it, are not journalled.
create table agent_run (
    owner text not null,
    id text not null,
    holder text,
    fence integer not null,
    since integer not null,
    primary key (owner, id)
) strict, without rowid;
create index agent_run_holder on agent_run (owner, holder, id) where holder is not null;
-- One row a process that runs agents: its heartbeat is that of all of them. Its mark is
-- another once it has lost one.
create table agent_runner (
    owner text not null,
    holder text not null,
    place text not null,
    beat_at integer not null,
    until_at integer not null,
    mark integer not null,
    primary key (owner, holder)
) strict, without rowid;

-- agent_fields --
-- What an agent's record is made of: its own row, its tally, and who has spawned it.
select a.no, a.owner, a.id, a.name, a.role, a.traits, a.preferences, a.status,
    a.metadata, a.created_at, a.updated_at, a.version,
    (select t.statistics from agent_tally t
        where t.owner = a.owner and t.agent = a.no),
    (select t.active_at from agent_tally t where t.owner = a.owner and t.agent = a.no),
    (select s.id from agent_link l join agent s on s.owner = l.owner and s.no = l.agent
        where l.owner = a.owner and l.target = a.id and l.relation = 'spawned' limit 1)

-- agent_get --
-- One agent.
{agent_fields}
from agent a where a.owner = :owner and a.id = :id

-- agent_at --
-- The number of an agent.
select no from agent where owner = :owner and id = :id

-- agent_list --
-- Agents of one owner, newest first, after a place in that order.
{agent_fields}
from agent a
where a.owner = :owner and (a.created_at, a.no) < (:before_at, :before_no)
order by a.created_at desc, a.no desc limit :limit

-- agent_list_role --
-- Agents of one role (and of one status, if given), newest first.
{agent_fields}
from agent a
where a.owner = :owner and a.role = :role
    and (a.created_at, a.no) < (:before_at, :before_no)
    and (cast(:status as text) is null or a.status = :status)
order by a.created_at desc, a.no desc limit :limit

-- agent_list_status --
-- Agents of one status, newest first.
{agent_fields}
from agent a
where a.owner = :owner and a.status = :status
    and (a.created_at, a.no) < (:before_at, :before_no)
order by a.created_at desc, a.no desc limit :limit

-- agent_add --
-- Keep a new agent.
insert into agent (no, owner, id, name, role, traits, preferences, status, metadata,
    created_at, updated_at, version)
values (:no, :owner, :id, :name, :role, :traits, :preferences, :status, :metadata,
    :created_at, :now, 1)

-- agent_change --
-- Say who an agent is by now.
update agent set name = :name, role = :role, traits = :traits,
    preferences = :preferences, status = :status, metadata = :metadata,
    updated_at = :now, version = version + 1
where owner = :owner and no = :no

-- agent_drop --
-- Delete an agent.
delete from agent where owner = :owner and no = :no

-- agent_version_last --
-- The version that an agent had before its last change.
select version from was_agent where owner = :owner and id = :id
order by died desc limit 1

-- agent_usage --
-- How many agents an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(octet_length(name) + octet_length(traits)
    + octet_length(preferences) + coalesce(octet_length(metadata), 0)), 0)
from agent where owner = :owner

-- agent_tally_add --
-- Begin to count what an agent does.
insert into agent_tally (no, owner, agent, statistics, active_at)
values (:no, :owner, :agent, :statistics, :active_at)

-- agent_tally_get --
-- What was counted of an agent.
select statistics from agent_tally where owner = :owner and agent = :agent

-- agent_tally_change --
-- Keep what was counted of an agent.
update agent_tally set statistics = :statistics, active_at = :active_at
where owner = :owner and agent = :agent

-- agent_tally_drop --
-- Forget what was counted of an agent.
delete from agent_tally where owner = :owner and agent = :agent

-- agent_tally_usage --
-- How many agents an owner counts for, and the bytes of that.
select count(*), coalesce(sum(octet_length(statistics)), 0)
from agent_tally where owner = :owner

-- agent_link_fields --
-- What a link's record is made of; no source if that was deleted.
select l.no, l.owner,
    (select s.id from agent s where s.owner = l.owner and s.no = l.agent),
    l.relation, l.target, l.metadata, l.created_at

-- agent_link_get --
-- One link.
{agent_link_fields}
from agent_link l
where l.owner = :owner and l.agent = :agent and l.relation = :relation
    and l.target = :target

-- agent_link_out --
-- Links of one agent to others, oldest first, after a place in that order.
{agent_link_fields}
from agent_link l
where l.owner = :owner and l.agent = :agent
    and (l.created_at, l.no) > (:after_at, :after_no)
order by l.created_at, l.no limit :limit

-- agent_link_out_named --
-- Links of one relation, of one agent to others, oldest first.
{agent_link_fields}
from agent_link l
where l.owner = :owner and l.agent = :agent and l.relation = :relation
    and (l.created_at, l.no) > (:after_at, :after_no)
order by l.created_at, l.no limit :limit

-- agent_link_in --
-- Links of others to one agent, oldest first, after a place in that order.
{agent_link_fields}
from agent_link l
where l.owner = :owner and l.target = :target
    and (l.created_at, l.no) > (:after_at, :after_no)
    and (select s.no from agent s where s.owner = l.owner and s.no = l.agent)
        is not null
order by l.created_at, l.no limit :limit

-- agent_link_in_named --
-- Links of one relation, of others to one agent, oldest first.
{agent_link_fields}
from agent_link l
where l.owner = :owner and l.target = :target and l.relation = :relation
    and (l.created_at, l.no) > (:after_at, :after_no)
    and (select s.no from agent s where s.owner = l.owner and s.no = l.agent)
        is not null
order by l.created_at, l.no limit :limit

-- agent_link_on --
-- The agents that one leads to by a relation, oldest link first.
select l.created_at, l.no, l.target,
    (select t.no from agent t where t.owner = l.owner and t.id = l.target)
from agent_link l
where l.owner = :owner and l.agent = :agent and l.relation = :relation
    and (l.created_at, l.no) > (:after_at, :after_no)
order by l.created_at, l.no limit :limit

-- agent_link_newest --
-- The agents that one leads to by a relation, newest link first.
select l.created_at, l.no, l.target
from agent_link l
where l.owner = :owner and l.agent = :agent and l.relation = :relation
    and (l.created_at, l.no) < (:before_at, :before_no)
order by l.created_at desc, l.no desc limit :limit

-- agent_link_add --
-- Keep a new link.
insert into agent_link (no, owner, agent, relation, target, metadata, created_at)
values (:no, :owner, :agent, :relation, :target, :metadata, :now)

-- agent_link_change --
-- Say more of a link.
update agent_link set metadata = :metadata where owner = :owner and no = :no

-- agent_link_drop --
-- Delete a link.
delete from agent_link
where owner = :owner and agent = :agent and relation = :relation and target = :target

-- agent_link_drop_to --
-- Delete the links of others to one agent.
delete from agent_link where owner = :owner and target = :target

-- agent_link_sweep --
-- Delete some links of an agent that was deleted.
delete from agent_link where no in (
    select no from agent_link where agent = :agent order by created_at, no
    limit :limit)

-- agent_link_usage --
-- How many links an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(coalesce(octet_length(metadata), 0)), 0)
from agent_link where owner = :owner

-- agent_run_fields --
-- What the record of a run is made of: its own row, and the life of who runs it.
select r.owner, r.id, r.holder, r.fence, r.since,
    (select w.place from agent_runner w where w.owner = r.owner and w.holder = r.holder),
    (select w.beat_at from agent_runner w
        where w.owner = r.owner and w.holder = r.holder),
    (select w.until_at from agent_runner w
        where w.owner = r.owner and w.holder = r.holder)

-- agent_run_get --
-- Who runs an agent, or ran it last.
{agent_run_fields}
from agent_run r where r.owner = :owner and r.id = :id

-- agent_run_list --
-- Agents that are run, by their ids, after a place.
{agent_run_fields}
from agent_run r
where r.owner = :owner and r.id > :after and r.holder is not null
order by r.id limit :limit

-- agent_run_list_holder --
-- Agents that one process runs, by their ids, after a place.
{agent_run_fields}
from agent_run r
where r.owner = :owner and r.holder = :holder and r.id > :after
order by r.id limit :limit

-- agent_run_list_stale --
-- Agents whose process has given no sign of life, by their ids, after a place.
{agent_run_fields}
from agent_run r
where r.owner = :owner and r.id > :after and r.holder is not null
    and coalesce((select w.until_at from agent_runner w
        where w.owner = r.owner and w.holder = r.holder), 0) <= :now
order by r.id limit :limit

-- agent_run_put --
-- Have an agent run by somebody from now on.
insert into agent_run (owner, id, holder, fence, since)
values (:owner, :id, :holder, :fence, :now)
on conflict (owner, id) do update
set holder = excluded.holder, fence = excluded.fence, since = excluded.since

-- agent_run_end --
-- Have nobody run an agent any more.
update agent_run set holder = null where owner = :owner and id = :id

-- agent_run_end_all --
-- Have nobody run what one process has run.
update agent_run set holder = null where owner = :owner and holder = :holder

-- agent_runner_get --
-- The life of a process that runs agents.
select place, beat_at, until_at, mark from agent_runner
where owner = :owner and holder = :holder

-- agent_runner_put --
-- Say that a process lives, and until when that holds.
insert into agent_runner (owner, holder, place, beat_at, until_at, mark)
values (:owner, :holder, :place, :now, :until, :now)
on conflict (owner, holder) do update
set beat_at = excluded.beat_at, until_at = excluded.until_at

-- agent_runner_mark --
-- Have a process learn that it no longer runs one of its agents.
update agent_runner set mark = mark + 1 where owner = :owner and holder = :holder

-- agent_runner_drop --
-- Forget a process that runs nothing any more.
delete from agent_runner where owner = :owner and holder = :holder
