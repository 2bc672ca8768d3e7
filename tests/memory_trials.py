"""Trials of what is no kind: what is kept beside the kinds, and told as it happens."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import holdfast
from holdfast.errors import Refused
from holdfast.runtime import Bus
from trials import PATIENCE_SECONDS, SOON, Here, Leased, Trial, kept


def _run_once(store: Any, number: int, here: Here) -> None:
    here["keys"] = [*here.get("keys", []), number]
    store.run(lambda tx: number, once=f"k{number}")


def _ran_once(store: Any, here: Here) -> list[Any]:
    """What was given for each key the first time; in a new process, for five."""
    keys = here.get("keys", range(5))
    return [store.run(lambda tx: "again", once=f"k{key}") for key in keys]


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


def _emitted(store: Any) -> list[Any]:
    """The events that this process has in its memory."""
    return [event.data for event in store.events.recent("no")]


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
        return []
    with suppress(queue.Empty):
        while True:  # nobody else's is among them
            here["heard"].append(here["told"].get_nowait())
    return list(here["heard"])


def _stop(here: Here) -> None:
    if "stop" in here:
        here["stop"]()


def _observer(store: Any) -> None:
    store.observations.create("critic", "*", ["no"], id="o", rate_limit=None)


def _watch(store: Any, number: int, here: Here) -> None:
    if "watched" not in here:
        here["watched"] = store.watch_query("items.list", namespace=["no"])
        here["watched"].get(timeout_seconds=PATIENCE_SECONDS)  # what there is
    store.items.put(("no",), f"k{number}", {"n": number})
    found = here["watched"].get(timeout_seconds=PATIENCE_SECONDS)
    here["seen"] = [item.key for item in found]


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
            return [(store.owner, 0)] * (len(mine) + len(bus.history()))
    return [(store.owner, number) for number in range(len(here["mine"]))]


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


def _figures(store: Any) -> list[tuple[str, int]]:
    """As many numbers as events of this process were seen."""
    seen = [store.observations.state(one.id).seen for one in store.observations.list()]
    return [(store.owner, number) for number in range(sum(seen))]


def _goes_on_by_mine(store: Any, bob: Any, here: Here) -> bool:
    """Whether a machine of bob's goes on here, where only the store's own are known."""
    with holdfast.open(store.place) as elsewhere:
        _guarded(elsewhere.owned_by("bob"), 50, {})
    return bool(bob.machines.can("no-50", "GO"))


def _is_everyones(store: Any, bob: Any, here: Here) -> bool:
    """Whether one owner is not let at it."""
    try:
        bob.journal.policy()
    except Refused:
        return True
    return False


def _growing(store: Any) -> Leased:
    store.sessions.create(id="leased")
    store.sessions.begin_reply("leased", message_id="r")

    def add(other: Any) -> None:
        other.sessions.extend_reply("leased", "r", "more")

    return "sessions", "leased", add


MEMORY = {
    "keyed runs": Trial(_run_once, _ran_once),
    "the journal's policy": kept(
        lambda store, number: store.journal.keep(max_changes=1_001 + number),
        lambda store: list(range(1_000, store.journal.policy().max_changes or 1_000)),
        shared=_is_everyones,
    ),
    "places of followers": kept(
        lambda store, number: store.journal.advance(f"no-{number}", number + 1),
        lambda store: [
            (store.owner, place)
            for number in range(25)
            if (place := store.journal.cursor(f"no-{number}"))
        ],
    ),
    "the events' policy": kept(
        lambda store, number: store.events.keep(max_bytes=1_001 + number),
        lambda store: list(range(1_000, min(store.events.policy().max_bytes, 2_000))),
        shared=lambda store, bob, here: bob.events.policy() == store.events.policy(),
    ),
    "growing replies": Trial(
        _reply,
        lambda store, here: _said(store),
        begin=lambda store: store.sessions.create(id="s"),
        settles=True,
        leased=_growing,
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
        settles=True,
        limits=SOON,
    ),
    "drafts of sessions": Trial(_draft, _drafts),
    "the newest events in memory": kept(
        lambda store, number: store.events.emit("no", {"n": number}), _emitted
    ),
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
        shared=_goes_on_by_mine,
        besides=frozenset({"machine", "machine_definition", "machine_step"}),
    ),
    "figures of observations": kept(
        lambda store, number: store.events.emit("no", {"n": number}),
        _figures,
        begin=_observer,
    ),
}
