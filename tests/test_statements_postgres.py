"""Statements on PostgreSQL: its own words for some, and plans that a large store needs.

Plans are those of a prepared statement that knows no values, on tables with statistics:
with rows of many owners, where every statement has to find its owner's, and with rows
of one, where a page has to be found without reading all that there is.
"""

import re
from contextlib import contextmanager

import psycopg
import pytest
from apsw.ext import query_info
from psycopg import sql

import holdfast
from holdfast.declared import registry
from holdfast.engines.postgres.transaction import PostgresTransaction
from holdfast.engines.postgres.wire import bound
from holdfast.engines.sqlite.beside import beside_path
from holdfast.engines.sqlite.connection import connect
from holdfast.schema.past import Statements
from holdfast.schema.statements import overrides
from postgres import fresh_schema, shared_url
from test_statements import (
    BESIDE,
    BY_A_LOADER,
    NOT_NOW,
    SMALL,
    SOURCE,
    STATEMENTS,
    exercise_in_slices,
    in_the_past,
    never_run,
    recorded,
)

OWN = overrides("postgres")
EVERY = {**STATEMENTS, **OWN}
WHOLE = {
    name: said
    for name, said in EVERY.items()
    if not name.endswith(("_fields", "_past"))
}
BESIDE_UNITS = {"receipt_add", "receipt_find", "receipt_sweep", "receipt_take"}
"""Run by the engine, for which they are, and in no unit."""
SQLITE_ALONE = {"journal_head", "journal_stamp"}
"""What triggers do on PostgreSQL."""

