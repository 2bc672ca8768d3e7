"""One example of every operation, and the state that the examples are tried on.

The tests that go through the registry take their arguments from here, so that an
operation without an example fails them all.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import holdfast
from compositions import furnish_index
from holdfast.contract import Operation
from holdfast.engine import Terms
from holdfast.errors import Fenced, NotFound
from holdfast.kinds.checkpoint_records import Run
from holdfast.kinds.checkpoint_runs import Runs
from holdfast.page import Page
from holdfast.transaction import OpenTransaction


class Example(NamedTuple):
    """Plain arguments that succeed on a furnished owner.

    `stranger` is what another owner, who has nothing, gets for them: an error's class,
    or what the result must satisfy.
    """

    args: dict[str, Any]
    stranger: Any


def furnish(store: Any, word: str) -> None:
    """Give an owner one of everything, with a word in it by which it is known.

    In one transaction: thousands of tests begin so, and each commit has its price.
    """
    if isinstance(store, OpenTransaction):
        _furnish(store, word)
    else:
        store.run(partial(_furnish, word=word))


def _furnish(store: Any, word: str) -> None:
    sessions, tasks = store.sessions, store.tasks
    said, tags = {"of": word}, [word, "all"]
    sessions.create(f"talk of {word}", id="talk", metadata=said, tags=tags)
    sessions.create(f"child of {word}", id="child", parent="talk")
    sessions.create(f"leased of {word}", id="leased")
    sessions.begin_reply("child", text="so far", message_id="r1", metadata=said)
    sessions.extend_reply("child", "r1", " and on")
    sessions.extend(
        "talk",
        [{"role": "user", "content": f"{n} {word}", "id": f"m{n}"} for n in (1, 2, 3)],
    )
    sessions.summarize("talk", 1, f"summary of {word}")
    sessions.mark("leased", new_id="marked")
    tasks.create(f"todo of {word}", id="todo", session="talk", tool="hammer")
    tasks.create(f"doing of {word}", id="doing", metadata={"of": word})
    tasks.start("doing")
    tasks.log("doing", f"a line of {word}")
    store.items.put(["of", word], "fact", {"of": word}, vectors={"all": [1, 2]})
    store.items.put(["of", "all"], "fact", {"of": word}, ttl_seconds=600)
    for id in ("beat", "still"):
        store.schedules.put(id, "tick", {"of": word}, every_seconds=60)
    store.schedules.pause("still")
    store.leases.acquire("sessions", "leased", holder=f"holder-{word}", seconds=60)
    large = {"type": "text", "body": f"{word} " * 20}
    values = {"a": large, "b": {"type": "text", "body": word}}
    for checkpoint, parent in (("c1", None), ("c2", "c1")):
        store.threads.put(
            "steps",
            checkpoint,
            parent=parent,
            state={"of": word},
            values=values if parent is None else {},
            metadata={"step": 1},
            run="r1",
            note=f"note of {word}",
        )
    write = {"index": -1, "channel": "a", "type": "text", "body": word}
    store.threads.put_writes("steps", "c1", "task", [write])
    store.events.emit("thing:seen", {"of": word}, session="talk", correlation="c1")
    furnish_jobs(store, word)
    for id in ("asked", "first", "second"):
        store.inbox.deliver("desk", {"of": word}, id=id, sender="clerk")
    store.inbox.set_aside("asked", f"no use to {word}")
    store.inbox.take("desk")
    furnish_machines(store, word)
    furnish_observations(store, word)
    furnish_state(store, word)
    furnish_index(store, word)
    furnish_agents(store, word)
    furnish_checkpoints(store, word)
    furnish_toolsets(store, word)
    store.journal.advance("reader", 1)


def furnish_jobs(store: Any, word: str) -> None:
    """A job that is claimed, with a child and a step, one that is ready, a dead one."""
    jobs = store.jobs
    jobs.put("work", {"of": word}, id="held", lane="busy", backoff={"jitter": 0})
    jobs.put("work", {"of": word}, id="dead", lane="over")
    for job in jobs.claim("me", lanes=["busy", "over"], limit=2, lease_seconds=3_000):
        jobs.keep_step(job.id, "ask", word, nth=0, position=0, fence=1)
    jobs.fail("dead", f"of {word}", retry=False, fence=1)
    jobs.signal("held", "hint", word)
    jobs.put("part", {"of": word}, id="part", parent="held", session="talk")
    jobs.put("work", {"of": word}, id="ready", lane="free")
    jobs.put("work", {"of": word}, id="behind", lane="free", session="talk")
    jobs.limit("work", concurrency=50, rate=50, per_seconds=600)


ORDER: dict[str, Any] = {
    "initial": "new",
    "states": {
        "new": {
            "exit": {"updateContext": {"left": True}},
            "on": {
                "PAY": {"target": "paying", "actions": {"tool": "count"}},
                "WAIT": {"target": "new", "guard": "is_kind"},
            },
        },
        "paying": {
            "entry": {"tool": "charge", "payload": "$of"},
            "on": {"SUCCESS": "paid", "CANCEL": "new"},
            "after": {"3d": "CANCEL"},
        },
        "paid": {},
    },
}
"""A machine that does of everything something."""
_TOOLS = {"guards": ["is_kind"], "effects": ["charge", "count"]}


def furnish_machines(store: Any, word: str) -> None:
    """A machine that waits for effects, a new one, and one that is behind."""
    machines = store.machines
    machines.define("order", ORDER, **_TOOLS)
    machines.create("order", id="behind", context={"of": word})
    machines.define("order", ORDER, version=2, **_TOOLS, unknown="refuse")
    for id in ("paying", "fresh"):
        machines.create("order", id=id, context={"of": word})
    machines.send("paying", "PAY", {"of": word}, once="pay")
    store.inbox.deliver("fresh", {"type": "PAY", "payload": word}, id="pay")


def furnish_observations(store: Any, word: str) -> None:
    """One that is active, and one that is paused."""
    observations = store.observations
    observations.create("watcher", word, ["task:*", "*:log"], id="seen", inbox=True)
    observations.create("watcher", id="blind", rate_limit=None, where={"of": word})
    observations.pause("blind")


def furnish_toolsets(store: Any, word: str) -> None:
    """One that was given as a whole, and one that was not yet."""
    tools = [{"name": "hammer", "description": f"strikes for {word}"}]
    for conversation in ("talk", "elsewhere"):
        store.toolsets.put("ada", conversation, tools)
    store.toolsets.handshake("ada", "talk")


def furnish_agents(store: Any, word: str) -> None:
    """One that is run, one that it has spawned and that is linked; two workspaces."""
    agents, workspaces = store.agents, store.workspaces
    said = {"of": word}
    agents.create(f"boss of {word}", id="boss", role="lead", preferences=said)
    agents.create(f"hand of {word}", id="hand", parent="boss", metadata=said)
    agents.create(f"free of {word}", id="free", traits=[word], statistics={"n": 1})
    agents.link("hand", "observes", "boss", metadata=said)
    agents.claim("boss", holder="runner", seconds=900, place=word)
    workspaces.put("bench", project=word, tools=["hammer"], metadata=said)
    workspaces.enter("bench", "talk", persona=word, tools=["saw"])
    workspaces.put("shed", persona=word, path=f"/{word}")


def furnish_checkpoints(store: Any, word: str) -> None:
    """One of a process elsewhere; who was to restore it has died over it."""
    run = Run("far", f"machine of {word}", 1, "", "far:1")

    def keep(tx: Any) -> None:
        Runs(tx).beat(run)
        taken = {"owner": tx.terms.owner, "run": run.id, "now": tx.now}
        failed = json.dumps({"cache": f"{word} was away"})
        process = {"process": run.process, "reason": "manual"}
        tx.put("memory_add", id="kept", failed=failed, **process, **taken)
        data = {"name": "queue", "data": json.dumps({"of": word})}
        tx.put("memory_part_add", checkpoint="kept", **data, **taken)
        which = {"owner": tx.terms.owner, "checkpoint": "kept", "name": "queue"}
        tx.run("memory_part_claim", claimed="gone", beat_at=tx.now, **which)

    if isinstance(store, OpenTransaction):
        keep(store._tx)
    else:
        core = store._core
        core.engine.write(core.unit(keep, Terms(owner=store.owner)))


def furnish_state(store: Any, word: str) -> None:
    """Two sections, all saved."""
    for section in ("flags", "jobs"):
        store.state.update(section, {"of": word, "last": {"of": word}})
    if hasattr(store.state, "flush"):  # a transaction's is saved with it
        store.state.flush()


def _equals(wanted: object) -> Callable[[object], bool]:
    return lambda result: result == wanted


def _something(result: object) -> bool:
    return result is not None


_NOTHING = _equals(Page([]))
_LEASED = {"kind": "sessions", "id": "leased"}
_TALK = {"id": "talk"}
_REPLY = {"id": "child", "message_id": "r1"}
_DOING = {"id": "doing"}
_LAST = {"section": "jobs", "key": "last"}
_STEPS = {"id": "steps"}
_HELD = {"id": "held", "fence": 1}
_BEAT = {"id": "beat"}
_SECOND = {"id": "second"}
_SEEN = {"id": "seen"}
_FRESH = {"id": "fresh"}
_BOSS = {"id": "boss"}
_RUNNING = {"id": "boss", "fence": 1}
_BENCH = {"id": "bench"}
_KEPT = {"id": "kept"}
_TOOLSET = {"agent": "ada", "conversation": "talk"}
_FACT = {"namespace": ["of", "all"], "key": "fact"}
_PLACES = {"places": [[["of", "all"], "fact"], [["of", "none"], "fact"]]}

EXAMPLES: dict[str, Example] = {
    "agents.beat": Example(
        {"holder": "me", "seconds": 30, "place": "here:1"}, _something
    ),
    "agents.claim": Example(
        {"id": "hand", "holder": "me", "seconds": 30, "place": "here:1"}, NotFound
    ),
    "agents.create": Example(
        {
            "name": "new",
            "id": "new",
            "role": "a hand",
            "traits": ["calm", "quick"],
            "preferences": {"a": [1]},
            "statistics": {"n": 1.5},
            "metadata": {"a": None},
            "parent": "boss",
            "status": "resting",
        },
        NotFound,
    ),
    "agents.create_all": Example(
        {
            "agents": [
                {"name": "new", "id": "new", "created_at": "2024-02-29T12:00:00Z"},
                {"name": "other", "parent": "new", "traits": ["calm"]},
            ]
        },
        _something,
    ),
    "agents.delete": Example(_BOSS, _equals(False)),
    "agents.descendants": Example(
        {**_BOSS, "relation": "spawned", "depth": 2, "limit": 5}, NotFound
    ),
    "agents.get": Example(_BOSS, NotFound),
    "agents.increment": Example({**_BOSS, "counts": {"n": 1, "cost": 0.5}}, NotFound),
    "agents.link": Example(
        {
            **_BOSS,
            "relation": "observes",
            "target": "hand",
            "metadata": {"a": [1]},
        },
        NotFound,
    ),
    "agents.links": Example(
        {**_BOSS, "relation": "observes", "direction": "in", "limit": 5}, NotFound
    ),
    "agents.list": Example({"role": "lead", "status": "active", "limit": 5}, _NOTHING),
    "agents.release": Example(_RUNNING, _equals(False)),
    "agents.release_all": Example({"holder": "runner"}, _equals(0)),
    "agents.run_of": Example(_BOSS, _equals(None)),
    "agents.runs": Example({"holder": "me", "stale": True, "limit": 5}, _NOTHING),
    "agents.unlink": Example(
        {"id": "hand", "relation": "observes", "target": "boss"}, _equals(False)
    ),
    "agents.update": Example(
        {
            **_BOSS,
            "expect": 1,
            "name": "other",
            "role": None,
            "traits": ["slow"],
            "preferences": {"b": 2},
            "status": "resting",
            "metadata": {"b": 2},
        },
        NotFound,
    ),
    "agents.verify": Example(_RUNNING, Fenced),
    "checkpoints.delete": Example(_KEPT, _equals(False)),
    "checkpoints.get": Example(_KEPT, NotFound),
    "checkpoints.latest": Example({}, _equals(None)),
    "checkpoints.list": Example({"limit": 5}, _NOTHING),
    "checkpoints.retry": Example(_KEPT, NotFound),
    "events.chain": Example({"correlation": "c1", "limit": 10}, _NOTHING),
    "events.emit": Example(
        {
            "name": "thing:done",
            "data": {"a": 1},
            "session": "talk",
            "correlation": "c1",
            "level": "warning",
            "source": "desk",
            "whole": True,
        },
        _equals(None),
    ),
    "events.policy": Example({}, _something),
    "events.query": Example(
        {
            "pattern": ["thing:*", "other"],
            "since": "2000-01-01T00:00:00Z",
            "until": "2100-01-01T00:00:00Z",
            "session": "talk",
            "correlation": "c1",
            "source": None,
            "level": "info",
            "where": None,
            "newest_first": True,
            "limit": 10,
        },
        _NOTHING,
    ),
    "events.stats": Example(
        {"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"},
        lambda found: found.total == 0,
    ),
    "index.add_folder": Example({"path": "/elsewhere", "type": "profile"}, _something),
    "index.find": Example(
        {
            "name": "lead",
            "type": "profile",
            "tag": "all",
            "depends_on": "base",
            "text": "LEAD",
            "every_version": True,
            "limit": 5,
        },
        _NOTHING,
    ),
    "index.folders": Example({"limit": 5}, _NOTHING),
    "index.get": Example({"name": "lead", "version": "1.2"}, NotFound),
    "index.problems": Example({"kind": "missing", "limit": 5}, _NOTHING),
    "index.remove_folder": Example({"path": "/compositions"}, _equals(False)),
    "index.resolve": Example({"name": "lead", "version": "1.2"}, NotFound),
    "inbox.deliver": Example(
        {"to": "desk", "body": {"a": [1, None]}, "id": "new", "sender": "clerk"},
        _something,
    ),
    "inbox.fail": Example({**_SECOND, "error": "broken", "max_attempts": 5}, NotFound),
    "inbox.get": Example(_SECOND, NotFound),
    "inbox.list": Example({"to": "desk", "status": "pending", "limit": 5}, _NOTHING),
    "inbox.purge": Example(
        {"processed_before": "2100-01-01T00:00:00Z", "limit": 5}, _equals(0)
    ),
    "inbox.retry": Example({"id": "asked"}, NotFound),
    "inbox.set_aside": Example({**_SECOND, "error": "broken"}, NotFound),
    "inbox.take": Example({"to": "desk"}, _equals(None)),
    "items.delete": Example(_FACT, _equals(False)),
    "items.delete_each": Example(_PLACES, _equals(0)),
    "items.find": Example({"id": "!of!all!fact"}, NotFound),
    "items.get": Example(_FACT, NotFound),
    "items.get_each": Example(_PLACES, _equals((None, None))),
    "items.list": Example(
        {"namespace": ["of"], "where": {"of": {"$ne": 5}}, "limit": 5}, _NOTHING
    ),
    "items.namespaces": Example(
        {"prefix": ["of"], "suffix": ["*"], "depth": 2, "limit": 5}, _NOTHING
    ),
    "items.nearest": Example(
        {"namespace": ["of"], "vector": [1, 3.5], "where": {}, "limit": 5}, _equals(())
    ),
    "items.put": Example(
        {
            **_FACT,
            "value": {"of": ["other", None]},
            "ttl_seconds": 9,
            "vectors": {"all": [1, 0.5]},
        },
        _something,
    ),
    "items.put_each": Example(
        {
            "items": [
                {**_FACT, "value": {"a": 1}, "ttl_seconds": 9, "vectors": {}},
                {"namespace": [], "key": "new", "value": {"b": 2}},
            ]
        },
        _something,
    ),
    "items.refresh": Example(_PLACES, _equals(0)),
    "jobs.cancel": Example({"id": "ready"}, NotFound),
    "jobs.claim": Example(
        {
            "worker": "me",
            "kinds": ["work"],
            "lanes": ["free"],
            "limit": 5,
            "lease_seconds": 9,
            "version": "2",
        },
        _equals(()),
    ),
    "jobs.complete": Example({**_HELD, "result": {"ok": True}}, NotFound),
    "jobs.fail": Example(
        {**_HELD, "error": "broken", "retry": True, "delay_seconds": 5}, NotFound
    ),
    "jobs.get": Example({"id": "held"}, NotFound),
    "jobs.join": Example(_HELD, NotFound),
    "jobs.keep_step": Example(
        {**_HELD, "name": "tell", "result": {"a": 1}, "nth": 0, "position": 1}, NotFound
    ),
    "jobs.limit": Example(
        {"kind": "work", "concurrency": 3, "rate": 5, "per_seconds": 9.5}, _something
    ),
    "jobs.limits": Example({}, _equals(())),
    "jobs.list": Example(
        {
            "status": "queued",
            "kind": "work",
            "lane": "free",
            "session": "talk",
            "parent": "held",
            "limit": 5,
        },
        _NOTHING,
    ),
    "jobs.purge": Example(
        {"finished_before": "2100-01-01T00:00:00Z", "limit": 5}, _equals(0)
    ),
    "jobs.put": Example(
        {
            "kind": "work",
            "body": {"parts": [1, None]},
            "lane": "free",
            "id": "new",
            "priority": 7,
            "delay_seconds": 5,
            "max_attempts": 5,
            "backoff": {"first_seconds": 2.5, "factor": 3, "most_seconds": 9},
            "deadline": "2100-01-01T00:00:00Z",
            "session": "talk",
            "parent": "held",
            "trace": {"traceparent": "00-1-2-00"},
        },
        NotFound,
    ),
    "jobs.release": Example({**_HELD, "delay_seconds": 5}, NotFound),
    "jobs.renew": Example({**_HELD, "lease_seconds": 9}, NotFound),
    "jobs.revive": Example({"id": "dead"}, NotFound),
    "jobs.signal": Example(
        {"id": "held", "name": "approval", "payload": {"a": 1}}, NotFound
    ),
    "jobs.sleep": Example(
        {**_HELD, "name": "pause", "nth": 0, "position": 1, "seconds": 5}, NotFound
    ),
    "jobs.stats": Example({}, lambda result: result.total == 0),
    "jobs.steps": Example({"id": "held"}, NotFound),
    "jobs.wait": Example(
        {
            **_HELD,
            "signal": "approval",
            "nth": 0,
            "position": 1,
            "timeout_seconds": 5,
        },
        NotFound,
    ),
    "journal.advance": Example({"name": "reader", "to": 2}, _equals(2)),
    "journal.cursor": Example({"name": "reader"}, _equals(0)),
    "journal.head": Example({}, _something),
    "journal.horizon": Example({}, _equals(0)),
    "journal.read": Example(
        {"after": 0, "limit": 20, "kinds": ["sessions", "task"], "id": "talk"},
        _NOTHING,
    ),
    "journal.stretch": Example(
        {"after": 0, "limit": 20, "kinds": ["sessions"], "id": "talk"},
        lambda result: result.changes == (),
    ),
    "leases.acquire": Example(
        {"kind": "sessions", "id": "talk", "holder": "me", "seconds": 9}, NotFound
    ),
    "leases.get": Example(_LEASED, _equals(None)),
    "leases.release": Example({**_LEASED, "fence": 1}, _equals(False)),
    "leases.renew": Example({**_LEASED, "fence": 1, "seconds": 9}, Fenced),
    "machines.can": Example({**_FRESH, "event": "PAY", "payload": [1]}, NotFound),
    "machines.context": Example(_FRESH, NotFound),
    "machines.create": Example(
        {"name": "order", "id": "new", "context": {"a": [1, None]}}, NotFound
    ),
    "machines.define": Example(
        {
            "name": "@shop/order",
            "spec": ORDER,
            "version": 3,
            **_TOOLS,
            "unknown": "refuse",
            "from_versions": {"2": {"old": "new"}},
        },
        _something,
    ),
    "machines.definition": Example({"name": "order", "version": 1}, NotFound),
    "machines.definitions": Example({"limit": 5}, _NOTHING),
    "machines.delete": Example({"id": "paying"}, _equals(False)),
    "machines.get": Example(_FRESH, NotFound),
    "machines.history": Example({"id": "paying", "limit": 5}, NotFound),
    "machines.list": Example({"name": "order", "state": "new", "limit": 5}, _NOTHING),
    "machines.receive": Example({"machine": "fresh", "limit": 5}, NotFound),
    "machines.send": Example(
        {
            **_FRESH,
            "event": "PAY",
            "payload": {"a": [1, None]},
            "expect": "new",
            "once": "paid once",
        },
        NotFound,
    ),
    "machines.upgrade": Example({"name": "order", "limit": 5}, NotFound),
    "state.as_dict": Example({"section": "jobs"}, _equals({})),
    "state.delete": Example(_LAST, _equals(False)),
    "state.drop": Example({"section": "jobs"}, _equals(False)),
    "state.find": Example({"id": "jobs"}, NotFound),
    "state.get": Example({**_LAST, "default": "none"}, _equals("none")),
    "state.list": Example({"limit": 1}, _NOTHING),
    "state.set": Example({**_LAST, "value": {"n": [1]}}, _equals(None)),
    "state.update": Example(
        {"section": "jobs", "values": {"last": {"n": 1}, "new": 2}}, _equals(None)
    ),
    "observations.create": Example(
        {
            "observer": "watcher",
            "target": "worker",
            "events": ["task:*", "*:done"],
            "id": "newly",
            "sampling_rate": 0.5,
            "rate_limit": 2.5,
            "where": {"task.id": "t1", "urgent": True},
            "inbox": True,
        },
        _something,
    ),
    "observations.delete": Example(_SEEN, _equals(False)),
    "observations.get": Example(_SEEN, NotFound),
    "observations.list": Example(
        {"observer": "watcher", "target": "*", "status": "paused", "limit": 5},
        _NOTHING,
    ),
    "observations.pause": Example(_SEEN, NotFound),
    "observations.resume": Example({"id": "blind"}, NotFound),
    "observations.update": Example(
        {
            **_SEEN,
            "expect": 1,
            "target": "other",
            "events": ["*"],
            "sampling_rate": 0.25,
            "rate_limit": 1,
            "where": {"a.b": None},
            "inbox": False,
        },
        NotFound,
    ),
    "schedules.delete": Example(_BEAT, _equals(False)),
    "schedules.get": Example(_BEAT, NotFound),
    "schedules.list": Example({"limit": 5}, _NOTHING),
    "schedules.pause": Example(_BEAT, NotFound),
    "schedules.put": Example(
        {
            **_BEAT,
            "kind": "tock",
            "body": {"a": [1, None]},
            "cron": "30 2 * * MON",
            "timezone": "Europe/Berlin",
            "lane": "talk",
            "priority": 5,
            "max_attempts": 2,
            "missed": "last",
        },
        _something,
    ),
    "schedules.resume": Example({"id": "still"}, NotFound),
    "sessions.admit": Example(
        {
            "id": "moved",
            "created_at": "2024-02-29T12:00:00Z",
            "updated_at": "2024-03-01T00:00:00+01:00",
            "title": "moved",
            "status": "archived",
            "parent": "elsewhere",
            "metadata": {"a": [1]},
            "tags": ["x", "y"],
            "max_context_messages": 5,
            "first": 3,
            "version": 9,
            "forked_at": 4,
        },
        _something,
    ),
    "sessions.amend": Example(
        {
            **_TALK,
            "message_id": "m2",
            "content": ["amended"],
            "metadata": {"a": 1},
            "expect": 3,
        },
        NotFound,
    ),
    "sessions.append": Example(
        {
            **_TALK,
            "role": "tool",
            "content": {"parts": [1, None]},
            "message_id": "m4",
            "metadata": {"a": 1},
            "expect": 3,
        },
        NotFound,
    ),
    "sessions.begin_reply": Example(
        {
            **_TALK,
            "role": "assistant",
            "text": "so far",
            "message_id": "r2",
            "metadata": {"a": 1},
        },
        NotFound,
    ),
    "sessions.clear": Example(_TALK, NotFound),
    "sessions.close": Example(_TALK, NotFound),
    "sessions.context": Example({**_TALK, "messages": 2, "tokens": 50}, NotFound),
    "sessions.create": Example(
        {
            "title": "new",
            "id": "new",
            "parent": "talk",
            "metadata": {"a": [1]},
            "tags": ["x", "y"],
            "max_context_messages": 5,
        },
        NotFound,
    ),
    "sessions.delete": Example(_TALK, _equals(False)),
    "sessions.end_reply": Example(
        {**_REPLY, "content": ["all of it"], "metadata": {"a": 1}}, NotFound
    ),
    "sessions.extend_reply": Example({**_REPLY, "text": " and on", "at": 13}, NotFound),
    "sessions.extend": Example(
        {
            **_TALK,
            "messages": [
                {"role": "user", "content": "a", "id": "m4", "metadata": {"a": 1}},
                {"role": "assistant", "content": ["b"]},
            ],
            "expect": 3,
        },
        NotFound,
    ),
    "sessions.family": Example({**_TALK, "limit": 5}, NotFound),
    "sessions.fork": Example(
        {**_TALK, "at": 2, "title": "new", "new_id": "new"}, NotFound
    ),
    "sessions.get": Example(_TALK, NotFound),
    "sessions.history": Example(_TALK, NotFound),
    "sessions.overview": Example(_TALK, NotFound),
    "sessions.overviews": Example(
        {
            "status": "active",
            "parent": "talk",
            "created_before": "2100-01-01T00:00:00Z",
            "limit": 5,
        },
        _NOTHING,
    ),
    "sessions.list": Example(
        {
            "status": "active",
            "parent": "talk",
            "created_before": "2100-01-01T00:00:00Z",
            "limit": 5,
        },
        _NOTHING,
    ),
    "sessions.mark": Example(
        {**_TALK, "at": 0, "of": "marked", "new_id": "new"}, NotFound
    ),
    "sessions.get_mark": Example({"mark": "marked"}, NotFound),
    "sessions.marked": Example({"mark": "marked", "limit": 5}, NotFound),
    "sessions.messages": Example(
        {**_TALK, "last": 5, "before": 4, "after": 1}, NotFound
    ),
    "sessions.pop": Example(_TALK, NotFound),
    "sessions.rewind": Example({**_TALK, "at": 1, "expect": 3}, NotFound),
    "sessions.summaries": Example({**_TALK, "limit": 5}, NotFound),
    "sessions.summarize": Example(
        {**_TALK, "upto": 2, "text": "so far", "created_at": "2026-11-19T18:00Z"},
        NotFound,
    ),
    "sessions.render": Example({**_TALK, "form": "json"}, NotFound),
    "sessions.unmark": Example({"mark": "marked"}, _equals(False)),
    "sessions.update": Example(
        {
            **_TALK,
            "expect": 3,
            "title": "other",
            "status": "paused",
            "metadata": {"b": 2},
            "tags": ["z"],
            "max_context_messages": 7,
        },
        NotFound,
    ),
    "toolsets.clear": Example({"agent": "ada", "limit": 5}, _equals(0)),
    "toolsets.delete": Example(_TOOLSET, _equals(False)),
    "toolsets.get": Example(_TOOLSET, NotFound),
    "toolsets.handshake": Example(
        {**_TOOLSET, "conversation": "elsewhere", "known": "", "whole": True},
        NotFound,
    ),
    "toolsets.list": Example({"agent": "ada", "limit": 5}, _NOTHING),
    "toolsets.put": Example(
        {**_TOOLSET, "tools": [{"name": "saw", "inputSchema": {}}]}, _something
    ),
    "workspaces.chats": Example({**_BENCH, "limit": 5}, NotFound),
    "workspaces.clean": Example(
        {"older_than_seconds": 1e-07, "limit": 5}, lambda found: not found.workspaces
    ),
    "workspaces.delete": Example(_BENCH, _equals(False)),
    "workspaces.enter": Example(
        {
            **_BENCH,
            "session": "new",
            "name": "a chat",
            "persona": "tester",
            "tools": ["saw"],
            "issue": "A-2",
            "branch": None,
        },
        NotFound,
    ),
    "workspaces.get": Example(_BENCH, NotFound),
    "workspaces.leave": Example({**_BENCH, "session": "talk"}, NotFound),
    "workspaces.list": Example(
        {"project": "shop", "persona": "dev", "stale": True, "limit": 5}, _NOTHING
    ),
    "workspaces.load": Example({**_BENCH, "tools": ["saw", "file"]}, NotFound),
    "workspaces.put": Example(
        {
            **_BENCH,
            "path": "/shop",
            "project": "shop",
            "persona": "dev",
            "tools": ["saw"],
            "issue": "A-1",
            "branch": "a-1",
            "metadata": {"a": [1]},
        },
        _something,
    ),
    "workspaces.touch": Example({**_BENCH, "session": "talk"}, NotFound),
    "workspaces.unload": Example({**_BENCH, "tools": ["hammer"]}, NotFound),
    "threads.ancestry": Example(
        {**_STEPS, "checkpoint": "c2", "channels": ["a"], "ns": ""}, NotFound
    ),
    "threads.checkpoint": Example({**_STEPS, "checkpoint": "c1", "ns": ""}, NotFound),
    "threads.checkpoints": Example(
        {**_STEPS, "ns": "", "before": "c9", "where": {"step": 1}, "limit": 5}, NotFound
    ),
    "threads.copy": Example({**_STEPS, "to": "new", "notes": {"n1": "n9"}}, NotFound),
    "threads.delete": Example(_STEPS, _equals(False)),
    "threads.delete_runs": Example(
        {"runs": ["r1"]}, lambda result: result.checkpoints == 0
    ),
    "threads.get": Example(_STEPS, NotFound),
    "threads.list": Example({"limit": 5}, _NOTHING),
    "threads.newest": Example(_STEPS, NotFound),
    "threads.notes": Example(_STEPS, NotFound),
    "threads.prune": Example(
        {**_STEPS, "keep": ["c2"], "limit": 5}, lambda result: result.checkpoints == 0
    ),
    "threads.put": Example(
        {
            **_STEPS,
            "checkpoint": "c3",
            "ns": "inner",
            "parent": "c2",
            "state": {"v": 3},
            "values": {"a": {"type": "text", "body": "b" * 100}},
            "metadata": {"step": 3},
            "run": "r2",
            "note": "n3",
        },
        _equals(True),
    ),
    "threads.put_writes": Example(
        {
            **_STEPS,
            "checkpoint": "c2",
            "task": "task",
            "writes": [{"index": 0, "channel": "a", "type": "text", "body": "b"}],
            "ns": "",
            "path": "path",
        },
        _equals(1),
    ),
    "tasks.cancel": Example(_DOING, NotFound),
    "tasks.complete": Example({**_DOING, "result": {"ok": True}}, NotFound),
    "tasks.create": Example(
        {
            "description": "new",
            "id": "new",
            "tool": "hammer",
            "session": "talk",
            "assigned_to": "me",
            "metadata": {"a": 1},
        },
        NotFound,
    ),
    "tasks.delete": Example(_DOING, _equals(False)),
    "tasks.fail": Example({**_DOING, "error": "broken"}, NotFound),
    "tasks.get": Example(_DOING, NotFound),
    "tasks.hold": Example(_DOING, NotFound),
    "tasks.list": Example(
        {"status": "pending", "session": "talk", "tool": "hammer", "limit": 5},
        _NOTHING,
    ),
    "tasks.log": Example(
        {**_DOING, "message": "hm", "level": "debug", "type": "note"}, NotFound
    ),
    "tasks.logs": Example({**_DOING, "limit": 5}, NotFound),
    "tasks.metrics": Example({}, lambda result: result.total == 0),
    "tasks.progress": Example(
        {**_DOING, "done": 1, "total": 2.5, "note": "half"}, NotFound
    ),
    "tasks.start": Example({"id": "todo"}, NotFound),
    "tasks.update": Example(
        {
            **_DOING,
            "expect": 2,
            "description": "other",
            "tool": "saw",
            "session": "child",
            "assigned_to": "you",
            "metadata": {"b": 2},
        },
        NotFound,
    ),
}


def operations() -> dict[str, Operation]:
    """The operations of every store; not those of kinds that tests declare."""
    with holdfast.open(":memory:") as store:
        return {
            name: found
            for name, found in store.operations().items()
            if found.function.__module__.startswith("holdfast.")
        }


OPERATIONS = operations()
NAMES = sorted(OPERATIONS)
WRITING = [
    name for name in NAMES if not (OPERATIONS[name].reads or OPERATIONS[name].beside)
]


def example(name: str) -> Example:
    """The example of an operation; there must be one."""
    assert name in EXAMPLES, f"tests/examples.py has no example of {name}"
    return EXAMPLES[name]


def dump(store: Any, owner: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table (or those of one owner), as the engine has it.

    Without indexes, which are made from them, and without what is beside the state,
    which comes to disk by itself. Read through the store's own engine:
    another open file would drop its locks.
    """

    core = store._core
    known = _POSTGRES if core.engine.place.startswith("postgresql:") else _SQLITE

    def rows(tx: Any) -> dict[str, list[dict[str, Any]]]:
        columns: dict[str, list[str]] = {}
        for table, column in tx.ask(known):
            columns.setdefault(table, []).append(column)
        return {table: _rows(tx, table, columns[table], owner) for table in columns}

    return core.engine.read(core.unit(rows, Terms(every_owner=True)))


_SQLITE = """select t.name, c.name from sqlite_schema t
    join pragma_table_info(t.name) c where t.type = 'table'
    and t.name <> 'derived' and t.name not glob 'search*' order by t.name, c.cid"""
_POSTGRES = """select t.relname, c.attname from pg_class t
    join pg_attribute c on c.attrelid = t.oid
    where t.relnamespace = current_schema()::regnamespace and t.relkind in ('r', 'p')
    and c.attnum > 0 and not c.attisdropped and t.relname not like 'event%'
    and t.relname not in ('receipt', 'derived', 'search')
    order by t.relname, c.attnum"""
"""Every column of every table that says what a store holds."""


def _rows(
    tx: Any, table: str, columns: list[str], owner: str | None
) -> list[dict[str, Any]]:
    if owner is None:
        whose = ""
    elif "owner" in columns:
        whose = f" where owner = '{owner}'"
    else:
        return []
    rows = sorted(tx.ask(f"select {', '.join(columns)} from {table}{whose}"), key=repr)
    return [dict(zip(columns, row, strict=True)) for row in rows]
