-- An older holdfast may go on beside this one: it knows of no machines, and of no inbox.
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
-- A message to somebody. `position` orders those of one recipient; `status` is pending,
-- processed or set_aside; `attempts` counts how often it could not be processed.
create table inbox_message (
    no integer primary key,
    owner text not null,
    id text not null,
    recipient text not null,
    sender text,
    position integer not null,
    body text,
    status text not null,
    attempts integer not null,
    error text,
    created_at integer not null,
    processed_at integer,
    unique (owner, id)
) strict;
create unique index inbox_message_place
    on inbox_message (owner, recipient, position);
create index inbox_message_next
    on inbox_message (owner, recipient, status, position);
create index inbox_message_newest on inbox_message (owner, created_at, no);
create index inbox_message_status on inbox_message (owner, status, created_at, no);
create index inbox_message_done on inbox_message (owner, processed_at, no)
    where processed_at is not null;