MANY_OWNERS = 200
FILL = """
insert into session (no, owner, id, created_at, updated_at, status, title, parent,
    tags, revision, first)
select n, 'o' || n % {owners}, 's' || n, n, n, 'active', 't',
    case when n % 3 = 0 then 's' || n / 150 end, '[]', 0, 1
from generate_series(1, 5000) n;
update session set status = 'closed' where no % 2 = 0;
insert into session_tag (owner, tag, created_at, session)
select owner, 'tag' || no / 500, created_at, no from session;
insert into message (no, owner, session, position, id, created_at, role, content, given)
select 10000 + n, owner, no, n % 5, 'm' || n, n, 'user', repeat('x', 200), n % 2
from generate_series(5, 25000) n join session on no = n / 5;
update message set partial = 1 where no % 100 = 0;
insert into message_part (no, owner, message, position, text)
select 100000 + m.no * 4 + n, m.owner, m.no, n * 10, '"0123456789"'
from message m cross join generate_series(0, 3) n where m.partial = 1 or m.no % 10 = 0;
insert into task (no, owner, id, created_at, updated_at, completed_at, status,
    description, tool, session, version)
select no, owner, 't' || no, no, no, no,
    (array['pending', 'in_progress', 'completed'])[1 + no % 3], 'd',
    case when no % 3 = 0 then 'tool' || no / 500 end,
    case when no % 2 = 0 then 's' || no / 100 end, 1 from session;
insert into item (no, owner, id, namespace, key, created_at, updated_at, ends_at,
    lifetime_us, value, vectors)
select 300000 + no, owner, 'i' || no, '!n' || no % 60 || '!', 'k' || no, no, no,
    case when no % 3 = 0 then no end, case when no % 3 = 0 then 1 end, '{{}}',
    case when no % 2 = 0 then decode('80', 'hex') end from session;
insert into task_log (no, owner, task, position, at, level, type, message)
select no, owner, session, position, 0, 'info', 'x', content from message;
insert into summary (no, owner, session, upto, created_at, text)
select 100000 + no, owner, session, position, 0, content from message;
insert into segment (no, owner, session, first, last, source)
select 200000 + no, owner, session, position, position, session + 1 from message;
insert into mark (no, owner, id, session, first, last)
select 400000 + no, owner, 'k' || no, no, 1, 4 from session;
insert into thread (no, owner, id, created_at)
select no, owner, 't' || no, no from session;
insert into checkpoint (no, owner, thread, ns, id, run, created_at, state, held,
    metadata, note)
select 500000 + no, owner, session, 'n' || no % 2, 'c' || no, 'r' || no / 5, 0,
    '{{}}', '{{}}', '{{}}', 'k' || no from message;
insert into checkpoint_write
    (no, owner, checkpoint, task, idx, path, channel, type, body)
select 100000 + no, owner, no, 'task', 0, '', 'a', 't', 'b' from checkpoint;
insert into channel_value (no, owner, thread, digest, type, body)
select 200000 + no, owner, thread, id, 't', 'b' from checkpoint;
insert into job (no, owner, id, kind, lane, session, parent, priority, max_attempts,
    created_at, place)
select 700000 + n, 'o' || n % {owners}, 'j' || n, 'k' || n % 7,
    case when n % 4 < 2 then 'l' || n / 50 end,
    case when n % 3 = 0 then 's' || n / 50 end,
    case when n % 5 = 0 then 'j' || n / 50 end, n % 3, 3, n, n
from generate_series(1, 20000) n;
insert into job_end (no, owner, job, kind, status, attempt, fence, finished_at)
select no + 100000, owner, no, kind, (array['done', 'dead', 'cancelled'])[1 + no % 3],
    1, 1, no from job where no % 2 = 0;
insert into job_turn (no, owner, lane, parent, kind, priority, since, state, until_at,
    place, worker, attempt, fence, cancelling)
select no, owner, lane, parent, kind, priority, no,
    case when lane is null then 1 + no % 4 else 0 end, no, no, 'w' || no % 50, 0, 0, 0
from job where no % 2 = 1;
insert into event (owner, at, writer, name, level, session, correlation, data)
select 'o' || n % {owners}, n, n % 5, 'name' || n % 50, 'info', 's' || n / 50,
    'c' || n / 50, '{{}}' from generate_series(1, 20000) n;
insert into event_observed (owner, observation, at, writer)
select owner, 'w' || at / 50, at, writer from event;
insert into event_minute (minute, events, bytes)
select n, 1, 100 from generate_series(1, 20000) n;
insert into event_writer (writer, newest, written_at)
select n, n, n from generate_series(1, 20000) n;
update job_turn set state = 1 + no % 4 where no in (
    select min(no) from job_turn where lane is not null group by owner, lane);
insert into job_step (no, owner, job, position, name, nth, pending, at)
select no + 200000, owner, no, 0, 's', 0, 0, 0 from job;
insert into job_signal (no, owner, job, name, at)
select no + 300000, owner, no, 's', 0 from job;
insert into job_limit (owner, kind, concurrency)
select distinct owner, kind, 1 from job;
insert into job_start select owner, kind, created_at, no, 1 from job;
insert into schedule (no, owner, id, kind, cron, timezone, priority, max_attempts,
    missed, paused, created_at, updated_at)
select 600000 + no, owner, 'c' || no, 'k', '* * * * *', 'UTC', 0, 1, 'all', 0, no, no
from session;
insert into schedule_due
select no, owner, case when no % 2 = 0 then no end from schedule;
insert into inbox_message (no, owner, id, recipient, position, status, attempts,
    created_at, processed_at)
select 800000 + n, 'o' || n % {owners}, 'i' || n, 'r' || n / 50, n,
    (array['processed', 'processed', 'pending', 'set_aside'])[1 + n % 4], 0, n,
    case when n % 4 < 2 then n end
from generate_series(1, 20000) n;
insert into machine (no, owner, id, name, created_at)
select 900000 + no, owner, 'm' || no, 'd' || no % 3, no from session;
insert into machine_step (no, owner, machine, position, at, to_state, once, version,
    entered, entered_at, context)
select 1000000 + m.no * 4 + n, m.owner, m.no, n, 0, 'a',
    case when n = 1 then 'once' end, 1, 0, 0, '{{}}'
from machine m cross join generate_series(0, 3) n;
insert into machine_now (no, owner, name, version, state, created_at)
select no, owner, name, 1 + no % 2, 's' || no % 5, created_at from machine;
insert into machine_effect (no, owner, machine, job, step, last)
select 5000000 + no, owner, no, 'j' || no, 1, 1 from machine;
insert into machine_definition (no, owner, name, version, spec, unknown, digest,
    created_at)
select 6000000 + no, owner, 'd' || no % 3, no, '{{}}', 'ignore', 'x', 0
from session;
insert into observation (no, owner, id, observer, target, events, sampling_rate, inbox,
    status, created_at, updated_at, version)
select 7000000 + no, owner, 'v' || no, 'w' || no % 50, 't' || no % 50, '["*"]', 1, 0,
    (array['active', 'paused'])[1 + no % 2], no, no, 1
from session;
insert into state_section (no, owner, id, created_at, updated_at, version)
select 10000000 + no, owner, 's' || no, no, no, 1 from session;
insert into state_key (no, owner, section, key, value)
select 3000000 + s.no * 4 + n, s.owner, s.no, 'k' || n, '1'
from state_section s cross join generate_series(0, 3) n;
insert into agent (no, owner, id, name, role, traits, preferences, status, created_at,
    updated_at, version)
select 8000000 + no, owner, 'g' || no, 'n', 'r' || no % 50, '[]', '{{}}',
    's' || no % 50, no, no, 1
from session;
insert into toolset (owner, agent, conversation, digest, names, tools, created_at,
    updated_at, seen_at)
select owner, 'a' || no % 50, id, 'd', '[]', '[]', no, no, no from session;
insert into agent_tally (no, owner, agent, statistics, active_at)
select 1000000 + no, owner, no, '{{}}', created_at from agent;
insert into agent_link (no, owner, agent, relation, target, created_at)
select 2000000 + a.no * 4 + n, a.owner, a.no, (array['spawned', 'observes'])[1 + n % 2],
    'g' || (a.no + n * 200) % 5000, a.created_at
from agent a cross join generate_series(0, 3) n;
insert into composition_folder (owner, folder, path, added_at)
select 'o' || n % {owners}, n, 'p' || n, 0 from generate_series(1, 5000) n;
insert into composition_file (owner, folder, path, revision, reader, problem, named)
select owner, folder, 'f' || n, 1, 1, case when n = 1 then 'x' end, 'n' || folder
from composition_folder cross join generate_series(1, 4) n;
insert into composition (owner, folder, path, name, place, type, description, tags,
    needs, digest, indexed_at, words, content)
select owner, folder, path, named || '-' || folder % 7, folder, 't' || folder % 50, '',
    '[]', '[]', '', 0, '', '{{}}' from composition_file where problem is null;
insert into composition_link (owner, what, value, name, place, folder, path)
select owner, (array['type', 'tag', 'need'])[n], 't' || folder % 50, name, place,
    folder, path from composition cross join generate_series(1, 3) n;
insert into agent_run (owner, id, holder, fence, since)
select owner, id, case when no % 2 = 0 then 'h' || no % 50 end, 1, 0 from agent;
insert into agent_runner (owner, holder, place, beat_at, until_at, mark)
select owner, 'h' || no, '', no, no, no from session;
insert into workspace (no, owner, id, project, tools, created_at, updated_at, version)
select 9000000 + no, owner, 'w' || no, 'p' || no % 50, '[]', no, no, 1 from session;
insert into workspace_use (no, owner, workspace, used_at)
select 1000000 + no, owner, no, created_at from workspace;
insert into workspace_chat (no, owner, workspace, session, started_at, used_at)
select 2000000 + w.no * 4 + n, w.owner, w.no, 's' || n, 0, w.created_at
from workspace w cross join generate_series(0, 3) n;
insert into memory_checkpoint (owner, id, run, process, reason, failed, taken_at)
select owner, 'k' || no, 'r' || no / 50, 'here:1', 'every', '{{}}', no from session;
insert into memory_part (owner, checkpoint, name, run, taken_at, status, attempts, data)
select owner, 'k' || no, 'queue', 'r' || no / 50, no,
    (array['waiting', 'restored', 'replaced', 'claimed'])[1 + no % 4], 0, '1'
from session;
insert into memory_run (owner, id, machine, pid, started, process, beat_at, asked,
    answered)
select owner, 'r' || no, 'm', 1, '', 'here:1', no, 0, 0 from session;
insert into lease select 'tasks', owner, id, 'h', 1, no from task;
insert into follower select owner, id, 0, no from session;
insert into once select owner, id, '1', no from session;
insert into leftover
select (array['sessions', 'tasks'])[1 + no % 2], no, 1 from session;
insert into receipt (id, at, format) select gen_random_uuid(), no, 2 from session;
insert into change (seq, kind, owner, no, op, at)
select no, 'task', owner, no, 'update', no from task;
insert into search
select no, owner, array_to_tsvector(array['w' || no % 500, 'v' || no % 7]) from message;
insert into derived values ('search', 'message: content', 1, 5000, null);
insert into was_session select no, no, s.* from session s;
insert into was_message select no, no, m.* from message m;
insert into was_message_part select no, no, p.* from message_part p;
insert into was_item select no, no, i.* from item i;
insert into was_task select no, no, t.* from task t;
insert into was_task_log select no, no, g.* from task_log g;
insert into was_summary select no, no, s.* from summary s;
insert into was_segment select no, no, s.* from segment s;
insert into was_mark select no, no, k.* from mark k;
insert into was_job select no, no, j.* from job j;
insert into was_job_end select no, no, e.* from job_end e;
insert into was_job_step select no, no, s.* from job_step s;
insert into was_job_signal select no, no, g.* from job_signal g;
insert into was_schedule select no, no, s.* from schedule s;
insert into was_inbox_message select no, no, i.* from inbox_message i;
insert into was_machine select no, no, m.* from machine m;
insert into was_machine_step select no, no, g.* from machine_step g;
insert into was_machine_effect select no, no, e.* from machine_effect e;
insert into was_machine_definition select no, no, d.* from machine_definition d;
insert into was_observation select no, no, o.* from observation o;
insert into was_state_section select no, no, s.* from state_section s;
insert into was_state_key select no, no, k.* from state_key k;
insert into was_agent select no, no, a.* from agent a;
insert into was_agent_tally select no, no, t.* from agent_tally t;
insert into was_agent_link select no, no, l.* from agent_link l;
insert into was_workspace select no, no, w.* from workspace w;
insert into was_workspace_use select no, no, u.* from workspace_use u;
insert into was_workspace_chat select no, no, c.* from workspace_chat c;
insert into was_thread select no, no, t.* from thread t;
insert into was_checkpoint select no, no, c.* from checkpoint c;
insert into was_checkpoint_write select no, no, w.* from checkpoint_write w;
insert into was_channel_value select no, no, v.* from channel_value v;
"""
JOURNALLED = [table.name for part in registry().parts() for table in part.tables]


