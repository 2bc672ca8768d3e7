"""How people name a moment: each form, at the edges of days and of summer time."""

import os
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.cli.when import FORMS, when
from holdfast.errors import BadInput

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 21, 14, 30, 5, 123456, tzinfo=BERLIN)
"""A Saturday."""


def at(*parts, zone=BERLIN):
    """A time there, in UTC, as `when` gives it."""
    return datetime(*parts, tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("now", NOW),
        ("10 minutes ago", NOW - timedelta(minutes=10)),
        ("10 min ago", NOW - timedelta(minutes=10)),
        ("90s ago", NOW - timedelta(seconds=90)),
        ("1 second ago", NOW - timedelta(seconds=1)),
        ("2 h ago", NOW - timedelta(hours=2)),
        ("an hour ago", NOW - timedelta(hours=1)),
        ("a day ago", NOW - timedelta(days=1)),
        ("3 days ago", NOW - timedelta(days=3)),
        ("2 weeks ago", NOW - timedelta(days=14)),
        ("1w ago", NOW - timedelta(days=7)),
        ("9:00", at(2026, 11, 21, 9)),
        ("today 9:00", at(2026, 11, 21, 9)),
        ("today at 09:00:30", at(2026, 11, 21, 9, 0, 30)),
        ("today", at(2026, 11, 21)),
        ("yesterday", at(2026, 11, 20)),
        ("yesterday 18:00", at(2026, 11, 20, 18)),
        ("  Yesterday   AT 18:00 ", at(2026, 11, 20, 18)),
        ("monday 9:00", at(2026, 11, 16, 9)),
        ("monday", at(2026, 11, 16)),
        ("saturday", at(2026, 11, 21)),
        ("saturday 14:30", at(2026, 11, 21, 14, 30)),
        ("saturday 14:31", at(2026, 11, 14, 14, 31)),
        ("sunday 23:59", at(2026, 11, 15, 23, 59)),
        ("2026-11-20", at(2026, 11, 20)),
        ("2026-11-20 18:00", at(2026, 11, 20, 18)),
        ("2026-11-20T18:00:05.25", at(2026, 11, 20, 18, 0, 5, 250000)),
        ("2026-11-20T18:00Z", at(2026, 11, 20, 18, zone=UTC)),
        ("2026-11-20 18:00:05 UTC", at(2026, 11, 20, 18, 0, 5, zone=UTC)),
        ("2026-11-20 18:00+05:30", at(2026, 11, 20, 12, 30, zone=UTC)),
        ("@1234", 1234),
        ("1234", 1234),
        ("0", 0),
    ],
)
def test_each_form_names_a_time_or_a_number(text, found):
    assert when(text, NOW, BERLIN) == found
    if not isinstance(found, int):
        assert when(text, NOW, BERLIN).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["", " ", "tomorrow", "yesterdy", "10 minuts ago", "ten minutes ago", "10 minutes",
     "ago", "-5 minutes ago", "1.5 h ago", "3 months ago", "yesterday 25:00", "at 9:00",
     "5 ms ago", "5 minutess ago", "yesterday18:00", "yesterday 18", "9:60", "9 am",
     "next monday", "mon", "day", "now 9:00", "@", "@now",
     "12 34", "-1", "1e3", "2026-13-01", "2026-11-20 25:00",
     "0001-01-01", "99999999999999999999 days ago", "999999999999999 h ago",
     "\u0661\u0662", "\u0661 h ago", "Plan the week"],
)  # fmt: skip
def test_anything_else_is_refused_and_told_what_is_understood(text):
    with pytest.raises(BadInput) as error:
        when(text, NOW, BERLIN)
    assert repr(text) in str(error.value)
    assert FORMS in str(error.value)


def test_every_form_that_the_error_shows_is_understood():
    for form in FORMS.split(", "):
        text = form.removeprefix("or the number of a moment: ").partition(" (")[0]
        assert when(text, NOW, BERLIN) is not None


SPRING = datetime(2026, 3, 29, 12, tzinfo=BERLIN)
"""A Sunday: at 2:00 clocks went on to 3:00."""
AUTUMN = datetime(2026, 10, 25, 12, tzinfo=BERLIN)
"""A Sunday: at 3:00 clocks went back to 2:00."""


@pytest.mark.parametrize(
    ("text", "now", "found"),
    [
        ("24 hours ago", SPRING, at(2026, 3, 28, 11)),
        ("1 day ago", SPRING, at(2026, 3, 28, 12)),
        ("10 h ago", SPRING, at(2026, 3, 29, 1)),
        ("today", SPRING, at(2026, 3, 28, 23, zone=UTC)),
        ("today 1:59", SPRING, at(2026, 3, 29, 0, 59, zone=UTC)),
        ("today 2:30", SPRING, at(2026, 3, 29, 3, 30)),
        ("today 3:00", SPRING, at(2026, 3, 29, 1, zone=UTC)),
        ("sunday 2:30", SPRING, at(2026, 3, 29, 3, 30)),
        (
            "1 day ago",
            SPRING.replace(day=30, hour=2, minute=30),
            at(2026, 3, 29, 3, 30),
        ),
        ("24 hours ago", AUTUMN, at(2026, 10, 24, 13)),
        ("1 day ago", AUTUMN, at(2026, 10, 24, 12)),
        ("today 2:30", AUTUMN, at(2026, 10, 25, 0, 30, zone=UTC)),
        ("2026-10-25 02:30", AUTUMN, at(2026, 10, 25, 0, 30, zone=UTC)),
        ("2026-10-25 02:30+01:00", AUTUMN, at(2026, 10, 25, 1, 30, zone=UTC)),
        ("today 3:00", AUTUMN, at(2026, 10, 25, 2, zone=UTC)),
        ("1 h ago", AUTUMN.replace(hour=2, fold=1), at(2026, 10, 25, 0, zone=UTC)),
    ],
)
def test_days_are_the_clocks_and_hours_are_hours(text, now, found):
    assert when(text, now, BERLIN) == found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
def test_without_a_zone_it_is_the_machines(zone, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        for text in ("yesterday 18:00", "2026-07-01 18:00", "sunday", "3 days ago"):
            assert when(text, NOW) == when(text, NOW, ZoneInfo(zone))
    time.tzset()
    assert os.environ.get("TZ") != zone


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[0-9a-z:@ +-]{0,20}", fullmatch=True))
def test_no_text_raises_anything_else(text):
    try:
        found = when(text, NOW, BERLIN)
    except BadInput:
        return
    assert isinstance(found, (int, datetime))
