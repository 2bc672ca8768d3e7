-- What sessions showed when they were marked. An older holdfast may go on beside this
-- one: it knows of no marks, and leaves what they share.
create table mark (
    no integer primary key,
    owner text not null,
    id text not null,
    session integer not null,
    first integer not null,
    last integer not null,
    unique (owner, id)
) strict;
create index mark_session on mark (session);
-- What agents know across conversations.
create table item (
    no integer primary key,
    owner text not null,
    id text not null,
    namespace text not null,
    key text not null,
    created_at integer not null,
    updated_at integer not null,
    ends_at integer,
    lifetime_us integer,
    value text not null,
    vectors blob,
    unique (owner, id)
) strict;
create index item_place on item (owner, namespace, updated_at, no);
create index item_ends on item (ends_at) where ends_at is not null;
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
