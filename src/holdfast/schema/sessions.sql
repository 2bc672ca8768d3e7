-- tables --
-- A session is a conversation; its messages stand at positions without a gap, from
-- `first` on. `version` is `revision` plus the newest position, so that an append need
-- not touch the session's row.
create table session (
    no integer primary key,
    owner text not null,
    id text not null,
    created_at integer not null,
    updated_at integer not null,
    status text not null,
    title text not null,
    parent text,
    metadata text,
    tags text not null,
    max_context_messages integer,
    revision integer not null,
    first integer not null,
    unique (owner, id)
) strict;
create index session_newest on session (owner, created_at, no);
create index session_status on session (owner, status, created_at, no);
create index session_parent on session (owner, parent, created_at, no)
    where parent is not null;
create table session_tag (
    owner text not null,
    tag text not null,
    created_at integer not null,
    session integer not null,
    primary key (owner, tag, created_at, session)
) strict, without rowid;
create index session_tag_session on session_tag (session);
create table message (
    no integer primary key,
    owner text not null,
    session integer not null,
    position integer not null,
    id text not null,
    created_at integer not null,
    role text not null,
    content text not null,
    metadata text,
    given integer not null,
    unique (session, position)
) strict;
-- An id that holdfast made ends in its row's number, and is found by that.
create unique index message_given on message (session, id) where given = 1;

-- session_fields --
-- What a session's record is made of, beside its own row the place and the time of its
-- newest message and whether its parent is gone (by `is null`: for `not exists` over
-- many rows, PostgreSQL reads every session).
select s.no, s.owner, s.id, s.created_at, s.updated_at, s.status, s.title, s.parent,
    s.metadata, s.tags, s.max_context_messages, s.revision, s.first,
    (select max(m.position) from message m where m.session = s.no),
    (select m.created_at from message m where m.session = s.no
        order by m.position desc limit 1),
    s.parent is not null and (
        select p.no from session p where p.owner = s.owner and p.id = s.parent) is null

-- session_get --
-- One session.
{session_fields}
from session s where s.owner = :owner and s.id = :id

-- session_place --
-- Where the next message of a session goes, and who holds the session.
select s.no, s.revision, s.first,
    (select max(m.position) from message m where m.session = s.no),
    (select l.fence from lease l where l.kind = 'sessions' and l.owner = s.owner
        and l.id = s.id and l.until_at > :now)
from session s where s.owner = :owner and s.id = :id

-- session_add --
-- Keep a new session.
insert into session (no, owner, id, created_at, updated_at, status, title, parent,
    metadata, tags, max_context_messages, revision, first)
values (:no, :owner, :id, :now, :now, 'active', :title, :parent,
    :metadata, :tags, :max_context_messages, 0, 1)

-- session_tag_add --
-- Let a session be found by a tag.
insert into session_tag (owner, tag, created_at, session)
values (:owner, :tag, :created_at, :no)

-- session_tag_drop --
-- Let a session be found by no tag.
delete from session_tag where session = :no

-- session_change --
-- Put a session's own fields as they now are; its version moves by one.
update session set title = :title, status = :status, metadata = :metadata,
    tags = :tags, max_context_messages = :max_context_messages,
    revision = revision + 1, updated_at = :now
where no = :no

-- session_cut --
-- After messages left: positions start at `first`, and the version still moves on.
update session set revision = :revision, first = :first, updated_at = :now
where no = :no

-- session_drop --
-- Delete a session's own row.
delete from session where no = :no

-- session_list --
-- Sessions of one owner, newest first, after a place in that order.
{session_fields}
from session s
where s.owner = :owner and (s.created_at, s.no) < (:before_at, :before_no)
order by s.created_at desc, s.no desc limit :limit

-- session_list_status --
-- Sessions of one status, newest first, after a place in that order.
{session_fields}
from session s
where s.owner = :owner and s.status = :status
    and (s.created_at, s.no) < (:before_at, :before_no)
order by s.created_at desc, s.no desc limit :limit

-- session_list_parent --
-- Sessions of one parent (and of one status, if given), newest first.
{session_fields}
from session s
where s.owner = :owner and s.parent = :parent
    and (s.created_at, s.no) < (:before_at, :before_no)
    and (cast(:status as text) is null or s.status = :status)
order by s.created_at desc, s.no desc limit :limit

-- session_list_tag --
-- Sessions with one tag (and of one status and parent, if given), newest first.
{session_fields}
from session_tag t cross join session s on s.no = t.session
where t.owner = :owner and t.tag = :tag
    and (t.created_at, t.session) < (:before_at, :before_no)
    and (cast(:status as text) is null or s.status = :status)
    and (cast(:parent as text) is null or s.parent = :parent)
order by t.created_at desc, t.session desc limit :limit

-- message_fields --
-- What a message's record is made of.
select m.id, m.position, m.role, m.content, m.metadata, m.created_at

-- message_add --
-- Keep a new message.
insert into message (no, owner, session, position, id, created_at, role, content,
    metadata, given)
values (:no, :owner, :session, :position, :id, :now, :role, :content, :metadata,
    :given)

-- message_given --
-- The message of a session that was given this id.
{message_fields}
from message m
where m.session = :session and m.id = :id and m.given = 1 and m.position >= :first

-- message_numbered --
-- The message of a session with this number, if it has this id.
{message_fields}
from message m
where m.no = :no and m.id = :id and m.session = :session and m.position >= :first

-- message_at --
-- The message at one position.
{message_fields}
from message m where m.session = :session and m.position = :position

-- message_page_back --
-- The newest messages before a position, newest first.
{message_fields}
from message m
where m.session = :session and m.position >= :first and m.position < :before
order by m.position desc limit :limit

-- message_page_on --
-- The oldest messages from a position on, oldest first.
{message_fields}
from message m
where m.session = :session and m.position >= :start and m.position < :before
order by m.position limit :limit

-- message_pop --
-- Delete the message at one position.
delete from message where session = :session and position = :position

-- message_unhide --
-- Delete the message of an id that was cleared and is still to be swept away.
delete from message
where session = :session and id = :id and given = 1 and position < (
    select s.first from session s where s.no = :session)

-- message_sweep --
-- Delete some messages that stand below a position.
delete from message where no in (
    select m.no from message m
    where m.session = :session and m.position < :below
    order by m.position limit :limit)

-- session_usage --
-- How many messages an owner has, and their bytes.
select count(*), coalesce(sum(octet_length(m.content)
    + coalesce(octet_length(m.metadata), 0)), 0)
from session s cross join message m on m.session = s.no and m.position >= s.first
where s.owner = :owner

-- session_count --
-- How many sessions an owner has.
select count(*) from session where owner = :owner