def open_schema(url):
    """A connection that works in the schema that a URL names."""
    connection = psycopg.connect(shared_url(), autocommit=True)
    schema = url.partition("schema=")[2].partition("&")[0]
    connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(schema)))
    return connection


@contextmanager
def filled(owners):
    """A connection to a store with thousands of rows in every table, and statistics."""
    with fresh_schema() as url:
        holdfast.open(url).close()
        with open_schema(url) as connection:
            for table in (*JOURNALLED, "receipt"):
                connection.execute(f"alter table {table} disable trigger user")
            for statement in FILL.format(owners=owners).split(";\n"):
                connection.execute(statement)
            for table in (*JOURNALLED, "receipt"):
                connection.execute(f"alter table {table} enable trigger user")
            names = [name for (name,) in tables_of(connection)]
            connection.execute(f"analyze {', '.join(names)}")
            yield connection


def tables_of(connection):
    return connection.execute(
        "select relname from pg_class where relkind = 'r' "
        "and relnamespace = current_schema()::regnamespace"
    ).fetchall()


PAGE = {"owner": "o0", "before_at": 4000, "before_no": 4000, "limit": 20}
JOBS = dict.fromkeys(("ended", "kind", "lane", "session", "parent")) | {"queued": 0}
GIVEN = {
    "session_list_tag": {**PAGE, "tag": "tag7", "status": None, "parent": None},
    "task_list_stale": {**PAGE, "now": 4000, "session": None, "tool": None},
    "job_list_kind": {**PAGE, **JOBS, "kind": "k1"},
    "job_list_ended": {**PAGE, **JOBS, "ended": "done"},
    "machine_list_state": {**PAGE, "name": "d1", "state": "s1"},
}
"""Planned for these values, as the server goes on to do where there is much to read: a
filter that is not given falls away, so that such a plan is by far the cheaper one."""


