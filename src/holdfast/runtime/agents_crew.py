"""A crew: the agents that live in this process, and the thread that says so.

Answers for: one living agent for each identity, however many ask at once; signs of life
for all of them together; learning which another process has taken over; ending them.
Leaves to others: who may run an agent (`kinds.agent_runs`), how callers ask
(`agents`, `aagents`).
Always holds: what is made is made once, and of a failure nothing is kept; what has
ended is told so once.

One crew an open store, one thread while anyone of it lives.
"""

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from holdfast.clock import to_datetime, to_us
from holdfast.core import Core
from holdfast.engine import Terms, Transaction, Unit
from holdfast.errors import Closed, HoldfastError, Refused
from holdfast.kinds.agent_records import Agent, AgentRun
from holdfast.kinds.agents import Agents
from holdfast.logs import logger
from holdfast.runtime.leasing import new_holder

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from holdfast.transaction import OpenTransaction

T = TypeVar("T")
Key: TypeAlias = tuple[str, str]
"""An owner, and the id of an agent."""
Ended: TypeAlias = Callable[["RunningAgent[Any]"], object]
_BEATS = 3
"""How many signs of life are given in the time that one holds."""
_AGAIN_SECONDS = 1.0
_END_SECONDS = 5.0
"""How long who closes a store waits for what an event loop does at an agent's end."""


class RunningAgent(Generic[T]):
    """An agent that lives in this process: who it is, and what was made of it.

    `agent` is its identity as it was when `object` was made. `lost` says that another
    process has taken it over, or that it was deleted: then nothing more should be done
    for it.
    """

    def __init__(self, agent: Agent, object: T, run: AgentRun, crew: "Crew") -> None:
        self.agent = agent
        self.object = object
        self.run = run
        self.lost = False
        self.ended: Ended | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._crew = crew

    @property
    def id(self) -> str:
        """The agent's id."""
        return self.run.id

    @property
    def fence(self) -> int:
        """The number of this run; a later run of the agent has a larger one."""
        return self.run.fence

    @property
    def since(self) -> "datetime":
        """Since when it runs here."""
        return self.run.since

    @property
    def stale(self) -> bool:
        """Whether this process could not say in time that it lives.

        Then another may have taken the agent over, or may do so now.
        """
        return not self._crew.is_fresh(self.run.owner)

    def verify(self, tx: "OpenTransaction") -> None:
        """Let a transaction go on only while this run lives. Raises `Fenced`."""
        tx.agents.verify(self.id, fence=self.fence)

    def __repr__(self) -> str:
        state = " lost" if self.lost else ""
        return f"<holdfast.RunningAgent {self.id!r} fence={self.fence}{state}>"


class Flight:
    """One making of an agent, and all who wait for it."""

    def __init__(self, loop: "asyncio.AbstractEventLoop | None") -> None:
        from concurrent.futures import Future  # noqa: PLC0415  # it loads slowly

        self.loop = loop
        self.outcome: Future[RunningAgent[Any] | None] = Future()
        self.outcome.set_running_or_notify_cancel()  # who waits cannot cancel it


making: ContextVar[frozenset[Flight]] = ContextVar("making", default=frozenset())
"""What whoever runs here is making, or is called by."""


