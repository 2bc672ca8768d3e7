-- tables --
-- A session is a conversation; its messages stand at positions without a gap, from
-- `first` on. `version` is `revision` plus the newest position, so that an append need
-- not touch the session's row. Its own messages are rows of its `line`: of its own
-- number, if that is null. Up to `base` segments say in which lines its messages are.
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
    forked_at integer,
    base integer not null default 0,
    line integer,
    unique (owner, id)
) strict;
create index session_newest on session (owner, created_at, no);
create index session_status on session (owner, status, created_at, no);
create index session_parent on session (owner, parent, created_at, no)
    where parent is not null;
create index session_line on session (line) where line is not null;
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
    partial integer not null default 0,
    unique (session, position)
) strict;
-- An id that holdfast made ends in its row's number, and is found by that.
create unique index message_given on message (session, id) where given = 1;
create index message_partial on message (session, position) where partial = 1;
-- Positions of a session whose messages are in a line (`source`) that it may share. The
-- segments of a session begin at its first message, follow each other, and end at `base`.
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
-- What came after the beginning of a message that is still being written.
create table message_part (
    no integer primary key,
    owner text not null,
    message integer not null,
    position integer not null,
    text text not null,
    unique (message, position)
) strict;
-- What stands in for the messages up to a position, where not all can be shown.
create table summary (
    no integer primary key,
    owner text not null,
    session integer not null,
    upto integer not null,
    created_at integer not null,
    text text not null,
    unique (session, upto)
) strict;
-- What a session showed when it was marked; its segments have the mark's number.
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

-- session_fields --
-- What a session's record is made of, beside its own row the place and the time of its
-- newest message and whether its parent is gone (by `is null`: for `not exists` over
-- many rows, PostgreSQL reads every session).
select s.no, s.owner, s.id, s.created_at, s.updated_at, s.status, s.title, s.parent,
    s.metadata, s.tags, s.max_context_messages, s.revision, s.first,
    (select max(m.position) from message m where m.session = coalesce(s.line, s.no)),
    (select m.created_at from message m where m.session = coalesce(s.line, s.no)
        order by m.position desc limit 1),
    s.parent is not null and (
        select p.no from session p where p.owner = s.owner and p.id = s.parent) is null,
    s.forked_at, s.base

-- newest_fields --
-- The newest position that each session `found` has in its line, at a moment. What came
-- since may be much; it stands after that, which is found by halving. A row that was
-- made here before the moment, and is there or went after it, was there: its changes
-- need not be looked at. One that came from elsewhere has a number of another order.
reaching as materialized (
    select f.no, cast(coalesce(f.line, f.no) as bigint) as line,
        case when f.first > f.base then f.first - 1 else f.base end as below,
        (select e.position from ever_message e
            where e.owner = :owner and e.session = coalesce(f.line, f.no)
            order by e.position desc limit 1) as last
    from found f
),
known as materialized (
    select r.no, r.line, r.below, r.last,
        (select 1 from message m
            where m.owner = :owner and m.session = r.line and m.position = r.last
        ) as there
    from reaching r
),
halving(no, line, low, size, half) as (
    select k.no, k.line,
        case when k.there = 1 then k.last else k.below end,
        case when k.there = 1 then 0 else k.last - k.below end,
        case when k.there = 1 then 0 else (k.last - k.below + 1) / 2 end
    from known k
    union all
    select h.no, h.line,
        h.low + h.half * coalesce((
            select 1 from ever_message e
            where e.owner = :owner and e.session = h.line
                and e.position = cast(h.low + h.half as bigint)
                and case when e.no < 549755813888 then e.no <= :moment else exists (
                    select 1 from message m where m.owner = :owner and m.no = e.no)
                end
            limit 1), 0),
        h.size / 2, (h.size / 2 + 1) / 2
    from halving h where h.size > 0
),
newest as (
    select h.no, h.line, cast(h.low as bigint) as position from halving h
    where coalesce(h.size, 0) <= 0
)

