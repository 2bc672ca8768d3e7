"""pydantic-ai's conversations: kept as its own store in memory keeps them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

import holdfast
from conftest import store_on
from holdfast.integrations import pydantic_ai_conversations
from holdfast.integrations.pydantic_ai_conversations import HoldfastConversationStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "file", "postgres"])
def kept(request, tmp_path) -> Iterator[holdfast.Store]:
    """A store on each engine; sound at the end."""
    with store_on(request.param, tmp_path) as target, holdfast.open(target) as store:
        yield store
        assert store.check().problems == ()


def said(text: str) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(text, timestamp=NOON)])


def answered(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(text)], timestamp=NOON)


def begun(id: str, *texts: str) -> Conversation:
    return Conversation(messages=[said(text) for text in texts], conversation_id=id)


class Both:
    """The same done to pydantic-ai's own store and to ours, and then compared."""

    def __init__(self, store: holdfast.Store, seed: int) -> None:
        self.theirs: ConversationStore = InMemoryConversationStore()
        self.ours: ConversationStore = HoldfastConversationStore(store)
        self.random = random.Random(seed)
        self.names: list[str] = []
        self.same: dict[str, str] = {}
        self.count = 0

    async def step(self) -> None:
        name = self.random.choice(self.names) if self.names else None
        if name is None or await self.theirs.read_record(name) is None:
            await self._begin()
            return
        steps = (
            *(self._begin, self._extend, self._extend, self._rewrite, self._window),
            *(self._branch, self._go_back, self._fork, self._late, self._delete),
        )
        found: Callable[..., Awaitable[None]] = self.random.choice(steps)
        await found() if found == self._begin else await found(name)

    async def compare(self) -> None:
        theirs = await self.theirs.list_conversations()
        ours = await self.ours.list_conversations()
        names = [record.conversation_id for record in theirs]
        assert [record.conversation_id for record in ours] == names
        for one, other in zip(theirs, ours, strict=True):
            assert self._renamed(one.head_id) == other.head_id
            assert list(map(self._renamed, one.branches)) == other.branches
            assert self._renamed(one.forked_at) == other.forked_at
            assert one.forked_from == other.forked_from
            await self._compare_entries(one.conversation_id, one.branches)

    async def _compare_entries(
        self, name: str, tips: list[str], limit: int | None = None
    ) -> None:
        pairs = [await self._entries(store, name, limit) for store in self._stores()]
        for tip in tips:
            theirs = await self.theirs.read_history(tip)
            pairs.append(theirs)
            pairs.append(await self.ours.read_history(self.same[tip]))
        for theirs, ours in zip(pairs[::2], pairs[1::2], strict=True):
            assert [
                (self._renamed(e.id), self._renamed(e.parent_id), e.message)
                for e in theirs
            ] == [(e.id, e.parent_id, e.message) for e in ours]

    async def _entries(
        self, store: Any, name: str, limit: int | None = None
    ) -> list[ConversationEntry]:
        found = await store.load_entries(name, limit=limit)
        assert found is not None
        return found

    async def _begin(self) -> None:
        name = f"talk-{self.count}"
        self.names.append(name)
        messages = self._some(4)
        await self._save(
            *(Conversation(messages=list(messages), conversation_id=name) for _ in "ab")
        )

    async def _extend(self, name: str) -> None:
        await self._save_changed(name, None, None)

    async def _window(self, name: str) -> None:
        limit = self.random.randrange(4)
        await self._compare_entries(name, [], limit)
        await self._save_changed(name, None, limit)

    async def _rewrite(self, name: str) -> None:
        await self._save_changed(name, self.random.random(), None)

    async def _late(self, name: str) -> None:
        late = [await store.load(name) for store in self._stores()]
        await self._extend(name)
        for store, conversation in zip(self._stores(), late, strict=True):
            with pytest.raises(ConversationConflict):
                await store.save(conversation)

    async def _branch(self, name: str) -> None:
        entries = await self._entries(self.theirs, name)
        at = self.random.randint(0, len(entries))
        await self._branched(name, [{"at": at}, {"at": at}])

    async def _go_back(self, name: str) -> None:
        record = await self.theirs.read_record(name)
        if record.branches:
            line = await self.theirs.read_history(self.random.choice(record.branches))
            entry = self.random.choice(line).id
            wanted = [{"from_entry": id} for id in (entry, self.same[entry])]
            await self._branched(name, wanted)

    async def _branched(self, name: str, wanted: list[dict[str, Any]]) -> None:
        found = [
            await store.branch(
                name,
                expected_revision=(await store.read_record(name)).revision,
                **options,
            )
            for store, options in zip(self._stores(), wanted, strict=True)
        ]
        assert found[0].messages == found[1].messages

    async def _fork(self, name: str) -> None:
        entries = await self._entries(self.theirs, name)
        at = self.random.choice([None, self.random.randint(0, len(entries))])
        self.names.append(f"{name}+{self.count}")
        for store in self._stores():
            await store.fork(name, at=at, new_conversation_id=self.names[-1])
        self.count += 1

    async def _delete(self, name: str) -> None:
        for store in self._stores():
            await store.delete(name)

    async def _save_changed(
        self, name: str, keep: float | None, limit: int | None
    ) -> None:
        found = [await store.load(name, limit=limit) for store in self._stores()]
        assert found[0].messages == found[1].messages
        new = self._some(3)
        for conversation in found:
            if keep is not None:
                del conversation.messages[int(keep * len(conversation.messages)) :]
            conversation.messages.extend(new)
        await self._save(*found)

    async def _save(self, theirs: Conversation, ours: Conversation) -> None:
        made = await self.theirs.save(theirs)
        same = await self.ours.save(ours)
        pairs = zip(made, same, strict=True)
        self.same |= {one.id: other.id for one, other in pairs}

    def _some(self, most: int) -> list[ModelMessage]:
        self.count += most
        number = self.random.randrange(most)
        texts = [f"{self.count - n}" for n in range(number)]
        return [self.random.choice([said, answered])(text) for text in texts]

    def _stores(self) -> tuple[ConversationStore, ConversationStore]:
        return self.theirs, self.ours

    def _renamed(self, entry: str | None) -> str | None:
        return None if entry is None else self.same[entry]


