"""Working: a task, worked on under a lease by one holder at a time.

Answers for: `store.tasks.work`, the handle that it gives, and what becomes of a task
whose block raises.
Leaves to others: the lease (`leasing`), the moves of a task's status (`kinds/tasks`).
Always holds: every write through the handle carries the lease, so that a holder who
was taken for dead, and is not, writes nothing any more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.codec import Json
from holdfast.errors import Fenced, Refused
from holdfast.kinds.leases import Lease
from holdfast.kinds.task_records import FINISHED, Task, TaskLog, TaskStatus
from holdfast.runtime.error_texts import error_text
from holdfast.runtime.leases.leasing import HeldLease, renewed

if TYPE_CHECKING:
    from holdfast.store import Store


class Work:
    """A task in progress under a lease; its calls and `store`'s carry the lease."""

    def __init__(self, held: HeldLease, id: str) -> None:
        self._held = held
        self.id = id
        self.store: Store = held.store
        self.task: Task = self._begin()

    @property
    def lease(self) -> Lease:
        """The lease, as it was last renewed."""
        return self._held.lease

    def complete(self, result: Json = None) -> Task:
        """Finish the task with its result."""
        return self._now(self.store.tasks.complete(self.id, result))

    def fail(self, error: str) -> Task:
        """Finish the task with what went wrong."""
        return self._now(self.store.tasks.fail(self.id, error))

    def progress(
        self, done: float, total: float | None = None, note: str | None = None
    ) -> Task:
        """Say how far the task has come."""
        return self._now(self.store.tasks.progress(self.id, done, total, note))

    def log(self, message: str, level: str = "info", type: str = "system") -> TaskLog:
        """Add a line to the task's log."""
        return self.store.tasks.log(self.id, message, level, type)

    def _begin(self) -> Task:
        task = self.store.tasks.get(self.id)
        if task.status is TaskStatus.IN_PROGRESS:
            return task  # its holder before left it or died
        return self.store.tasks.start(self.id)

    def _now(self, task: Task) -> Task:
        self.task = task
        return task


@contextmanager
def work(held: HeldLease, id: str, seconds: float) -> Iterator[Work]:
    """Work on a task for as long as a block of code runs.

    A block that raises an `Exception` fails the task, with the error's text; one that
    is interrupted, or ends without finishing the task, leaves it in progress for
    another to take over.
    """
    with renewed(held, seconds):
        handle = Work(held, id)
        try:
            yield handle
        except Fenced:
            raise
        except Exception as error:
            _fail(handle, error)
            raise


def _fail(handle: Work, error: Exception) -> None:
    try:
        if handle.store.tasks.get(handle.id).status not in FINISHED:
            handle.fail(error_text(error))
    except (Fenced, Refused):
        return  # another has the task by now
