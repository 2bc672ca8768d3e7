"""Agents as a store shows them: with those that live in this process.

Answers for: running an agent, once however many ask; finding and stopping those that
live here.
Leaves to others: who they are and who runs them (`kinds.agents`), the life that they
have in common (`agents_crew`).
Always holds: an agent lives here only while this process has the right to run it.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import edges
from holdfast.errors import HoldfastError, Refused
from holdfast.journal import refuse_past
from holdfast.kinds.agent_records import Agent
from holdfast.kinds.agents import Agents
from holdfast.runtime.agents_crew import (
    Crew,
    Ended,
    Flight,
    Key,
    RunningAgent,
    crew_of,
    making,
    tell_ended,
)

if TYPE_CHECKING:
    from holdfast.store import Store

T = TypeVar("T")


class StoreAgents(Agents):
    """Agents as a store shows them: with those that live in this process."""

    _target: "Store"

    def run(
        self, id: str, factory: Callable[[Agent], T], *, ended: Ended | None = None
    ) -> RunningAgent[T]:
        """An agent that lives in this process; made from who it is, if it does not yet.

        `factory(agent)` gives what lives: a client, an object of yours. It is called
        once, however many threads and tasks ask meanwhile; if it raises, all of those
        are told, and nothing is kept. From then on this process runs the agent, and no
        other: it says every third of `limits.agent_seconds` that it lives. One whose
        process gives no sign of life is taken over. `ended(running)` is called once
        that is over: by `stop`, at `close`, or as another took it over. Raises
        `NotFound`, `Held` (another process runs it), `Refused` (from within its own
        factory; a store as of a moment), and what `factory` raises.
        """
        crew, key = self._crew, self._key(id)
        check_callables(factory, ended)
        while True:
            there, flight, mine = crew.board(key)
            if there is not None:
                if not there.stale:
                    return there
                crew.beat(key[0])  # it may be another's by now
                if crew.living(key) is there:
                    return there
                continue
            assert flight is not None
            if mine:
                return self._make(crew, key, flight, factory, ended)
            refuse_own_loop(flight, id)
            if (made := flight.outcome.result()) is not None:
                return made

    def running(self, id: str) -> RunningAgent[Any] | None:
        """An agent that lives in this process; None for one that does not."""
        return self._crew.living(self._key(id))

    def crew(self) -> tuple[RunningAgent[Any], ...]:
        """Every agent that lives in this process, by its id."""
        return self._crew.of_owner(self._target.owner)

    def stop(self, id: str) -> bool:
        """End an agent that lives in this process, and give it back; False if none did.

        What its `ended` raises is raised, once it was given back.
        """
        gone = self._crew.leave(self._key(id))
        if gone is None:
            return False
        try:
            tell_ended(gone)
        finally:
            self.release(id, fence=gone.fence)
        return True

    def _make(
        self,
        crew: Crew,
        key: Key,
        flight: Flight,
        factory: Callable[[Agent], T],
        ended: Ended | None,
    ) -> RunningAgent[T]:
        """Make an agent that nobody else makes."""
        reset = making.set(making.get() | {flight})
        try:
            run = self.claim(
                key[1], holder=crew.holder, seconds=crew.seconds, place=crew.place
            )
            agent = self.get(key[1])
            made = RunningAgent(agent, factory(agent), run, crew)
            made.ended = ended
            crew.arrive(key, flight, made)
        except BaseException as error:
            with suppress(HoldfastError):  # it becomes stale by itself
                crew.core.engine.write(crew.unit(key[0], crew.give_back(key[1])))
            crew.crash(key, flight, error)
            raise
        finally:
            making.reset(reset)
        return made

    def _key(self, id: str) -> Key:
        return self._target.owner, edges.id_of(id, "id")

    @property
    def _crew(self) -> Crew:
        """The crew of a store that is no look at the past."""
        core = self._target._core  # noqa: SLF001
        core.refuse_inside("a call about agents that live")
        refuse_past(self._target._terms.moment)  # noqa: SLF001
        return crew_of(core)


def check_callables(factory: object, ended: object) -> None:
    """Check what is called for an agent. Raises `WrongType`."""
    if not callable(factory):
        raise edges.wrong_type("factory", "a function of an agent", factory)
    if ended is not None and not callable(ended):
        raise edges.wrong_type("ended", "a function of a running agent", ended)


def refuse_own_loop(flight: Flight, id: str) -> None:
    """Refuse to keep the event loop waiting that makes the agent."""
    if flight.loop is None:
        return
    import asyncio  # noqa: PLC0415  # whoever has a loop has loaded it

    with suppress(RuntimeError):
        if asyncio.get_running_loop() is flight.loop:
            raise Refused(
                f"agent {id!r} is being made on this event loop, which a sync call "
                "would keep waiting; nothing was made: await store.aio.agents.run"
            )
