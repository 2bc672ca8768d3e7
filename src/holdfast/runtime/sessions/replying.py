"""Replying: a message that is written down while it comes.

Answers for: `sessions.reply`, the handle that it gives, and when what came is written.
Leaves to others: what a partial message is (`kinds/replies`).
Always holds: what came is in the store within a second, as long as the store takes
writes, and without a write for each piece of it; a block that ends well leaves the
message whole, and one that raises leaves it partial, with all that came; a write that
failed in the background is tried again, and told by the next `add` until it succeeds.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET, UnsetType

from holdfast import edges
from holdfast.codec import Json
from holdfast.engine import Engine, Unit
from holdfast.errors import HoldfastError, Refused
from holdfast.kinds.session_records import Message
from holdfast.limits import Limits, hold

if TYPE_CHECKING:
    from holdfast.store import Store

WRITTEN_EVERY_SECONDS = 0.5
"""How long text waits for more before it is written down. With as much again for the
write itself, it is there within a second."""
_QUOTES = 2


class Coming:
    """The text of a reply: what came, and how much of it is in the store."""

    def __init__(self, message: Message, limits: Limits) -> None:
        self.message = message
        """The message: as it was at the beginning, or whole after the end."""
        self._limits = limits
        self._pieces: list[str] = [message.content]
        document = edges.document_of(message.content, "text", limits)
        self._bytes = len(document.text.encode())
        self._kept_pieces = 1
        self._kept = len(message.content)
        self._failure: BaseException | None = None
        self._over = False

    @property
    def text(self) -> str:
        """All that came."""
        return "".join(self._pieces)

    def _take(self, delta: str) -> None:
        """Add a piece, or raise what went wrong with those before it."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if self._over:
            raise Refused("the reply has ended, and takes nothing more")
        if not isinstance(delta, str):
            raise edges.wrong_type("delta", "text", delta)
        document = edges.document_of(delta, "delta", self._limits)
        size = self._bytes + len(document.text.encode()) - _QUOTES
        hold(size, self._limits.value_bytes, "the reply", "value_bytes")
        self._bytes = size
        self._pieces.append(delta)

    def _due(self) -> "Due | None":
        """What is still to be written; None if nothing is."""
        pieces = self._pieces[self._kept_pieces :]
        return Due("".join(pieces), self._kept, len(pieces)) if pieces else None

    def _tried_again(self) -> None:
        """Forget how the last write went: how this one goes is what will be told."""
        self._failure = None

    def _written(self, due: "Due") -> None:
        self._kept += len(due.text)
        self._kept_pieces += due.pieces

    @property
    def _behind(self) -> bool:
        """Whether something is still to be written."""
        return len(self._pieces) > self._kept_pieces

    @property
    def _where(self) -> tuple[str, str]:
        return self.message.session, self.message.id

    def _left_out(self, failure: BaseException) -> str:
        """What is said to an error about what could not be written down as well."""
        return (
            f"of reply {self.message.id!r}, what came after the first {self._kept:,} "
            f"characters is not in the store: {failure!r}"
        )


class Due(NamedTuple):
    """Text that is to be written, where it begins, and of how many pieces it is."""

    text: str
    at: int
    pieces: int


