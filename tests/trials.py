"""Trials: how each line of the table of promises is tried.

For each kind of state there is a write that can be told apart by its number, and what
is there then; for those in memory, in the memory of one process, `here`. The suite
(`test_promises.py`) kills, opens again and compares.
"""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import holdfast
from holdfast import config
from holdfast.errors import Held, Refused, TimedOut
from holdfast.runtime import Bus, Cache, Lifecycle, Requests

PATIENCE_SECONDS = 30.0
JOTTINGS = """
-- tables --
-- Short notes, by name.
create table jotting (
    no integer primary key,
    owner text not null,
    id text not null,
    body text not null,
    unique (owner, id)
) strict;

-- jotting_put --
-- Keep a note.
insert into jotting (no, owner, id, body) values (:no, :owner, :id, :body)

-- jotting_all --
-- Every note of an owner.
select id, body from jotting where owner = :owner order by id limit 1000
"""


class Jottings(holdfast.Kind):
    """Notes of a user's own."""

    @holdfast.operation
    def put(self, id: str, body: str) -> str:
        no = self.tx.new_no()
        self.tx.run("jotting_put", no=no, owner=self.owner, id=id, body=body)
        return id

    @holdfast.query
    def all(self) -> dict[str, str]:
        return dict(self.tx.all("jotting_all", owner=self.owner))


Here = dict[str, Any]
"""What a trial keeps in the memory of one process."""
Leased = tuple[str, str, Callable[[Any], object]]
"""A kind, a record of it, and a write to that record."""


class Trial(NamedTuple):
    """How one line is tried.

    `seconds` is the time within which a write is on disk, where that is not at once;
    `leased` makes a record, and says how it is written to. `again` is what comes back
    in a new process by what the line says of its recovery, if `there` does not tell.
    `past` is what of it the past has, if that is less. `besides` are tables of other
    kinds that the write goes to as well.
    """

    write: Callable[[Any, int, Here], object]
    there: Callable[[Any, Here], Any]
    begin: Callable[[Any], object] = lambda store: None
    seconds: float = 0.0
    leased: Callable[[Any], Leased] | None = None
    again: Callable[[Any, Here], Any] | None = None
    past: Callable[[Any, Here], Any] | None = None
    limits: holdfast.Limits | None = None
    besides: frozenset[str] = frozenset()
    end: Callable[[Here], object] = lambda here: None


def kept(
    write: Callable[[Any, int], object],
    there: Callable[[Any], Any],
    **more: Any,
) -> Trial:
    """A trial of what is in the store alone."""
    return Trial(
        lambda store, number, here: write(store, number),
        lambda store, here: there(store),
        **more,
    )


# Kinds


def _leases_of(store: Any) -> list[Any]:
    found = [store.leases.get("sessions", s.id) for s in store.sessions.list(limit=99)]
    return [(lease.id, lease.fence, str(lease.until)) for lease in found if lease]


def _lease(store: Any, number: int) -> None:
    with store.transaction() as tx:
        made = tx.sessions.create()
        tx.leases.acquire("sessions", made.id, holder=f"h{number}", seconds=9_999)


def _work(store: Any, number: int) -> None:
    """One job more; somebody has claimed every other one."""
    with store.transaction() as tx:
        tx.jobs.put("do", id=f"no-{number}", lane=f"lane {number}")
        if number % 2:
            tx.jobs.claim("w", lanes=[f"lane {number}"], lease_seconds=9_999)


def _machine(store: Any, number: int) -> None:
    """One machine more, in its second state."""
    states = {"new": {"on": {"GO": "old"}}, "old": {}}
    store.machines.define("m", {"initial": "new", "states": states})
    with store.transaction() as tx:
        made = tx.machines.create("m", context={"n": number})
        tx.machines.send(made.id, "GO")


def _changes(store: Any) -> list[Any]:
    return [(c.seq, c.kind, c.op, c.actor, c.after) for c in store.journal.read()]


def _journal(store: Any, number: int) -> None:
    store.run(lambda tx: tx.tasks.create(f"no {number}").id, actor=f"a{number}")


def _folder(store: Any) -> None:
    store.index.add_folder("compositions")


