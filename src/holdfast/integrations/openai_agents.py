"""The OpenAI Agents SDK: a conversation of its agents is a session.

Answers for: `HoldfastSession`, the SDK's Session protocol; branches, which are forks of
the session; what a tool does, done once.
Leaves to others: how an item is kept as a message (`_openai_items`), which call of a
tool is which (`_openai_calls`).
Always holds: what one call adds is added in one transaction; the branches of a session
share what was said before they parted; an item comes back equal.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from inspect import BoundArguments
from itertools import chain, count, islice
from sys import maxsize
from typing import Any, TypeAlias, cast

from holdfast import Message, Session, Store
from holdfast.astore import AsyncStore
from holdfast.contract import each
from holdfast.edges import id_of
from holdfast.errors import AlreadyExists, NotFound, Refused
from holdfast.integrations import extra
from holdfast.integrations._growing import begin
from holdfast.integrations._once import Call, adone, effect_of, tool_of
from holdfast.integrations._openai_calls import (
    Told,
    add,
    key_among,
    outputs_in,
    parameter_of,
    tell,
    told,
)
from holdfast.integrations._openai_items import draft_of, item_of
from holdfast.transaction import OpenTransaction

with extra("openai-agents"):
    from agents.items import TResponseInputItem
    from agents.memory import SessionSettings
    from agents.tool_context import ToolContext

MAIN = "main"
_AT_ONCE = 200
"""Messages that are read at once. A page is made into items before the next is read: so
few objects are around that the garbage collector seldom comes."""
_PREVIEW_CHARACTERS = 100
Turn: TypeAlias = dict[str, Any]


class HoldfastSession:
    """A conversation of agents in a store; give it to `Runner.run(session=...)`.

    It takes the place of `SQLiteSession` and `AdvancedSQLiteSession`. The session of
    this id begins with the first item. It may be used from any thread and loop; what
    another process adds is seen at once.
    """

    session_settings: SessionSettings | None = None

    def __init__(
        self,
        session_id: str,
        store: Store | AsyncStore,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        if isinstance(session_settings, dict):
            session_settings = SessionSettings(**session_settings)
        self.session_id = session_id
        self.session_settings = session_settings or SessionSettings()
        self.branch = MAIN
        self._store = store.aio if isinstance(store, Store) else store
        self._keys: dict[str, str] = {}

    @property
    def stored_as(self) -> str:
        """The id of the session in the store that is read and written: a branch's."""
        return _stored_as(self.session_id, self.branch)

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The conversation, oldest item first; at most the newest `limit` of it.

        Without a limit it is that of `session_settings`; a negative one is none.
        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        at_once = min(_AT_ONCE, self._store._core.limits.page)  # noqa: SLF001
        try:
            return await self._store.read(_items, self.stored_as, limit, at_once)
        except NotFound:
            self._only_main()
            return []

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items at the end, all of them or none."""
        if not items:
            return
        drafts = [draft_of(item) for item in items]
        answered = outputs_in(drafts)
        try:
            if answered:
                ours = [id for id in answered if id in self._keys]
                await self._store.run(add, self.stored_as, drafts, ours)
            else:
                await self._store.sessions.extend(self.stored_as, drafts)
        except NotFound:
            self._only_main()
            await self._store.run(begin, self.session_id, drafts)
        for id in answered:
            self._keys.pop(id, None)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the newest item off; None if there is none."""
        try:
            taken = await self._store.sessions.pop(self.stored_as)
        except NotFound:
            self._only_main()
            return None
        return cast("TResponseInputItem", item_of(taken)) if taken else None

    async def clear_session(self) -> None:
        """Take all items off, delete the branches, and go back to the main one."""
        await self._store.run(_clear, self.session_id)
        self.branch = MAIN

    def tool_once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What a tool does, done once for each call in this conversation.

        It stands between `@function_tool` and `def`. The first parameter of the
        function is `tx`, if what it does is in the store, or `key`, if it is outside;
        the model is not shown it. The call and its output are added to the session in
        the same transaction. Raises `WrongType` for another function.
        """
        effect = effect_of(function)

        async def call(context: ToolContext[Any], given: BoundArguments) -> Any:
            stored, key = self.stored_as, await self._key_of(context)

            def keep(tx: OpenTransaction, result: Any) -> Any:
                return tell(tx, stored, key, context, result)

            return await adone(self._store, Call(effect, key, given, keep=keep))

        return tool_of(effect, call, parameter_of(effect), awaited=True)

    async def create_branch_from_turn(
        self, turn_number: int, branch_name: str | None = None
    ) -> str:
        """Go on from before a user's message, the `turn_number`th, on a new branch.

        Raises `NotFound` (no such turn), `AlreadyExists` (the branch's name).
        """
        self.branch = await self._store.run(
            _fork, self.session_id, self.stored_as, turn_number, branch_name
        )
        return self.branch

    async def create_branch_from_content(
        self, search_term: str, branch_name: str | None = None
    ) -> str:
        """Go on from before the first user's message that has a text, on a new branch.

        Raises as `create_branch_from_turn`.
        """
        found = await self.find_turns_by_content(search_term)
        if not found:
            raise NotFound("turn", search_term)
        return await self.create_branch_from_turn(found[0]["turn"], branch_name)

    async def switch_to_branch(self, branch_id: str) -> None:
        """Read and write another branch from now on. Raises `NotFound`."""
        await self._store.sessions.get(_stored_as(self.session_id, branch_id))
        self.branch = branch_id

    async def list_branches(self) -> list[dict[str, Any]]:
        """The branches, the main one first, then the oldest.

        Each has `branch_id`, `message_count`, `user_turns`, `is_current` and
        `created_at`.
        """
        try:
            found = [await self._store.sessions.get(self.session_id)]
        except NotFound:
            return []
        tag, cursor = _tag(self.session_id), None
        newest: list[Session] = []
        while True:
            page = await self._store.sessions.list(tag=tag, cursor=cursor)
            newest += page
            cursor = page.cursor
            if cursor is None:
                break
        found += reversed(newest)
        return [await self._described(session) for session in found]

    async def delete_branch(self, branch_id: str, force: bool = False) -> None:
        """Delete a branch; the current one only by `force`, which leads back to main.

        Branches that began on it keep all they have. Raises `NotFound`, `Refused`.
        """
        if branch_id == MAIN:
            raise Refused("the main branch cannot be deleted; clear_session clears it")
        if branch_id == self.branch and not force:
            raise Refused(
                f"branch {branch_id!r} is the current one; nothing was deleted: switch "
                "to another, or give force=True"
            )
        stored = _stored_as(self.session_id, branch_id)
        if not await self._store.sessions.delete(stored):
            raise NotFound("branch", branch_id)
        if branch_id == self.branch:
            self.branch = MAIN

    async def get_conversation_turns(self, branch_id: str | None = None) -> list[Turn]:
        """The user's messages of a branch, as places to branch from.

        Each has `turn`, `content` (its beginning), `full_content`, `timestamp` and
        `can_branch`. Raises `NotFound`.
        """
        stored = _stored_as(self.session_id, branch_id or self.branch)
        said = [message async for message in self._store.sessions.history(stored)]
        return [
            _turn(number, message) for number, message in enumerate(_asked(said), 1)
        ]

    async def find_turns_by_content(
        self, search_term: str, branch_id: str | None = None
    ) -> list[Turn]:
        """The turns in which the user said a text, in whatever case."""
        turns = await self.get_conversation_turns(branch_id)
        wanted = search_term.casefold()
        return [t for t in turns if wanted in _text(t["full_content"]).casefold()]

    def close(self) -> None:
        """Nothing: the store is its opener's to close."""

    async def _described(self, session: Session) -> dict[str, Any]:
        name = _branch_of(self.session_id, session.id)
        return {
            "branch_id": name,
            "message_count": session.message_count,
            "user_turns": len(await self.get_conversation_turns(name)),
            "is_current": name == self.branch,
            "created_at": session.created_at,
        }

    async def _key_of(self, context: ToolContext[Any]) -> str:
        """The key of a call of a tool, which no other call in this process has."""
        try:
            there = await self._store.read(told, self.stored_as)
        except NotFound:
            self._only_main()
            there = Told("", [])
        key = key_among(there, self._keys, self.stored_as, context)
        self._keys[context.tool_call_id] = key
        return key

    def _only_main(self) -> None:
        """Raise `NotFound` for a branch; what is not there of main is empty."""
        if self.branch != MAIN:
            raise NotFound("branch", self.branch)


def _items(
    tx: OpenTransaction, id: str, limit: int | None, at_once: int
) -> list[TResponseInputItem]:
    """The newest items of a session, oldest of them first. Raises `NotFound`."""
    left = maxsize if limit is None or limit < 0 else limit
    pages: list[list[dict[str, Any]]] = []
    cursor: str | None = None
    while left > 0:
        page = tx.sessions.messages(id, min(left, at_once), cursor=cursor)
        pages.append([item_of(message) for message in page])
        left, cursor = left - len(page), page.cursor
        if cursor is None:
            break
    return cast("list[TResponseInputItem]", [*chain.from_iterable(reversed(pages))])


def _clear(tx: OpenTransaction, id: str) -> None:
    """Leave nothing of a session but its record."""
    for branch in list(each(partial(tx.sessions.list, tag=_tag(id)))):
        tx.sessions.delete(branch.id)
    with suppress(NotFound):
        tx.sessions.clear(id)


def _fork(
    tx: OpenTransaction, id: str, source: str, turn: int, name: str | None
) -> str:
    """Fork a session from before a user's message; the name of the branch."""
    said = _asked(tx.sessions.history(source))
    message = next(islice(said, turn - 1, turn), None) if turn > 0 else None
    if message is None:
        raise NotFound("turn", str(turn))
    name = _unused(tx, id, f"turn-{turn}") if name is None else id_of(name, "a branch")
    stored = _stored_as(id, name)
    if _is_there(tx, stored):
        raise AlreadyExists("branch", name)
    session = tx.sessions.fork(source, message.position - 1, new_id=stored)
    if _tag(id) not in session.tags:
        tx.sessions.update(stored, tags=(*session.tags, _tag(id)))
    return name


def _unused(tx: OpenTransaction, id: str, name: str) -> str:
    """A name that no branch has."""
    names = (f"{name}-{number}" if number > 1 else name for number in count(1))
    return next(name for name in names if not _is_there(tx, _stored_as(id, name)))


def _is_there(tx: OpenTransaction, id: str) -> bool:
    try:
        tx.sessions.get(id)
    except NotFound:
        return False
    return True


def _stored_as(id: str, branch: str) -> str:
    return id if branch == MAIN else f"{id}:{branch}"


def _branch_of(id: str, stored: str) -> str:
    return MAIN if stored == id else stored.removeprefix(f"{id}:")


def _tag(id: str) -> str:
    """The tag that all branches of a session have, but its main one."""
    return f"branch-of:{id}"


def _asked(messages: Iterable[Message]) -> Iterator[Message]:
    """The messages that begin a turn: the user's."""
    return (m for m in messages if m.role == item_of(m).get("role") == "user")


def _turn(number: int, message: Message) -> Turn:
    content = item_of(message)["content"]
    return {
        "turn": number,
        "content": _text(content)[:_PREVIEW_CHARACTERS],
        "full_content": content,
        "timestamp": message.created_at,
        "can_branch": True,
    }


def _text(content: object) -> str:
    """What is text in a message's content."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))
