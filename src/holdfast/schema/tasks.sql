-- tables --
-- A task is a unit of an agent's work; its log's lines stand at positions from 1 on.
create table task (
    no integer primary key,
    owner text not null,
    id text not null,
    created_at integer not null,
    updated_at integer not null,
    started_at integer,
    completed_at integer,
    status text not null,
    description text not null,
    tool text,
    session text,
    assigned_to text,
    progress text,
    error text,
    result text,
    metadata text,
    version integer not null,
    unique (owner, id)
) strict;
create index task_newest on task (owner, created_at, no);
create index task_status on task (owner, status, created_at, no);
create index task_session on task (owner, session, created_at, no)
    where session is not null;
create index task_tool on task (owner, tool, created_at, no) where tool is not null;
create index task_finished on task (owner, completed_at, started_at)
    where status = 'completed';
create table task_log (
    no integer primary key,
    owner text not null,
    task integer not null,
    position integer not null,
    at integer not null,
    level text not null,
    type text not null,
    message text not null,
    unique (task, position)
) strict;

-- task_fields --
-- What a task's record is made of: its own row, and whether its session is gone (by
-- `is null`: for `not exists` over many rows, PostgreSQL reads every session).
select t.no, t.owner, t.id, t.created_at, t.updated_at, t.started_at, t.completed_at,
    t.status, t.description, t.tool, t.session, t.assigned_to, t.progress, t.error,
    t.result, t.metadata, t.version,
    t.session is not null and (
        select s.no from session s where s.owner = t.owner and s.id = t.session) is null

-- task_get --
-- One task.
{task_fields}
from task t where t.owner = :owner and t.id = :id

-- task_add --
-- Keep a new task.
insert into task (no, owner, id, created_at, updated_at, status, description, tool,
    session, assigned_to, metadata, version)
values (:no, :owner, :id, :now, :now, 'pending', :description, :tool,
    :session, :assigned_to, :metadata, 1)

-- task_change --
-- Put a task's described fields as they now are.
update task set description = :description, tool = :tool, session = :session,
    assigned_to = :assigned_to, metadata = :metadata, version = version + 1,
    updated_at = :now
where no = :no

-- task_move --
-- Put a task into its new status, with what that brings.
update task set status = :status, started_at = :started_at,
    completed_at = :completed_at, result = :result, error = :error,
    version = version + 1, updated_at = :now
where no = :no

-- task_progress --
-- Say how far a task has come.
update task set progress = :progress, version = version + 1, updated_at = :now
where no = :no

-- task_drop --
-- Delete a task's own row.
delete from task where no = :no

-- task_list --
-- Tasks of one owner, newest first, after a place in that order.
{task_fields}
from task t
where t.owner = :owner and (t.created_at, t.no) < (:before_at, :before_no)
order by t.created_at desc, t.no desc limit :limit

-- task_list_status --
-- Tasks of one status, newest first.
{task_fields}
from task t
where t.owner = :owner and t.status = :status
    and (t.created_at, t.no) < (:before_at, :before_no)
order by t.created_at desc, t.no desc limit :limit

-- task_list_session --
-- Tasks of one session (and of one status and tool, if given), newest first.
{task_fields}
from task t
where t.owner = :owner and t.session = :session
    and (t.created_at, t.no) < (:before_at, :before_no)
    and (cast(:status as text) is null or t.status = :status)
    and (cast(:tool as text) is null or t.tool = :tool)
order by t.created_at desc, t.no desc limit :limit

-- task_list_tool --
-- Tasks of one tool (and of one status, if given), newest first.
{task_fields}
from task t
where t.owner = :owner and t.tool = :tool
    and (t.created_at, t.no) < (:before_at, :before_no)
    and (cast(:status as text) is null or t.status = :status)
order by t.created_at desc, t.no desc limit :limit

-- task_list_stale --
-- Tasks in progress under a lease that is over (and of one session and tool, if
-- given), newest first: their holder died, or left them.
{task_fields}
from task t
where t.owner = :owner and t.status = 'in_progress'
    and (t.created_at, t.no) < (:before_at, :before_no)
    and exists (select 1 from lease l where l.kind = 'tasks' and l.owner = t.owner
        and l.id = t.id and l.until_at <= :now)
    and (cast(:session as text) is null or t.session = :session)
    and (cast(:tool as text) is null or t.tool = :tool)
order by t.created_at desc, t.no desc limit :limit

-- task_counts --
-- How many tasks an owner has in each status.
select status, count(*) from task where owner = :owner group by status

-- task_average --
-- How long an owner's completed tasks took, in microseconds, on average.
select avg(completed_at - started_at) from task
where owner = :owner and status = 'completed'

-- task_usage --
-- How many tasks an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(octet_length(description)
    + coalesce(octet_length(result), 0) + coalesce(octet_length(metadata), 0)), 0)
from task where owner = :owner

-- task_log_usage --
-- How many log lines an owner's tasks have, and their bytes.
select count(*), coalesce(sum(octet_length(g.message)), 0)
from task t cross join task_log g on g.task = t.no
where t.owner = :owner

-- task_version_last --
-- The version that a task had before its last change.
select version from was_task where owner = :owner and id = :id
order by died desc limit 1

-- task_log_usage_past --
-- As `task_log_usage`, at a moment.
select count(*), coalesce(sum(octet_length(u.message)), 0) from (
    select g.message from task_log g
    where g.owner = :owner
        and g.task in (select t.no from task t where t.owner = :owner)) u

-- task_log_last --
-- The newest position in a task's log.
select max(position) from task_log where task = :task

-- task_log_add --
-- Keep a line of a task's log.
insert into task_log (no, owner, task, position, at, level, type, message)
values (:no, :owner, :task, :position, :now, :level, :type, :message)

-- task_log_page --
-- Lines of a task's log after a position, in order.
select at, level, type, message, position from task_log
where task = :task and position > :after
order by position limit :limit

-- task_log_sweep --
-- Delete some lines of a task's log.
delete from task_log where no in (
    select no from task_log where task = :task order by position limit :limit)
