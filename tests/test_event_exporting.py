"""Events as files: one a day in UTC, whole or not at all, exported again or not."""

import json
import os
import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import CannotOpen, StorageFull, Unreachable, WrongType
from holdfast.events.exporting import export_days, folder_of
from holdfast.kinds.event_records import Event

BEGIN = datetime(2026, 11, 21, 22, tzinfo=UTC)


def event(at, data=None, name="task:created"):
    return Event(
        id=f"{at:%d%H%M%S%f}-1",
        at=at,
        name=name,
        level="info",
        owner="",
        source=None,
        session="s",
        correlation=None,
        data=data,
    )


def hourly(count, data=None):
    return (event(BEGIN + timedelta(hours=it), data) for it in range(count))


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_day_has_a_file_of_its_own(tmp_path):
    report = export_days(hourly(28, {"text": "é\n"}), tmp_path)
    found = files_in(tmp_path)
    days = ["events-2026-11-21.jsonl", "events-2026-11-22.jsonl",
            "events-2026-11-23.jsonl"]  # fmt: skip
    assert sorted(found) == list(report.files) == days
    assert [found[day].count(b"\n") for day in days] == [2, 24, 2]
    assert (report.events, report.bytes) == (28, sum(map(len, found.values())))
    first = json.loads(found[days[0]].splitlines()[0])
    assert first == {
        "id": first["id"], "at": "2026-11-21T22:00:00Z", "name": "task:created",
        "level": "info", "owner": "", "source": None, "session": "s",
        "correlation": None, "data": {"text": "é\n"},
    }  # fmt: skip


@given(st.lists(st.integers(0, 10 * 86_400 * 10**6), unique=True), st.data())
def test_what_is_exported_is_what_there_is(tmp_path_factory, offsets, data):
    folder = tmp_path_factory.mktemp("days")
    value = st.none() | st.text(max_size=3) | st.integers(-5, 5)
    events = [
        event(BEGIN + timedelta(microseconds=it), data.draw(value))
        for it in sorted(offsets)
    ]
    report = export_days(events, folder)
    back = [
        msgspec.json.decode(line, type=Event)
        for name in report.files
        for line in (folder / name).read_bytes().splitlines()
    ]
    assert back == events
    assert set(report.files) == set(files_in(folder))


def test_a_day_that_is_exported_again_is_replaced_and_others_are_left(tmp_path):
    export_days(hourly(28), tmp_path)
    before = files_in(tmp_path)
    report = export_days(islice(hourly(28, "again"), 2, 26), tmp_path)
    after = files_in(tmp_path)
    assert report.files == ("events-2026-11-22.jsonl",)
    changed = {name for name in after if after[name] != before[name]}
    assert (changed, after.keys()) == (set(report.files), before.keys())


def test_nothing_to_export_makes_no_file(tmp_path):
    report = export_days([], tmp_path)
    assert (report.files, report.events, report.bytes) == ((), 0, 0)
    assert files_in(tmp_path) == {}


def test_what_breaks_off_leaves_the_day_as_it_was(tmp_path):
    export_days(hourly(28), tmp_path)
    before = files_in(tmp_path)

    def breaking():
        yield from islice(hourly(28, "again"), 10)
        raise Unreachable("the server is gone")

    with pytest.raises(Unreachable):
        export_days(breaking(), tmp_path)
    after = files_in(tmp_path)
    assert after.keys() == before.keys()
    assert [it for it in after if after[it] != before[it]] == [
        "events-2026-11-21.jsonl"
    ]


def test_a_full_disk_leaves_the_day_as_it_was(tmp_path, monkeypatch):
    export_days(hourly(2), tmp_path)
    before = files_in(tmp_path)

    def sync(number):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(StorageFull, match=r"events-2026-11-21\.jsonl: the disk"):
        export_days(hourly(2, "again"), tmp_path)
    assert files_in(tmp_path) == before


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_nobody_else_can_read_what_is_exported(tmp_path):
    (name,) = export_days(hourly(2), tmp_path).files
    assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_the_folder_is_made_and_must_be_one(tmp_path):
    assert folder_of(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert folder_of(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotOpen, match="nothing was exported"):
        folder_of(tmp_path / "file")
    with pytest.raises(CannotOpen, match="nothing was exported"):
        folder_of(tmp_path / "file" / "below")
    with pytest.raises(WrongType, match="folder"):
        folder_of(5)


def test_memory_does_not_grow_with_what_is_exported(tmp_path):
    def many(count):
        return (
            event(BEGIN + timedelta(milliseconds=it), "x" * 500) for it in range(count)
        )

    export_days(many(10), tmp_path)
    tracemalloc.start()
    report = export_days(many(8_000), tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.bytes > 4_000_000
    assert peak < 1_000_000
