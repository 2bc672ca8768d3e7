"""Running agents: what callers hold of an agent that lives here, and its end.

Answers for: the record of an agent that lives, and telling it that it has ended.
Leaves to others: how it came to live (`shown`, `ashown`), for how long
(`crew`).
Always holds: what is called at an agent's end is called once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from holdfast.kinds.agent_records import Agent, AgentRun

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime

    from holdfast.runtime.agents.crew import Crew
    from holdfast.transaction import OpenTransaction

T = TypeVar("T")
Ended: TypeAlias = Callable[["RunningAgent[Any]"], object]
END_SECONDS = 5.0
"""How long is waited for what event loops do at agents' ends."""


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


def tell_ended(one: RunningAgent[Any], seconds: float = END_SECONDS) -> None:
    """Call what an agent's maker wants called at its end; on its event loop, if any.

    Of a loop no more than so many seconds are waited for. Raises `TimedOut`.
    """
    ended, loop = one.ended, one.loop
    one.ended = None
    if ended is None:
        return
    if loop is None:
        ended(one)
    elif loop.is_running():
        from holdfast.runtime.agents.ashown import ended_on  # noqa: PLC0415  # asyncio

        ended_on(loop, ended, one, seconds)
