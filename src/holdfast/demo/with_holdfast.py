"""Holdfast: a step's message and its task's change in one transaction, under a lease.

An agent takes a task that is pending, or one whose holder died (its lease is over),
and holds a lease on it while it works; it goes on where the store says the task was.
A holder that was only slow, and whose task went to another, is refused by the store:
its step is not kept.
"""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import holdfast
from holdfast.demo.keeping import Found, Kept, TakenAway
from holdfast.demo.load import MARK, Load, Step, Talk
from holdfast.errors import Fenced, Held, Refused
from holdfast.kinds.task_records import TaskStatus

LEASE_SECONDS = 1.0
"""How long a dead agent's task waits for another one."""

FIRST_POSITION = 1
"""Where the first message of a session stands."""

OFFERS = 16
"""How many tasks an agent looks at when it seeks work."""


class HeldTask:
    """A conversation in hand: a lease on its task."""

    def __init__(self, store: holdfast.Store, id: str, load: Load, agent: str) -> None:
        self._agent = agent
        self._hold = contextlib.ExitStack()
        self._work = self._hold.enter_context(
            store.tasks.work(id, seconds=LEASE_SECONDS, holder=agent)
        )
        task = self._work.task
        assert task.session is not None
        self._id, self._session = task.id, task.session
        self.index = int(task.id.rpartition("-")[2]) - 1
        self._total = len(load.talks[self.index].steps)
        self.done = round(task.progress.done) if task.progress else 0
        self.messages = store.sessions.get(task.session).message_count

    def keep(self, number: int, step: Step) -> None:
        """The message and the task's change, in one transaction."""
        with self._fenced() as tx:
            tx.sessions.append(
                self._session, step.role, step.content, metadata=step.marked(number)
            )
            tx.tasks.progress(self._id, number + 1, self._total)

    @contextlib.contextmanager
    def _fenced(self) -> Iterator[holdfast.Transaction]:
        work = self._work
        try:
            with work.store.transaction(actor=self._agent, cause=self._id) as tx:
                yield tx
        except (Fenced, Held) as error:
            raise TakenAway from error

    def finish(self) -> None:
        """Complete the task."""
        with self._fenced() as tx:
            tx.tasks.complete(self._id)

    def close(self) -> None:
        """Let the lease go; if it is another's by now, there is nothing to let go."""
        with contextlib.suppress(Fenced, Held):
            self._hold.close()


class HoldfastDesk:
    """An agent's store."""

    def __init__(self, path: Path, load: Load, agent: str) -> None:
        self._store = holdfast.open(path)
        self._load = load
        self._agent = agent

    def take(self) -> HeldTask | None:
        """A task whose holder died, or else one that nobody began."""
        for task in self._offers():
            with contextlib.suppress(Held, Fenced, Refused):
                return HeldTask(self._store, task, self._load, self._agent)
        return None

    def _offers(self) -> Iterator[str]:
        """Their ids; new ones in any order, so that not all agents want the same."""
        tasks = self._store.tasks
        yield from (task.id for task in tasks.list(stale=True, limit=OFFERS))
        new = tasks.list(status=TaskStatus.PENDING, limit=OFFERS)
        yield from (task.id for task in random.sample(new, len(new)))

    def is_over(self) -> bool:
        """Whether all tasks are completed: one in progress may yet lose its agent."""
        metrics = self._store.tasks.metrics()
        return metrics.by_status[TaskStatus.COMPLETED] == metrics.total

    def close(self) -> None:
        """Close the store."""
        self._store.close()


class WithHoldfast:
    """The way of keeping that is shown."""

    title = "holdfast"
    how = "message and task in one transaction, the task under a lease"

    def prepare(self, path: Path, load: Load) -> None:
        """A session and a pending task for each conversation, all or none."""
        with (
            holdfast.open(path) as store,
            store.transaction(actor="supervisor", cause="prepare") as tx,
        ):
            for talk in load.talks:
                tx.sessions.create(talk.title, id=talk.id)
                tx.tasks.create(f"Replay {talk.title}", id=talk.id, session=talk.id)

    def open(self, path: Path, load: Load, agent: str) -> HoldfastDesk:
        """An agent's store."""
        return HoldfastDesk(path, load, agent)

    def read(self, path: Path, load: Load) -> list[Found]:
        """All that is there, a conversation at a time."""
        with holdfast.open(path, read_only=True) as store:
            return [_found(store, talk) for talk in load.talks]

    def problems(self, path: Path) -> tuple[str, ...]:
        """What holdfast's own check finds in the rows and in the journal."""
        with holdfast.open(path, read_only=True) as store:
            return store.check().problems


def _found(store: holdfast.Store, talk: Talk) -> Found:
    task = store.tasks.get(talk.id)
    kept = [_kept(message) for message in store.sessions.history(talk.id)]
    done = round(task.progress.done) if task.progress else 0
    return Found(kept, done, task.status is TaskStatus.COMPLETED)


def _kept(message: holdfast.Message) -> Kept:
    metadata = dict(message.metadata or {})
    number = metadata.pop(MARK, -1)
    step = Step(message.role, message.content, metadata)
    return Kept(number, message.position - FIRST_POSITION, step)
