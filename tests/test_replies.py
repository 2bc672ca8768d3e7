"""Replies: written while they come, whole at their end, and never lost from a crash."""

import asyncio
import itertools
import random
import threading
import time

import pytest

import holdfast
from conftest import store_on
from examples import dump
from holdfast import Limits, errors
from holdfast.runtime.sessions.replying import Beat
from killing import Worker

STATED_SECONDS = 1.0
"""How long text may take to be in the store; with patience for a busy machine below."""
_PATIENCE_SECONDS = 5.0


class Interrupted(BaseException):
    """What ends a block without being its fault."""


@pytest.fixture
def talk(store):
    """The sessions of a store that has one, called `talk`, with a question in it."""
    store.sessions.create(id="talk")
    store.sessions.append("talk", "user", "Where to?")
    return store.sessions


def newest(sessions, id="talk"):
    return sessions.messages(id, 1)[0]


def parts(store):
    return [row["text"] for row in dump(store)["message_part"]]


def until(so):
    """Wait for something that another thread brings about; how long it took."""
    started = time.monotonic()
    while not so():
        assert time.monotonic() - started < _PATIENCE_SECONDS, "it never came"
        time.sleep(0.01)
    return time.monotonic() - started


def test_a_reply_takes_its_place_at_once_and_is_whole_at_its_end(store, talk):
    with talk.reply("talk", metadata={"model": "m"}) as reply:
        begun = newest(talk)
        assert begun == reply.message
        assert (begun.content, begun.partial, begun.role) == ("", True, "assistant")
        talk.append("talk", "user", "Are you there?")
        for delta in ("To ", "", "Rome", "."):
            reply.add(delta)
        assert reply.text == "To Rome."
    _, said, _ = talk.history("talk")
    assert said == reply.message
    assert (said.id, said.position, said.content) == (begun.id, 2, "To Rome.")
    assert (said.partial, said.metadata) == (False, {"model": "m"})
    assert parts(store) == []


def test_a_block_that_raises_leaves_what_came_marked_as_partial(store, talk):
    for error in (ValueError("no"), Interrupted()):
        with pytest.raises(type(error)) as raised, talk.reply("talk") as reply:
            reply.add("To ")
            reply.add("Ro")
            raise error
        assert raised.value is error
        said = newest(talk)
        assert (said.id, said.content, said.partial) == (
            reply.message.id,
            "To Ro",
            True,
        )


def test_a_reply_that_broke_off_is_gone_on_with_or_ended(store, talk):
    with pytest.raises(ValueError), talk.reply("talk", message_id="r") as reply:
        reply.add("To ")
        raise ValueError
    with talk.reply("talk", message_id="r") as reply:
        assert reply.text == "To "
        reply.add("Rome")
    assert (newest(talk).content, newest(talk).partial) == ("To Rome", False)
    with pytest.raises(errors.AlreadyExists), talk.reply("talk", message_id="r"):
        pass
    talk.begin_reply("talk", text="To", message_id="s")
    talk.extend_reply("talk", "s", " Naples")
    assert parts(store) == ['" Naples"']
    assert talk.end_reply("talk", "s").content == "To Naples"
    assert parts(store) == []
    assert talk.end_reply("talk", "s").content == "To Naples"
    with pytest.raises(errors.Refused):
        talk.end_reply("talk", "s", "To Rome")
    with pytest.raises(errors.Refused):
        talk.extend_reply("talk", "s", "!")


def test_an_end_may_say_more_than_the_text_that_came(store, talk):
    with talk.reply("talk") as reply:
        reply.add("To Rome")
        whole = reply.end([{"text": reply.text}, {"tool": "book"}], metadata={"n": 7})
        with pytest.raises(errors.Refused):
            reply.add("!")
    assert newest(talk) == whole
    assert (whole.content[1], whole.metadata) == ({"tool": "book"}, {"n": 7})


def test_what_came_is_read_wherever_messages_are_read(store, talk):
    talk.begin_reply("talk", text="one ", message_id="r")
    moments = []
    for piece in ("two ", "three ", "four"):
        talk.extend_reply("talk", "r", piece)
        moments.append(store.moment())
    text = "one two three four"
    assert newest(talk).content == text
    assert list(talk.history("talk"))[-1].content == text
    assert talk.messages("talk", 5, after=1)[0].content == text
    assert talk.context("talk").messages[-1].content == text
    assert talk.extend("talk", [{"role": "assistant", "content": text, "id": "r"}])
    talk.end_reply("talk", "r", "all of it")
    assert newest(talk).content == "all of it"
    then = [newest(store.as_of(moment).sessions) for moment in moments]
    assert [said.content for said in then] == [
        "one two ",
        "one two three ",
        "one two three four",
    ]
    assert all(said.partial for said in then)
    assert newest(store.as_of(store.moment()).sessions) == newest(talk)