class Crew:
    """The agents of one open store that live in this process."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.closed = False
        self.holder = new_holder(core.clock)
        self.place = f"{os.uname().nodename[:100]}:{os.getpid()}"
        self.seconds = core.limits.agent_seconds
        self._mutex = threading.Lock()
        self._living: dict[Key, RunningAgent[Any]] = {}
        self._flights: dict[Key, Flight] = {}
        self._until: dict[str, int] = {}
        """Until when signs of life hold, by owner, in microseconds since 1970."""
        self._marks: dict[str, int] = {}
        self._owners: set[str] = set()
        """Whose agents were asked for: they may be run here, in the store's eyes."""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    # For those who ask.

    def living(self, key: Key) -> RunningAgent[Any] | None:
        """The agent of a key, if it lives here."""
        return self._living.get(key)

    def of_owner(self, owner: str) -> tuple[RunningAgent[Any], ...]:
        """Every agent of an owner that lives here, by its id."""
        with self._mutex:
            found = [one for one in self._living.values() if one.run.owner == owner]
        return tuple(sorted(found, key=lambda one: one.id))

    def is_fresh(self, owner: str) -> bool:
        """Whether this process's last sign of life still holds."""
        return self._until.get(owner, 0) > self.core.clock.now_us()

    def board(
        self, key: Key, loop: "asyncio.AbstractEventLoop | None" = None
    ) -> tuple[RunningAgent[Any] | None, Flight | None, bool]:
        """The agent that lives, or the making to wait for; whether the caller makes it.

        Raises `Refused` for who is making that very agent, `Closed`.
        """
        with self._mutex:
            if self.closed:
                raise Closed("the store is closed")
            if (there := self._living.get(key)) is not None:
                return there, None, False
            if (flight := self._flights.get(key)) is not None:
                if flight in making.get():
                    raise Refused(
                        f"agent {key[1]!r} is asked for by what makes it, which would "
                        "wait for itself; nothing was made: use what the factory is "
                        "given"
                    )
                return None, flight, False
            self._owners.add(key[0])
            flight = self._flights[key] = Flight(loop)
            return None, flight, True

    def arrive(self, key: Key, flight: Flight, made: RunningAgent[Any]) -> None:
        """Have an agent live from now on. Raises `Closed`."""
        with self._mutex:
            if self.closed:
                raise Closed("the store was closed while the agent was made")
            self._living[key] = made
            self._until[key[0]] = max(to_us(made.run.until), self._until.get(key[0], 0))
            del self._flights[key]
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="holdfast-agents", daemon=True
                )
                self._thread.start()
        flight.outcome.set_result(made)

    def crash(self, key: Key, flight: Flight, error: BaseException) -> None:
        """Tell who waits that nothing was made; if it was broken off, to try again."""
        with self._mutex:
            self._flights.pop(key, None)
        if isinstance(error, Exception):
            flight.outcome.set_exception(error)
        else:
            flight.outcome.set_result(None)

    def give_back(self, id: str) -> "Callable[[Transaction], object]":
        """What ends the run of an agent that was not made, if there is one of ours."""

        def work(tx: Transaction) -> object:
            kind = Agents(tx)
            kind.lock(id)
            there = kind.run_of(id)
            if there is None or there.holder != self.holder:
                return False
            return kind.release(id, fence=there.fence)

        return work

    def leave(self, key: Key) -> RunningAgent[Any] | None:
        """Have an agent live here no more; None if it did not."""
        with self._mutex:
            return self._living.pop(key, None)

    # Signs of life.

    def beat(self, owner: str) -> None:
        """Say that this process lives; let go of agents that it has lost."""
        there = self.of_owner(owner)
        known = self._marks.get(owner)
        mark, kept, now = self.core.engine.write(
            self.unit(owner, lambda tx: self._beat(tx, known))
        )
        self._marks[owner] = mark
        self._until[owner] = now + round(self.seconds * 1_000_000)
        if kept is not None:
            for one in there:
                if kept.get(one.id) != one.fence:
                    self._lose(one)

    def _beat(
        self, tx: Transaction, known: int | None
    ) -> tuple[int, dict[str, int] | None, int]:
        """The mark, and the fences of what is run here, if that may have changed."""
        kind = Agents(tx)
        mark = kind.beat(self.holder, seconds=self.seconds, place=self.place)
        if mark == known:
            return mark, None, tx.now
        kept: dict[str, int] = {}
        cursor = None
        while True:
            page = kind.runs(holder=self.holder, limit=tx.limits.page, cursor=cursor)
            kept |= {run.id: run.fence for run in page}
            cursor = page.cursor
            if cursor is None:
                return mark, kept, tx.now

    def _lose(self, one: RunningAgent[Any]) -> None:
        """Let go of an agent that is another's by now."""
        with self._mutex:
            if self._living.get((one.run.owner, one.id)) is not one:
                return
            del self._living[one.run.owner, one.id]
            one.lost = True
        logger("holdfast.agents").warning(
            "agent %r is run by another, or was deleted: it has ended here", one.id
        )
        threading.Thread(  # what it does may take its time, and others have to live
            target=self.end_each, args=([one],), name="holdfast-agent-ended"
        ).start()

    def _serve(self) -> None:
        usual = max(self.seconds / _BEATS, 0.001)
        pause = usual
        while not self._over.wait(pause):
            pause = usual
            for owner in self._running_owners():
                try:
                    self.beat(owner)
                except Closed:
                    return
                except HoldfastError as error:
                    logger("holdfast.agents").warning(
                        "no sign of life was given, and is tried again: %s", error
                    )
                    pause = min(usual, _AGAIN_SECONDS)
                except Exception:
                    logger("holdfast.agents").exception("no sign of life was given")

    def _running_owners(self) -> set[str]:
        with self._mutex:
            return {owner for owner, _ in self._living}

    # The end.

    def end(self) -> None:
        """End every agent and give it back; before the store closes."""
        with self._mutex:
            if self.closed:
                return
            self.closed = True
            living, self._living = list(self._living.values()), {}
            owners = set(self._owners)
        self._over.set()
        if self._thread not in {None, threading.current_thread()}:
            self._thread.join(_END_SECONDS)
        self.end_each(living)
        if self.core.engine.inside():  # of a transaction, which a write would wait for
            return
        for owner in owners:
            try:
                self.core.engine.write(
                    self.unit(owner, lambda tx: Agents(tx).release_all(self.holder))
                )
            except HoldfastError as error:
                logger("holdfast.agents").warning(
                    "agents were not given back, and are stale after %s: %s",
                    to_datetime(self._until.get(owner, 0)),
                    error,
                )

    def end_each(self, agents: Iterable[RunningAgent[Any]]) -> None:
        """Tell agents that they have ended; what that raises is logged."""
        for one in agents:
            try:
                tell_ended(one)
            except Exception:
                logger("holdfast.agents").exception("agent %r ended badly", one.id)

    def disown(self) -> None:
        """In a process that was forked from the store's own: nobody lives here."""
        self._mutex = threading.Lock()
        self.closed = True
        self._living, self._flights = {}, {}
        self._thread = None

    def unit(self, owner: str, work: Callable[[Transaction], T]) -> Unit[T]:
        """Work on an owner's agents, which does not wait for a server that is away."""
        unit = self.core.unit(work, Terms(owner=owner, actor=self.place))
        unit.patient = False
        return unit


