"""Targets: what a PostgreSQL URL says, for libpq and for holdfast.

Answers for: taking holdfast's own options out of a URL, checking each, and a name of
the place that can be shown to anyone.
Leaves to others: connecting (links).
Always holds: a password is in no message and in no name of a place.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from holdfast.errors import CannotOpen

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_POOL_MOST = 500
_PARTITIONS_MOST = 1024


class Target(msgspec.Struct, frozen=True):
    """Where a store is, and how its connections are to be."""

    conninfo: str
    place: str
    schema: str = "holdfast"
    pool_size: int = 10
    statement_timeout_seconds: float = 0.0
    reconnect_seconds: float = 30.0
    listen_url: str | None = None
    partitions: int = 0
    row_security: bool = False

    @property
    def pooled(self) -> bool:
        """Whether ordinary connections go through a pooler, as far as the URL says."""
        return self.listen_url is not None


def target_of(rest: str, *, read_only: bool) -> Target:
    """The target of a URL without its scheme. Raises `CannotOpen`.

    Options of holdfast's own are taken out; libpq gets the others.
    """
    try:
        parts = urlsplit(f"postgresql://{rest}")
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        raise CannotOpen(
            "the PostgreSQL URL cannot be read; its form is "
            "postgresql://user@host:5432/database?schema=agents"
        ) from None
    ours = {name: given.pop(name) for name in _OPTIONS if name in given}
    if not read_only:
        given.setdefault("target_session_attrs", "read-write")
    given.setdefault("application_name", "holdfast")
    given.setdefault("connect_timeout", "10")
    query = urlencode(given, quote_via=quote)
    conninfo = parts._replace(query=query).geturl()
    options = {name: _OPTIONS[name](name, value) for name, value in ours.items()}
    schema = options.get("schema", "holdfast")
    where = parts.netloc.rpartition("@")[2] or given.get("host", "")
    place = f"postgresql://{where}{parts.path}?schema={schema}"
    return Target(conninfo, place, **options)


def _schema(name: str, value: str) -> str:
    if _IDENTIFIER.fullmatch(value) and not value.startswith("pg_"):
        return value
    raise CannotOpen(
        f"{name}={value[:60]!r} is no safe name for a schema: up to 40 of a-z, 0-9 "
        "and _, not beginning with a digit or pg_"
    )


def _count(most: int) -> Callable[[str, str], int]:
    def count(name: str, value: str) -> int:
        if value.isascii() and value.isdigit() and 1 <= int(value) <= most:
            return int(value)
        raise CannotOpen(f"{name}={value[:60]!r} is not a number from 1 to {most}")

    return count


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if 0 < seconds < 1e6:  # noqa: PLR2004  # eleven days
        return seconds
    raise CannotOpen(f"{name}={value[:60]!r} is not a number of seconds above 0")


def _switch(name: str, value: str) -> bool:
    if value not in {"on", "off"}:
        raise CannotOpen(f"{name}={value[:60]!r} is neither on nor off")
    return value == "on"


def _url(name: str, value: str) -> str:
    if value.startswith(("postgresql://", "postgres://")):
        return value
    raise CannotOpen(f"{name}= is not a postgresql:// URL")


_OPTIONS: dict[str, Callable[[str, str], Any]] = {
    "schema": _schema,
    "pool_size": _count(_POOL_MOST),
    "statement_timeout_seconds": _seconds,
    "reconnect_seconds": _seconds,
    "listen_url": _url,
    "partitions": _count(_PARTITIONS_MOST),
    "row_security": _switch,
}
"""Options that a URL may have beside libpq's, and what reads each."""