def _compose(store: Any, number: int, here: Here) -> None:
    """One file more, which is scanned."""
    folder = Path("compositions")
    folder.mkdir(exist_ok=True)
    (folder / f"no-{number}.json").write_text("{}", encoding="utf-8")
    store.index.scan()


def _indexed(store: Any, here: Here) -> list[Any]:
    return [(one.name, one.path) for one in store.index.find()]


def _scanned(store: Any, here: Here) -> list[Any]:
    """What comes back though all of it was lost, since the files are there."""
    store.index.remove_folder("compositions")
    _folder(store)
    store.index.scan()
    return _indexed(store, here)


def _message(store: Any) -> Leased:
    id = store.inbox.deliver("ada", 1).id
    store.run(lambda tx: (tx.inbox.take("ada"), tx.inbox.set_aside(id, "no")))
    return "inbox", id, lambda other: other.inbox.retry(id)


def _started(store: Any) -> Leased:
    states = {"new": {"on": {"GO": "new"}}}
    store.machines.define("m", {"initial": "new", "states": states})
    id = store.machines.create("m").id
    return "machines", id, lambda other: other.machines.send(id, "GO")


def _item(store: Any) -> Leased:
    id = store.items.put(("a",), "k", {"n": 1}).id
    return "items", id, lambda other: other.items.put(("a",), "k", {"n": 2})


def _thread(store: Any) -> Leased:
    store.threads.put("t", "c", state=1)
    return "threads", "t", lambda other: other.threads.put("t", "d", state=2)


def _box(store: Any, here: Here) -> list[int]:
    """What a participant of this process has in memory."""
    if "box" not in here:
        here["box"] = []
        here["leave"] = store.checkpoints.participant(
            "box", lambda: list(here["box"]), here["box"].extend
        )
    found: list[int] = here["box"]
    return found


def _take(store: Any, number: int, here: Here) -> None:
    _box(store, here).append(number)
    store.checkpoints.take()


def _taken(store: Any, here: Here) -> list[int]:
    """What the newest checkpoint has."""
    latest = store.checkpoints.latest()
    return [] if latest is None else latest.parts[0].data


def _lanterns(store: Any) -> list[str]:
    return sorted(hit.id for hit in store.search("lantern", limit=100))