@pytest.mark.parametrize("seed", range(6))
def test_it_is_as_the_frameworks_own_store_whatever_is_done(kept, seed):
    print(f"seed {seed}")

    async def run() -> None:
        both = Both(kept, seed)
        for _ in range(25):
            await both.step()
            await both.compare()

    asyncio.run(run())


def test_a_run_is_one_transaction_and_reads_like_any_other_session(kept):
    agent = Agent(TestModel(custom_output_text="At the flight."))

    async def run() -> None:
        store = HoldfastConversationStore(kept)
        conversation = Conversation(conversation_id="week")
        for prompt in ("Where did we stop?", "And now?"):
            result = await agent.run(prompt, conversation=conversation)
            before = kept.moment()
            await store.save(result)
            moved = {change.moment for change in kept.journal.read(before)}
            assert moved == {kept.moment()}
            conversation = await store.load("week")
            assert conversation.messages == result.all_messages()
        assert conversation.usage.requests == 2
        assert conversation == result.conversation

    asyncio.run(run())
    assert [(m.role, m.content) for m in kept.sessions.history("week")] == [
        *(("user", "Where did we stop?"), ("assistant", "At the flight.")),
        *(("user", "And now?"), ("assistant", "At the flight.")),
    ]


def test_what_others_said_is_there_and_a_save_that_did_not_know_it_conflicts(kept):
    async def run() -> None:
        store = HoldfastConversationStore(kept)
        mine = begun("talk", "Hello")
        await store.save(mine)
        kept.sessions.append("talk", "assistant", "Hi")
        mine.messages.append(said("Too late"))
        with pytest.raises(ConversationConflict):
            await store.save(mine)
        found = await store.load("talk")
        assert [m.parts[0].content for m in found.messages] == ["Hello", "Hi"]
        found.messages.append(said("In time"))
        await store.save(found)
        found = await store.load("talk", limit=2)
        assert [m.parts[0].content for m in found.messages] == ["Hi", "In time"]

    asyncio.run(run())


