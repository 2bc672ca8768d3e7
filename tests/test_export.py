"""Export and import: what leaves a store comes back on any other, equal, and once."""

import io
import itertools
import json
import os
import stat
import threading
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from conftest import store_on
from holdfast.errors import (
    BadInput,
    BrokenFile,
    CannotOpen,
    InvalidId,
    NotFound,
    NotStorable,
    Refused,
    StorageFull,
    TooLarge,
    WrongType,
)
from holdfast.importers.chat import import_chat
from holdfast.limits import Limits
from holdfast.runtime.transfer import admission

DATA = Path(
    os.environ.get(
        "HOLDFAST_TEST_DATA", Path(__file__).parents[2].joinpath("shared", "data")
    )
)
"""Files of other programs, which the project does not carry."""

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "book", "arguments": '{"seat": 4}'},
}


def said(text, **more):
    return {"role": "user", "content": text, **more}


def furnish(store, clock=None):
    """Sessions of every sort: long, empty, cleared, popped, forked, broken off."""
    sessions = store.sessions
    sessions.create("A plan", id="plan", tags=["work", "ü"], metadata={"week": [47]})
    sessions.extend("plan", [said(f"{n} ☃", id=f"m{n}") for n in range(1, 31)])
    sessions.append("plan", "assistant", None, metadata={"tool_calls": [CALL]})
    sessions.append("plan", "tool", {"ok": [1, 2.5, None]}, metadata={"of": "c1"})
    sessions.summarize("plan", 20, "twenty numbers")
    sessions.summarize("plan", 31, "more\nnumbers")
    sessions.create("A step", id="step", parent="plan", max_context_messages=7)
    sessions.update("step", status="paused")
    sessions.create("Empty", id="empty")
    sessions.create("Cleared", id="cleared")
    sessions.extend("cleared", [said("a"), said("b")])
    sessions.clear("cleared")
    sessions.append("cleared", "user", "c")
    sessions.create("Popped", id="popped")
    sessions.extend("popped", [said("a"), said("b"), said("cut off", partial=True)])
    sessions.pop("popped")
    sessions.append("popped", "user", "cut off here")
    sessions.extend("popped", [said("and he", partial=True)])
    if clock:
        clock.advance(60)
    sessions.fork("plan", at=12, title="Another way", new_id="fork")
    sessions.append("fork", "user", "thirteen")
    sessions.close("fork")


def records(store):
    """All that a store has of sessions, by id, as they are listed."""
    return {
        session.id: (
            session,
            [*store.sessions.history(session.id)],
            [*store.sessions.summaries(session.id)],
        )
        for session in store.sessions.list(limit=1000)
    }


def order(store):
    return [session.id for session in store.sessions.list(limit=1000)]


def exported(store, **which):
    file = io.BytesIO()
    store.sessions.export_to(file, **which)
    file.seek(0)
    return file


@pytest.fixture
def other(tmp_path):
    with holdfast.open(tmp_path / "other.db") as opened:
        yield opened
        assert opened.check().ok


# Round trips.


def test_what_is_exported_comes_back_equal_on_another_store(store, other, clock):
    furnish(store, clock)
    report = other.sessions.import_from(exported(store))
    assert records(other) == records(store)
    assert (report.sessions, report.sessions_added) == (6, 6)
    assert report.messages == report.added == 32 + 1 + 4 + 13
    assert (report.refused, report.differing, report.summaries_added) == ((), (), 2)
    assert order(other) == order(store)
    back = exported(other)
    head, rest = back.read().split(b"\n", 1)
    assert rest == exported(store).read().split(b"\n", 1)[1]
    assert json.loads(head)["format"] == "holdfast.sessions"


def test_what_is_imported_is_all_there(store, other):
    furnish(other)
    store.sessions.import_from(exported(other))
    assert records(store) == records(other)


