"""Talking: a session in hand, kept in a store or still only in memory.

Answers for: `sessions.load` and `sessions.draft`, and the handle that they give.
Leaves to others: what each call means (`kinds/sessions`), streamed replies
(`replying`).
Always holds: a draft is a session of a store of its own in memory, so that whatever can
be done with a session can be done with it; `save` puts all of it in its place at once,
with its ids and times, and a repeat adds nothing.
"""

import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from holdfast import edges
from holdfast.codec import Json
from holdfast.errors import Refused
from holdfast.kinds.contexts import Context, Counting
from holdfast.kinds.session_records import Message, Session
from holdfast.limits import Limits
from holdfast.page import Page
from holdfast.runtime.sessions.replying import Reply

if TYPE_CHECKING:
    from holdfast.shown import StoreSessions
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

S = TypeVar("S")
T = TypeVar("T")
Asking: TypeAlias = Generator[tuple[int, int | None], Page[Message], list[Message]]
"""Asks for pages, each by its size and the position that it ends before."""


class Talk:
    """A session in hand: one that a store has, or a draft that is still to be saved."""

    def __init__(
        self,
        store: "Store",
        session: Session,
        draft: "Draft[Store] | None" = None,
    ) -> None:
        self.id = session.id
        self.title = session.title
        self._store = store
        self._draft = draft
        self._saving = threading.RLock()
        if draft is not None:
            draft.belong_to(self)

    def send(
        self, text: Json, role: str = "user", metadata: dict[str, Any] | None = None
    ) -> Message:
        """Add a message. Raises as `sessions.append` does."""
        return self._do(lambda of: of.append(self.id, role, text, metadata=metadata))

    @contextmanager
    def reply(
        self,
        role: str = "assistant",
        *,
        metadata: dict[str, Any] | None = None,
        message_id: str | None = None,
    ) -> Iterator[Reply]:
        """A message that grows as its pieces come; see `sessions.reply`."""
        with ExitStack() as stack:
            with self._saving:
                store = self._store
                if self._draft is not None:
                    stack.enter_context(self._draft.replying())
            reply = store.sessions.reply(
                self.id, role, metadata=metadata, message_id=message_id
            )
            yield stack.enter_context(reply)

    def get_messages(self, limit: int | None = None, offset: int = 0) -> list[Message]:
        """The newest `limit` messages (None: all), oldest first.

        `offset` passes over so many of the newest. Raises `NotFound` (the session was
        deleted), `WrongType`.
        """
        asking = newest(limit, offset, self._store._core.limits)  # noqa: SLF001
        try:
            wanted = next(asking)
            while True:
                size, before = wanted
                sessions = self._store.sessions
                page = sessions.messages(self.id, size, before=before)
                wanted = asking.send(page)
        except StopIteration as found:
            return list(found.value)

    def context(
        self,
        *,
        messages: int | None = None,
        tokens: int | None = None,
        count: Counting | None = None,
    ) -> Context:
        """What a model is to be shown; see `sessions.context`."""
        return self._store.sessions.context(
            self.id, messages=messages, tokens=tokens, count=count
        )

    def export(self, format: str = "json") -> str:
        """All of it as one text: `json`, `markdown`, or `text` (also called `txt`).

        As `sessions.render`.
        """
        return self._store.sessions.render(self.id, format)

    def save(self) -> str:
        """Put a draft into the store, all of it at once; the session's id.

        What is in the store already is safe without it. Raises `AlreadyExists` (the
        store has another session of that id), `NotFound` (the parent), `Refused` (a
        reply is being written): it stays a draft then.
        """
        with self._saving:
            if (draft := self._draft) is not None:
                draft.home.run(draft.put_of(self.id))
                self._store, self._draft = draft.home, None
                draft.close()
        return self.id

    def close(self) -> Session:
        """Mark the session as completed. Raises as `sessions.close` does."""
        return self._do(lambda of: of.close(self.id))

    def __iter__(self) -> Iterator[Message]:
        after, size = 0, self._store._core.limits.page  # noqa: SLF001
        while True:  # each page from where the session is by then
            page = self._store.sessions.messages(self.id, size, after=after)
            yield from page
            if page.cursor is None:
                return
            after = page[-1].position

    def __repr__(self) -> str:
        state = "" if self._draft is None else ", a draft"
        return f"<holdfast.Talk {self.id!r}{state}>"

    def _do(self, work: "Callable[[StoreSessions], T]") -> T:
        """Write where the session is now; not while a draft is being saved."""
        if self._draft is None:
            return work(self._store.sessions)
        with self._saving:
            return work(self._store.sessions)


class Draft(Generic[S]):
    """A session that is only in memory so far, and the store that it belongs into."""

    def __init__(self, memory: "Store", home: S, parent: str | None) -> None:
        self.home = home
        self._memory = memory
        self._parent = None if parent is None else edges.id_of(parent, "parent")
        self._replies = 0
        self._counting = threading.Lock()

    def belong_to(self, talk: object) -> None:
        """Let go of the memory when nobody has the handle any more."""
        engine = self._memory._core.engine  # noqa: SLF001
        self.close = weakref.finalize(talk, engine.close)

    @contextmanager
    def replying(self) -> Iterator[None]:
        """Not to be saved while a block of code runs, which writes a reply."""
        with self._counting:
            self._replies += 1
        try:
            yield
        finally:
            with self._counting:
                self._replies -= 1

    def put_of(self, id: str) -> "Callable[[OpenTransaction], None]":
        """What puts all of it into its place, in one transaction."""
        if self._replies:
            raise Refused(f"a reply of {id!r} is being written; save when it has ended")
        session = self._memory.sessions.get(id)
        messages = [_drafted(message) for message in self._memory.sessions.history(id)]
        batch = self._memory._core.limits.batch  # noqa: SLF001

        def put(tx: "OpenTransaction") -> None:
            if self._parent is not None:
                tx.sessions.get(self._parent)
            tx.sessions.admit(
                id,
                created_at=session.created_at,
                updated_at=session.updated_at,
                title=session.title,
                status=session.status,
                parent=self._parent,
                metadata=session.metadata,
                tags=session.tags,
                max_context_messages=session.max_context_messages,
                version=session.version - session.message_count,
            )
            for start in range(0, len(messages), batch):
                tx.sessions.extend(id, messages[start : start + batch])

        return put


def newest(limit: int | None, offset: int, limits: Limits) -> Asking:
    """The newest messages but for some, oldest first, from pages that it asks for."""
    edges.count_of(offset, "offset", limits)
    wanted = None if limit is None else edges.count_of(limit, "limit", limits)
    before = None
    if offset:
        last = yield 1, None
        before = max(0, last[0].position + 1 - offset) if last else 0
    pages: list[Page[Message]] = []
    while wanted is None or wanted > 0:
        page = yield limits.page if wanted is None else min(wanted, limits.page), before
        pages.append(page)
        if page.cursor is None:
            break
        wanted = None if wanted is None else wanted - len(page)
        before = page[0].position
    return [message for page in reversed(pages) for message in page]


def _drafted(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "metadata": message.metadata,
        "created_at": message.created_at,
        "partial": message.partial,
    }
