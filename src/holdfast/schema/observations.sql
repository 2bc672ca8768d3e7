-- tables --
-- Who observes whose events, and by which names of them (a JSON list of patterns).
-- `conditions` is what their data must hold; `rate_limit` is in events a second.
create table observation (
    no integer primary key,
    owner text not null,
    id text not null,
    observer text not null,
    target text not null,
    events text not null,
    sampling_rate real not null,
    rate_limit real,
    conditions text,
    inbox integer not null,
    status text not null,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    unique (owner, id)
) strict;
create index observation_newest on observation (owner, created_at, no);
create index observation_observer on observation (owner, observer, created_at, no);
create index observation_target on observation (owner, target, created_at, no);
create index observation_status on observation (owner, status, created_at, no);
create index observation_active on observation (no) where status = 'active';

-- observation_fields --
-- What an observation's record is made of.
select o.no, o.owner, o.id, o.observer, o.target, o.events, o.sampling_rate,
    o.rate_limit, o.conditions, o.inbox, o.status, o.created_at, o.updated_at,
    o.version

-- observation_get --
-- One observation.
{observation_fields}
from observation o where o.owner = :owner and o.id = :id

-- observation_between --
-- Observations of one observer, of one target, after a place in their order.
{observation_fields}
from observation o
where o.owner = :owner and o.observer = :observer and o.target = :target
    and (o.created_at, o.no) > (:after_at, :after_no)
order by o.created_at, o.no limit :limit

-- observation_list --
-- Observations of one owner, newest first, after a place in that order.
{observation_fields}
from observation o
where o.owner = :owner and (o.created_at, o.no) < (:before_at, :before_no)
order by o.created_at desc, o.no desc limit :limit

-- observation_list_observer --
-- Observations of one observer (and of one target and status, if given), newest first.
{observation_fields}
from observation o
where o.owner = :owner and o.observer = :observer
    and (o.created_at, o.no) < (:before_at, :before_no)
    and (cast(:target as text) is null or o.target = :target)
    and (cast(:status as text) is null or o.status = :status)
order by o.created_at desc, o.no desc limit :limit

-- observation_list_target --
-- Observations of one target (and of one status, if given), newest first.
{observation_fields}
from observation o
where o.owner = :owner and o.target = :target
    and (o.created_at, o.no) < (:before_at, :before_no)
    and (cast(:status as text) is null or o.status = :status)
order by o.created_at desc, o.no desc limit :limit

-- observation_list_status --
-- Observations of one status, newest first.
{observation_fields}
from observation o
where o.owner = :owner and o.status = :status
    and (o.created_at, o.no) < (:before_at, :before_no)
order by o.created_at desc, o.no desc limit :limit

-- observation_all_active --
-- Observations of every owner that are active, by their numbers.
{observation_fields}
from observation o where o.status = 'active' and o.no > :after
order by o.no limit :limit

-- observation_add --
-- Keep a new observation.
insert into observation (no, owner, id, observer, target, events, sampling_rate,
    rate_limit, conditions, inbox, status, created_at, updated_at, version)
values (:no, :owner, :id, :observer, :target, :events, :sampling_rate,
    :rate_limit, :conditions, :inbox, 'active', :now, :now, 1)

-- observation_change --
-- Say what an observation is by now.
update observation set target = :target, events = :events,
    sampling_rate = :sampling_rate, rate_limit = :rate_limit,
    conditions = :conditions, inbox = :inbox, status = :status, updated_at = :now,
    version = :version
where owner = :owner and no = :no

-- observation_drop --
-- Delete an observation.
delete from observation where owner = :owner and no = :no

-- observation_version_last --
-- The version that an observation had before its last change.
select version from was_observation where owner = :owner and id = :id
order by died desc limit 1

-- observation_usage --
-- How many observations an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(octet_length(events)
    + coalesce(octet_length(conditions), 0)), 0)
from observation where owner = :owner