def test_a_piece_that_is_sent_again_is_kept_once(store, talk):
    talk.begin_reply("talk", text="é", message_id="r")
    assert talk.extend_reply("talk", "r", "bc", at=1) == 3
    assert talk.extend_reply("talk", "r", "bc", at=1) == 3
    assert talk.extend_reply("talk", "r", "bcd", at=1) == 4
    for at, text in ((2, "x"), (9, "x"), (1, "x"), (0, "é")):
        with pytest.raises(errors.Conflict) as raised:
            talk.extend_reply("talk", "r", text, at=at)
        assert (raised.value.expected, raised.value.found) == (at, 4)
    assert newest(talk).content == "ébcd"
    assert talk.begin_reply("talk", message_id="r").content == "ébcd"
    for again in ("bcd", "bcde", "bcde", "bcdefg"):
        assert talk.extend_reply("talk", "r", again, at=1) == 1 + len(again)
    assert newest(talk).content == "ébcdefg"


def test_the_version_moves_at_the_beginning_and_at_the_end(store, talk):
    before = talk.get("talk").version
    talk.begin_reply("talk", message_id="r")
    talk.extend_reply("talk", "r", "Rome")
    assert talk.get("talk").version == before + 1
    talk.end_reply("talk", "r")
    assert talk.get("talk").version == before + 2


@pytest.mark.parametrize("leave", ["pop", "clear", "delete"])
def test_what_came_leaves_with_its_message(store, talk, leave):
    talk.begin_reply("talk", message_id="r")
    talk.extend_reply("talk", "r", "Rome")
    assert parts(store) == ['"Rome"']
    taken = getattr(talk, leave)("talk")
    assert parts(store) == []
    if leave == "pop":
        assert taken.content == "Rome"
    with pytest.raises(errors.NotFound):
        talk.extend_reply("talk", "r", "!", at=4)


def test_two_replies_at_once_in_one_session_keep_apart(store, talk):
    with talk.reply("talk") as one, talk.reply("talk", "critic") as other:
        for number in range(20):
            one.add(f"a{number} ")
            other.add(f"b{number} ")
    _, first, second = talk.history("talk")
    assert first.content == "".join(f"a{number} " for number in range(20))
    assert second.content == first.content.replace("a", "b")
    assert (first.role, second.role) == ("assistant", "critic")


def test_a_lease_is_carried_by_every_write_of_a_reply(store, talk, clock):
    with store.lease("sessions", "talk", seconds=10) as lease:
        with pytest.raises(errors.Held), talk.reply("talk"):
            pass
        own = lease.store.sessions
        with own.reply("talk") as reply:
            reply.add("mine")
        with pytest.raises(errors.Fenced), own.reply("talk") as reply:
            reply.add("late")
            clock.advance(11)
    assert (newest(talk).content, newest(talk).partial) == ("", True)


def test_what_cannot_be_added_is_refused_and_the_reply_goes_on(store, talk):
    with talk.reply("talk") as reply:
        reply.add("a")
        for wrong, error in (
            (b"b", errors.WrongType),
            (None, errors.WrongType),
            ("\ud800", errors.NotStorable),
        ):
            with pytest.raises(error):
                reply.add(wrong)
        reply.add("\x00c")
    assert newest(talk).content == "a\x00c"


def test_nul_and_every_kind_of_text_is_read_while_it_is_partial(store, talk):
    text = 'a\x00b "quoted" \\ 🙂\n\u2028'
    talk.begin_reply("talk", message_id="r")
    for character in text:
        talk.extend_reply("talk", "r", character)
    assert newest(talk).content == text


def test_a_reply_has_a_largest_size(path):
    with holdfast.open(path, limits=Limits(value_bytes=100)) as store:
        store.sessions.create(id="talk")
        with store.sessions.reply("talk") as reply:
            reply.add("a" * 98)
            with pytest.raises(errors.TooLarge):
                reply.add("b")
        assert newest(store.sessions).content == "a" * 98


def test_a_reply_that_is_gone_on_with_has_the_same_largest_size(path):
    with holdfast.open(path, limits=Limits(value_bytes=100)) as store:
        store.sessions.create(id="talk")
        store.sessions.begin_reply("talk", text="☃" * 32, message_id="r")
        with store.sessions.reply("talk", message_id="r") as reply:
            reply.add("bc")
            with pytest.raises(errors.TooLarge):
                reply.add("d")
        assert newest(store.sessions).content == "☃" * 32 + "bc"


