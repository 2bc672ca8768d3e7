"""Agents as a store shows them: with those that live in this process.

Answers for: running an agent, once however many ask; finding and stopping those that
live here.
Leaves to others: who they are and who runs them (`kinds.agents`), the life that they
have in common (`crew`).
Always holds: an agent lives here only while this process has the right to run it.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import edges
from holdfast.errors import Held, HoldfastError, OutcomeUnknown
from holdfast.journal import refuse_past
from holdfast.kinds.agent_records import Agent, AgentRun
from holdfast.kinds.agents import Agents
from holdfast.runtime.agents.crew import Crew, crew_of
from holdfast.runtime.agents.flights import (
    Flight,
    Key,
    awaiting,
    refuse_own_loop,
    under_way,
)
from holdfast.runtime.agents.running import Ended, RunningAgent, tell_ended

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
        that is over: by `stop`, at `close`, or as another took it over; who asks for
        the agent meanwhile waits. Raises `NotFound`, `Held` (another process runs it),
        `Refused` (from within its own factory or end; a store as of a moment), and what
        `factory` raises.
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
                return self._make(crew, flight, factory, ended)
            refuse_own_loop(flight)
            with awaiting(flight):
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
        crew, key = self._crew, self._key(id)
        if (left := crew.leave(key)) is None:
            return False
        gone, flight = left
        try:
            with under_way(flight):
                tell_ended(gone)
        finally:
            try:
                crew.owe(key)
                self.release(id, fence=gone.fence)
                crew.paid(key)
            finally:
                crew.crash(flight)
        return True

    def _make(
        self,
        crew: Crew,
        flight: Flight,
        factory: Callable[[Agent], T],
        ended: Ended | None,
    ) -> RunningAgent[T]:
        """Make an agent that nobody else makes."""
        id = flight.key[1]
        made: RunningAgent[T] | None = None
        try:
            with under_way(flight):
                who = crew.runner
                run = self.claim(
                    id, holder=who.holder, seconds=who.seconds, place=who.place
                )
                crew.take_off(flight, run)
                agent = self.get(id)
                made = RunningAgent(agent, factory(agent), run, crew)
                made.ended = ended
                while not crew.land(flight, made):
                    self.get(id)  # or it was deleted
                    refuse_lost(run, self.run_of(id))
                return made
        except BaseException as error:
            crew.end_each([made] if made else [])
            if may_run(flight, error):
                with suppress(HoldfastError):
                    crew.core.engine.write(crew.owe(flight.key))
                    crew.paid(flight.key)
            crew.crash(flight, error)
            raise

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


def may_run(flight: Flight, error: BaseException) -> bool:
    """Whether an agent that was not made may be this process's all the same."""
    return (
        flight.claimed
        or not isinstance(error, HoldfastError)
        or isinstance(error, OutcomeUnknown)
    )


def refuse_lost(run: AgentRun, there: AgentRun | None) -> None:
    """Refuse to have an agent live that was taken over while it was made."""
    if there is not None and there.fence == run.fence:
        return
    if there is None:
        where = "is over there already: ask again"
    else:
        where = f"runs in {there.place or there.holder!r} by now: stop it, or wait"
    raise Held(
        f"agent {run.id!r} was taken over while it was made here, which took too long, "
        f"and {where}; what was made here has ended"
    )