-- standing_fields --
-- What a record is made of, of each session `found`, at a moment.
select s.no, s.owner, s.id, s.created_at, s.updated_at, s.status, s.title, s.parent,
    s.metadata, s.tags, s.max_context_messages, s.revision, s.first, n.position,
    (select m.created_at from message m
        where m.owner = :owner and m.session = n.line and m.position = n.position),
    s.parent is not null and (
        select p.no from session p where p.owner = s.owner and p.id = s.parent) is null,
    s.forked_at, s.base
from found s join newest n on n.no = s.no

-- session_get_past --
-- One session, at a moment.
with recursive found as materialized (
    select s.* from session s where s.owner = :owner and s.id = :id
),
{newest_fields}
{standing_fields}

-- session_place_past --
-- As `session_place`, of a session at a moment; nobody holds it.
with recursive found as materialized (
    select s.* from session s where s.owner = :owner and s.id = :id
),
{newest_fields}
select s.no, s.revision, s.first, n.position, null, s.base, n.line
from found s join newest n on n.no = s.no

-- session_list_past --
-- Sessions of one owner, at a moment, newest first.
with recursive found as materialized (
    select s.* from session s
    where s.owner = :owner and (s.created_at, s.no) < (:before_at, :before_no)
    order by s.created_at desc, s.no desc limit :limit
),
{newest_fields}
{standing_fields}
order by s.created_at desc, s.no desc

-- session_list_status_past --
-- Sessions of one status, at a moment, newest first.
with recursive found as materialized (
    select s.* from session s
    where s.owner = :owner and s.status = :status
        and (s.created_at, s.no) < (:before_at, :before_no)
    order by s.created_at desc, s.no desc limit :limit
),
{newest_fields}
{standing_fields}
order by s.created_at desc, s.no desc

-- session_list_parent_past --
-- Sessions of one parent (and of one status, if given), at a moment, newest first.
with recursive found as materialized (
    select s.* from session s
    where s.owner = :owner and s.parent = :parent
        and (s.created_at, s.no) < (:before_at, :before_no)
        and (cast(:status as text) is null or s.status = :status)
    order by s.created_at desc, s.no desc limit :limit
),
{newest_fields}
{standing_fields}
order by s.created_at desc, s.no desc

-- session_list_tag_past --
-- Sessions with one tag, at a moment, by the tags that each has: newest first.
with recursive found as materialized (
    select s.* from session s
    where s.owner = :owner and (s.created_at, s.no) < (:before_at, :before_no)
        and exists (select 1 from json_each(s.tags) g where g.value = :tag)
        and (cast(:status as text) is null or s.status = :status)
        and (cast(:parent as text) is null or s.parent = :parent)
    order by s.created_at desc, s.no desc limit :limit
),
{newest_fields}
{standing_fields}
order by s.created_at desc, s.no desc

-- session_get --
-- One session.
{session_fields}
from session s where s.owner = :owner and s.id = :id

-- session_place --
-- Where the next message of a session goes, and who holds the session.
select s.no, s.revision, s.first,
    (select max(m.position) from message m where m.session = coalesce(s.line, s.no)),
    (select l.fence from lease l where l.kind = 'sessions' and l.owner = s.owner
        and l.id = s.id and l.until_at > :now),
    s.base, coalesce(s.line, s.no)
from session s where s.owner = :owner and s.id = :id

-- session_add --
-- Keep a new session.
insert into session (no, owner, id, created_at, updated_at, status, title, parent,
    metadata, tags, max_context_messages, revision, first)
values (:no, :owner, :id, :now, :now, 'active', :title, :parent,
    :metadata, :tags, :max_context_messages, 0, 1)

-- session_admit --
-- Keep a session that began elsewhere.
insert into session (no, owner, id, created_at, updated_at, status, title, parent,
    metadata, tags, max_context_messages, revision, first, forked_at)
values (:no, :owner, :id, :created_at, :updated_at, :status, :title, :parent,
    :metadata, :tags, :max_context_messages, :revision, :first, :forked_at)

-- session_fork --
-- Keep a new session that begins with what another has said.
insert into session (no, owner, id, created_at, updated_at, status, title, parent,
    metadata, tags, max_context_messages, revision, first, forked_at, base)
