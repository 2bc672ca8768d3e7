-- Sessions that share messages since they were forked, messages that are still being
-- written, and summaries. An older holdfast may go on beside this one until the first
-- of these is made.
alter table session add column forked_at integer;
alter table session add column base integer not null default 0;
alter table session add column line integer;
create index session_line on session (line) where line is not null;
alter table message add column partial integer not null default 0;
create index message_partial on message (session, position) where partial = 1;
create table segment (
    no integer primary key,
    owner text not null,
    session integer not null,
    first integer not null,
    last integer not null,
    source integer not null,
    unique (session, first)
) strict;
create index segment_source on segment (source, last);
create table message_part (
    no integer primary key,
    owner text not null,
    message integer not null,
    position integer not null,
    text text not null,
    unique (message, position)
) strict;
create table summary (
    no integer primary key,
    owner text not null,
    session integer not null,
    upto integer not null,
    created_at integer not null,
    text text not null,
    unique (session, upto)
) strict;