KINDS = {
    "events": kept(
        lambda store, number: store.events.emit("no", {"n": number}),
        lambda store: [(e.id, e.data) for e in store.events.query("no")],
        seconds=holdfast.Limits().event_seconds,
    ),
    "journal": kept(_journal, _changes),
    "items": kept(
        lambda store, number: store.items.put(("no",), f"k{number}", {"n": number}),
        lambda store: [(i.key, i.value) for i in store.items.list(("no",))],
        leased=_item,
    ),
    "index": Trial(_compose, _indexed, begin=_folder, again=_scanned),
    "inbox": kept(
        lambda store, number: store.inbox.deliver("ada", {"n": number}),
        lambda store: [(m.position, m.body) for m in store.inbox.list(to="ada")],
        leased=_message,
    ),
    "leases": kept(_lease, _leases_of),
    "jobs": kept(
        _work,
        lambda store: [(j.id, j.status.value, j.fence) for j in store.jobs.list()],
        past=lambda store, here: [job.id for job in store.jobs.list()],
        leased=lambda store: (
            "jobs", store.jobs.put("do", id="j").id,
            lambda other: other.jobs.cancel("j"),
        ),
    ),
    "machines": kept(
        _machine,
        lambda store: [(m.id, m.state, m.context) for m in store.machines.list()],
        leased=_started,
    ),
    "observations": kept(
        lambda store, number: store.observations.create(f"no-{number}"),
        lambda store: [(o.id, o.observer) for o in store.observations.list()],
        leased=lambda store: (
            "observations", store.observations.create("o", id="o").id,
            lambda other: other.observations.pause("o"),
        ),
    ),
    "schedules": kept(
        lambda store, number: store.schedules.put(
            f"no-{number}", "do", cron="* * * * *"
        ),
        lambda store: [s.id for s in store.schedules.list()],
        leased=lambda store: (
            "schedules", store.schedules.put("s", "do", every_seconds=60).id,
            lambda other: other.schedules.pause("s"),
        ),
    ),
    "sessions": kept(
        lambda store, number: store.sessions.create(f"no {number}"),
        lambda store: [(s.id, s.title) for s in store.sessions.list()],
        leased=lambda store: (
            "sessions", store.sessions.create(id="s").id,
            lambda other: other.sessions.append("s", "user", "hello"),
        ),
    ),
    "tasks": kept(
        lambda store, number: store.tasks.create(f"no {number}"),
        lambda store: [(t.id, t.description) for t in store.tasks.list()],
        leased=lambda store: (
            "tasks", store.tasks.create("do", id="t").id,
            lambda other: other.tasks.start("t"),
        ),
    ),
    "threads": kept(
        lambda store, number: store.threads.put(f"no-{number}", "c", state=number),
        lambda store: [
            (t.id, store.threads.checkpoint(t.id).state) for t in store.threads.list()
        ],
        leased=_thread,
    ),
    "agents": kept(
        lambda store, number: store.agents.create(f"no {number}"),
        lambda store: [(a.id, a.name) for a in store.agents.list()],
        leased=lambda store: (
            "agents", store.agents.create("a", id="a").id,
            lambda other: other.agents.update("a", role="critic"),
        ),
    ),
    "checkpoints": Trial(_take, _taken),
    "state": kept(
        lambda store, number: store.state.set("s", f"k{number:02}", {"n": number}),
        lambda store: sorted(
            item for one in store.state.list()
            for item in store.state.as_dict(one.id).items()
        ),
        seconds=holdfast.Limits().state_seconds,
        leased=lambda store: (
            "state", store.run(lambda tx: tx.state.set("s", "k", 1)) or "s",
            lambda other: other.run(lambda tx: tx.state.set("s", "k", 2)),
        ),
    ),
    "toolsets": kept(
        lambda store, number: store.toolsets.put(f"a{number}", "c", [{"name": "t"}]),
        lambda store: [(t.agent, t.names) for t in store.toolsets.list()],
    ),
    "workspaces": kept(
        lambda store, number: store.workspaces.put(f"no-{number}", persona="critic"),
        lambda store: [(w.id, w.persona) for w in store.workspaces.list()],
        leased=lambda store: (
            "workspaces", store.workspaces.put("w").id,
            lambda other: other.workspaces.put("w", persona="critic"),
        ),
    ),
    "jottings": kept(
        lambda store, number: store.jottings.put(f"no-{number}", "told"),
        lambda store: store.jottings.all(),
    ),
    "search": kept(
        lambda store, number: store.sessions.create(f"lantern {number}"),
        _lanterns,
        again=lambda store, here: (store.rebuild(), _lanterns(store))[1],
        besides=frozenset({"session"}),
    ),
}  # fmt: skip


# What is no kind


def _run_once(store: Any, number: int, here: Here) -> None:
    here["keys"] = number + 1
    store.run(lambda tx: number, once=f"k{number}")


def _ran_once(store: Any, here: Here) -> list[Any]:
    keys = here.get("keys", 5)
    return [store.run(lambda tx: "again", once=f"k{key}") for key in range(keys)]


def _reply(store: Any, number: int, here: Here) -> None:
    if "reply" not in here:
        here["block"] = store.sessions.reply("s")
        here["reply"] = here["block"].__enter__()
    here["reply"].add(f"no {number}.")


def _said(store: Any) -> list[str]:
    if not store.sessions.list():
        return []
    found = [m.content for m in store.sessions.messages("s")]
    return [part for text in found for part in text.split(".") if part]


def _end_reply(here: Here) -> None:
    if "block" in here:
        here["block"].__exit__(None, None, None)


def _draft(store: Any, number: int, here: Here) -> None:
    draft = store.sessions.draft(f"no {number}", id=f"no-{number}")
    draft.send("hello")
    here.setdefault("drafts", []).append(draft)


def _drafts(store: Any, here: Here) -> list[str]:
    held = [draft.id for draft in here.get("drafts", [])]
    return held + [s.id for s in store.sessions.list()]


def _emitted(store: Any, here: Here) -> list[int]:
    """The events that this process has in its memory, beside those at its start."""
    held = store.events.figures().held
    return list(range(held - here.setdefault("at first", held)))