values (:no, :owner, :id, :now, :now, 'active', :title, :parent,
    :metadata, :tags, :max_context_messages, 0, :first, :forked_at, :forked_at)

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
-- After messages left or changed: positions start at `first`, and the version moves on.
update session set revision = :revision, first = :first, base = :base, line = :line,
    updated_at = :now
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
select m.id, m.position, m.role, m.content, m.metadata, m.created_at, m.partial, m.no,
    m.session

-- message_add --
-- Keep a new message.
insert into message (no, owner, session, position, id, created_at, role, content,
    metadata, given, partial)
values (:no, :owner, :session, :position, :id, :created_at, :role, :content, :metadata,
    :given, :partial)

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

-- message_numbered_shared --
-- The message with this number, if it has this id and a segment of a session has it.
{message_fields}
from message m
where m.owner = :owner and m.no = :no and m.id = :id and m.session = (
    select g.source from segment g
    where g.owner = :owner and g.session = :session
        and g.first <= m.position and g.last >= m.position
    order by g.first desc limit 1)

-- message_given_shared --
-- The message that was given this id, if a segment of a session has it.
{message_fields}
from segment g cross join message m on m.session = g.source and m.id = :id
    and m.given = 1 and m.position >= g.first and m.position <= g.last
where g.owner = :owner and g.session = :session and m.owner = :owner

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

-- message_said --
-- Who said messages of a line, from one position to before another, oldest first.
select m.position, m.role, m.metadata from message m
where m.session = :session and m.position >= :start and m.position < :before
order by m.position limit :limit

-- message_pop --
-- Delete the message at one position.
delete from message where session = :session and position = :position

-- message_unhide --
-- Delete the message of an id that was cleared and is still to be swept away.
delete from message
where session = :session and id = :id and given = 1 and position < :first

-- message_partial --
-- The messages of a line, between two positions, that are still being written.
{message_fields}
from message m
where m.owner = :owner and m.session = :session and m.partial = 1
    and m.position >= :first and m.position <= :last

-- message_change --
-- Have a message say something else.
update message set content = :content, metadata = :metadata
where owner = :owner and no = :no

-- message_sweep --
-- Delete some messages that stand from one position to before another.
delete from message where no in (
    select m.no from message m
    where m.session = :session and m.position >= :first and m.position < :below
    order by m.position limit :limit)

-- segment_add --
-- Let a session have the messages of a line at some positions.
insert into segment (no, owner, session, first, last, source)
values (:no, :owner, :session, :first, :last, :source)

-- segment_page_back --
-- The newest segments of a session that begin before a position, newest first.
select g.no, g.first, g.last, g.source from segment g
where g.owner = :owner and g.session = :session and g.first < :before
order by g.first desc limit :limit

-- segment_page_on --
-- The oldest segments that have a position between two, oldest first.
select g.no, g.first, g.last, g.source from segment g
where g.owner = :owner and g.session = :session
    and g.last >= :start and g.first < :before
order by g.first limit :limit

-- segment_lines --
-- The lines in which a session's segments are.
select g.source from segment g where g.owner = :owner and g.session = :session

-- segment_of_others --
-- Whether a session other than this one has a segment in a line, between two positions.
select 1 from segment g
where g.owner = :owner and g.source = :source and g.last >= :first
    and g.first <= :last and g.session <> :session
limit 1

-- segment_put --
-- Have a segment end at a position, and be in a line.
update segment set last = :last, source = :source where owner = :owner and no = :no

-- segment_end --
-- Have the segments of a session end at a position.
update segment set last = :last
where owner = :owner and session = :session and last > :last

-- segment_drop --
-- Delete the segments of a session that begin after a position.
delete from segment where owner = :owner and session = :session and first > :after

-- mark_add --
-- Keep a new mark.
insert into mark (no, owner, id, session, first, last)
values (:no, :owner, :id, :session, :first, :last)

-- mark_get --
-- One mark, with the id of its session, if that is there.
select k.no, k.id, (select s.id from session s where s.no = k.session), k.first, k.last
from mark k where k.owner = :owner and k.id = :id

-- mark_list --
-- Marks of a session.
select k.no, k.owner from mark k where k.session = :session limit :limit

-- mark_drop --
-- Delete a mark.
delete from mark where owner = :owner and no = :no

