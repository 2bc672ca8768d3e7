"""Trials of the kinds of state, of the indexes, and of a kind of a user's own."""

from pathlib import Path
from typing import Any

import holdfast
from trials import SOON, Here, Leased, Trial, kept

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


def folder_of(store: Any) -> Path:
    """The folder of an owner's compositions, which the index looks at from now on."""
    folder = Path(f"compositions-of-{store.owner}")
    folder.mkdir(exist_ok=True)
    store.index.add_folder(folder)
    return folder


def _compose(store: Any, number: int, here: Here) -> None:
    """One file more, which is scanned."""
    file = folder_of(store) / f"no-{number}.json"
    file.write_text("{}", encoding="utf-8")
    store.index.scan()


def _indexed(store: Any, here: Here) -> list[Any]:
    return [(one.name, one.path) for one in store.index.find()]


def _scanned(store: Any, here: Here) -> list[Any]:
    """What comes back though all of it was lost, since the files are there."""
    store.index.remove_folder(Path(f"compositions-of-{store.owner}"))
    assert _indexed(store, here) == []
    folder_of(store)
    store.index.scan()
    return _indexed(store, here)


def _message(store: Any) -> Leased:
    id = store.inbox.deliver("ada", 1).id
    store.run(lambda tx: (tx.inbox.take("ada"), tx.inbox.set_aside(id, "no")))
    return "inbox", id, lambda other: other.inbox.retry(id)


def _started(store: Any) -> Leased:
    states = {"new": {"on": {"GO": "new"}}}
    store.machines.define("leased", {"initial": "new", "states": states})
    id = store.machines.create("leased").id
    return "machines", id, lambda other: other.machines.send(id, "GO")


def _item(store: Any) -> Leased:
    id = store.items.put(("a",), "k", {"n": 1}).id
    return "items", id, lambda other: other.items.put(("a",), "k", {"n": 2})


def _thread(store: Any) -> Leased:
    store.threads.put("t", "c", state=1)
    return "threads", "t", lambda other: other.threads.put("t", "d", state=2)


def box(store: Any, here: Here) -> list[int]:
    """What a participant of this process has in memory."""
    if "box" not in here:
        here["box"] = []
        here["leave"] = store.checkpoints.participant(
            "box", lambda: list(here["box"]), here["box"].extend
        )
    found: list[int] = here["box"]
    return found


def _take(store: Any, number: int, here: Here) -> None:
    box(store, here).append(number)
    store.checkpoints.take()


def taken(store: Any, here: Here) -> list[Any]:
    """What the newest checkpoint has of its one participant."""
    latest = store.checkpoints.latest()
    return [] if latest is None else latest.parts[0].data


def _lanterns(store: Any) -> list[str]:
    return sorted(hit.id for hit in store.search("lantern", limit=100))


KINDS = {
    "events": kept(
        lambda store, number: store.events.emit("no", {"n": number}),
        lambda store: [(e.id, e.data) for e in store.events.query("no")],
        settles=True,
        limits=SOON,
    ),
    "journal": kept(_journal, _changes),
    "items": kept(
        lambda store, number: store.items.put(("no",), f"k{number}", {"n": number}),
        lambda store: [(i.key, i.value) for i in store.items.list(("no",))],
        leased=_item,
    ),
    "index": Trial(_compose, _indexed, begin=folder_of, again=_scanned),
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
    "checkpoints": Trial(_take, taken),
    "state": kept(
        lambda store, number: store.state.set("s", f"k{number:02}", {"n": number}),
        lambda store: sorted(
            item for one in store.state.list()
            for item in store.state.as_dict(one.id).items()
        ),
        settles=True,
        limits=SOON,
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
        leased=lambda store: (
            "jottings", store.jottings.put("j", "told"),
            lambda other: other.jottings.put("k", "told"),
        ),
    ),
    "search": kept(
        lambda store, number: store.sessions.create(f"lantern {number}"),
        _lanterns,
        again=lambda store, here: (store.rebuild(), _lanterns(store))[1],
        besides=frozenset({"session"}),
    ),
}  # fmt: skip
