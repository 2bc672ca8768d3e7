-- An older holdfast may go on beside this one: it knows of none of these.
-- What participants had in memory at a time. `run` is the open store that it was taken
-- by, `process` says which process that was; `failed` is a JSON object with what was
-- wrong by participant. Checkpoints are not journalled.
create table memory_checkpoint (
    owner text not null,
    id text not null,
    run text not null,
    process text not null,
    reason text not null,
    failed text not null,
    taken_at integer not null,
    primary key (owner, id)
) strict;
create index memory_checkpoint_newest on memory_checkpoint (owner, taken_at, id);
create index memory_checkpoint_run on memory_checkpoint (owner, run, taken_at, id);
-- What one participant had. `status` is waiting, claimed, restored or replaced; `claimed`
-- is the run that it is, or was, restored by.
create table memory_part (
    owner text not null,
    checkpoint text not null,
    name text not null,
    run text not null,
    taken_at integer not null,
    status text not null,
    attempts integer not null,
    claimed text,
    error text,
    restored_at integer,
    data text not null,
    primary key (owner, checkpoint, name)
) strict;
create index memory_part_waiting on memory_part (owner, taken_at, checkpoint, name)
    where status = 'waiting';
create index memory_part_run on memory_part (owner, run, name)
    where status = 'waiting';
-- An open store that has participants, as long as it is open: which process it is in,
-- and when that last said so. `asked` counts how often it was asked for a checkpoint,
-- `answered` up to which of those it has answered, `answer` how, as JSON.
create table memory_run (
    owner text not null,
    id text not null,
    machine text not null,
    pid integer not null,
    started text not null,
    process text not null,
    beat_at integer not null,
    asked integer not null,
    answered integer not null,
    answer text,
    primary key (owner, id)
) strict, without rowid;
create index memory_run_beat on memory_run (owner, beat_at);
-- A section is a group of keys under a name; its version is another with each change.
create table state_section (
    no integer primary key,
    owner text not null,
    id text not null,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    unique (owner, id)
) strict;
-- What a key of a section has, as JSON text.
create table state_key (
    no integer primary key,
    owner text not null,
    section integer not null,
    key text not null,
    value text not null,
    unique (section, key)
) strict;
-- Agents: who they are, what they are to each other, who runs them; workspaces.
-- Who an agent is; what it has done is counted in its tally, which changes often.
create table agent (
    no integer primary key,
    owner text not null,
    id text not null,
    name text not null,
    role text,
    traits text not null,
    preferences text not null,
    status text not null,
    metadata text,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    unique (owner, id)
) strict;
create index agent_newest on agent (owner, created_at, no);
create index agent_role on agent (owner, role, created_at, no) where role is not null;
create index agent_status on agent (owner, status, created_at, no);
create table agent_tally (
    no integer primary key,
    owner text not null,
    agent integer not null,
    statistics text not null,
    active_at integer not null,
    unique (owner, agent)
) strict;
-- From one agent (its number) to another (its id), by what stands between them.
create table agent_link (
    no integer primary key,
    owner text not null,
    agent integer not null,
    relation text not null,
    target text not null,
    metadata text,
    created_at integer not null,
    unique (agent, relation, target)
) strict;
create index agent_link_made on agent_link (agent, created_at, no);
create index agent_link_named on agent_link (agent, relation, created_at, no);
create index agent_link_target on agent_link (owner, target, created_at, no);
create index agent_link_target_named
    on agent_link (owner, target, relation, created_at, no);
-- Who runs an agent; none once that is over. The row stays, so that the next fence is
-- larger. What runs, and the life of who runs it, are not journalled.
create table agent_run (
    owner text not null,
    id text not null,
    holder text,
    fence integer not null,
    since integer not null,
    primary key (owner, id)
) strict, without rowid;
create index agent_run_holder on agent_run (owner, holder, id) where holder is not null;
-- One row a process that runs agents: its heartbeat is that of all of them. Its mark is
-- another once it has lost one.
create table agent_runner (
    owner text not null,
    holder text not null,
    place text not null,
    beat_at integer not null,
    until_at integer not null,
    mark integer not null,
    primary key (owner, holder)
) strict, without rowid;
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
-- A folder whose files are in the index; `type` is for those that say none. Of two files
-- with the same name and version, the one of the lower folder counts, then the lower path.
create table composition_folder (
    owner text not null,
    folder integer not null,
    path text not null,
    type text,
    problem text,
    added_at integer not null,
    primary key (owner, folder)
) strict, without rowid;
create unique index composition_folder_path on composition_folder (owner, path);
-- A file as it was read last. Without its size and what follows it is read again; so it
-- is if another `reader` read it. `revision` is another after each change of the row.
create table composition_file (
    owner text not null,
    folder integer not null,
    path text not null,
    revision integer not null,
    reader integer not null,
    size_bytes integer,
    modified_ns integer,
    changed_ns integer,
    inode integer,
    digest text,
    kind text,
    problem text,
    line integer,
    named text,
    primary key (owner, folder, path)
) strict, without rowid;
create index composition_file_problem on composition_file (owner, folder, path)
    where problem is not null;
create index composition_file_named on composition_file (owner, named)
    where problem is not null;
-- What a file holds. `place` orders versions by bytes, `words` is what is searched.
create table composition (
    owner text not null,
    folder integer not null,
    path text not null,
    name text not null,
    version text,
    place text not null,
    type text,
    description text not null,
    tags text not null,
    needs text not null,
    digest text not null,
    indexed_at integer not null,
    words text not null,
    content text not null,
    primary key (owner, folder, path)
) strict;
create unique index composition_name
    on composition (owner, name, place, folder, path);
-- By what compositions are found: `what` is type, tag or need.
create table composition_link (
    owner text not null,
    what text not null,
    value text not null,
    name text not null,
    place text not null,
    folder integer not null,
    path text not null,
    primary key (owner, what, value, name, place, folder, path)
) strict, without rowid;