-- line_shown --
-- Positions of a line, from each first to a last, that sessions show.
select g.first, max(g.last) from segment g where g.source = :session group by g.first
union all
select case when s.first > s.base then s.first else s.base + 1 end, 4611686018427387903
from session s where (s.no = :session and s.line is null) or s.line = :session

-- session_last --
-- Where a session stood before its own row was last changed.
select w.revision, w.first, w.base,
    (select max(m.position) from message m
        where m.owner = :owner and m.session = coalesce(w.line, w.no)),
    (select max(x.position) from was_message x
        where x.owner = :owner and x.session = coalesce(w.line, w.no))
from was_session w where w.owner = :owner and w.id = :id
order by w.died desc limit 1

-- session_lines --
-- The lines that a session has, or had; null for that of its own number.
select s.line from session s where s.owner = :owner and s.id = :id
union select w.line from was_session w where w.owner = :owner and w.id = :id

-- session_left_line --
-- The session that a line was of the last time.
select * from was_session where owner = :owner and line = :line
order by died desc limit 1

-- session_of_line --
-- The session that a line is of, if it is not of its own number.
select * from session s where s.owner = :owner and s.line = :line

-- reply_numbered --
-- A message by the number in its id: what a reply to go on with needs to know of it, of
-- its newest part, and of who holds the session.
select m.no, m.partial, m.content,
    (select p.position from message_part p where p.owner = :owner and p.message = m.no
        order by p.position desc limit 1),
    (select p.text from message_part p where p.owner = :owner and p.message = m.no
        order by p.position desc limit 1),
    (select l.fence from lease l where l.kind = 'sessions' and l.owner = s.owner
        and l.id = s.id and l.until_at > :now)
from session s join message m on m.session = coalesce(s.line, s.no)
where s.owner = :owner and s.id = :id and m.owner = :owner and m.no = :no
    and m.id = :message and m.position >= s.first

-- reply_given --
-- As `reply_numbered`, for a message that was given its id.
select m.no, m.partial, m.content,
    (select p.position from message_part p where p.owner = :owner and p.message = m.no
        order by p.position desc limit 1),
    (select p.text from message_part p where p.owner = :owner and p.message = m.no
        order by p.position desc limit 1),
    (select l.fence from lease l where l.kind = 'sessions' and l.owner = s.owner
        and l.id = s.id and l.until_at > :now)
from session s join message m on m.session = coalesce(s.line, s.no)
where s.owner = :owner and s.id = :id and m.owner = :owner and m.id = :message
    and m.given = 1 and m.position >= s.first

-- reply_row --
-- As `reply_numbered`, by the number of the message's row alone, and without a holder.
select m.no, m.partial, m.content,
    (select p.position from message_part p where p.owner = :owner and p.message = m.no
        order by p.position desc limit 1),
    (select p.text from message_part p where p.owner = :owner and p.message = m.no
        order by p.position desc limit 1),
    null
from message m where m.owner = :owner and m.no = :no

-- reply_end --
-- Put a message as it is whole.
update message set content = :content, metadata = :metadata, partial = 0
where owner = :owner and no = :no

-- part_add --
-- Keep what came of a message, from a place in it on.
insert into message_part (no, owner, message, position, text)
values (:no, :owner, :message, :position, :text)

-- parts_of --
-- What came of a message after its beginning, in any order.
select p.position, p.text from message_part p
where p.owner = :owner and p.message = :message

-- part_drop --
-- Delete what came of one message after its beginning.
delete from message_part where owner = :owner and message = :message

-- part_sweep --
-- Delete what came of messages that stand from one position to before another.
delete from message_part where (owner, message) in (
    select m.owner, m.no from message m
    where m.session = :session and m.partial = 1
        and m.position >= :first and m.position < :below)

-- session_usage --
-- How many messages an owner has, and their bytes; those that sessions share count once.
select count(*), coalesce(sum(octet_length(m.content)
    + coalesce(octet_length(m.metadata), 0)), 0)
from (
    select coalesce(s.line, s.no) as line, s.first from session s
    where s.owner = :owner
    union all
    select distinct g.source, 0 from (
        select s.no from session s where s.owner = :owner
        union all select k.no from mark k where k.owner = :owner
    ) f cross join segment g on g.owner = :owner and g.session = f.no
    where not exists (
            select 1 from session w where w.no = g.source and w.line is null)
        and not exists (select 1 from session w where w.line = g.source)
) l cross join message m
    on m.owner = :owner and m.session = l.line and m.position >= l.first