def test_twice_adds_nothing(store, other):
    furnish(store)
    file = exported(store)
    other.sessions.import_from(file)
    before = other.moment()
    file.seek(0)
    report = other.sessions.import_from(file)
    assert other.moment() == before
    assert (report.sessions, report.sessions_added) == (6, 0)
    assert (report.added, report.already_there) == (0, report.messages)
    store.sessions.import_from(exported(other))
    assert records(store) == records(other)


def test_a_session_goes_on_after_it_was_imported(store, other):
    furnish(store)
    other.sessions.import_from(exported(store))
    version = other.sessions.get("cleared").version
    message = other.sessions.append("cleared", "user", "d", expect=version)
    assert message.position == store.sessions.append("cleared", "user", "d").position
    assert other.sessions.append("plan", "user", "1 ☃", message_id="m1").position == 1
    assert [s.id for s in other.sessions.list(tag="ü")] == ["fork", "plan"]
    assert [s.id for s in other.sessions.list(parent="plan")] == ["fork", "step"]


@pytest.mark.parametrize("leave", ["export", "render"])
def test_a_session_that_left_empty_goes_on_where_it_was(store, other, leave):
    store.sessions.create(id="plan")
    store.sessions.extend("plan", [said("a"), said("b")])
    store.sessions.clear("plan")
    for _ in range(2):
        file = exported(store)
        if leave == "render":
            file = io.BytesIO(store.sessions.render("plan", "json").encode())
        assert other.sessions.import_from(file).refused == ()
        assert records(other) == records(store)
        store.sessions.append("plan", "user", "c")
    assert other.sessions.append("plan", "user", "c").position == 4


def test_a_parent_that_is_not_in_the_file_is_kept(store, other):
    furnish(store)
    other.sessions.import_from(exported(store, id=["step", "fork"]))
    assert other.sessions.get("step").parent == "plan"
    assert other.sessions.get("step").orphaned
    other.sessions.import_from(exported(store, id="plan"))
    assert not other.sessions.get("step").orphaned
    assert records(other)["fork"] == records(store)["fork"]


def test_one_document_comes_back_too(store, other):
    furnish(store)
    for id in records(store):
        other.sessions.import_from(
            io.BytesIO(store.sessions.render(id, "json").encode())
        )
    assert records(other) == records(store)
    line = json.dumps(json.loads(store.sessions.render("plan", "json"))).encode()
    assert other.sessions.import_from(io.BytesIO(line)).added == 0


def test_an_owner_exports_his_own_and_imports_as_his_own(store, other):
    furnish(store.owned_by("ada"))
    store.sessions.create("not hers", id="mine")
    bob = other.owned_by("bob")
    bob.sessions.import_from(exported(store.owned_by("ada")))
    assert set(records(bob)) == set(records(store.owned_by("ada")))
    assert bob.sessions.get("plan").owner == "bob"
    assert other.owners() == ["bob"]


def test_a_large_session_is_taken_in_in_slices(store, other, monkeypatch):
    monkeypatch.setattr(admission, "BATCH_MESSAGES", 7)
    store.sessions.create(id="long")
    store.sessions.extend("long", [said(str(n)) for n in range(300)])
    report = other.sessions.import_from(exported(store))
    assert report.added == 300
    assert records(other) == records(store)


# What is exported.


def test_an_export_is_of_one_moment(path):
    with holdfast.open(path) as store:
        furnish(store)
        before = records(store)

        class Meddling(io.BytesIO):
            def write(self, text):
                store.sessions.append("plan", "user", "meanwhile")
                store.sessions.create()
                return super().write(text)

        file = Meddling()
        report = store.sessions.export_to(file)
        file.seek(0)
        with holdfast.open(":memory:") as other:
            other.sessions.import_from(file)
            assert records(other) == before
        assert report.moment < store.moment()


