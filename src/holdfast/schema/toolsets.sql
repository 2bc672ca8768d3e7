-- tables --
-- What an agent's tools are in a conversation, since they were last asked for less than a
-- day ago: their descriptions (a JSON list), their names, and a digest of all of it. Once
-- they were given as a whole, `given` is the digest of what was; the session of that
-- name, if there was one, was row `given_session` then, and began at `given_first`.
-- Toolsets are not journalled: they can be made again.
create table toolset (
    owner text not null,
    agent text not null,
    conversation text not null,
    digest text not null,
    names text not null,
    tools text not null,
    given text,
    given_session integer,
    given_first integer,
    created_at integer not null,
    updated_at integer not null,
    seen_at integer not null,
    primary key (owner, agent, conversation)
) strict;
create index toolset_newest on toolset (owner, updated_at, agent, conversation);
create index toolset_agent on toolset (owner, agent, updated_at, conversation);
create index toolset_seen on toolset (seen_at);

-- toolset_fields --
-- What a toolset's record is made of, without the tools.
select t.owner, t.agent, t.conversation, t.digest, t.names, t.given,
    t.given_session, t.given_first, t.created_at, t.updated_at, t.seen_at

-- toolset_get --
-- One toolset, and what the session of its conversation is now.
{toolset_fields}
    , s.no, s.first
from toolset t left join session s on s.owner = t.owner and s.id = t.conversation
where t.owner = :owner and t.agent = :agent and t.conversation = :conversation

-- toolset_tools --
-- The tools of one toolset.
select t.tools from toolset t where t.owner = :owner and t.agent = :agent and t.conversation = :conversation

-- toolset_list --
-- Toolsets of one owner that were seen since a time, newest first.
{toolset_fields}
from toolset t
where t.owner = :owner and t.seen_at > :since
    and (t.updated_at, t.agent, t.conversation) < (:at, :agent, :conversation)
order by t.updated_at desc, t.agent desc, t.conversation desc limit :limit

-- toolset_list_agent --
-- Toolsets of one agent that were seen since a time, newest first.
{toolset_fields}
from toolset t
where t.owner = :owner and t.agent = :agent and t.seen_at > :since
    and (t.updated_at, t.conversation) < (:at, :conversation)
order by t.updated_at desc, t.conversation desc limit :limit

-- toolset_add --
-- Keep a new toolset, which was not given yet.
insert into toolset (owner, agent, conversation, digest, names, tools, created_at,
    updated_at, seen_at)
values (:owner, :agent, :conversation, :digest, :names, :tools, :now, :now, :now)

-- toolset_change --
-- Say what the tools are by now.
update toolset set digest = :digest, names = :names, tools = :tools, updated_at = :now,
    seen_at = :now
where owner = :owner and agent = :agent and conversation = :conversation

-- toolset_see --
-- Say that a toolset was asked for.
update toolset set seen_at = :now where owner = :owner and agent = :agent and conversation = :conversation

-- toolset_give --
-- Say that a toolset was given as a whole, and in which session.
update toolset set given = :given, given_session = :session, given_first = :first,
    seen_at = :now
where owner = :owner and agent = :agent and conversation = :conversation

-- toolset_drop --
-- Delete a toolset.
delete from toolset where owner = :owner and agent = :agent and conversation = :conversation

-- toolset_clear --
-- Delete some toolsets of one owner, or of one of their agents.
delete from toolset
where owner = :owner and (agent, conversation) in (
    select t.agent, t.conversation from toolset t
    where t.owner = :owner and (cast(:agent as text) is null or t.agent = :agent)
    order by t.agent, t.conversation limit :limit)

-- toolset_old --
-- Until when the oldest toolsets were last seen, so many of them, that were not since.
select t.seen_at from toolset t where t.seen_at <= :before
order by t.seen_at limit 1 offset :others

-- toolset_sweep --
-- Delete the toolsets that nobody asked for between two times.
delete from toolset where seen_at >= :after and seen_at <= :before

-- toolsets_owners --
-- The first owner of a toolset, from a place in their order on.
select min(owner) from toolset where owner >= :after

-- toolset_usage --
-- How many toolsets an owner has, and the bytes of their tools.
select count(*), coalesce(sum(octet_length(tools)), 0) from toolset
where owner = :owner
