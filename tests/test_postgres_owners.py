"""Owners behind row-level security, in tables divided by owner: the same holds."""

import asyncio
from urllib.parse import urlsplit

import psycopg
import pytest

import holdfast
import test_owners
from compositions import furnish_index
from driving import Driven
from examples import furnish_checkpoints, furnish_toolsets
from holdfast.errors import CannotOpen
from postgres import fresh_schema, shared_url
from test_owners import ada  # noqa: F401  # what the tests of owners stand on

ROLE = "holdfast_agent"
"""A user whom row-level security holds, as it does no superuser."""
vars().update(
    {name: test for name, test in vars(test_owners).items() if name.startswith("test_")}
)


def as_agent(url):
    """The URL, for a user who may make schemas and is no superuser."""
    with psycopg.connect(shared_url(), autocommit=True) as server:
        made = "select 1 from pg_roles where rolname = %s"
        if not server.execute(made, (ROLE,)).fetchall():
            server.execute(f"create role {ROLE} login")
        database = server.info.dbname
        server.execute(f"grant create on database {database} to {ROLE}")
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{ROLE}@{place}").geturl()


def schema_in(url):
    """The schema that a URL names."""
    return url.rpartition("schema=")[2].partition("&")[0]


@pytest.fixture(params=["sync", "async"])
def store(request, clock, loop):
    """A store behind a wall of row-level security, its tables in three parts."""
    with fresh_schema(partitions=3, row_security="on") as url:
        opened = holdfast.open(as_agent(url), clock=clock)
        yield opened if request.param == "sync" else Driven(opened.aio, loop)
        report = opened.check()
        opened.close()
        assert report.problems == ()


@pytest.fixture
def walled():
    """The URL of a store behind a wall, with a session of two owners each."""
    with fresh_schema(row_security="on") as url:
        with holdfast.open(as_agent(url)) as opened:
            for owner in ("ada", "bob"):
                mine = opened.owned_by(owner)
                mine.sessions.create(owner, id="talk", tags=["t"])
                mine.sessions.append("talk", "user", f"{owner}'s secret")
                mine.tasks.create(f"{owner}'s", id="task")
                mine.tasks.log("task", f"{owner}'s")
                mine.tasks.delete("task")
                mine.sessions.fork("talk", new_id="fork")
                mine.sessions.summarize("fork", 1, f"{owner}'s")
                mine.sessions.begin_reply("fork", message_id="reply")
                mine.sessions.extend_reply("fork", "reply", f"{owner}'s")
                assert len(mine.search("secret")) == 1
                mine.leases.acquire("sessions", "talk", holder=owner, seconds=60)
                mine.sessions.mark("talk")
                mine.sessions.unmark(mine.sessions.mark("talk").id)
                for text in ("old", "new"):
                    mine.items.put([owner], "key", {"is": f"{owner}'s {text}"})
                    mine.schedules.put("s", text, every_seconds=60)
                do_jobs(mine.jobs, owner)
                mine.inbox.deliver("me", f"{owner}'s", id="m")
                mine.inbox.take("me")
                do_machines(mine.machines, owner)
                mine.observations.create(owner, events=[f"{owner}:*"], id="seen")
                do_agents(mine, owner)
                do_state(mine.state, owner)
                furnish_checkpoints(mine, owner)
                furnish_toolsets(mine, owner)
                furnish_index(mine, owner)
                mine.events.emit(f"{owner}:said", f"{owner}'s")
                mine.events.flush()
                mine.observations.pause("seen")
                kept = {"type": "text", "body": f"{owner}'s " * 20}
                mine.threads.put("thread", "c", values={"x": kept})
                write = {"index": 0, "channel": "x", "type": "text", "body": owner}
                mine.threads.put_writes("thread", "c", "do", [write])
                mine.run(lambda tx: tx.owner, once="key")
                mine.journal.advance("reader", 1)
        yield as_agent(url)


def do_agents(mine, owner):
    """One that is run and counted, one that it led to, and a workspace; all changed."""
    agents, workspaces = mine.agents, mine.workspaces
    agents.create(f"{owner}'s", id="boss")
    for id in ("gone", "hand"):
        agents.create(f"{owner}'s", id=id, parent="boss", metadata={"is": owner})
    agents.update("boss", name=f"{owner}'s boss")
    agents.increment("boss", {owner: 1})
    agents.claim("boss", holder=owner, seconds=600, place=f"{owner}'s")
    agents.delete("gone")
    for session in ("left", "talk"):
        workspaces.put("desk", project=f"{owner}'s {session}")
        workspaces.enter("desk", session, persona=f"{owner}'s")
    workspaces.leave("desk", "left")


def do_state(state, owner):
    """A section that changed, and one that is gone."""
    for name in ("gone", "jobs"):
        state.set(name, "is", owner)
        state.flush()
        state.update(name, {"is": f"{owner}'s", "key": owner})
        state.flush()
    state.drop("gone")


def do_jobs(jobs, owner):
    """One that is claimed, and one that was done, and is purged."""
    jobs.limit("do", concurrency=5, rate=5, per_seconds=60)
    for id in ("purged", "done", "doing"):
        jobs.put("do", f"{owner}'s", id=id)
        jobs.claim("w", lease_seconds=600)
        jobs.keep_step(id, "step", f"{owner}'s", nth=0, position=0, fence=1)
        jobs.signal(id, "hint", f"{owner}'s")
        if id != "doing":
            jobs.complete(id, f"{owner}'s", fence=1)
    jobs.purge(finished_before="2100-01-01T00:00:00Z", limit=1)