def nodes_of(connection, name, statement=None):
    """The steps of a statement's plan, from the top."""
    what, given = bound(statement or WHOLE[name]), GIVEN.get(name)
    mode = "force_custom_plan" if given else "force_generic_plan"
    connection.execute(f"set plan_cache_mode = {mode}")
    connection.execute(f"prepare planned as {what.text.decode()}", prepare=False)
    values = [sql.Literal((given or {}).get(key)) for key in what.names]
    listed = (
        sql.SQL("({})").format(sql.SQL(", ").join(values)) if values else sql.SQL("")
    )
    execute = sql.SQL("execute planned") + listed
    explain = sql.SQL("explain (format json) ") + execute
    ((((top,),),),) = [connection.execute(explain).fetchall()]
    connection.execute("deallocate planned")
    return list(walk(top["Plan"]))


def walk(node):
    yield node
    for part in node.get("Plans", ()):
        yield from walk(part)


@pytest.fixture(scope="module")
def many_owners():
    """A connection to a store where each owner has little of what there is."""
    with filled(MANY_OWNERS) as connection:
        yield connection


@pytest.fixture(scope="module")
def of_many_owners(many_owners):
    return {name: nodes_of(many_owners, name) for name in WHOLE}


@pytest.fixture(scope="module")
def of_the_past(many_owners):
    """Plans as of a moment."""
    return {
        name: nodes_of(many_owners, name, said)
        for name, said in in_the_past(EVERY)
        if name not in GIVEN
    }


