"""Whatever is told, written, trimmed and closed, events stand as a list says.

Two stores on one file, each of which may end and be opened again, and two owners.
Queries of every sort, pages of every size, and followers: against that list.
"""

import tempfile
import threading
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

import holdfast
from holdfast.clock import ManualClock, to_datetime
from holdfast.events.following import Following

OWNERS = ("", "ada")
PATIENCE_SECONDS = 10.0
NAMES = ("task:created", "task:done", "note", "task")
IDS = st.sampled_from([None, "a", "b"])
LEVELS = ("debug", "info", "warning", "error")
DATA = st.sampled_from([{}, {"k": {"id": 1}}, {"k": {"id": "1"}}, {"k": 1}])
PATTERNS = {
    "*": lambda name: True,
    "task:*": lambda name: name.startswith("task:"),
    "task*": lambda name: name.startswith("task"),
    "*done": lambda name: name.endswith("done"),
    "*a*e*": lambda name: "a" in name and "e" in name[name.index("a") :],
    "note": lambda name: name == "note",
    "never": lambda name: False,
}
WHERE = {
    None: lambda data: True,
    ("k.id", 1): lambda data: _at(data) == 1,
    ("k.id", "1"): lambda data: _at(data) == "1",
    ("k.id", None): lambda data: _at(data) is None,
}
ASKED = st.fixed_dictionaries(
    {
        "pattern": st.sampled_from(sorted(PATTERNS)),
        "session": IDS,
        "correlation": IDS,
        "source": IDS,
        "level": st.sampled_from([None, *LEVELS]),
        "where": st.sampled_from(list(WHERE)),
    }
)
FILTERS = st.fixed_dictionaries(
    {"pattern": st.sampled_from(sorted(PATTERNS)), "session": IDS}
)
FIELDS = ("name", "data", "session", "correlation", "source", "level")


def _at(data: Any) -> Any:
    inner = data.get("k") if isinstance(data, dict) else None
    return inner.get("id") if isinstance(inner, dict) else None


