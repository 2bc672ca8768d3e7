"""Trials of the runtime: what lives in a process, what is read, and what is left."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import holdfast
from holdfast import config
from holdfast.errors import Held, TimedOut
from holdfast.runtime import Cache, Lifecycle, Requests
from kind_trials import box, folder_of, taken
from trials import PATIENCE_SECONDS, SOON, Here, Trial, kept


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
    assert box(store, here) == []
    store.checkpoints.restore()
    return box(store, here)


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
    here["steps"] = [*here.get("steps", []), number]
    if "life" not in here:
        here["life"] = Lifecycle(store, signals=False, dumps=False, checkpoints=False)
        here["life"].__enter__()


def _phases(store: Any, here: Here) -> list[tuple[str, int]]:
    steps = here.get("steps", [])
    return [(str(here["life"].phase), step) for step in steps]


def _is_the_programs(store: Any, bob: Any, here: Here) -> bool:
    """Whether bob, asked in the same program, is in the same phase."""
    return _phases(bob, here) == _phases(store, here) != []


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


def _watch_folder(store: Any, number: int, here: Here) -> None:
    """One file more, which a scan that nobody asked for finds."""
    if "watching" not in here:
        here["watching"], here["found"] = store.index.watch(), []
    (folder_of(store) / f"no-{number}.json").write_text("{}", encoding="utf-8")
    until = time.monotonic() + PATIENCE_SECONDS
    while not store.index.find(name=f"no-{number}"):
        assert time.monotonic() < until
        with suppress(TimedOut):  # it may have been found before this was asked
            here["watching"].next(timeout_seconds=0.5)
    here["found"].append(number)


def _found(store: Any, here: Here) -> list[Any]:
    """What was found without a scan; in a new process, of one more file, nothing."""
    if "watching" not in here:
        (folder_of(store) / "more.json").write_text("{}", encoding="utf-8")
        return list(store.index.find(name="more"))
    return list(here["found"])


def _stop_watching(here: Here) -> None:
    if "watching" in here:
        here["watching"].stop()


RUNTIME = {
    "running agents": Trial(
        _live,
        lambda store, here: [one.id for one in store.agents.crew()],
        limits=holdfast.Limits(agent_seconds=1.0),
        again=_live_again,
        besides=frozenset({"agent", "agent_tally"}),
    ),
    "what participants have in memory": Trial(
        lambda store, number, here: box(store, here).append(number),
        lambda store, here: list(here.get("box", [])),
        settles=True,
        settled=taken,
        limits=SOON,
        again=_restored,
        end=_leave,
    ),
    "requests": Trial(
        _ask,
        _asked,
        settles=True,
        settled=taken,
        limits=SOON,
        again=_asked_again,
        end=_end_requests,
    ),
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
    "the phase of a lifecycle": Trial(
        _advance, _phases, shared=_is_the_programs, end=_end_life
    ),
    "emergency dumps": Trial(_dump, _dumps),
    "watched folders": Trial(
        _watch_folder, _found, begin=folder_of, end=_stop_watching
    ),
    "configuration": Trial(_configure, _configured),
}