-- session_usage_past --
-- As `session_usage`, at a moment.
with lines as materialized (
    select l.line, min(l.first) as first from (
        select coalesce(s.line, s.no) as line, s.first from session s
        where s.owner = :owner
        union all
        select g.source, 0 from segment g
        where g.owner = :owner
            and g.session in (
                select f.no from session f where f.owner = :owner
                union all select k.no from mark k where k.owner = :owner)
            and not exists (
                select 1 from session w where w.no = g.source and w.line is null)
            and not exists (select 1 from session w where w.line = g.source)
    ) l group by l.line
)
select count(*), coalesce(sum(u.bytes), 0) from (
    select octet_length(m.content) + coalesce(octet_length(m.metadata), 0) as bytes
    from message m
    where m.owner = :owner and m.session in (select l.line from lines l)
        and m.position >= (select l.first from lines l where l.line = m.session)) u

-- session_count --
-- How many sessions an owner has.
select count(*) from session where owner = :owner

-- session_most --
-- How many messages of a session a model is to be shown, if the session says so.
select s.max_context_messages from session s where s.no = :no

-- session_bytes --
-- The bytes of a session's own messages, up to one.
select coalesce(sum(octet_length(m.content) + coalesce(octet_length(m.metadata), 0)), 0)
from message m
where m.owner = :owner and m.session = :session
    and m.position >= :first and m.position <= :upto

-- session_big_before --
-- The newest of a session's own messages before one that has so many bytes or more.
select m.position from message m
where m.owner = :owner and m.session = :session
    and m.position >= :first and m.position < :before
    and octet_length(m.content) + coalesce(octet_length(m.metadata), 0) >= :bytes
order by m.position desc limit 1

-- summary_fields --
-- What a summary's record is made of.
select s.upto, s.text, s.created_at

-- summary_at --
-- The summary of a session's messages up to one position.
{summary_fields}
from summary s where s.owner = :owner and s.session = :session and s.upto = :upto

-- summary_covering --
-- The summary of all messages up to a position that reaches the least further.
{summary_fields}
from summary s
where s.owner = :owner and s.session = :session and s.upto >= :upto and s.upto <= :last
order by s.upto limit 1

-- summary_nearest --
-- The summary that reaches furthest of those that do not reach a position.
{summary_fields}
from summary s
where s.owner = :owner and s.session = :session and s.upto >= :start and s.upto < :upto
order by s.upto desc limit 1

-- summary_page --
-- Summaries of a session before a position, those that reach furthest first.
{summary_fields}
from summary s
where s.owner = :owner and s.session = :session and s.upto < :before
order by s.upto desc limit :limit

-- summary_add --
-- Keep a new summary.
insert into summary (no, owner, session, upto, created_at, text)
values (:no, :owner, :session, :upto, :now, :text)

-- summary_change --
-- Put another summary in the place of one.
update summary set text = :text, created_at = :now
where owner = :owner and session = :session and upto = :upto

-- summary_forget --
-- Delete a session's summaries that reach beyond a position.
delete from summary where owner = :owner and session = :session and upto > :beyond

-- session_on_own_line --
-- What the session that a line began with shows of it, if it is on it still.
select s.id, s.first, s.base from session s where s.no = :no and s.line is null

-- message_shown_in --
-- The session that shows the message at a position of a line: the one whose line that
-- is, or else the oldest of those that share it.
select f.id from (
    select s.id, s.no, 0 as shares from session s
    where s.no = :line and s.line is null
        and s.owner = :owner and s.first <= :position and s.base < :position
    union all
    select s.id, s.no, 0 from session s
    where s.line = :line
        and s.owner = :owner and s.first <= :position and s.base < :position
    union all
    select s.id, s.no, 1 from segment g join session s on s.no = g.session
    where g.source = :line and g.last >= :position and g.first <= :position
        and s.owner = :owner and s.first <= :position
) f
order by f.shares, f.no limit 1