class Reply(Coming):
    """A message that grows as its pieces are added."""

    def __init__(self, store: "Store", message: Message) -> None:
        super().__init__(message, store._core.limits)  # noqa: SLF001
        self._store = store
        self._lock = threading.Lock()
        self._flight: tuple[Unit[int], Due] | None = None
        self.wanted = threading.Event()
        """Set when there is more to be written down."""

    def add(self, delta: str) -> None:
        """Add what came; it is written down within a second, and not now.

        Raises what went wrong in the background, and takes nothing then; `Refused`
        (the reply has ended), `WrongType`, `NotStorable`, `TooLarge`.
        """
        with self._lock:
            if not self._in_flight:
                self._land()
            self._take(delta)
        self.wanted.set()

    def end(
        self,
        content: Json | UnsetType = UNSET,
        *,
        metadata: dict[str, Any] | None | UnsetType = UNSET,
    ) -> Message:
        """Make the message whole: with all that came, or with this content.

        The block does so by itself when it ends well. `content` is for a reply that is
        more than its text, `metadata` for what is known only now. Raises as
        `sessions.end_reply` does.
        """
        self._outside()
        with self._lock:
            self._land()
            self.message = self._store.sessions.end_reply(
                self.message.session,
                self.message.id,
                self.text if content is UNSET else content,
                metadata=metadata,
            )
            self._over = True
        return self.message

    def finish(self) -> None:
        """End, unless that was done."""
        if not self._over:
            self.end()

    def leave(self, error: BaseException) -> None:
        """Write down the rest for a block that raised, and leave the message partial.

        What cannot be written down is said in a note to the block's error.
        """
        try:
            self._outside()
            with self._lock:
                self._land()
                if not self._over and (due := self._due()):
                    self._store.sessions.extend_reply(*self._where, due.text, at=due.at)
        except HoldfastError as failure:
            error.add_note(self._left_out(failure))
        finally:
            self._over = True

    def beat(self) -> bool:
        """Have written down what came since; whether to look again at the next beat."""
        if not self._lock.acquire(blocking=False):
            return True
        try:
            if self._in_flight:
                return True
            self._land()
            if not self._over and (due := self._due()):
                self._post(due)
            return self._behind and not self._over
        finally:
            self._lock.release()

    def _outside(self) -> None:
        """Refuse to wait within a transaction that what is waited for waits for."""
        self._store._core.refuse_inside("the end of a reply")  # noqa: SLF001

    @property
    def _in_flight(self) -> bool:
        """Whether a write is under way, and not yet answered."""
        return self._flight is not None and not self._flight[0].done

    def _post(self, due: Due) -> None:
        session, id = self._where
        args = {"id": session, "message_id": id, "text": due.text, "at": due.at}
        try:
            self._flight = self._store.begin("sessions.extend_reply", args), due
        except HoldfastError as failure:
            self._failure = failure
        else:
            self._tried_again()

    def _land(self) -> None:
        """Wait for the write that is under way, and take in how it went."""
        if self._flight is None:
            return
        (unit, due), self._flight = self._flight, None
        try:
            unit.outcome()
        except HoldfastError as failure:
            self._failure = failure
        else:
            self._written(due)


class Beat:
    """A thread that has every open reply of one engine written down, twice a second."""

    def __init__(self) -> None:
        self.replies: tuple[Reply, ...] = ()
        self.wanted = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="holdfast-replies", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._over.set()
        self.wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.wanted.wait()
            if self._over.wait(WRITTEN_EVERY_SECONDS):
                return
            self.wanted.clear()
            if self._over.is_set():  # what was cleared was its last call
                return
            again = [reply.beat() for reply in self.replies]
            if any(again):
                self.wanted.set()


class Beats:
    """The threads for open replies: one for each engine that has any."""

    def __init__(self) -> None:
        self._entering = threading.Lock()
        self._of: dict[int, Beat] = {}

    def join(self, reply: Reply, engine: Engine) -> None:
        """Have a reply written down from now on."""
        with self._entering:
            beat = self._of.get(id(engine))
            if beat is None:
                beat = self._of[id(engine)] = Beat()
            reply.wanted = beat.wanted
            beat.replies += (reply,)

    def quit(self, reply: Reply, engine: Engine) -> None:
        """Have it written down no more."""
        with self._entering:
            beat = self._of[id(engine)]
            beat.replies = tuple(one for one in beat.replies if one is not reply)
            if not beat.replies:
                self._of.pop(id(engine)).stop()


_beats = Beats()


@contextmanager
def replying(store: "Store", message: Message) -> Iterator[Reply]:
    """A reply for as long as a block of code runs; it begins as `message`.

    A block that ends well makes it whole; one that raises leaves it partial.
    """
    engine = store._core.engine  # noqa: SLF001
    reply = Reply(store, message)
    _beats.join(reply, engine)
    try:
        yield reply
        reply.finish()
    except BaseException as error:
        reply.leave(error)
        raise
    finally:
        _beats.quit(reply, engine)
