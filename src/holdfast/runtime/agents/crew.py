"""A crew: the agents that live in this process, and the thread that says so.

Answers for: one living agent for each identity, however many ask at once; signs of life
for all of them together, and for those that are being made; learning which another
process has taken over; ending them.
Leaves to others: who may run an agent (`kinds.agent_runs`), how callers ask
(`shown`, `ashown`), who waits for whom (`flights`).
Always holds: an agent lives here once at most; of a making that fails nothing is kept;
what has ended is told so once.

One crew an open store, one thread while anyone of it lives.
"""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast.clock import to_datetime, to_us
from holdfast.core import Core
from holdfast.engine import Unit
from holdfast.errors import Closed, HoldfastError
from holdfast.kinds.agent_records import AgentRun
from holdfast.logs import logger
from holdfast.runtime.agents.flights import Flight, Key
from holdfast.runtime.agents.runner import Kept, Runner
from holdfast.runtime.agents.running import END_SECONDS, RunningAgent, tell_ended
from holdfast.runtime.daemons import Daemons

if TYPE_CHECKING:
    import asyncio

_BEATS = 3
"""How many signs of life are given in the time that one holds."""
_AGAIN_SECONDS = 1.0


class Crew:
    """The agents of one open store that live in this process."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.runner = Runner(core)
        self.closed = False
        self._mutex = threading.Lock()
        self._living: dict[Key, RunningAgent[Any]] = {}
        self._flights: dict[Key, Flight] = {}
        self._owed: set[Key] = set()
        """Of which agents a run is over here, and may not have been given back yet."""
        self._until: dict[str, int] = {}
        """Until when signs of life hold, by owner, in microseconds since 1970."""
        self._marks: dict[str, int] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._ends: Daemons | None = None
        """The threads on which agents that were lost are told so."""

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
        """The agent that lives, or the flight to wait for; whether the caller makes it.

        Raises `Closed`.
        """
        with self._mutex:
            if self.closed:
                raise Closed("the store is closed")
            if (there := self._living.get(key)) is not None:
                return there, None, False
            if (flight := self._flights.get(key)) is not None:
                return None, flight, False
            flight = self._flights[key] = Flight(key, loop)
            return None, flight, True

    def take_off(self, flight: Flight, run: AgentRun) -> None:
        """Give signs of life from now on: the agent is this process's to make."""
        owner = flight.key[0]
        with self._mutex:
            flight.claimed = True
            self._until[owner] = max(to_us(run.until), self._until.get(owner, 0))
            if self._thread is None and not self.closed:
                self._thread = threading.Thread(
                    target=self._serve, name="holdfast-agents", daemon=True
                )
                self._thread.start()

    def land(self, flight: Flight, made: RunningAgent[Any]) -> bool:
        """Have an agent live from now on, unless it may be another's. Raises `Closed`.

        If it may, false is given once: who makes it looks whose it is, and comes again.
        """
        with self._mutex:
            if self.closed:
                raise Closed("the store was closed while the agent was made")
            if flight.doubted:
                flight.doubted = False
                return False
            self._living[flight.key] = made
            self._owed.discard(flight.key)  # this run is not the one that is over
            del self._flights[flight.key]
        flight.outcome.set_result(made)
        return True

    def crash(self, flight: Flight, error: BaseException | None = None) -> None:
        """Tell who waits that nothing was made; to try again, if it was broken off."""
        with self._mutex:
            self._flights.pop(flight.key, None)
        if isinstance(error, Exception):
            flight.outcome.set_exception(error)
        else:
            flight.outcome.set_result(None)

    def leave(
        self, key: Key, loop: "asyncio.AbstractEventLoop | None" = None
    ) -> tuple[RunningAgent[Any], Flight] | None:
        """Have an agent live here no more; who asks for it waits until it has ended."""
        with self._mutex:
            gone = self._living.pop(key, None)
            if gone is None:
                return None
            flight = self._flights[key] = Flight(key, loop, gone.loop)
            return gone, flight

    def owe(self, key: Key) -> Unit[bool]:
        """What gives back the run of an agent that is in flight, if there is one.

        If it is not done by who asked for it, it is tried again with signs of life.
        """
        with self._mutex:
            self._owed.add(key)
        return self.runner.give_back(*key)

    def paid(self, key: Key) -> None:
        """Take note that a run was given back."""
        with self._mutex:
            self._owed.discard(key)

    # Signs of life.

    def beat(self, owner: str) -> None:
        """Say that this process lives; let go of agents that it has lost."""
        mark, kept, now = self.runner.beat(owner, self._marks.get(owner))
        if kept is not None:
            self._look_through(owner, kept)
        self._marks[owner] = mark
        self._until[owner] = now + round(self.runner.seconds * 1_000_000)

    def _look_through(self, owner: str, kept: Kept) -> None:
        """Let go of agents that are another's by now.

        One that came to live after what was kept was read is looked for again; one that
        is being made is looked for by who makes it.
        """
        with self._mutex:
            for key, flight in self._flights.items():
                flight.doubted |= key[0] == owner and flight.claimed
        missing = [one for one in self.of_owner(owner) if kept.get(one.id) != one.fence]
        if missing:
            kept = self.runner.kept(owner)
        for one in missing:
            if kept.get(one.id) != one.fence:
                self._lose(one)

    def _lose(self, one: RunningAgent[Any]) -> None:
        """Let go of an agent that is another's by now."""
        with self._mutex:
            if self._living.get((one.run.owner, one.id)) is not one:
                return
            del self._living[one.run.owner, one.id]
            one.lost = True
            if self._ends is None:
                self._ends = Daemons(lambda: None, name="holdfast-agent-ended")
            ends = self._ends
        logger("holdfast.agents").warning(
            "agent %r is run by another, or was deleted: it has ended here", one.id
        )
        # On another thread: what it does may take its time, and others have to live.
        ends.put([partial(self.end_each, [one])])

    def _serve(self) -> None:
        usual = max(self.runner.seconds / _BEATS, 0.001)
        pause = usual
        while not self._over.wait(pause):
            with self._mutex:
                owed = list(self._owed)
                owners = {owner for owner, _ in self._living}
                owners |= {f.key[0] for f in self._flights.values() if f.claimed}
            dues = [partial(self.beat, owner) for owner in owners]
            dues += [partial(self._pay, key) for key in owed]
            done = [self._tried(due) for due in dues]
            pause = usual if all(done) else min(usual, _AGAIN_SECONDS)

    def _pay(self, key: Key) -> None:
        """Give back a run that could not be given back before."""
        with self._mutex:
            if key not in self._owed or key in self._flights:
                return  # it lives again, or who has it in flight sees to it
            flight = self._flights[key] = Flight(key)
        try:
            self.core.engine.write(self.owe(key))
            self.paid(key)
        finally:
            self.crash(flight)

    def _tried(self, due: Callable[[], None]) -> bool:
        try:
            due()
        except Closed:
            return True
        except HoldfastError as error:
            logger("holdfast.agents").warning(
                "no sign of life was given, and is tried again: %s", error
            )
            return False
        except Exception:
            logger("holdfast.agents").exception("no sign of life was given")
        return True

    # The end.

    def end(self) -> None:
        """End every agent and give it back; before the store closes."""
        with self._mutex:
            if self.closed:
                return
            self.closed = True
            living, self._living = list(self._living.values()), {}
            owners = {one.run.owner for one in living}
            owners |= {owner for owner, _ in (*self._flights, *self._owed)}
        self._over.set()
        if self._thread not in {None, threading.current_thread()}:
            self._thread.join(END_SECONDS)
        self.end_each(living)
        if self._ends is not None:
            with suppress(RuntimeError):  # of who is called on one of them, and closes
                self._ends.close()
        if self.core.engine.inside():  # of a transaction, which a write would wait for
            return
        for owner in sorted(owners):
            self._give_all_back(owner)

    def _give_all_back(self, owner: str) -> None:
        try:
            self.runner.give_all_back(owner)
        except HoldfastError as error:
            logger("holdfast.agents").warning(
                "agents were not given back, and are stale after %s: %s",
                to_datetime(self._until.get(owner, 0)),
                error,
            )

    def end_each(self, agents: Iterable[RunningAgent[Any]]) -> None:
        """Tell agents that they have ended; what that raises is logged.

        Event loops are waited for no longer for many than for one.
        """
        until = time.monotonic() + END_SECONDS
        for one in agents:
            try:
                tell_ended(one, max(until - time.monotonic(), 0))
            except Exception:
                logger("holdfast.agents").exception("agent %r ended badly", one.id)

    def disown(self) -> None:
        """In a process that was forked from the store's own: nobody lives here."""
        self._mutex = threading.Lock()
        self.closed = True
        self._living, self._flights, self._owed = {}, {}, set()
        self._thread = self._ends = None


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
