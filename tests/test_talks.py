"""Talks: a session in hand, and drafts, which are in memory until they are saved."""

import asyncio
import gc
import itertools
import threading
import time

import pytest

import holdfast
from conftest import store_on
from examples import dump
from holdfast import Limits, errors
from killing import Worker


@pytest.fixture
def talk(store):
    """A session that is loaded, with ten messages in it."""
    store.sessions.create("Plan", id="talk")
    store.sessions.extend(
        "talk", [{"role": "user", "content": f"m{n}"} for n in range(1, 11)]
    )
    return store.sessions.load("talk")


def said(messages):
    return [message.content for message in messages]


def all_of(store, id):
    return list(store.sessions.history(id))


def test_a_session_that_is_loaded_reads_as_one_in_hand(store, talk):
    assert (talk.id, talk.title) == ("talk", "Plan")
    message = talk.send("Where to?", metadata={"a": 1})
    assert (message.position, message.role, message.metadata) == (11, "user", {"a": 1})
    assert talk.send("To Rome.", "assistant").role == "assistant"
    assert talk.send(["x", 1]).content == ["x", 1]
    assert talk.save() == "talk"
    assert said(talk.get_messages(3)) == ["Where to?", "To Rome.", ["x", 1]]
    assert talk.context(messages=2) == store.sessions.context("talk", messages=2)
    assert talk.export("text") == store.sessions.render("talk", "text")
    assert talk.export(format="txt") == talk.export("text")
    assert talk.export() == store.sessions.render("talk", "json")
    assert talk.close().status == "completed"
    assert store.sessions.get("talk").status == "completed"


def test_a_session_that_is_not_there_is_not_loaded(store, talk):
    with pytest.raises(errors.NotFound):
        store.sessions.load("nobody")
    store.sessions.delete("talk")
    for call in (lambda: talk.send("x"), talk.get_messages, talk.close, talk.context):
        with pytest.raises(errors.NotFound):
            call()


@pytest.mark.parametrize("offset", [0, 1, 9, 10, 11])
def test_get_messages_gives_the_newest_behind_an_offset_in_order(talk, offset):
    texts = [f"m{n}" for n in range(1, 11)]
    texts = texts[: max(0, 10 - offset)]
    for limit in (None, 0, 1, 3, 10, 11):
        wanted = texts if limit is None else texts[max(0, len(texts) - limit) :]
        assert said(talk.get_messages(limit, offset)) == wanted, limit
        assert said(talk.get_messages(limit=limit, offset=offset)) == wanted, limit


@pytest.mark.parametrize("wrong", [{"limit": -1}, {"offset": -1}, {"limit": "2"}])
def test_a_wrong_number_of_messages_is_refused(talk, wrong):
    with pytest.raises(errors.WrongType):
        talk.get_messages(**wrong)


def test_more_messages_than_a_page_has_are_read_page_by_page(path):
    with holdfast.open(path, limits=Limits(page=7)) as store:
        store.sessions.create(id="talk")
        store.sessions.extend(
            "talk", [{"role": "user", "content": n} for n in range(1, 31)]
        )
        talk = store.sessions.load("talk")
        assert said(talk.get_messages()) == list(range(1, 31))
        assert said(talk.get_messages(20)) == list(range(11, 31))
        assert said(talk.get_messages(20, 3)) == list(range(8, 28))
        assert said(talk) == list(range(1, 31))
        store.sessions.clear("talk")
        assert talk.get_messages() == talk.get_messages(5, 5) == []
        talk.send(31)
        assert said(talk.get_messages(5)) == [31]
        assert said(talk.get_messages(5, 1)) == []


def test_a_talk_streams_replies_and_goes_on_with_them(store, talk):
    with talk.reply(metadata={"model": "m"}) as reply:
        reply.add("To ")
        reply.add("Rome")
    assert talk.get_messages(1) == [reply.message]
    with pytest.raises(ValueError), talk.reply("critic", message_id="r") as reply:
        reply.add("W")
        raise ValueError
    assert talk.get_messages(1)[0].partial
    with talk.reply("critic", message_id="r") as reply:
        reply.add("hy?")
    assert said(talk.get_messages(2)) == ["To Rome", "Why?"]


