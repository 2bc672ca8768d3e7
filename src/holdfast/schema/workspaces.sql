-- tables --
-- Where somebody works: under which persona, with which tools (a JSON list of names), at
-- which issue and branch. When it was used last changes often, and stands apart.
create table workspace (
    no integer primary key,
    owner text not null,
    id text not null,
    path text,
    project text,
    persona text,
    tools text not null,
    issue text,
    branch text,
    metadata text,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    unique (owner, id)
) strict;
create table workspace_use (
    no integer primary key,
    owner text not null,
    workspace integer not null,
    used_at integer not null,
    unique (owner, workspace)
) strict;
create index workspace_use_newest on workspace_use (owner, used_at, workspace);
-- Chat sessions of a workspace; what is null in one is as the workspace has it.
create table workspace_chat (
    no integer primary key,
    owner text not null,
    workspace integer not null,
    session text not null,
    name text,
    persona text,
    tools text,
    issue text,
    branch text,
    started_at integer not null,
    used_at integer not null,
    unique (workspace, session)
) strict;
create index workspace_chat_used on workspace_chat (workspace, used_at, no);
create index workspace_chat_newest on workspace_chat (owner, used_at, no);

-- workspace_fields --
-- What a workspace's record is made of: its own row, when it was used, and the chat
-- that was used last.
select w.no, w.owner, w.id, w.path, w.project, w.persona, w.tools, w.issue, w.branch,
    w.metadata, w.created_at, w.updated_at, w.version,
    (select u.used_at from workspace_use u
        where u.owner = w.owner and u.workspace = w.no),
    (select c.session from workspace_chat c
        where c.owner = w.owner and c.workspace = w.no
        order by c.used_at desc, c.no desc limit 1)

-- workspace_get --
-- One workspace.
{workspace_fields}
from workspace w where w.owner = :owner and w.id = :id

-- workspace_at --
-- One workspace, by its number.
{workspace_fields}
from workspace w where w.owner = :owner and w.no = :no

-- workspace_used --
-- Workspaces of one owner by their numbers, used last first, after a place.
select u.used_at, u.workspace from workspace_use u
where u.owner = :owner and (u.used_at, u.workspace) < (:before_at, :before_no)
order by u.used_at desc, u.workspace desc limit :limit

-- workspace_unused --
-- Workspaces that nobody has used since a time, used longest ago first.
select u.used_at, u.workspace from workspace_use u
where u.owner = :owner and u.used_at <= :before
    and (u.used_at, u.workspace) > (:after_at, :after_no)
order by u.used_at, u.workspace limit :limit

-- workspace_add --
-- Keep a new workspace.
insert into workspace (no, owner, id, path, project, persona, tools, issue, branch,
    metadata, created_at, updated_at, version)
values (:no, :owner, :id, :path, :project, :persona, :tools, :issue, :branch,
    :metadata, :now, :now, 1)

-- workspace_change --
-- Say what a workspace is by now.
update workspace set path = :path, project = :project, persona = :persona,
    tools = :tools, issue = :issue, branch = :branch, metadata = :metadata,
    updated_at = :now, version = version + 1
where owner = :owner and no = :no

-- workspace_drop --
-- Delete a workspace.
delete from workspace where owner = :owner and no = :no

-- workspace_version_last --
-- The version that a workspace had before its last change.
select version from was_workspace where owner = :owner and id = :id
order by died desc limit 1

-- workspace_usage --
-- How many workspaces an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(octet_length(tools)
    + coalesce(octet_length(metadata), 0)), 0)
from workspace where owner = :owner

-- workspace_use_add --
-- Say that a new workspace is used.
insert into workspace_use (no, owner, workspace, used_at)
values (:no, :owner, :workspace, :now)

-- workspace_use_change --
-- Say that a workspace is used now.
update workspace_use set used_at = :now
where owner = :owner and workspace = :workspace

-- workspace_use_drop --
-- Forget when a workspace was used.
delete from workspace_use where owner = :owner and workspace = :workspace

-- workspace_use_usage --
-- How many workspaces an owner uses.
select count(*), 0 from workspace_use where owner = :owner

-- workspace_chat_fields --
-- What a chat's record is made of.
select c.no, c.session, c.name, c.persona, c.tools, c.issue, c.branch, c.started_at,
    c.used_at

-- workspace_chat_get --
-- One chat of a workspace.
{workspace_chat_fields}
from workspace_chat c
where c.owner = :owner and c.workspace = :workspace and c.session = :session

-- workspace_chat_list --
-- Chats of a workspace, used last first, after a place in that order.
{workspace_chat_fields}
from workspace_chat c
where c.owner = :owner and c.workspace = :workspace
    and (c.used_at, c.no) < (:before_at, :before_no)
order by c.used_at desc, c.no desc limit :limit

-- workspace_chat_unused --
-- Chats that nobody has used since a time, used longest ago first.
select c.used_at, c.no, c.workspace, c.session from workspace_chat c
where c.owner = :owner and c.used_at <= :before
    and (c.used_at, c.no) > (:after_at, :after_no)
order by c.used_at, c.no limit :limit

-- workspace_chat_add --
-- Keep a new chat of a workspace.
insert into workspace_chat (no, owner, workspace, session, name, persona, tools, issue,
    branch, started_at, used_at)
values (:no, :owner, :workspace, :session, :name, :persona, :tools, :issue,
    :branch, :now, :now)

-- workspace_chat_change --
-- Say what a chat is by now, and that it is used.
update workspace_chat set name = :name, persona = :persona, tools = :tools,
    issue = :issue, branch = :branch, used_at = :now
where owner = :owner and no = :no

-- workspace_chat_drop --
-- Take a chat out of its workspace.
delete from workspace_chat where owner = :owner and no = :no

-- workspace_chat_drop_all --
-- Take all chats out of a workspace.
delete from workspace_chat where owner = :owner and workspace = :workspace

-- workspace_chat_usage --
-- How many chats an owner's workspaces have, and the bytes of what they carry.
select count(*), coalesce(sum(coalesce(octet_length(tools), 0)), 0)
from workspace_chat where owner = :owner
