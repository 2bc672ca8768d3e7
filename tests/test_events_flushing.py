"""How events come to disk: nobody waits for their own thread, and figures add up.

Answers for: what a handler or a finalizer does amid writing, a disk that fails while
commits tell, an interrupt between two steps, looks at figures while all goes on.
"""

import threading

import pytest

import holdfast
from holdfast.clock import ManualClock
from holdfast.errors import StorageFull
from holdfast.events import memory
from holdfast.events.memory import Memory
from postgres import until
from test_events import every, names, threads_gone


@pytest.fixture
def small(path):
    limits = holdfast.Limits(event_pending=20, event_batch=5, event_seconds=60)
    with holdfast.open(path, limits=limits) as store:
        yield store


def amid_writing(store, monkeypatch, act):
    """Have something done by the thread that writes, once, amid that."""
    flusher, done = store._core.events._flusher, []
    real = flusher.run

    def run(work):
        if not done:
            done.append(threading.current_thread())
            act()
        return real(work)

    monkeypatch.setattr(flusher, "run", run)
    return done


def test_who_emits_amid_a_flush_waits_for_no_room(small, monkeypatch):
    def act():
        for number in range(30):
            small.events.emit("a:late", number)
        assert small.events.flush() == 0

    done = amid_writing(small, monkeypatch, act)
    small.events.emit("a:first")
    small.events.flush()
    assert done
    small.events.flush()
    assert names(every(small, "a:*")) == ["a:first"] + 30 * ["a:late"]


def test_a_store_that_is_closed_by_the_thread_that_writes_loses_nothing(
    path, monkeypatch
):
    store = holdfast.open(path)
    done = amid_writing(store, monkeypatch, store.close)
    for number in range(100):
        store.events.emit("a:n", number)
    until(lambda: store._core.events.over)
    assert done[0].name == "holdfast-events"
    threads_gone()
    with holdfast.open(path) as again:
        assert [event.data for event in every(again, "a:*")] == list(range(100))


def test_who_waits_is_woken_by_what_came_amid_a_change(path):
    with holdfast.open(path) as store:
        log, woken = store._core.events, []
        log.memory.wake_after(log.memory.count, lambda: woken.append(True))
        with log.memory.apart():  # as in a handler, amid a change by its own thread
            store.events.emit("a:late")
            assert not woken
        assert woken == [True]


def test_what_commits_tell_is_bounded_while_the_disk_fails(path, monkeypatch):
    monkeypatch.setattr(memory, "_WAITING_BYTES", 50_000)
    limits = holdfast.Limits(event_seconds=0.01, event_batch=5)
    with holdfast.open(path, limits=limits) as store:
        flusher = store._core.events._flusher

        def fail(work):
            raise StorageFull("no room")

        monkeypatch.setattr(flusher, "run", fail)
        for number in range(200):
            with store.transaction() as tx:
                tx.events.emit("a:large", {"n": number, "text": "x" * 1_000})
            if number == 20:
                until(lambda: flusher._troubled)
        figures = store.events.figures()
        assert figures.lost > 100
        assert figures.emitted == figures.waiting + figures.lost
        monkeypatch.undo()
        store.events.flush()
        told = [event.data["n"] for event in every(store, "a:*")]
        assert told == list(range(200 - len(told), 200))


def test_figures_add_up_at_every_look(path):
    with holdfast.open(path, limits=holdfast.Limits(event_batch=5)) as store:
        store.events.flush()
        done = threading.Event()

        def emits():
            for number in range(20_000):
                store.events.emit("a:n", number)
            done.set()

        thread = threading.Thread(target=emits)
        thread.start()
        looks = 0
        while not done.is_set():
            figures = store.events.figures()
            assert figures.emitted == figures.waiting + figures.written + figures.lost
            looks += 1
        thread.join()
        assert looks > 10


def test_what_an_interrupt_left_on_its_way_is_taken_again():
    held = Memory(ManualClock(), 100, 10, 1_000, lambda waiting: None)
    for number in range(6):
        held.put("", f"a:{number}", "info", None, None, None, "x")
    first, size = held.take(4, 1_000)
    assert ([name for _, _, name, *_ in first], size) == (
        ["a:0", "a:1", "a:2", "a:3"],
        4,
    )
    again, size = held.take(1_000, 1_000)
    assert ([name for _, _, name, *_ in again], size) == (
        [f"a:{n}" for n in range(6)],
        6,
    )
    held.gone(6, 0)
    assert (held.waiting, held.going, held.written, held.lost) == (0, 0, 6, 0)


def test_at_the_end_a_disk_that_fails_is_tried_once(path, monkeypatch, caplog):
    store, tries = holdfast.open(path), []

    def fail(work):
        tries.append(work)
        raise StorageFull("no room")

    monkeypatch.setattr(store._core.events._flusher, "run", fail)
    store.events.emit("a:n")
    store.close()
    assert len(tries) == 1
    assert "could not be written when" in caplog.text
    assert store.events.figures().lost > 0