def test_a_talk_of_the_past_says_what_was_and_takes_nothing(store, talk):
    then = store.as_of(store.moment())
    talk.send("later")
    past = then.sessions.load("talk")
    assert said(past.get_messages(1)) == ["m10"]
    with pytest.raises(errors.Refused):
        past.send("x")


# Drafts.


def test_a_draft_is_in_no_store_until_it_is_saved_and_then_all_of_it_is(store):
    store.sessions.create(id="home")
    before = store.moment()
    talk = store.sessions.draft(
        "Ideas",
        id="ideas",
        parent="home",
        metadata={"a": 1},
        tags=["x"],
        max_context_messages=3,
    )
    assert (talk.id, talk.title) == ("ideas", "Ideas")
    for text in ("first", "second", "third", "fourth"):
        talk.send(text, metadata={"of": text})
    with talk.reply() as reply:
        reply.add("I see.")
    with pytest.raises(ValueError), talk.reply(message_id="broken") as reply:
        reply.add("But")
        raise ValueError
    assert said(talk.get_messages(2)) == ["I see.", "But"]
    assert len(talk.context()) == 3
    assert "third" in talk.export("markdown")
    assert store.moment() == before
    with pytest.raises(errors.NotFound):
        store.sessions.load("ideas")
    was = talk.get_messages()
    assert talk.save() == "ideas"
    assert all_of(store, "ideas") == talk.get_messages() == was
    session = store.sessions.get("ideas")
    assert (session.title, session.parent, session.metadata) == (
        "Ideas",
        "home",
        {"a": 1},
    )
    assert (session.tags, session.max_context_messages) == (("x",), 3)
    assert session.message_count == 6
    assert moments_since(store, before) == 1


def moments_since(store, before):
    found = store.journal.read(after=before, limit=1_000)
    return len({change.moment for change in found})


def test_what_was_saved_is_a_session_like_any_other(store):
    talk = store.sessions.draft("Ideas")
    talk.send("before")
    talk.close()
    talk.save()
    assert store.sessions.get(talk.id).status == "completed"
    before = store.moment()
    assert talk.save() == talk.save() == talk.id
    assert store.moment() == before
    talk.send("after")
    with talk.reply() as reply:
        reply.add("and after that")
    assert said(all_of(store, talk.id)) == ["before", "after", "and after that"]


def test_times_of_a_draft_are_those_of_what_happened(store, clock):
    talk = store.sessions.draft("Ideas")
    began = store.sessions.create().created_at
    clock.advance(60)
    talk.send("a minute later")
    clock.advance(60)
    talk.save()
    session = store.sessions.get(talk.id)
    assert session.created_at == began
    assert (session.updated_at - began).seconds == 60
    assert (talk.get_messages()[0].created_at - began).seconds == 60


def test_a_draft_that_cannot_be_saved_stays_one(store):
    store.sessions.create("Another", id="taken")
    taken = store.sessions.draft("Ideas", id="taken")
    orphan = store.sessions.draft("Ideas", parent="nobody")
    before = dump(store)
    for talk, error in ((taken, errors.AlreadyExists), (orphan, errors.NotFound)):
        talk.send("kept")
        for _ in range(2):
            with pytest.raises(error):
                talk.save()
        talk.send("too")
        assert said(talk.get_messages()) == ["kept", "too"]
    assert dump(store) == before
    store.sessions.create(id="nobody")
    orphan.save()
    assert said(all_of(store, orphan.id)) == ["kept", "too"]


def test_a_draft_is_its_owners(store):
    ada = store.owned_by("ada")
    talk = ada.sessions.draft("Ideas")
    talk.send("mine")
    talk.save()
    assert ada.sessions.get(talk.id).owner == "ada"
    with pytest.raises(errors.NotFound):
        store.sessions.load(talk.id)