def test_a_reply_of_no_session_never_begins(store):
    with pytest.raises(errors.NotFound), store.sessions.reply("nobody"):
        pass


# In real time: what nobody asks for, a thread or the loop's timer writes down.


@pytest.mark.parametrize("engine", ["memory", "file", "postgres"])
def test_a_stalled_reply_is_in_the_store_within_the_stated_time(engine, tmp_path):
    with store_on(engine, tmp_path) as target, holdfast.open(target) as store:
        store.sessions.create(id="talk")
        with store.sessions.reply("talk") as reply:
            for piece in ("one ", "two "):
                reply.add(piece)
                wanted = reply.text
                took = until(
                    lambda wanted=wanted: newest(store.sessions).content == wanted
                )
                assert took < STATED_SECONDS * 2


@pytest.mark.parametrize("engine", ["memory", "file", "postgres"])
def test_a_stalled_reply_is_there_in_time_on_an_event_loop(engine, tmp_path):
    async def stall(target):
        async with holdfast.aopen(target) as store:
            await store.sessions.create(id="talk")
            async with store.sessions.reply("talk") as reply:
                for piece in ("one ", "two "):
                    await reply.add(piece)
                    await asyncio.sleep(STATED_SECONDS)
                    (said,) = await store.sessions.messages("talk")
                    assert (said.content, said.partial) == (reply.text, True)

    with store_on(engine, tmp_path) as target:
        asyncio.run(stall(target))


def test_pieces_that_leave_the_loop_no_time_are_written_down_all_the_same(path):
    async def hurry():
        async with holdfast.aopen(path) as store:
            await store.sessions.create(id="talk")
            async with store.sessions.reply("talk") as reply:
                began = time.monotonic()
                while time.monotonic() - began < STATED_SECONDS * 1.5:
                    await reply.add("x")  # and nothing else is ever awaited
                said = store.sync.sessions.messages("talk")[0]
                assert said.partial
                assert 0 < len(said.content) <= len(reply.text)

    asyncio.run(hurry())


def test_writes_are_few_however_many_the_pieces_are(path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        before = store.moment()
        with store.sessions.reply("talk") as reply:
            began = time.monotonic()
            while time.monotonic() - began < 1.2:
                reply.add("token ")
                time.sleep(0.001)
        written = list(store.journal.read(after=before, limit=1_000))
        assert len({change.moment for change in written}) <= 2 + 3


def test_a_cancelled_reply_leaves_what_came(path):
    async def cancel(say):
        async with holdfast.aopen(path) as store:
            await store.sessions.create(id="talk")

            async def stream():
                async with store.sessions.reply("talk") as reply:
                    await reply.add("as far as this")
                    say.set()
                    await asyncio.Event().wait()

            for times in (1, 3):
                say.clear()
                task = asyncio.create_task(stream())
                await say.wait()
                for _ in range(times):
                    task.cancel()
                    await asyncio.sleep(0)
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(cancel(asyncio.Event()))
    with holdfast.open(path) as store:
        said = store.sessions.messages("talk")
        assert [(m.content, m.partial) for m in said] == [("as far as this", True)] * 2


def kept_busy(path, stream, meanwhile):
    """Run `stream` in a reply whose write waits for another, and then `meanwhile`."""

    async def run():
        async with holdfast.aopen(path) as store:
            await store.sessions.create(id="talk")

            async def replying():
                async with store.sessions.reply("talk") as reply:
                    await reply.add("one ")
                    began.set()
                    await stream(reply)

            began = asyncio.Event()
            task = asyncio.create_task(replying())
            await began.wait()
            with holdfast.open(path) as other, other.transaction():
                await asyncio.sleep(STATED_SECONDS)
                await meanwhile(task)
            await asyncio.wait([task])
            sessions = store.sync.sessions
            await asyncio.to_thread(
                until, lambda: newest(sessions).content not in {"", "one "}
            )
            return task, newest(sessions)

    return asyncio.run(run())


def test_a_reply_cancelled_over_and_over_in_a_write_leaves_all_that_came(path):
    async def stream(reply):
        await asyncio.sleep(STATED_SECONDS * 0.75)
        await reply.add("two")
        await asyncio.Event().wait()

    async def cancel(task):
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0)

    task, said = kept_busy(path, stream, cancel)
    assert task.cancelled()
    assert (said.content, said.partial) == ("one two", True)