def test_the_past_can_be_exported(store, other):
    store.sessions.create(id="talk")
    store.sessions.append("talk", "user", "then")
    moment = store.moment()
    then = records(store)
    store.sessions.append("talk", "user", "now")
    report = store.as_of(moment).sessions.export_to(other_file := io.BytesIO())
    assert report.moment == moment
    other_file.seek(0)
    other.sessions.import_from(other_file)
    assert records(other) == then
    with pytest.raises(Refused):
        store.as_of(moment).sessions.import_from(io.BytesIO(other_file.getvalue()))


def test_a_path_has_the_file_when_it_is_whole(store, tmp_path):
    furnish(store)
    path = tmp_path / "talks.jsonl"
    path.write_text("before")
    with pytest.raises(NotFound):
        store.sessions.export_to(path, id=["plan", "nobody"])
    assert path.read_text() == "before"
    report = store.sessions.export_to(str(path), id=["plan", "plan"])
    assert (report.sessions, report.messages) == (1, 32)
    assert report.bytes == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if "talks" in p.name] == ["talks.jsonl"]
    lines = path.read_text().splitlines()
    assert [json.loads(line).get("type") for line in lines[:3]] == [
        None,
        "session",
        "message",
    ]
    assert json.loads(lines[-1]) == {"type": "end", "sessions": 1, "messages": 32}


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    with holdfast.open(tmp_path / "agent.db") as store:
        furnish(store)
        with pytest.raises(CannotOpen, match="nothing was exported"):
            store.sessions.export_to(tmp_path / "no" / "talks.jsonl")
        with pytest.raises(CannotOpen, match="nothing was exported"):
            store.sessions.export_to(tmp_path)
        for suffix in ("", "-wal", "-shm"):
            own = f"{tmp_path / 'agent.db'}{suffix}"
            with pytest.raises(BadInput, match="own file"):
                store.sessions.export_to(own)
            with pytest.raises(BadInput, match="own file"):
                store.sessions.import_from(own)
        with pytest.raises(WrongType, match="target"):
            store.sessions.export_to(io.StringIO())
        with pytest.raises(WrongType, match="id"):
            store.sessions.export_to(io.BytesIO(), id=3)
        with pytest.raises(WrongType, match="source"):
            store.sessions.import_from(io.StringIO())
        with pytest.raises(CannotOpen, match="nothing was imported"):
            store.sessions.import_from(tmp_path / "nothing.jsonl")
        assert store.sessions.get("plan").message_count == 32


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_leaves_what_was_there(store, tmp_path, monkeypatch):
    furnish(store)
    path = tmp_path / "talks.jsonl"
    path.write_text("before")
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(os, "fsync", _filling(full))
    with pytest.raises(StorageFull, match="nothing was exported"):
        store.sessions.export_to(path)
    os.close(full)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir() if "talks" in p.name] == ["talks.jsonl"]


def _filling(full):
    """A sync that finds the disk full, as `write` to `full` does."""

    def sync(number):
        os.write(full, b"x")

    return sync


def test_a_raw_file_and_a_pipe_will_do(store, other, tmp_path):
    furnish(store)
    with open(tmp_path / "raw", "wb", buffering=0) as file:
        store.sessions.export_to(file)
    reader, writer = os.pipe()

    def pour():
        with open(writer, "wb") as end:
            end.write((tmp_path / "raw").read_bytes())

    pouring = threading.Thread(target=pour)
    pouring.start()
    with open(reader, "rb") as file:
        other.sessions.import_from(file)
    pouring.join()
    assert records(other) == records(store)


def test_what_only_looks_like_a_file_is_written_once(store, other):
    class Saying:
        """As a file over a network may be: `write` does not say how much it took."""

        taken = b""

        def write(self, text):
            self.taken += text

    furnish(store)
    file = Saying()
    report = store.sessions.export_to(file)
    assert len(file.taken) == report.bytes
    other.sessions.import_from(io.BytesIO(file.taken))
    assert records(other) == records(store)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes")
