-- tables --
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

-- inbox_fields --
-- What a message's record is made of.
select i.no, i.owner, i.id, i.recipient, i.sender, i.position, i.body, i.status,
    i.attempts, i.error, i.created_at, i.processed_at

-- inbox_get --
-- One message.
{inbox_fields}
from inbox_message i where i.owner = :owner and i.id = :id

-- inbox_next --
-- The first message to a recipient that is pending, and the fence of its live lease.
{inbox_fields}
    , (select l.fence from lease l where l.kind = 'inbox' and l.owner = i.owner
        and l.id = i.id and l.until_at > :now)
from inbox_message i
where i.owner = :owner and i.recipient = :recipient and i.status = 'pending'
order by i.position limit 1

-- inbox_last --
-- The last place among a recipient's messages, and among those that there were.
select
    (select max(i.position) from inbox_message i
        where i.owner = :owner and i.recipient = :recipient),
    (select max(w.position) from was_inbox_message w
        where w.owner = :owner and w.recipient = :recipient)

-- inbox_add --
-- Keep a new message.
insert into inbox_message (no, owner, id, recipient, sender, position, body, status,
    attempts, created_at)
values (:no, :owner, :id, :recipient, :sender, :position, :body, 'pending', 0, :now)

-- inbox_move --
-- Say how a message now stands.
update inbox_message set status = :status, attempts = :attempts, error = :error,
    processed_at = :processed_at
where owner = :owner and no = :no

-- inbox_list --
-- Messages of one owner, newest first, after a place in that order.
{inbox_fields}
from inbox_message i
where i.owner = :owner and (i.created_at, i.no) < (:before_at, :before_no)
order by i.created_at desc, i.no desc limit :limit

-- inbox_list_status --
-- Messages of one status, newest first.
{inbox_fields}
from inbox_message i
where i.owner = :owner and i.status = :status
    and (i.created_at, i.no) < (:before_at, :before_no)
order by i.created_at desc, i.no desc limit :limit

-- inbox_list_to --
-- Messages to one recipient, in their order, after a place in it.
{inbox_fields}
from inbox_message i
where i.owner = :owner and i.recipient = :recipient and i.position > :after
order by i.position limit :limit

-- inbox_list_to_status --
-- Messages to one recipient and of one status, in their order.
{inbox_fields}
from inbox_message i
where i.owner = :owner and i.recipient = :recipient and i.status = :status
    and i.position > :after
order by i.position limit :limit

-- inbox_purge --
-- Delete some messages that were processed before a time.
delete from inbox_message where no in (
    select i.no from inbox_message i
    where i.owner = :owner and i.processed_at < :before
    order by i.processed_at, i.no limit :limit)
and processed_at < :before

-- inbox_usage --
-- How many messages an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(coalesce(octet_length(body), 0)
    + coalesce(octet_length(error), 0)), 0)
from inbox_message where owner = :owner