def do_machines(machines, owner):
    """One that waits for an effect, and one that is deleted."""
    states = {"new": {"on": {"GO": "gone"}}, "gone": {"entry": {"tool": "do"}}}
    machines.define("m", {"initial": "new", "states": states}, effects=["do"])
    for id in ("deleted", "kept"):
        machines.create("m", id=id, context={"is": f"{owner}'s"})
        machines.send(id, "GO", f"{owner}'s")
    machines.delete("deleted")


TABLES = """select relname from pg_class where relkind in ('r', 'p')
    and not relispartition and relnamespace = current_schema()::regnamespace
    and relname not in ('store', 'migration', 'receipt', 'leftover', 'derived',
        'event_minute', 'event_writer', 'event_setting')"""
"""All that hold somebody's state."""


EMPTY = {
    "was_session", "was_message", "was_segment", "was_summary", "was_message_part",
    "task", "task_log", "was_thread", "was_checkpoint", "was_checkpoint_write",
    "was_channel_value", "was_machine_definition",
}  # fmt: skip


THE_STORES_OWN = {"event"}
"""What has rows that are the store's, and nobody's."""


def test_raw_sql_sees_one_owners_rows_and_without_an_owner_none(walled):
    schema = schema_in(walled)
    with psycopg.connect(walled.partition("?")[0], autocommit=True) as agent:
        agent.execute(f"set search_path = {schema}")
        for (table,) in agent.execute(TABLES).fetchall():
            count = f"select count(*), min(owner) from {table}"
            agent.execute("reset holdfast.owner")
            found, owner = agent.execute(count).fetchone()
            assert owner == ("" if found else None), table
            assert not found or table in THE_STORES_OWN
            agent.execute("set holdfast.owner = 'ada'")
            found, owner = agent.execute(count).fetchone()
            assert owner == ("ada" if found else None), table
            assert found or table in EMPTY


def test_raw_sql_cannot_write_an_owners_row_from_another(walled):
    schema = schema_in(walled)
    with psycopg.connect(walled.partition("?")[0], autocommit=True) as agent:
        agent.execute(f"set search_path = {schema}")
        agent.execute("set holdfast.owner = 'ada'")
        stolen = agent.execute("update session set title = 'x' where owner = 'bob'")
        assert stolen.rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            agent.execute("update session set owner = 'bob' where owner = 'ada'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            agent.execute("insert into once values ('bob', 'k', '1', 1)")


def test_a_joined_transaction_is_behind_the_wall_too(walled):
    plain = walled.partition("?")[0]
    with (
        holdfast.open(walled, owner="ada") as store,
        psycopg.connect(plain) as mine,
    ):
        lease = store.leases.get("sessions", "talk")
        with store.join(mine, lease=lease) as tx:
            tx.sessions.append("talk", "user", "joined")
        mine.commit()
        assert len(store.sessions.messages("talk")) == 2
        assert store.check().problems == ()
        assert store.owners() == ["ada", "bob"]


def test_a_user_whom_the_wall_does_not_hold_is_refused(walled):
    with pytest.raises(CannotOpen, match="does not hold this user"):
        holdfast.open(walled.replace(f"{ROLE}@", "postgres@"))


def test_the_wall_and_the_parts_are_chosen_when_a_store_is_made():
    with fresh_schema() as url:
        holdfast.open(as_agent(url)).close()
        with pytest.raises(CannotOpen, match="made without row-level security"):
            holdfast.open(as_agent(url) + "&row_security=on")
        with pytest.raises(CannotOpen, match="made with no partitions"):
            holdfast.open(as_agent(url) + "&partitions=4")
    with fresh_schema(partitions=4) as url:
        holdfast.open(url).close()
        with pytest.raises(CannotOpen, match="made with 4 partitions"):
            holdfast.open(url.replace("partitions=4", "partitions=5"))
        with holdfast.open(url.replace("&partitions=4", "")) as store:
            store.sessions.create(id="talk")


def test_each_owners_rows_are_in_one_part_and_all_parts_are_used():
    with fresh_schema(partitions=4) as url, holdfast.open(url) as store:
        for number in range(40):
            mine = store.owned_by(f"owner {number}")
            talk = mine.sessions.create().id
            mine.sessions.extend(talk, [{"role": "user", "content": n} for n in "abc"])
        schema = schema_in(url)
        with psycopg.connect(shared_url()) as server:
            found = server.execute(
                "select tableoid::regclass::text, count(distinct owner), count(*) "
                f"from {schema}.message group by 1"
            ).fetchall()
        assert len(found) == 4
        assert sum(owners for _, owners, _ in found) == 40
        assert sum(rows for _, _, rows in found) == 120


def test_units_of_many_owners_share_a_commit_and_no_rows(walled):
    async def write(store, owner):
        mine = store.owned_by(owner)
        talk = (await mine.sessions.create(owner)).id
        for number in range(5):
            await mine.sessions.append(talk, "user", f"{owner} {number}")
        return [m.content for m in await mine.sessions.messages(talk)]

    async def everyone():
        async with holdfast.aopen(walled) as store:
            owners = [f"o{number}" for number in range(20)]
            found = await asyncio.gather(*(write(store, o) for o in owners))
            assert found == [[f"{o} {n}" for n in range(5)] for o in owners]

    asyncio.run(everyone())