def _emit(store: Any, number: int, here: Here) -> None:
    _emitted(store, here)
    store.events.emit("no", {"n": number})


def _listener(on: str) -> Callable[[Any, int, Here], None]:
    """A write that a function of this process is told of."""

    def write(store: Any, number: int, here: Here) -> None:
        if "told" not in here:
            here["told"], here["heard"] = queue.Queue(), []
            tell = here["told"].put
            if on == "listener":
                here["stop"] = store.on("no", lambda event: tell(event.data))
            else:
                here["stop"] = store.observations.attach(
                    "critic", lambda observation, event: tell(event.data)
                )
        store.events.emit("no", {"n": number})
        here["heard"].append(here["told"].get(timeout=PATIENCE_SECONDS))

    return write


def _heard(store: Any, here: Here) -> list[Any]:
    """What a function was told; in a new process, after one more event, nothing."""
    if "told" not in here:
        store.events.emit("no", {"n": -1})
    return list(here.get("heard", []))


def _stop(here: Here) -> None:
    if "stop" in here:
        here["stop"]()


def _observer(store: Any) -> None:
    store.observations.create("critic", "*", ["no"], id="o", rate_limit=None)


def _watch(store: Any, number: int, here: Here) -> None:
    if "watched" not in here:
        here["watched"] = store.watch_query("items.list", namespace=["no"])
        here["seen"] = [len(here["watched"].get(timeout_seconds=PATIENCE_SECONDS))]
    store.items.put(("no",), f"k{number}", {"n": number})
    found = here["watched"].get(timeout_seconds=PATIENCE_SECONDS)
    here["seen"].append(len(found))


def _unwatch(here: Here) -> None:
    if "watched" in here:
        here["watched"].close()


def _publish(store: Any, number: int, here: Here) -> None:
    if "bus" not in here:
        here["bus"] = Bus(store)
        here["mine"] = here["bus"].subscribe("no", name="mine")
    here["bus"].publish("no", number)
    here["bus"].send("nobody here", number)


def _published(store: Any, here: Here) -> list[int]:
    """What waits in the box of a subscriber, and for a name that nobody has."""
    if "bus" not in here:
        with Bus(store) as bus, bus.subscribe("no", name="mine") as mine:
            return [0] * (len(mine) + len(bus.history()))
    return list(range(len(here["mine"])))


def _end_bus(here: Here) -> None:
    if "bus" in here:
        here["bus"].close()


def _at_work(store: Any, number: int, here: Here) -> None:
    """One job more, which a worker of this process is at, and never ends."""
    if "worker" not in here:
        here["begun"], here["ids"] = queue.Queue(), []
        here["enough"] = threading.Event()

        def do(job: Any) -> None:
            here["begun"].put(job.id)
            here["enough"].wait()

        worker = holdfast.Worker(store, {"do": do}, concurrency=50, lease_seconds=1)
        here["worker"] = worker
        worker.__enter__()
    store.jobs.put("do", id=f"no-{number}")
    here["ids"].append(here["begun"].get(timeout=PATIENCE_SECONDS))


def _run_again(store: Any, here: Here) -> list[str]:
    """The jobs that a worker of a new process begins by itself, by their ids."""
    begun: queue.Queue[str] = queue.Queue()
    there = store.jobs.stats().by_status  # one may have been put and not begun
    count = there["active"] + there["queued"]
    with holdfast.Worker(store, {"do": lambda job: begun.put(job.id)}):
        return sorted(begun.get(timeout=PATIENCE_SECONDS) for _ in range(count))


def _end_work(here: Here) -> None:
    if "worker" in here:
        here["enough"].set()
        here["worker"].__exit__(None, None, None)


def _guarded(store: Any, number: int, here: Here) -> None:
    """A machine whose guard is a function of this process."""
    on = {"on": {"GO": {"target": "new", "guard": "may"}}}
    spec = {"initial": "new", "states": {"new": on}}
    store.machines.define("m", spec, guards={"may": lambda *given: True})
    store.machines.create("m", id=f"no-{number}")
    here["functions"] = [*here.get("functions", []), number]


