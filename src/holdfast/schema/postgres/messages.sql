-- session_fields --
-- What a session's record is made of, beside its own row the place and the time of its
-- newest message and whether its parent is gone (by `is null`: for `not exists` over
-- many rows, PostgreSQL reads every session).
select s.no, s.owner, s.id, s.created_at, s.updated_at, s.status, s.title, s.parent,
    s.metadata, s.tags, s.max_context_messages, s.revision, s.first,
    (select m.position from message m
        where m.owner = :owner and m.session = coalesce(s.line, s.no)
        order by m.position desc limit 1),
    (select m.created_at from message m
        where m.owner = :owner and m.session = coalesce(s.line, s.no)
        order by m.position desc limit 1),
    s.parent is not null and (
        select p.no from session p where p.owner = s.owner and p.id = s.parent) is null,
    s.forked_at, s.base

-- session_place --
-- Where the next message of a session goes, and who holds the session.
select s.no, s.revision, s.first,
    (select m.position from message m
        where m.owner = :owner and m.session = coalesce(s.line, s.no)
        order by m.position desc limit 1),
    (select l.fence from lease l where l.kind = 'sessions' and l.owner = s.owner
        and l.id = s.id and l.until_at > :now),
    s.base, coalesce(s.line, s.no)
from session s where s.owner = :owner and s.id = :id

-- message_given --
-- The message of a session that was given this id.
{message_fields}
from message m
where m.owner = :owner and m.session = :session and m.id = :id and m.given = 1
    and m.position >= :first

-- message_page_back --
-- The newest messages before a position, newest first.
{message_fields}
from message m
where m.owner = :owner and m.session = :session
    and m.position >= :first and m.position < :before
order by m.position desc limit :limit

-- message_page_on --
-- The oldest messages from a position on, oldest first.
{message_fields}
from message m
where m.owner = :owner and m.session = :session
    and m.position >= :start and m.position < :before
order by m.position limit :limit

-- message_numbered --
-- The message of a session with this number, if it has this id.
{message_fields}
from message m
where m.owner = :owner and m.no = :no and m.id = :id and m.session = :session
    and m.position >= :first

-- message_pop --
-- Delete the message at one position.
delete from message where owner = :owner and session = :session and position = :position

-- message_unhide --
-- Delete the message of an id that was cleared and is still to be swept away.
delete from message
where owner = :owner and session = :session and id = :id and given = 1
    and position < :first

-- message_given_shared --
-- The message that was given this id, if a segment of a session has it.
{message_fields}
from segment g join message m on m.session = g.source and m.id = :id
    and m.given = 1 and m.position >= g.first and m.position <= g.last
where g.owner = :owner and g.session = :session and m.owner = :owner