def test_an_end_that_was_cancelled_under_way_is_the_end(path):
    async def stream(reply):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reply.end("one way"), STATED_SECONDS / 2)

    async def wait(task):
        assert not task.done()

    task, said = kept_busy(path, stream, wait)
    assert task.exception() is None
    assert (said.content, said.partial) == ("one way", False)


def test_what_comes_while_the_end_is_written_is_refused(path):
    async def stream(reply):
        await reply.add("two")
        ending = asyncio.create_task(reply.end())
        await asyncio.sleep(STATED_SECONDS / 2)
        while not ending.done():
            with pytest.raises(errors.Refused):
                await reply.add("lost")
            await asyncio.sleep(0.01)
        await ending

    task, said = kept_busy(path, stream, lambda task: asyncio.sleep(0))
    assert task.exception() is None
    assert (said.content, said.partial) == ("one two", False)


def test_an_end_that_failed_may_be_tried_again_on_a_loop(path):
    async def try_twice():
        async with holdfast.aopen(path) as store:
            await store.sessions.create(id="talk")
            async with store.sessions.reply("talk") as reply:
                await reply.add("one ")
                async with store.lease("sessions", "talk"):
                    with pytest.raises(errors.Held):
                        await reply.end()
                await reply.add("two")
                assert (await reply.end()).content == "one two"
                with pytest.raises(errors.Refused):
                    await reply.end("three")

    asyncio.run(try_twice())


def test_a_timeout_within_a_reply_leaves_what_came(path):
    async def wait():
        async with holdfast.aopen(path) as store:
            await store.sessions.create(id="talk")
            with pytest.raises(TimeoutError):
                async with store.sessions.reply("talk") as reply:
                    await reply.add("so far")
                    async with asyncio.timeout(0.01):
                        await asyncio.Event().wait()
            (said,) = await store.sessions.messages("talk")
            assert (said.content, said.partial) == ("so far", True)

    asyncio.run(wait())


def _raised_by_adding(reply):
    """What goes wrong in the background comes out at an `add`."""

    def added():
        try:
            reply.add("x")
        except errors.HoldfastError as error:
            raised.append(error)
        return bool(raised)

    raised = []
    until(added)
    return raised[0]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda store: store.sessions.delete("talk"), errors.NotFound),
        (lambda store: store.sessions.pop("talk"), errors.NotFound),
        (
            lambda store: store.leases.acquire(
                "sessions", "talk", holder="other", seconds=60
            ),
            errors.Held,
        ),
        (lambda store: store.close(), errors.Closed),
    ],
    ids=["deleted", "popped", "held", "closed"],
)
def test_what_goes_wrong_in_the_background_is_told(path, spoil, error):
    store = holdfast.open(path)
    store.sessions.create(id="talk")
    with pytest.raises(ValueError) as raised, store.sessions.reply("talk") as reply:
        reply.add("so far")
        spoil(store)
        assert type(_raised_by_adding(reply)) is error
        raise ValueError
    assert error.__name__ in raised.value.__notes__[0]
    store.close()


def test_what_went_wrong_in_the_background_is_told_on_a_loop(path):
    async def told():
        async with holdfast.aopen(path) as store:
            await store.sessions.create(id="talk")
            with pytest.raises(errors.NotFound):
                async with store.sessions.reply("talk") as reply:
                    await reply.add("so far")
                    await store.sessions.delete("talk")
                    for _ in range(200):
                        await asyncio.sleep(0.01)
                        await reply.add("x")

    asyncio.run(told())


