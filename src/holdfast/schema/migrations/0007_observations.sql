-- An older holdfast may go on beside this one: it knows of no observations.
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