def _provided(store: Any, here: Here) -> list[str]:
    """The machines that can go on in this process."""
    found = []
    for machine in store.machines.list():
        try:
            if store.machines.can(machine.id, "GO"):
                found.append(machine.id)
        except Refused:
            continue
    return found


def _configure(store: Any, number: int, here: Here) -> None:
    with Path("holdfast.toml").open("a", encoding="utf-8") as file:
        file.write(f"[projects.no-{number}]\nn = {number}\n")


def _configured(store: Any, here: Here) -> list[Any]:
    return sorted(config.load(env={}).as_dict()["projects"].items())


def _live(store: Any, number: int, here: Here) -> None:
    store.agents.create(f"no {number}", id=f"no-{number}")
    store.agents.run(f"no-{number}", lambda agent: object())


def _live_again(store: Any, here: Here) -> list[str]:
    """Those that can be made again, once the process that ran them says nothing."""
    found = []
    for agent in store.agents.list():
        until = time.monotonic() + PATIENCE_SECONDS
        while agent.id not in found:
            try:
                found.append(store.agents.run(agent.id, lambda agent: object()).id)
            except Held:
                assert time.monotonic() < until
                time.sleep(0.05)
    return found


def _restored(store: Any, here: Here) -> list[int]:
    """What a participant of a new process is given back, in which there was nothing."""
    assert _box(store, here) == []
    store.checkpoints.restore()
    return _box(store, here)


def _leave(here: Here) -> None:
    if "leave" in here:
        here["leave"]()


def _ask(store: Any, number: int, here: Here) -> None:
    """One request more; the first one is active."""
    if "requests" not in here:
        here["requests"] = Requests(store)
    here["requests"].put({"n": number}, id=f"no-{number}")
    if number == 0:
        here["requests"].take()
    store.checkpoints.take()


def _asked(store: Any, here: Here) -> list[str]:
    held = here["requests"].list() if "requests" in here else []
    return [one.id for one in held]


def _asked_again(store: Any, here: Here) -> list[str]:
    requests = Requests(store)
    assert requests.list() == ()
    store.checkpoints.restore()
    found = requests.list()
    assert [one.id for one in found if one.status == "interrupted"] == ["no-0"]
    requests.close()
    return [one.id for one in found]


def _end_requests(here: Here) -> None:
    if "requests" in here:
        here["requests"].close()


def _cached(store: Any, here: Here) -> list[str]:
    """What a cache has of the store's items, or makes of them."""
    if "cache" not in here:
        here["cache"] = Cache(store, seconds=None, invalidated_by="items")
    make = lambda: [item.key for item in store.items.list(("no",))]  # noqa: E731
    found: list[str] = here["cache"].get("keys", make)
    return found


def _end_cache(here: Here) -> None:
    if "cache" in here:
        here["cache"].close()


def _advance(store: Any, number: int, here: Here) -> None:
    here["steps"] = number + 1
    if "life" not in here:
        here["life"] = Lifecycle(store, signals=False, dumps=False, checkpoints=False)
        here["life"].__enter__()


def _phases(store: Any, here: Here) -> list[tuple[str, int]]:
    steps = here.get("steps", 0)
    return [(str(here["life"].phase), step) for step in range(steps)]


def _end_life(here: Here) -> None:
    if "life" in here:
        here["life"].__exit__(None, None, None)


def _dump(store: Any, number: int, here: Here) -> None:
    """One fatal error more, in a life that is nothing else."""
    with suppress(ZeroDivisionError), Lifecycle(store, signals=False):
        number // 0


def _dumps(store: Any, here: Here) -> list[int]:
    """As many numbers as there are dumps, up to those that are kept for certain."""
    folder = Path(store.place).parent if "://" not in store.place else Path()
    return list(range(len(list(folder.glob("*-dump-*.json")))))[:5]


def _watched_folder(store: Any) -> None:
    Path("compositions").mkdir(exist_ok=True)
    _folder(store)


