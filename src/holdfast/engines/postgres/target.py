"""Targets: what a PostgreSQL URL says, for libpq and for holdfast.

Answers for: taking holdfast's own options out of a URL, checking each, and a name of
the place that can be shown to anyone.
Leaves to others: connecting (links).
Always holds: a password is in no message and in no name of a place.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from holdfast.errors import CannotOpen

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_HOSTS = re.compile(r"(?:[^@:/,\[\]]*|\[[0-9A-Fa-f:.%]+\])(?::[0-9]*)?")
_OPTION = re.compile(r"[a-z_]+")
_POOL_MOST = 500
_PARTITIONS_MOST = 1024
_DIGITS_MOST = 20
_SECONDS_LEAST = 0.001
_SECONDS_MOST = 1_000_000
_RECONNECT_MOST = 1_800
"""Half of the time that receipts are kept, by which lost commits are looked up."""
_LIBPQ = {
    "application_name": "holdfast",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
"""What libpq is told, unless the URL says otherwise: a server that dies with its
machine says nothing, and is noticed by its silence."""


class Target(msgspec.Struct, frozen=True):
    """Where a store is, and how its connections are to be."""

    def __repr__(self) -> str:
        return f"Target({self.place!r})"

    conninfo: str
    place: str
    schema: str = "holdfast"
    pool_size: int = 10
    statement_timeout_seconds: float = 0.0
    reconnect_seconds: float = 30.0
    listen_url: str | None = None
    partitions: int = 0
    row_security: bool = False
    synchronous_commit: str = ""
    """What each transaction sets it to; empty to leave it as the server has it."""

    @property
    def pooled(self) -> bool:
        """Whether ordinary connections go through a pooler, as far as the URL says."""
        return self.listen_url is not None


def target_of(rest: str, *, read_only: bool) -> Target:
    """The target of a URL without its scheme. Raises `CannotOpen`.

    Options of holdfast's own are taken out; libpq gets the others.
    """
    parts = _parts(f"postgresql://{rest}")
    given = _options(parts.query)
    ours = {name: given.pop(name) for name in _OPTIONS if name in given}
    if not read_only:
        given.setdefault("target_session_attrs", "read-write")
    for name, value in _LIBPQ.items():
        given.setdefault(name, value)
    query = urlencode(given, quote_via=quote)
    conninfo = parts._replace(query=query).geturl()
    if not _is_readable(conninfo):
        raise _unreadable()
    options = {name: _OPTIONS[name](name, value) for name, value in ours.items()}
    schema = options.get("schema", "holdfast")
    where = parts.netloc.rpartition("@")[2] or given.get("host", "")
    place = f"postgresql://{where}{parts.path}?schema={schema}"
    return Target(conninfo, place, **options)


def _parts(url: str) -> SplitResult:
    """A URL's parts; refused if a secret could be where a place or a name should be."""
    with suppress(ValueError):  # which would show the URL, with all that is in it
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        if (
            all(_HOSTS.fullmatch(host) for host in hosts.split(","))
            and "@" not in user + parts.path + parts.fragment
            and not parts.fragment
        ):
            return parts
    raise _unreadable()


def _options(query: str) -> dict[str, str]:
    """A URL's options as libpq reads them, to whom a plus sign is no blank."""
    given = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    if all(_OPTION.fullmatch(name) for name in given):
        return given
    raise _unreadable()


def _is_readable(conninfo: str) -> bool:
    """Whether libpq can read it; what it says if not may have a password in it."""
    try:
        conninfo_to_dict(conninfo)
    except (psycopg.ProgrammingError, UnicodeError):
        return False
    return True


def _unreadable() -> CannotOpen:
    return CannotOpen(
        "the PostgreSQL URL cannot be read, or has an option that does not exist; its "
        "form is postgresql://user:password@host:5432/database?schema=agents, where "
        "signs such as @ / ? # % in a user or a password are percent-encoded"
    )


def _schema(name: str, value: str) -> str:
    if _IDENTIFIER.fullmatch(value) and not value.startswith("pg_"):
        return value
    raise CannotOpen(
        f"{name}={value[:60]!r} is no safe name for a schema: up to 40 of a-z, 0-9 "
        "and _, not beginning with a digit or pg_"
    )


def _count(most: int) -> Callable[[str, str], int]:
    def count(name: str, value: str) -> int:
        few = value.isascii() and value.isdigit() and len(value) < _DIGITS_MOST
        if few and 1 <= int(value) <= most:
            return int(value)
        raise CannotOpen(f"{name}={value[:60]!r} is not a number from 1 to {most}")

    return count


def _seconds(most: int) -> Callable[[str, str], float]:
    def seconds(name: str, value: str) -> float:
        with suppress(ValueError):
            if _SECONDS_LEAST <= (found := float(value)) <= most:
                return found
        raise CannotOpen(
            f"{name}={value[:60]!r} is not a number of seconds from {_SECONDS_LEAST} "
            f"to {most}"
        )

    return seconds


def _switch(name: str, value: str) -> bool:
    if value not in {"on", "off"}:
        raise CannotOpen(f"{name}={value[:60]!r} is neither on nor off")
    return value == "on"


def _url(name: str, value: str) -> str:
    if value.startswith(("postgresql://", "postgres://")) and _is_readable(value):
        return value
    raise CannotOpen(f"{name}= is not a postgresql:// URL")


_OPTIONS: dict[str, Callable[[str, str], Any]] = {
    "schema": _schema,
    "pool_size": _count(_POOL_MOST),
    "statement_timeout_seconds": _seconds(_SECONDS_MOST),
    "reconnect_seconds": _seconds(_RECONNECT_MOST),
    "listen_url": _url,
    "partitions": _count(_PARTITIONS_MOST),
    "row_security": _switch,
}
"""Options that a URL may have beside libpq's, and what reads each."""