@pytest.fixture(scope="module")
def of_one_owner():
    """Plans where one owner has all that there is."""
    with filled(1) as connection:
        yield {name: nodes_of(connection, name) for name in WHOLE}


# Each reads more than it gives back; why that is right stands beside it.
SCANS = {
    ("journal_floor", "store"): "a table of a few rows",
    ("journal_head", "store"): "a table of a few rows",
    ("journal_reach", "store"): "a table of a few rows",
    ("derived_state", "store"): "a table of a few rows",
    ("derived_state", "derived"): "a table of a few rows",
    ("derived_state", "change"): "the end of the table, by its number",
    ("derived_drop", "derived"): "a table of a few rows",
    ("search_clear", "search"): "takes all of it out",
    ("search_task_changed", "task"): "all that changed: here every task did",
    ("store_say", "store"): "a table of a few rows",
    ("limit_drop", "job_limit"): "a table of a few rows",
    ("event_come", "event_writer"): "the end of the table, by its time",
    ("event_minutes", "event_minute"): "from the newest on, as far as there is room",
    ("event_policy", "event_setting"): "a table of a few rows",
    ("event_writer_sweep", "event_writer"): "a row an open store whose events are kept",
    ("limit_list", "job_limit"): "a table of a few rows",
    ("memory_run_sweep", "memory_run"): "a row a process",
    ("turns_ahead", "job_limit"): "a table of a few rows",
    ("turns_again", "job"): "every job that has not ended, in a copy",
    ("turns_first", "job_turn"): "every lane, in a copy",
    ("composition_find", "composition_folder"): "a table of a few rows",
    ("machines_again", "machine"): "every machine, in a copy",
    ("machines_again", "machine_step"): "every machine, in a copy",
    ("job_step_usage", "job_step"): "the steps of an owner's jobs, all counted",
    ("format_short", "store"): "a table of a few rows",
    ("format_needed", "store"): "a table of a few rows",
    ("journal_reach", "change"): "the beginning of the table, by its number",
    ("journal_counts", "change"): "what the journal costs: all of it is counted",
    ("leftover_any", "leftover"): "whether there is a first row",
    ("leftover_next", "leftover"): "any row of the kind; there are few kinds",
    ("journal_head", "change"): "from the end of the table, to the newest moment",
    ("journal_last", "change"): "the end of the table, by its number",
    ("journal_newest", "change"): "from the end of the table, to the newest moment",
}
SORTS = {
    "event_figures": "one row a name and part of a span",
    "session_lines": "one row a line that a session had",
    "item_list_span": "newest first, of namespaces that each have theirs in order",
    "job_list_busy": "what is claimed, or waits: the newest first",
    "limit_list": "a table of a few rows",
    "machine_effect_list": "what one machine waits for",
    "machine_effect_told": "what one machine waits for",
    "step_list": "the steps of one job",
    "line_shown": "one row for all forks that begin at one message",
    "message_shown_in": "the sessions that share one message",
    "search_find": "what has the words, in the order of their numbers",
    "write_list": "the writes of one step",
}
COUNTS = {
    "agent_usage", "agent_tally_usage", "agent_link_usage",
    "workspace_usage", "workspace_use_usage", "workspace_chat_usage",
    "end_counts", "job_counts", "job_end_usage", "job_step_usage", "job_usage",
    "turn_busy_counts",
    "inbox_usage", "index_usage", "item_usage", "machine_step_usage", "machine_usage",
    "memory_part_usage", "memory_usage", "observation_usage",
    "state_usage", "state_key_usage",
    "schedule_usage", "session_count", "session_usage", "task_average", "task_counts",
    "task_log_usage", "task_usage", "thread_count", "thread_usage", "toolset_usage",
}  # fmt: skip
"""What they count are all of an owner's rows, which may be all there are."""