def _watch_folder(store: Any, number: int, here: Here) -> None:
    """One file more, which a scan that nobody asked for finds."""
    if "watching" not in here:
        here["watching"], here["found"] = store.index.watch(), []
    Path("compositions", f"no-{number}.json").write_text("{}", encoding="utf-8")
    until = time.monotonic() + PATIENCE_SECONDS
    while not store.index.find(name=f"no-{number}"):
        assert time.monotonic() < until
        with suppress(TimedOut):  # it may have been found before this was asked
            here["watching"].next(timeout_seconds=0.5)
    here["found"].append(number)


def _found(store: Any, here: Here) -> list[Any]:
    """What was found without a scan; in a new process, of one more file, nothing."""
    if "watching" not in here:
        Path("compositions", "more.json").write_text("{}", encoding="utf-8")
        return list(store.index.find(name="more"))
    return list(here["found"])


def _stop_watching(here: Here) -> None:
    if "watching" in here:
        here["watching"].stop()


def _figures(store: Any) -> list[int]:
    """As many numbers as events of this process were seen."""
    seen = [store.observations.state(one.id).seen for one in store.observations.list()]
    return list(range(sum(seen)))


OTHERS = {
    "keyed runs": Trial(_run_once, _ran_once),
    "the journal's policy": kept(
        lambda store, number: store.journal.keep(max_changes=1_001 + number),
        lambda store: list(range(1_000, store.journal.policy().max_changes or 1_000)),
    ),
    "growing replies": Trial(
        _reply,
        lambda store, here: _said(store),
        begin=lambda store: store.sessions.create(id="s"),
        seconds=1.0,
        end=_end_reply,
    ),
    "observed events": kept(
        lambda store, number: store.events.emit("no", {"n": number}),
        lambda store: [
            event.data
            for one in store.observations.list()
            for event in store.observations.history(one.id)
        ],
        begin=_observer,
        seconds=holdfast.Limits().event_seconds,
    ),
    "drafts of sessions": Trial(_draft, _drafts),
    "the newest events in memory": Trial(_emit, _emitted),
    "listeners": Trial(_listener("listener"), _heard, end=_stop),
    "attached functions": Trial(
        _listener("observer"), _heard, begin=_observer, end=_stop
    ),
    "watched queries": Trial(
        _watch,
        lambda store, here: list(here.get("seen", [])),
        besides=frozenset({"item"}),
        end=_unwatch,
    ),
    "the bus": Trial(_publish, _published, end=_end_bus),
    "jobs at work": Trial(
        _at_work,
        lambda store, here: list(here.get("ids", [])),
        again=_run_again,
        besides=frozenset({"job", "job_end"}),
        end=_end_work,
    ),
    "functions of machines": Trial(
        _guarded,
        _provided,
        past=lambda store, here: here["functions"],  # a machine's past has none
        besides=frozenset({"machine", "machine_definition", "machine_step"}),
    ),
    "running agents": Trial(
        _live,
        lambda store, here: [one.id for one in store.agents.crew()],
        limits=holdfast.Limits(agent_seconds=1.0),
        again=_live_again,
        besides=frozenset({"agent", "agent_tally"}),
    ),
    "what participants have in memory": Trial(
        _take,
        lambda store, here: list(here.get("box", [])),
        again=_restored,
        end=_leave,
    ),
    "requests": Trial(_ask, _asked, again=_asked_again, end=_end_requests),
    "caches": Trial(
        lambda store, number, here: store.items.put(("no",), f"k{number}", {}),
        _cached,
        besides=frozenset({"item"}),
        end=_end_cache,
    ),
    "overviews of sessions": kept(
        lambda store, number: store.sessions.create(id=f"no-{number}"),
        lambda store: [one.session for one in store.sessions.overviews(limit=100)],
        besides=frozenset({"session"}),
    ),
    "the phase of a lifecycle": Trial(_advance, _phases, end=_end_life),
    "emergency dumps": Trial(_dump, _dumps),
    "watched folders": Trial(
        _watch_folder, _found, begin=_watched_folder, end=_stop_watching
    ),
    "figures of observations": kept(
        lambda store, number: store.events.emit("no", {"n": number}),
        _figures,
        begin=_observer,
    ),
    "configuration": Trial(_configure, _configured),
}
TRIALS = {**KINDS, **OTHERS}
"""A trial for each line, by the name of its kind of state."""
