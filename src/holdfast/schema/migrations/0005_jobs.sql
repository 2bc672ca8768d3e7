-- An older holdfast may go on beside this one: it knows of no jobs.
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
-- A schedule says which job is put again and again, and when: at the times of a cron
-- text in a time zone, or every so many microseconds from its creation on.
create table schedule (
    no integer primary key,
    owner text not null,
    id text not null,
    kind text not null,
    body text,
    cron text,
    every_us integer,
    timezone text not null,
    lane text,
    priority integer not null,
    max_attempts integer not null,
    missed text not null,
    paused integer not null,
    created_at integer not null,
    updated_at integer not null,
    unique (owner, id)
) strict;
create index schedule_newest on schedule (owner, created_at, no);
-- When a schedule, by its number, is due next; 0 if that is still to be counted. It is
-- not journalled, and can be made again from `schedule`.
create table schedule_due (
    no integer primary key,
    owner text not null,
    next_at integer
) strict;
create index schedule_due_next on schedule_due (owner, next_at);