def scans(plans):
    """What is read from end to end: a table, or an index with no condition."""
    return {
        (name, node["Relation Name"])
        for name, nodes in plans.items()
        for node in nodes
        if node["Node Type"] == "Seq Scan"
        or (node["Node Type"].startswith("Index") and "Index Cond" not in node)
    }


def test_every_statement_uses_an_index(of_many_owners):
    assert scans(of_many_owners) <= SCANS.keys()


def test_every_statement_uses_an_index_in_the_past_too(of_the_past):
    found = {scan for scan in scans(of_the_past) if scan[0] not in COUNTS}
    assert found == set()
    assert len(of_the_past) > 25


BY_KEY = {
    "message_now": "was_message_no",
    "message_placed": "was_message_session_position",
    "session_known": "was_session_owner_id",
}


def test_one_row_of_the_past_is_found_by_its_key(many_owners):
    past = Statements(EVERY, registry().parts(), bound)
    for name, index in BY_KEY.items():
        nodes = nodes_of(many_owners, name, past.past(name))
        used = {node.get("Index Name", "") for node in nodes}
        assert {i for i in used if i.startswith("was_")} == {index}, name


def test_where_one_owner_has_all_only_counts_read_all_of_it(of_one_owner):
    found = {scan for scan in scans(of_one_owner) if scan[0] not in COUNTS}
    assert found <= SCANS.keys()


def test_no_statement_sorts_what_an_index_has_in_order(of_one_owner):
    kinds = {"Sort", "Incremental Sort"}
    sorting = [
        n for n, p in of_one_owner.items() if kinds & {s["Node Type"] for s in p}
    ]
    assert set(sorting) <= SORTS.keys() | COUNTS


INDEXES = {
    "session_list": "session_newest", "session_list_status": "session_status",
    "session_list_parent": "session_parent", "session_list_tag": "session_tag_pkey",
    "task_list": "task_newest", "task_list_status": "task_status",
    "task_list_session": "task_session", "task_list_tool": "task_tool",
    "task_list_stale": "task_status", "session_tag_drop": "session_tag_session",
    "message_given": "message_given", "session_before": "was_session_pkey",
    "session_until": "was_session_no", "message_sweep": "message_session_position_key",
    "receipt_sweep": "receipt_pkey",
}  # fmt: skip
"""An index by owner alone would also be one; these choose among an owner's many."""


def test_a_list_uses_the_index_that_was_made_for_it(of_one_owner):
    for name, index in INDEXES.items():
        used = {node.get("Index Name") for node in of_one_owner[name]}
        assert index in used, (name, used)