def test_a_write_that_could_not_be_done_is_done_when_it_can(path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        with store.sessions.reply("talk") as reply:
            reply.add("so ")
            with store.lease("sessions", "talk"):
                assert type(_raised_by_adding(reply)) is errors.Held
                time.sleep(STATED_SECONDS * 1.2)  # it was tried again, in vain
            until(lambda: newest(store.sessions).content == reply.text)
            reply.add("far")
        assert newest(store.sessions).content == reply.text


def test_a_failure_is_not_told_while_the_write_is_tried_again(path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        with store.sessions.reply("talk") as reply, store.lease("sessions", "talk"):
            reply.add("so ")
            time.sleep(STATED_SECONDS * 1.2)  # it was tried, in vain
            with store.transaction():
                until(lambda: reply._in_flight)
                reply.add("far")
        assert newest(store.sessions).content == "so far"


def test_a_write_that_could_not_be_done_is_done_later_on_a_loop(path):
    async def held_for_a_while():
        async with holdfast.aopen(path) as store:
            await store.sessions.create(id="talk")
            async with store.sessions.reply("talk") as reply:
                await reply.add("so far")
                async with store.lease("sessions", "talk"):
                    await asyncio.sleep(STATED_SECONDS * 1.2)
                await asyncio.sleep(STATED_SECONDS)
                assert (await store.sessions.messages("talk"))[0].content == "so far"
                await reply.add(".")
            assert (await store.sessions.messages("talk"))[0].content == "so far."

    asyncio.run(held_for_a_while())


def test_the_end_within_a_transaction_is_refused_at_once(path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        with store.sessions.reply("talk") as reply:
            reply.add("so far")
            with store.transaction() as tx:
                tx.sessions.append("talk", "user", "meanwhile")
                time.sleep(STATED_SECONDS)  # a write is under way, behind this one
                with pytest.raises(errors.Refused):
                    reply.end()
        assert [m.content for m in store.sessions.history("talk")] == [
            "so far",
            "meanwhile",
        ]


def test_many_threads_share_one_thread_that_writes_down(path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        together = threading.Barrier(8)
        seen = []

        def stream(number):
            with store.sessions.reply("talk", message_id=f"r{number}") as reply:
                together.wait()
                names = [thread.name for thread in threading.enumerate()]
                seen.append(names.count("holdfast-replies"))
                for _ in range(10):
                    reply.add(f"{number}")
                together.wait()

        threads = [threading.Thread(target=stream, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [1] * 8
        said = {m.id: m.content for m in store.sessions.history("talk")}
        assert said == {f"r{n}": f"{n}" * 10 for n in range(8)}


# Killed in the midst of it.


def stream_forever(target, say):
    """Stream numbered tokens, and say when each was added."""
    store = holdfast.open(target)
    store.sessions.create(id="talk")
    with store.sessions.reply("talk", message_id="r") as reply:
        for number in itertools.count():
            reply.add(f"{number} ")
            say(f"{number} {time.monotonic()}")
            time.sleep(0.002)


def stream_on_a_loop(target, say):
    """As `stream_forever`, awaited."""

    async def stream():
        async with holdfast.aopen(target) as store:
            await store.sessions.create(id="talk")
            async with store.sessions.reply("talk", message_id="r") as reply:
                for number in itertools.count():
                    await reply.add(f"{number} ")
                    say(f"{number} {time.monotonic()}")
                    await asyncio.sleep(0.002)

    asyncio.run(stream())


@pytest.mark.parametrize("work", [stream_forever, stream_on_a_loop])
@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_killed_reply_is_there_as_far_as_a_second_before(engine, work, tmp_path):
    chance = random.Random(f"{engine} {work.__name__}")
    for round_number in range(2):
        folder = tmp_path / str(round_number)
        folder.mkdir()
        with store_on(engine, folder) as target:
            killed_once(target, work, chance.uniform(0.2, 1.8))


def killed_once(target, work, seconds):
    worker = Worker(lambda say: work(target, say))
    try:
        worker.wait_for(1)
        time.sleep(seconds)
        killed = time.monotonic()
        said = [line.split() for line in worker.kill()]
    finally:
        worker.close()
    sent = "".join(f"{number} " for number, _ in said)
    old = [n for n, at in said if float(at) < killed - STATED_SECONDS]
    with holdfast.open(target) as store:
        assert store.check().problems == ()
        there = newest(store.sessions)
        assert (there.partial, there.id) == (True, "r")
        assert f"{sent}{len(said)} ".startswith(there.content)
        assert len(there.content) >= len("".join(f"{number} " for number in old))
        with store.sessions.reply("talk", message_id="r") as reply:
            reply.add("and on")
        assert newest(store.sessions).content == f"{there.content}and on"
        assert not newest(store.sessions).partial


def test_a_reply_that_ends_otherwise_than_it_grew_needs_another_summary(talk):
    for id, said in (("kept", "To Rome."), ("changed", "To Oslo.")):
        talk.begin_reply("talk", text="To ", message_id=id)
        talk.extend_reply("talk", id, "Rome.")
        told = talk.summarize("talk", newest(talk).position, id)
        talk.end_reply("talk", id, said)
        assert (told in list(talk.summaries("talk"))) == (id == "kept")


def test_a_beat_that_is_stopped_as_it_clears_its_call_ends(monkeypatch):
    beat = Beat()
    clear = beat.wanted.clear

    def late():
        monkeypatch.setattr(beat._thread, "join", lambda: None)
        beat.stop()
        clear()

    monkeypatch.setattr(beat.wanted, "clear", late)
    beat.wanted.set()
    threading.Thread.join(beat._thread, timeout=10)
    assert not beat._thread.is_alive()