def means(event: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether an event is asked for, as plainly as it can be said."""
    return (
        PATTERNS[asked["pattern"]](event["name"])
        and all(
            asked.get(key) in {None, event[key]}
            for key in ("session", "correlation", "source")
        )
        and LEVELS.index(event["level"]) >= LEVELS.index(asked.get("level") or "debug")
        and WHERE[asked.get("where")](event["data"])
    )


class Followed:
    """A follower, and what it is to be told: of each store in its order."""

    def __init__(self, follower: Following, owner: str, asked: dict[str, Any]) -> None:
        self.follower = follower
        self.owner = owner
        self.asked = asked
        self.wanted: list[dict[str, Any]] = []


class Told(RuleBasedStateMachine):
    """Two stores on one file, and the list of what they were told."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self.folder.name, "agent.db"))
        self.clock = ManualClock()
        self.model: list[dict[str, Any]] = []
        self.number = 0
        self.stores: list[holdfast.Store] = []
        self.followed: list[list[Followed]] = [[], []]
        self.limits = holdfast.Limits(event_batch=7, event_seconds=0.02, page=50)

    @initialize()
    def open(self) -> None:
        self.stores = [self._opened(), self._opened()]

    def _opened(self) -> holdfast.Store:
        return holdfast.open(self.path, clock=self.clock, limits=self.limits)

    @rule(
        which=st.integers(0, 1),
        owner=st.sampled_from(OWNERS),
        name=st.sampled_from(NAMES),
        data=DATA,
        session=IDS,
        correlation=IDS,
        source=IDS,
        level=st.sampled_from(LEVELS),
        count=st.integers(1, 4),
        within=st.booleans(),
    )
    def emit(
        self, which: int, owner: str, count: int, within: bool, **event: Any
    ) -> None:
        store = self.stores[which].owned_by(owner)
        kind = event["data"]
        for _ in range(count):
            self.clock.advance(0.01)
            event["data"] = {"n": self.number, **kind}
            if within:
                with store.transaction() as tx:
                    tx.events.emit(**event)
            else:
                store.events.emit(**event)
            told = {**event, "owner": owner, "which": which}
            self.number += 1
            self.model.append(told)
            for one in self.followed[0] + self.followed[1]:
                if one.owner == owner and means(told, one.asked):
                    one.wanted.append(told)

    @rule(which=st.integers(0, 1))
    def flush(self, which: int) -> None:
        self.stores[which].events.flush()

    @rule(which=st.integers(0, 1))
    def close_and_open(self, which: int) -> None:
        self._settle(which)
        self.stores[which].close()
        for one in self.followed[which]:
            assert one.wanted == []
        self.followed[which] = []
        self.clock.advance(0.01)
        self.stores[which] = self._opened()

    @rule(which=st.integers(0, 1), owner=st.sampled_from(OWNERS), asked=FILTERS)
    def follow(self, which: int, owner: str, asked: dict[str, Any]) -> None:
        other = self.stores[1 - which]
        other.events.flush()  # or its newest come as if they were new
        mine = self.stores[which].owned_by(owner)
        if len(self.followed[which]) < 2:
            follower = mine.events.follow(**asked)
            self.followed[which].append(Followed(follower, owner, asked))

    @rule(which=st.integers(0, 1), owner=st.sampled_from(OWNERS), asked=FILTERS)
    def follow_from_the_beginning(
        self, which: int, owner: str, asked: dict[str, Any]
    ) -> None:
        if len(self.followed[which]) < 2:
            mine = self.stores[which].owned_by(owner)
            follower = mine.events.follow(since=to_datetime(0), **asked)
            one = Followed(follower, owner, asked)
            one.wanted += [
                told
                for told in self.model
                if told["owner"] == owner and means(told, asked)
            ]
            self.followed[which].append(one)

    @rule(
        which=st.integers(0, 1),
        owner=st.sampled_from(OWNERS),
        asked=ASKED,
        size=st.integers(1, 9),
        newest_first=st.booleans(),
        span=st.none() | st.tuples(st.integers(0, 60), st.integers(0, 60)),
    )
    def query(
        self,
        which: int,
        owner: str,
        asked: dict[str, Any],
        size: int,
        newest_first: bool,
        span: tuple[int, int] | None,
    ) -> None:
        """What the other store has not written, it alone can see."""
        self.stores[1 - which].events.flush()
        mine = self.stores[which].owned_by(owner)
        model = [told for told in self.model if told["owner"] == owner]
        times = {}
        if span is not None and model:
            everything = _pages(mine, {"pattern": "*"}, 50)
            begin, end = (everything[at % len(model)].at for at in span)
            times = {"since": begin, "until": end}
            model = [
                told
                for told, event in zip(model, everything, strict=True)
                if begin <= event.at < end
            ]
        given = dict(asked, where=dict([asked["where"]]) if asked["where"] else None)
        found = _pages(mine, given | times, size, newest_first=newest_first)
        wanted = [told for told in model if means(told, asked)]
        if newest_first:
            wanted.reverse()
        assert [_shown(event) for event in found] == [_told(told) for told in wanted]

    @invariant()
    def each_has_its_place(self) -> None:
        for which, store in enumerate(self.stores):
            recent = [
                told
                for event in reversed(store.events.recent(limit=50))
                if (told := _shown(event))["name"] in NAMES
            ]
            mine = [
                _told(told)
                for told in self.model
                if told["owner"] == "" and told["which"] == which
            ]
            assert recent == mine[len(mine) - len(recent) :]

    def _settle(self, which: int) -> None:
        """Every follower of a store is told what it is to be told, once."""
        for one in self.followed[which]:
            for store in self.stores:
                store.events.flush()
            found = self._come(one)
            for by in (0, 1):
                wanted = [told for told in one.wanted if told["which"] == by]
                numbers = {told["data"]["n"] for told in wanted}
                mine = [event for event in found if event.data["n"] in numbers]
                assert [_shown(e) for e in mine] == [_told(t) for t in wanted]
            assert len(found) == len(one.wanted)
            one.wanted.clear()

    def _come(self, one: Followed) -> list[Any]:
        """What came, of what a program told; given up after a while."""
        found: list[Any] = []
        patience = threading.Timer(PATIENCE_SECONDS, one.follower.close)
        patience.start()
        while len(found) < len(one.wanted):
            event = next(one.follower, None)
            assert event is not None, f"{len(found)} of {len(one.wanted)} came"
            found += [event] if event.name in NAMES else []
        patience.cancel()
        patience.join()
        return found

    def teardown(self) -> None:
        try:
            for which in (0, 1):
                if self.stores:
                    self._settle(which)
        finally:
            for store in self.stores:
                store.close()
            for one in self.followed[0] + self.followed[1]:
                assert [e for e in one.follower if e.name in NAMES] == []
            self.folder.cleanup()


def _pages(
    store: holdfast.Store, asked: dict[str, Any], size: int, **more: Any
) -> list[Any]:
    """Every event of a query, of those that a program told."""
    found, cursor = [], None
    while True:
        page = store.events.query(limit=size, cursor=cursor, **asked, **more)
        found += [event for event in page if event.name in NAMES]
        cursor = page.cursor
        if cursor is None:
            return found


def _shown(event: Any) -> dict[str, Any]:
    return {field: getattr(event, field) for field in FIELDS}


def _told(told: dict[str, Any]) -> dict[str, Any]:
    return {field: told[field] for field in FIELDS}


TestTold = Told.TestCase
TestTold.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
