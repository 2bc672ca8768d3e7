"""An open transaction, as a user holds it: the kinds as attributes, all or nothing.

Answers for: `tx.sessions`, `tx.tasks` and every other kind, and savepoints.
Leaves to others: beginning and ending it (store, engine).
"""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.clock import to_datetime
from holdfast.contract import Kind, Registry
from holdfast.engine import Transaction

if TYPE_CHECKING:
    from holdfast.journal import Journal
    from holdfast.kinds.agents import Agents
    from holdfast.kinds.checkpoints import Checkpoints
    from holdfast.kinds.events import Events
    from holdfast.kinds.inbox import Inbox
    from holdfast.kinds.index import Index
    from holdfast.kinds.items import Items
    from holdfast.kinds.jobs import Jobs
    from holdfast.kinds.leases import Leases
    from holdfast.kinds.machines import Machines
    from holdfast.kinds.observations import Observations
    from holdfast.kinds.schedules import Schedules
    from holdfast.kinds.sessions import Sessions
    from holdfast.kinds.state import State
    from holdfast.kinds.tasks import Tasks
    from holdfast.kinds.threads import Threads
    from holdfast.kinds.toolsets import Toolsets
    from holdfast.kinds.workspaces import Workspaces

K = TypeVar("K", bound=Kind)


class OpenTransaction:
    """All of what is done through it is committed together, or none of it."""

    if TYPE_CHECKING:
        sessions: Sessions
        tasks: Tasks
        agents: Agents
        checkpoints: Checkpoints
        events: Events
        inbox: Inbox
        index: Index
        items: Items
        jobs: Jobs
        machines: Machines
        observations: Observations
        schedules: Schedules
        state: State
        threads: Threads
        toolsets: Toolsets
        leases: Leases
        workspaces: Workspaces
        journal: Journal

    def __init__(self, tx: Transaction, registry: Registry) -> None:
        self._tx = tx
        self._registry = registry

    @property
    def owner(self) -> str:
        """Whose state this transaction reads and writes."""
        return self._tx.terms.owner

    @property
    def now(self) -> datetime:
        """The transaction's time, which stands still."""
        return to_datetime(self._tx.now)

    def savepoint(self) -> AbstractContextManager[None]:
        """A part that can fail by itself: what it did is undone if it raises."""
        return self._tx.savepoint()

    def of(self, kind: type[K]) -> K:
        """A kind, by its class."""
        return kind(self._tx)

    def __getattr__(self, name: str) -> Any:
        kind = self._registry.kinds.get(name)
        if kind is None:
            raise AttributeError(f"a transaction has no kind {name!r}")
        made = kind(self._tx)
        setattr(self, name, made)
        return made