def test_a_pipe_at_a_path_is_not_replaced_by_a_file(store, tmp_path):
    furnish(store)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(CannotOpen, match="nothing was exported"):
        store.sessions.export_to(path)
    assert stat.S_ISFIFO(path.stat().st_mode)


# What is there already.


def test_messages_that_are_missing_at_the_end_are_added(store, other):
    furnish(store)
    other.sessions.import_from(exported(store))
    store.sessions.extend("plan", [said("more"), said("and more")])
    store.sessions.summarize("plan", 33, "and so on")
    store.sessions.update("plan", title="A better plan")
    report = other.sessions.import_from(exported(store))
    assert (report.added, report.sessions_added, report.refused) == (2, 0, ())
    assert report.summaries_added == 1
    assert report.differing == ("plan",)
    assert other.sessions.get("plan").title == "A plan"
    assert records(other)["plan"][1:] == records(store)["plan"][1:]


def test_an_older_file_takes_nothing_away(store, other):
    furnish(store)
    old = exported(store)
    other.sessions.import_from(old)
    other.sessions.append("plan", "user", "since then")
    before = records(other)
    old.seek(0)
    report = other.sessions.import_from(old)
    assert (report.added, report.refused) == (0, ())
    assert records(other) == before


def test_a_session_with_other_messages_is_left_as_it_is_and_told(store, other):
    furnish(store)
    other.sessions.import_from(exported(store))
    other.sessions.pop("plan")
    other.sessions.append("plan", "user", "otherwise")
    store.sessions.append("plan", "user", "as it was")
    other.sessions.delete("step")
    before = records(other)["plan"]
    report = other.sessions.import_from(exported(store))
    (refused,) = report.refused
    assert (refused.id, report.refused_count) == ("plan", 1)
    assert "another message at position 32" in refused.reason
    assert refused.place.startswith("line ")
    assert records(other)["plan"] == before
    assert report.sessions_added == 1
    assert records(other)["step"] == records(store)["step"]


def test_another_session_of_that_id_is_left_as_it_is(store, other, clock):
    furnish(store)
    other.sessions.create("Mine", id="plan")
    report = other.sessions.import_from(exported(store))
    assert [refused.id for refused in report.refused] == ["plan"]
    assert other.sessions.get("plan").message_count == 0
    assert report.sessions_added == 5


def test_a_session_that_was_cleared_since_is_left_as_it_is(store, other):
    furnish(store)
    other.sessions.import_from(exported(store))
    store.sessions.clear("plan")
    store.sessions.append("plan", "user", "anew")
    other.sessions.clear("step")
    other.sessions.clear("popped")
    before = records(other)
    report = other.sessions.import_from(exported(store))
    assert {refused.id for refused in report.refused} == {"plan", "popped"}
    assert records(other) == before


def test_a_held_session_is_left_out_and_told(store, other):
    furnish(store)
    other.sessions.import_from(exported(store))
    store.sessions.append("plan", "user", "more")
    with other.lease("sessions", "plan", holder="somebody"):
        report = other.sessions.import_from(exported(store))
        assert [refused.id for refused in report.refused] == ["plan"]
        assert "leased" in report.refused[0].reason
    assert other.sessions.import_from(exported(store)).added == 1


def test_a_session_that_goes_away_before_its_summaries_is_told(
    store, other, monkeypatch
):
    monkeypatch.setattr(admission, "BATCH_MESSAGES", 33)
    furnish(store)
    file = exported(store, id="plan")
    report = other.sessions.import_from(
        file, on_progress=lambda *_: other.sessions.delete("plan")
    )
    (refused,) = report.refused
    assert (refused.id, refused.place) == ("plan", "line 35")
    assert other.sessions.import_from(exported(store)).refused == ()
    assert records(other) == records(store)