def tell_ended(one: RunningAgent[Any]) -> None:
    """Call what an agent's maker wants called at its end; on its event loop, if any."""
    ended, loop = one.ended, one.loop
    one.ended = None
    if ended is None:
        return
    if loop is None:
        ended(one)
    elif loop.is_running():
        from holdfast.runtime.aagents import ended_on  # noqa: PLC0415  # asyncio

        ended_on(loop, ended, one, _END_SECONDS)


_crews: weakref.WeakValueDictionary[int, Crew] = weakref.WeakValueDictionary()
_entering = threading.Lock()


def crew_of(core: Core) -> Crew:
    """The crew of an open store; it keeps the store's core, so its number stays."""
    with _entering:
        crew = _crews.get(id(core))
        if crew is None:
            crew = _crews[id(core)] = Crew(core)
            atexit.unregister(_end_all)
            atexit.register(_end_all)  # last, to come before engines are closed
        return crew


def end_crew(core: Core) -> None:
    """End every agent that lives in an open store, which is about to be closed."""
    crew = _crews.get(id(core))
    if crew is not None:
        crew.end()


def _end_all() -> None:
    for crew in list(_crews.values()):
        crew.end()


def _disown_all() -> None:
    global _entering  # another thread of the parent's may hold it
    _entering = threading.Lock()
    for crew in list(_crews.values()):
        crew.disown()


os.register_at_fork(after_in_child=_disown_all)
