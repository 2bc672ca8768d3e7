"""Agents as an async store shows them: the same calls, awaited.

Answers for: running and stopping agents on an event loop; factories that are awaited.
Leaves to others: what it does (`shown`), the life of a crew (`crew`).
Always holds: a task that waits for an agent to be made, and is cancelled, breaks off
nobody else's.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import edges
from holdfast.afaces import AsyncAgents
from holdfast.errors import HoldfastError, TimedOut
from holdfast.journal import refuse_past
from holdfast.kinds.agent_records import Agent
from holdfast.logs import logger
from holdfast.runtime.agents.crew import Crew, crew_of
from holdfast.runtime.agents.flights import Flight, Key, awaiting, under_way
from holdfast.runtime.agents.running import Ended, RunningAgent
from holdfast.runtime.agents.shown import check_callables, may_run, refuse_lost
from holdfast.runtime.loops import running_loop

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore

T = TypeVar("T")
_ending: set[asyncio.Task[Any]] = set()
"""What is called at agents' ends; the event loop alone would let it be collected."""


class AsyncStoreAgents(AsyncAgents):
    """Agents as an async store shows them: with those that live in this process."""

    _target: "AsyncStore"

    async def run(
        self,
        id: str,
        factory: Callable[[Agent], T | Awaitable[T]],
        *,
        ended: Ended | None = None,
    ) -> RunningAgent[T]:
        """As `store.agents.run`; what `factory` and `ended` give is awaited.

        `ended` is called on this event loop.
        """
        crew, key = self._crew, self._key(id)
        check_callables(factory, ended)
        loop = asyncio.get_running_loop()
        while True:
            there, flight, mine = crew.board(key, loop)
            if there is not None:
                if not there.stale:
                    return there
                await asyncio.to_thread(crew.beat, key[0])
                if crew.living(key) is there:
                    return there
                continue
            assert flight is not None
            if mine:
                return await self._make(crew, flight, loop, factory, ended)
            with awaiting(flight):
                if (made := await asyncio.wrap_future(flight.outcome)) is not None:
                    return made

    async def running(self, id: str) -> RunningAgent[Any] | None:
        """As `store.agents.running`."""
        return self._crew.living(self._key(id))

    async def crew(self) -> tuple[RunningAgent[Any], ...]:
        """As `store.agents.crew`."""
        return self._crew.of_owner(self._target.owner)

    async def stop(self, id: str) -> bool:
        """As `store.agents.stop`."""
        crew, key = self._crew, self._key(id)
        if (left := crew.leave(key, asyncio.get_running_loop())) is None:
            return False
        gone, flight = left
        try:
            with under_way(flight):
                await _told(gone)
        finally:
            try:
                crew.owe(key)
                await to_its_end(self.release(id, fence=gone.fence))
                crew.paid(key)
            finally:
                crew.crash(flight)
        return True

    async def _make(
        self,
        crew: Crew,
        flight: Flight,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[Agent], T | Awaitable[T]],
        ended: Ended | None,
    ) -> RunningAgent[T]:
        """Make an agent that nobody else makes."""
        id = flight.key[1]
        made: RunningAgent[T] | None = None
        try:
            with under_way(flight):
                who = crew.runner
                claiming = self.claim(
                    id, holder=who.holder, seconds=who.seconds, place=who.place
                )
                run = await to_its_end(claiming)
                crew.take_off(flight, run)
                agent = await self.get(id)
                made = RunningAgent(agent, await _called(factory, agent), run, crew)
                made.ended, made.loop = ended, loop
                while not crew.land(flight, made):
                    await self.get(id)  # or it was deleted
                    refuse_lost(run, await self.run_of(id))
                return made
        except BaseException as error:
            try:
                if may_run(flight, error):
                    await to_its_end(self._undo(crew, flight.key, made))
            finally:
                crew.crash(flight, error)
            raise

    async def _undo(self, crew: Crew, key: Key, made: RunningAgent[Any] | None) -> None:
        """End what does not come to live, and give its agent back."""
        if made is not None:
            try:
                await _told(made)
            except Exception:
                logger("holdfast.agents").exception("agent %r ended badly", made.id)
        unit = crew.owe(key)
        future = unit.awaited(asyncio.get_running_loop())
        with contextlib.suppress(HoldfastError):
            crew.core.engine.post(unit)
            await future
            crew.paid(key)

    def _key(self, id: str) -> Key:
        return self._target.owner, edges.id_of(id, "id")

    @property
    def _crew(self) -> Crew:
        """The crew of a store that is no look at the past."""
        core = self._target._core  # noqa: SLF001
        core.refuse_inside("a call about agents that live")
        refuse_past(self._target._terms.moment)  # noqa: SLF001
        return crew_of(core)


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What work gives, which goes on to its end if who waits for it is cancelled."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # it was looked at
        raise cancelled
    return task.result()


async def _told(one: RunningAgent[Any]) -> None:
    """Call what an agent's maker wants called at its end, where it was made."""
    ended, loop = one.ended, one.loop
    one.ended = None
    if ended is None:
        return
    if loop is None:
        await asyncio.to_thread(ended, one)
    elif loop is asyncio.get_running_loop():
        await _called(ended, one)
    elif loop.is_running():
        there = asyncio.run_coroutine_threadsafe(_called(ended, one), loop)
        await asyncio.wrap_future(there)


async def _called(function: Callable[[Any], Any], given: object) -> Any:
    """What a function gives, awaited if it has to be."""
    found = function(given)
    return await found if inspect.isawaitable(found) else found


def ended_on(
    loop: asyncio.AbstractEventLoop,
    ended: Ended,
    one: RunningAgent[Any],
    seconds: float,
) -> None:
    """Have an event loop call what is called at an agent's end, and wait so long.

    On that loop itself it is called soon, and not waited for.
    """
    if running_loop() is loop:
        task = loop.create_task(_called(ended, one))
        _ending.add(task)
        task.add_done_callback(_ending.discard)
        return
    try:
        asyncio.run_coroutine_threadsafe(_called(ended, one), loop).result(seconds)
    except TimeoutError:
        raise TimedOut(
            f"what is called at the end of agent {one.id!r} has not come to an end in "
            "time, and is not waited for any more; it goes on"
        ) from None