def test_an_import_that_broke_off_is_finished_by_the_next(store, other, monkeypatch):
    monkeypatch.setattr(admission, "BATCH_MESSAGES", 7)
    furnish(store)
    store.sessions.create(id="long")
    store.sessions.extend("long", [said(str(n)) for n in range(300)])

    class Breaking(io.BytesIO):
        def readline(self, size=-1):
            if other.sessions.list() and other.usage().tables["message"].rows > 100:
                raise KeyboardInterrupt
            return super().readline(size)

    with pytest.raises(KeyboardInterrupt):
        other.sessions.import_from(Breaking(exported(store).read()))
    there = other.usage().tables["message"].rows
    assert 0 < there < 300
    report = other.sessions.import_from(exported(store))
    assert report.already_there == there
    assert records(other) == records(store)


def test_progress_is_told(store, other):
    furnish(store)
    told = []
    other.sessions.import_from(exported(store), on_progress=lambda *n: told.append(n))
    read, total, messages = told[-1]
    assert read == total
    assert messages == 32 + 1 + 4 + 13
    assert [n[0] for n in told] == sorted(n[0] for n in told)


# Files that are not what they should be.

HEAD = {"format": "holdfast.sessions", "version": 1}
AT = "2026-01-01T00:00:00Z"
SESSION = {
    "type": "session",
    "id": "s",
    "created_at": AT,
    "updated_at": AT,
    "version": 2,
    "messages": 2,
}
FIRST, SECOND = (
    {"type": "message", "position": n, "id": f"m{n}", "role": "user", "content": "a"}
    | {"created_at": AT}
    for n in (1, 2)
)
END = {"type": "end", "sessions": 1, "messages": 2}
WHOLE = [HEAD, SESSION, FIRST, SECOND, END]
DEEP = b"[" * 100_000 + b"]" * 100_000


def lines(*records):
    return b"".join(
        (record if isinstance(record, bytes) else json.dumps(record).encode()) + b"\n"
        for record in records
    )


