"""When: the words in which people name a moment, as a time or as a number.

Answers for: "yesterday 18:00", "10 minutes ago", ISO dates and times, moments' numbers.
Leaves to others: which moment of a store that is (`moments`).
Always holds: what is not understood whole is refused, never guessed. What names no zone
is local; a day without a time is its beginning; a time that clocks skip is later by as
much as they do, and of one that they show twice it is the first.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo

from holdfast.errors import BadInput

FORMS = (
    "now, 10 minutes ago, 3 days ago, 9:00, yesterday, yesterday 18:00, monday 9:00, "
    "2026-11-20, 2026-11-20 18:00 (where you are), 2026-11-20T18:00Z, or the number of "
    "a moment: 1234"
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DAYS_IN = {"d": 1, "w": 7}
_NUMBER = re.compile(r"@?(\d+)", re.ASCII)
_UNIT = r"(?P<unit>[smhdw]|(?:sec|second|min|minute|hour|day|week)s?)"
_AGO = re.compile(rf"(?P<count>\d+|an?) ?{_UNIT} ago", re.ASCII)
_CLOCK = r"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
_DAY = re.compile(rf"(?P<day>[a-z]*)(?:(?:^| )(?:at )?{_CLOCK})?", re.ASCII)
_UTC = re.compile(r" ?(?:utc|z)$")


def when(text: str, now: datetime, zone: tzinfo | None = None) -> datetime | int:
    """The time, or the number of the moment, that a text names.

    `zone` is where the reader is; None: where this machine is. Raises `BadInput`.
    """
    words = " ".join(text.lower().split())
    if number := _NUMBER.fullmatch(words):
        return int(number[1])
    here = now.astimezone(zone).replace(tzinfo=None)
    try:
        if ago := _AGO.fullmatch(words):
            return _ago(ago, now, zone)
        if words == "now":
            return now.astimezone(UTC)
        if words and (found := _DAY.fullmatch(words)):
            return _on(found, here, zone)
        written = _UTC.sub("+00:00", words)
        return _placed(datetime.fromisoformat(written), zone)
    except (ValueError, OverflowError):
        raise BadInput(
            f"{text!r} is no time that is understood here: {FORMS}"
        ) from None


def _ago(found: re.Match[str], now: datetime, zone: tzinfo | None) -> datetime:
    """So many hours before; or at the same time of the clock, so many days before."""
    count = int(found["count"]) if found["count"].isdigit() else 1
    unit = found["unit"][0]
    if unit in _SECONDS:
        return now.astimezone(UTC) - timedelta(seconds=count * _SECONDS[unit])
    here = now.astimezone(zone).replace(tzinfo=None)
    return _placed(here - timedelta(days=count * _DAYS_IN[unit]), zone)


def _on(found: re.Match[str], here: datetime, zone: tzinfo | None) -> datetime:
    """A time of the newest such day; of a day of the week, the newest that has been."""
    hour, minute, second = (int(part or 0) for part in found.group(2, 3, 4))
    time = here.replace(hour=hour, minute=minute, second=second, microsecond=0)
    if found["day"] in {"", "today", "yesterday"}:
        return _placed(time - timedelta(days=found["day"] == "yesterday"), zone)
    back = (here.weekday() - _DAYS.index(found["day"])) % 7
    if back == 0 and time > here:
        back = 7
    return _placed(time - timedelta(days=back), zone)


def _placed(at: datetime, zone: tzinfo | None) -> datetime:
    """A time in UTC; one that names no zone is the reader's."""
    if at.tzinfo is None and zone is not None:
        at = at.replace(tzinfo=zone)
    return at.astimezone(UTC)