def test_a_draft_is_not_saved_in_the_midst_of_a_reply(store):
    talk = store.sessions.draft("Ideas")
    with talk.reply() as reply:
        reply.add("all of it")
        with pytest.raises(errors.Refused):
            talk.save()
    talk.save()
    assert [(m.content, m.partial) for m in all_of(store, talk.id)] == [
        ("all of it", False)
    ]


def test_a_draft_has_the_limits_of_its_store(path):
    with holdfast.open(path, limits=Limits(value_bytes=10, batch=3)) as store:
        talk = store.sessions.draft("Ideas")
        with pytest.raises(errors.TooLarge):
            talk.send("x" * 20)
        for number in range(10):
            talk.send(number)
        talk.save()
        assert said(talk.get_messages()) == list(range(10))
        assert moments_since(store, 0) == 1


def test_what_is_said_while_a_draft_is_saved_is_said_after_it_or_with_it(path):
    with holdfast.open(path) as store:
        for _ in range(5):
            talk = store.sessions.draft("Ideas")
            together = threading.Barrier(5)

            def speak(number, talk=talk, together=together):
                together.wait()
                for count in range(20):
                    talk.send([number, count])

            threads = [threading.Thread(target=speak, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            together.wait()
            talk.save()
            for thread in threads:
                thread.join()
            there = said(all_of(store, talk.id))
            assert sorted(there) == [[n, c] for n in range(4) for c in range(20)]


def test_what_is_awaited_while_a_draft_is_saved_is_there(path):
    async def work():
        async with holdfast.aopen(path) as store:
            talk = await store.sessions.draft("Ideas")

            async def speak(number):
                for count in range(20):
                    await talk.send([number, count])
                    await asyncio.sleep(0)

            await asyncio.gather(*(speak(n) for n in range(4)), talk.save())
            await talk.save()
            there = said([message async for message in talk])
            assert sorted(there) == [[n, c] for n in range(4) for c in range(20)]

    asyncio.run(work())


def test_a_draft_is_read_to_its_end_though_it_is_saved_meanwhile(path):
    with holdfast.open(path, limits=Limits(page=2)) as store:
        talk = store.sessions.draft("Ideas")
        for number in range(5):
            talk.send(number)
        reading = iter(talk)
        first = next(reading)
        talk.save()
        assert said([first, *reading]) == list(range(5))

    async def work():
        async with holdfast.aopen(path, limits=Limits(page=2)) as store:
            talk = await store.sessions.draft("Ideas")
            for number in range(5):
                await talk.send(number)
            reading = aiter(talk)
            first = await anext(reading)
            asked = asyncio.create_task(talk.get_messages())
            await talk.save()
            assert said(await asked) == list(range(5))
            assert said([first, *[one async for one in reading]]) == list(range(5))

    asyncio.run(work())


def test_a_draft_that_nobody_has_any_more_leaves_nothing(path):
    with holdfast.open(path) as store:
        talk = store.sessions.draft("Ideas")
        with talk.reply() as reply:
            reply.add("lost")
            time.sleep(1)  # a thread of the store in memory has written it down there
        del talk, reply
        gc.collect()
        names = [thread.name for thread in threading.enumerate()]
        assert not [name for name in names if name.startswith("holdfast-")]
        assert len(store.sessions.list()) == 0


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_draft_of_a_process_that_was_killed_is_saved_whole_or_not_at_all(
    engine, tmp_path
):
    def work(say):
        store = holdfast.open(target)
        for number in itertools.count():
            talk = store.sessions.draft("Ideas", id=f"draft-{number}")
            for line in range(20):
                talk.send(line)
            say(f"drafted {number}")
            talk.save()
            say(f"saved {number}")

    with store_on(engine, tmp_path) as target:
        for waited in (3, 8):
            worker = Worker(work)
            try:
                worker.wait_for(waited)
                lines = worker.kill()
            finally:
                worker.close()
            with holdfast.open(target) as store:
                assert store.check().problems == ()
                there = {session.id for session in store.sessions.list(limit=1_000)}
                assert all(len(all_of(store, id)) == 20 for id in there)
                saved = {
                    f"draft-{line.split()[1]}" for line in lines if "saved" in line
                }
                assert saved <= there
                for id in there:
                    store.sessions.delete(id)