def test_any_session_is_a_conversation_and_so_is_its_fork(kept):
    kept.sessions.create(id="talk")
    kept.sessions.append("talk", "user", "Hello")

    async def run() -> None:
        store = HoldfastConversationStore(kept)
        found = await store.load("talk")
        assert [m.parts[0].content for m in found.messages] == ["Hello"]
        assert await store.list_conversations() == []
        found.messages.append(answered("Hi"))
        await store.save(found)
        kept.sessions.fork("talk", new_id="fork")
        forked = await store.load("fork")
        assert [m.parts[0].content for m in forked.messages] == ["Hello", "Hi"]
        forked.messages.append(said("More"))
        await store.save(forked)
        assert len((await store.load("talk")).messages) == 2
        assert len((await store.load("fork")).messages) == 3

    asyncio.run(run())


def test_of_many_who_save_at_once_one_does(kept):
    async def run() -> None:
        store = HoldfastConversationStore(kept)
        await store.save(begun("talk", "Hello"))
        found = [await store.load("talk") for _ in range(8)]
        for number, conversation in enumerate(found):
            conversation.messages.append(said(f"{number}"))
        saves = [HoldfastConversationStore(kept).save(one) for one in found]
        done = await asyncio.gather(*saves, return_exceptions=True)
        assert sum(isinstance(one, list) for one in done) == 1
        assert sum(isinstance(one, ConversationConflict) for one in done) == 7
        assert len((await store.load("talk")).messages) == 2

    asyncio.run(run())


def test_what_is_not_in_the_messages_is_kept_with_them(kept):
    async def run() -> None:
        mine = begun("talk", "Hello")
        mine.usage = RunUsage(requests=3, input_tokens=5, details={"a": 1})
        await HoldfastConversationStore(kept).save(mine, scope="user/ada")
        found = await HoldfastConversationStore(kept.aio).load("talk", scope="user/ada")
        assert found == mine
        store = HoldfastConversationStore(kept)
        assert await store.load("talk", scope="user/bob") is None
        assert len(await store.list_conversations(scope="user/ada")) == 1
        assert await store.list_conversations(scope="user/bob") == []

    asyncio.run(run())


def test_an_entry_is_found_by_its_id_alone(kept):
    async def run() -> None:
        store = HoldfastConversationStore(kept)
        first = begun("talk", "One", "Two")
        entries = await store.save(first)
        await store.branch("talk", at=1, expected_revision=first.revision)
        for entry in entries:
            fresh = HoldfastConversationStore(kept)
            assert await fresh.read_entry(entry.id) == entry
        with pytest.raises(LookupError):
            await store.read_entry("no such")

    asyncio.run(run())


def test_of_many_who_begin_it_at_once_one_does(kept):
    async def run() -> None:
        saves = [
            HoldfastConversationStore(kept).save(begun("talk", f"{number}"))
            for number in range(8)
        ]
        done = await asyncio.gather(*saves, return_exceptions=True)
        assert sum(isinstance(one, list) for one in done) == 1
        assert sum(isinstance(one, ConversationConflict) for one in done) == 7
        assert kept.sessions.get("talk").message_count == 1

    asyncio.run(run())


def test_what_is_remembered_of_places_is_bounded(kept, monkeypatch):
    monkeypatch.setattr(pydantic_ai_conversations, "_HOMES", 2)

    async def run() -> None:
        store = HoldfastConversationStore(kept)
        entries = [await store.save(begun(f"talk-{n}", f"{n}")) for n in range(5)]
        assert len(store._homes) == 2
        for (entry,) in entries:
            assert await store.read_entry(entry.id) == entry

    asyncio.run(run())


def test_a_deleted_conversation_is_gone_and_its_forks_are_not(kept):
    async def run() -> None:
        store = HoldfastConversationStore(kept)
        first = begun("talk", "One", "Two")
        await store.save(first)
        await store.fork("talk", at=1, new_conversation_id="fork")
        await store.delete("talk")
        assert await store.load("talk") is None
        found = await store.load("fork")
        assert found.messages == [said("One")]
        with pytest.raises(ConversationConflict):
            await store.save(first)

    asyncio.run(run())
    assert [session.id for session in kept.sessions.list()] == ["fork"]