FAULTS = {
    "nothing": (b"", BrokenFile, 1),
    "an empty line": (b"\n", BrokenFile, 1),
    "another file": (b"SQLite format 3\x00\xff\xfe", BrokenFile, 1),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'true'\ntR.", BrokenFile, 1),
    "other JSON": (b"[1, 2, 3]\n", BrokenFile, 1),
    "another format": (lines({**HEAD, "format": "x"}), BrokenFile, 1),
    "another version": (lines({**HEAD, "version": 2}, *WHOLE[1:]), BrokenFile, 1),
    "no end": (lines(*WHOLE[:-1]), BrokenFile, 4),
    "cut within a line": (lines(*WHOLE[:3])[:-9], BrokenFile, 3),
    "a blank line": (lines(*WHOLE[:2], b"", *WHOLE[2:]), BrokenFile, 3),
    "more after the end": (lines(*WHOLE, SESSION), BrokenFile, 6),
    "no JSON": (lines(*WHOLE[:2], b"{'a': 1}"), BrokenFile, 3),
    "no UTF-8": (lines(*WHOLE[:2], b'{"type": "\xff"}'), BrokenFile, 3),
    "a NUL": (lines(*WHOLE[:2], b"\x00"), BrokenFile, 3),
    "deep": (lines(*WHOLE[:2], DEEP), BrokenFile, 3),
    "another type": (lines(HEAD, {**SESSION, "type": "task"}), BrokenFile, 2),
    "no type": (lines(HEAD, {"id": "s"}), BrokenFile, 2),
    "an unknown field": (lines(HEAD, {**SESSION, "x": 1}), BrokenFile, 2),
    "a naive time": (lines(HEAD, {**SESSION, "created_at": AT[:-1]}), BrokenFile, 2),
    "a number as id": (lines(HEAD, {**SESSION, "id": 1}), BrokenFile, 2),
    "a message first": (lines(HEAD, FIRST), BrokenFile, 2),
    "a message too few": (lines(HEAD, SESSION, FIRST, END), BrokenFile, 4),
    "one too few in it": (lines(HEAD, SESSION, FIRST, SESSION), BrokenFile, 4),
    "a position twice": (lines(HEAD, SESSION, FIRST, FIRST), BrokenFile, 4),
    "a gap": (lines(HEAD, SESSION, SECOND), BrokenFile, 3),
    "a message too many": (
        lines(HEAD, {**SESSION, "messages": 1, "version": 1}, FIRST, SECOND),
        BrokenFile,
        4,
    ),
    "position 0": (lines(HEAD, {**SESSION, "first": 0}), BrokenFile, 2),
    "a version below": (lines(HEAD, {**SESSION, "version": 1}), BrokenFile, 2),
    "another count": (lines(*WHOLE[:-1], {**END, "messages": 3}), BrokenFile, 5),
    "a summary too far": (
        lines(
            *WHOLE[:-1], {"type": "summary", "upto": 3, "text": "x", "created_at": AT}
        ),
        BrokenFile,
        5,
    ),
    "a document cut": (
        b'{"format": "holdfast.sessions", "version": 1,\n',
        BrokenFile,
        1,
    ),
    "a NUL in a title": (lines(HEAD, {**SESSION, "title": "\x00"}), NotStorable, 2),
    "a NUL in an id": (lines(HEAD, {**SESSION, "id": "\x00"}), InvalidId, 2),
    "a path as id": (lines(HEAD, {**SESSION, "id": "../x"}), InvalidId, 2),
    "no such status": (lines(HEAD, {**SESSION, "status": "x"}), WrongType, 2),
    "no such role": (lines(HEAD, SESSION, {**FIRST, "role": "a b"}), InvalidId, 3),
    "a deep value": (
        lines(HEAD, SESSION, {**FIRST, "content": json.loads("[" * 300 + "]" * 300)}),
        NotStorable,
        3,
    ),
    "a long title": (lines(HEAD, {**SESSION, "title": "x" * 20_000}), TooLarge, 2),
    "a large value": (
        lines(HEAD, SESSION, {**FIRST, "content": "x" * 200_000}),
        TooLarge,
        3,
    ),
    "a long line": (
        lines(HEAD, SESSION, {**FIRST, "content": "x" * 3_000_000}),
        BrokenFile,
        3,
    ),
    "a long first line": (b"x" * 3_000_000, BrokenFile, 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_line_and_nothing_is_written(name, path):
    text, error, line = FAULTS[name]
    with holdfast.open(path, limits=Limits(value_bytes=100_000)) as store:
        before = store.moment()
        with pytest.raises(error, match=f"line {line}: ") as raised:
            store.sessions.import_from(io.BytesIO(text))
        if error is BrokenFile:
            assert raised.value.line == line
        assert store.moment() == before


def test_a_whole_file_is_taken(store):
    """What the faults above are faults of."""
    report = store.sessions.import_from(io.BytesIO(lines(*WHOLE)))
    assert (report.added, report.refused) == (2, ())
    windows = lines(*WHOLE).replace(b"\n", b"\r\n").rstrip()
    assert store.sessions.import_from(io.BytesIO(windows)).already_there == 2


def test_an_id_that_is_there_twice_is_told(store):
    twice = lines(HEAD, SESSION, FIRST, {**FIRST, "position": 2}, END)
    report = store.sessions.import_from(io.BytesIO(twice))
    assert [refused.id for refused in report.refused] == ["s"]
    assert not store.sessions.list()


def test_a_damaged_file_is_taken_as_a_whole_or_not_at_all():
    text, owners = lines(*WHOLE), itertools.count()

    @settings(max_examples=300, deadline=None)
    @given(
        place=st.integers(0, len(text) - 1),
        cut=st.integers(0, 40),
        put=st.binary(max_size=12),
    )
    def damaged(place, cut, put):
        mine = store.owned_by(f"owner {next(owners)}")
        try:
            report = mine.sessions.import_from(
                io.BytesIO(text[:place] + put + text[place + cut :])
            )
        except BadInput:
            assert not mine.sessions.list()
        else:
            for session in mine.sessions.list():
                assert session.message_count == 2 or report.refused

    with holdfast.open(":memory:") as store:
        damaged()


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Sixteen megabytes of messages, and of sessions, in less than five."""
    with (
        holdfast.open(tmp_path / "a.db") as store,
        holdfast.open(tmp_path / "b.db") as other,
    ):
        store.sessions.create(id="large")
        for _ in range(32):
            store.sessions.extend("large", [said("x" * 4_000) for _ in range(100)])
        for n in range(400):
            store.sessions.create(id=f"s{n}", metadata={"x": "x" * 10_000})
        file = tmp_path / "talks.jsonl"
        tracemalloc.start()
        try:
            store.sessions.export_to(file)
            other.sessions.import_from(file)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert file.stat().st_size > 16_000_000
        assert peak < 6_000_000


# Other faces and engines.


def test_an_event_loop_goes_on_meanwhile(path, loop):
    with holdfast.open(path) as store:
        furnish(store)
        file = exported(store)

        class Waiting(io.BytesIO):
            def readline(self, size=-1):
                assert turned.wait(10), "the event loop stands still"
                return super().readline(size)

        turned = threading.Event()

        async def work():
            loop.call_later(0.01, turned.set)
            return await store.aio.sessions.import_from(Waiting(file.getvalue()))

        assert loop.run_until_complete(work()).added == 0


def test_calls_from_inside_a_transaction_are_refused(path, loop):
    with holdfast.open(path) as store:
        with store.transaction(), pytest.raises(Refused):
            store.sessions.export_to(io.BytesIO())
        with store.transaction(), pytest.raises(Refused):
            store.sessions.import_from(io.BytesIO(lines(*WHOLE)))

        async def work():
            async with store.aio.transaction():
                with pytest.raises(Refused):
                    await store.aio.sessions.export_to(io.BytesIO())
                with pytest.raises(Refused):
                    await store.aio.sessions.import_from(io.BytesIO(lines(*WHOLE)))

        loop.run_until_complete(work())


@pytest.mark.skipif(not DATA.joinpath("airline").exists(), reason="no data there")
@pytest.mark.parametrize("way", [("file", "postgres"), ("postgres", "file")])
def test_airline_transcripts_go_from_engine_to_engine(tmp_path, way):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        store_on(way[0], tmp_path / "a") as source,
        store_on(way[1], tmp_path / "b") as target,
        holdfast.open(source) as store,
        holdfast.open(target) as other,
    ):
        brought = import_chat(store, DATA / "airline" / "transcripts.json")
        store.sessions.export_to(tmp_path / "talks.jsonl")
        report = other.sessions.import_from(tmp_path / "talks.jsonl")
        assert report.added == brought.messages == 5_308
        assert (report.sessions_added, report.refused) == (200, ())
        assert records(other) == records(store)
        moment = other.moment()
        assert other.sessions.import_from(tmp_path / "talks.jsonl").added == 0
        assert other.moment() == moment


def test_admit_takes_in_a_session_as_it_was(store):
    at = datetime(2024, 2, 29, 12, tzinfo=UTC)
    made = store.sessions.admit("old", created_at=at, title="Old", first=3, version=9)
    assert (made.created_at, made.updated_at, made.version) == (at, at, 9)
    assert store.sessions.admit("old", created_at=at, title="Old") == made
    with pytest.raises(holdfast.errors.AlreadyExists):
        store.sessions.admit("old", created_at=at, title="New")
    with pytest.raises(holdfast.errors.AlreadyExists):
        store.sessions.admit("old", created_at=datetime.now(UTC), title="Old")
    for first, version in ((0, 5), (7, 5)):
        with pytest.raises(WrongType, match="first"):
            store.sessions.admit("x", created_at=at, first=first, version=version)
    (message,) = store.sessions.extend("old", [said("then", created_at=at)])
    assert (message.created_at, message.position) == (at, 3)
    assert store.sessions.get("old").version == 10