WRITES = """
insert into session (no, owner, id, created_at, updated_at, status, title, tags,
    revision, first) values ({made}, 'o0', 'new', 0, 0, 'active', 't', '[]', 0, 1);
update session set title = 'u' where no = {no};
delete from message where no = 10000 + {no};
update task set version = 2 where no = {no};
insert into receipt (id, at, format) values (gen_random_uuid(), {made}, 9);
set constraints all immediate;
set constraints all deferred;
"""


def test_the_triggers_read_no_table_from_end_to_end(many_owners):
    connection = many_owners
    with connection.transaction(force_rollback=True):
        connection.execute("set local plan_cache_mode = auto")
        before = read_to_the_end(connection)
        for no in range(100, 110):  # a plan for all values may come after five
            text = WRITES.format(no=no, made=90_000 + no).replace("'new'", f"'n{no}'")
            for statement in text.split(";\n"):
                connection.execute(statement)
        after = read_to_the_end(connection)
        (stamped,) = connection.execute(
            "select count(*) from change where seq > 5000 and at is not null"
        ).fetchone()
    assert {name for name in after if after[name] > before[name]} <= {"store"}
    assert stamped == 10


def read_to_the_end(connection):
    """How often each table was, as far as this connection has not told the server."""
    rows = connection.execute(
        "select relname, seq_scan from pg_stat_xact_user_tables "
        "where schemaname = current_schema()"
    )
    return dict(rows.fetchall())


# What is PostgreSQL's own.

OWNER = {"owner"}
"""The transaction's own stands in where only the override names it."""
INCLUDED = [
    (name, part)
    for path in sorted((SOURCE / "schema").glob("*.sql"))
    for name, text in re.findall(
        r"^-- (\w+) --$(.*?)(?=^-- \w+ --$|\Z)",
        path.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    for part in re.findall(r"^\{(\w+)\}$", text, re.MULTILINE)
]
"""Each statement of the shared files with what it includes."""


def test_an_override_takes_what_the_shared_statement_takes():
    for name in OWN.keys() & STATEMENTS.keys():
        assert OWN[name].parameters - OWNER == STATEMENTS[name].parameters - OWNER, name


def test_an_override_of_a_part_reaches_every_statement_that_includes_it():
    for name, part in INCLUDED:
        assert OWN.get(part) is None or OWN[part].text in EVERY[name].text, name


def test_a_statement_gives_as_many_values_on_both_engines(tmp_path):
    path = str(tmp_path / "agent.db")
    with holdfast.open(path) as store:
        store.events.flush()
        store.events.keep(max_bytes=10**9)
    with fresh_schema() as url:
        holdfast.open(url).close()
        lite = connect(path, durability="process-crash")
        beside = connect(beside_path(path), durability="process-crash")
        with open_schema(url) as connection:
            for name in WHOLE.keys() & STATEMENTS.keys():
                there = columns_on_postgres(connection, WHOLE[name])
                own = beside if name in BESIDE else lite
                here = query_info(own, STATEMENTS[name].text).description
                assert len(there) == len(here), name
                if name.endswith(("_now", "_before", "_until")) and own is lite:
                    assert set(there) == {column for column, _ in here}, name
        lite.close()
        beside.close()


def columns_on_postgres(connection, statement):
    what = bound(statement)
    connection.pgconn.prepare(b"described", what.text)
    found = connection.pgconn.describe_prepared(b"described")
    connection.execute("deallocate described")
    return [found.fname(place).decode() for place in range(found.nfields)]


def test_an_override_stands_for_a_statement_or_is_used_by_the_engine():
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    alone = OWN.keys() - STATEMENTS.keys()
    assert {name for name in alone if f'"{name}"' not in text} == set()


def test_every_statement_takes_at_run_time_what_it_names(clock, monkeypatch):
    ran = recorded(monkeypatch, PostgresTransaction)
    with (
        fresh_schema() as url,
        holdfast.open(url, clock=clock, limits=SMALL) as store,
    ):
        exercise_in_slices(store, clock, monkeypatch)
    assert never_run(ran, {**OWN, **STATEMENTS}) == (
        BESIDE_UNITS | SQLITE_ALONE | BY_A_LOADER | NOT_NOW
    )
