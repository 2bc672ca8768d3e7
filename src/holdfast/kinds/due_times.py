"""Due times: when a recurring job is due next.

Answers for: the times of a cron text in a time zone, and those that come every so many
seconds; refusing what is no such text, and no such zone.
Leaves to others: reading cron texts (cronsim, which treats days on which clocks change
as Debian's cron does), what is done at these times (`firing`).
Always holds: no clock is read; the same rule has the same times, whoever asks, and from
whichever time on.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

import msgspec

from holdfast import edges
from holdfast.clock import to_datetime, to_us
from holdfast.errors import Refused, WrongType
from holdfast.limits import Limits

_CRON_CHARACTERS = 200
_CRON_FIELDS = 5
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}")
_LEAST_SECONDS = 0.1


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """When a job is due: by a cron text, or every so many microseconds since it began.

    To ask it for a time raises `Refused` or `BadInput` where that cannot be told:
    without cronsim, say, or on a machine that does not know the time zone.
    """

    cron: str | None
    every_us: int | None
    timezone: str = "UTC"
    begun_us: int = 0

    def after(self, at: int) -> int | None:
        """The first time that is later than another; None if there is none."""
        if self.every_us is not None:
            passed = max(at - self.begun_us, 0) // self.every_us
            return self.begun_us + (passed + 1) * self.every_us
        begin = to_datetime(at).astimezone(_zone_named(self.timezone))
        times = (to_us(time) for time in _times(self.cron or "", begin))
        try:
            return next((time for time in times if time > at), None)
        except OverflowError:  # past the year 9999
            return None

    def newest(self, known: int, upto: int) -> int:
        """The last time that is no later than `upto`; `known` is one of them."""
        while known < upto:
            middle = (known + upto) // 2
            time = self.after(middle)
            if time is not None and time <= upto:
                known = time
            else:
                upto = middle
        return known


def cron_of(value: object, name: str, limits: Limits) -> str:
    """A cron text: five fields, which come to a time now and then."""
    if not isinstance(value, str):
        raise edges.wrong_type(name, "a cron text", value)
    text = " ".join(value[: _CRON_CHARACTERS + 1].split())
    if len(value) > _CRON_CHARACTERS or len(text.split()) != _CRON_FIELDS:
        raise WrongType(
            f"{name}: {value[:80]!r} is no cron text (five fields: minute, hour, day "
            "of the month, month, day of the week)"
        )
    if Rule(cron=text, every_us=None).after(0) is None:
        raise WrongType(f"{name}: {text!r} never comes to a time")
    return text


def zone_of(value: object, name: str, limits: Limits) -> str:
    """The name of a time zone that this machine knows."""
    if not isinstance(value, str):
        raise edges.wrong_type(name, "the name of a time zone", value)
    try:
        _zone_named(value)
    except Refused as refused:
        raise WrongType(f"{name}: {refused}") from None
    return value


def every_of(value: object, name: str, limits: Limits) -> float:
    """How often: seconds, at least a tenth of one."""
    seconds = edges.seconds_of(value, name, limits)
    if seconds < _LEAST_SECONDS:
        raise WrongType(f"{name}: {seconds} is too often (at most every 0.1 seconds)")
    return seconds


def _times(cron: str, begin: datetime) -> Iterator[datetime]:
    """The times of a cron text, from somewhere around a time on."""
    try:
        from cronsim import CronSim, CronSimError  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as missing:
        raise Refused(
            f"cron texts need {missing.name}, which is not installed: "
            'pip install "holdfast[cron]"'
        ) from None
    try:
        yield from CronSim(cron, begin)
    except CronSimError as error:
        raise WrongType(f"cron: {cron!r} is no cron text ({error})") from None


def _zone_named(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    import zoneinfo  # noqa: PLC0415  # few need it

    try:
        if _ZONE.fullmatch(name):
            return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    if not zoneinfo.available_timezones():
        raise Refused(
            "this machine knows no time zones but UTC: install its tzdata, or "
            "pip install tzdata"
        )
    raise Refused(f"{name[:80]!r} is no time zone here (Europe/Berlin, say, is one)")
