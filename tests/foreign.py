"""Databases of other programs, on the server that tests share."""

import contextlib
import secrets
from collections.abc import Iterator

import psycopg

from postgres import shared_url


@contextlib.contextmanager
def foreign_database() -> Iterator[str]:
    """The URL of a place on the server where no tables are; dropped at the end."""
    schema = f"f_{secrets.token_hex(6)}"
    base = shared_url()
    with psycopg.connect(base, autocommit=True) as opened:
        opened.execute(f"create schema {schema}")
        yield f"{base}{'&' if '?' in base else '?'}options=-csearch_path%3D{schema}"
        opened.execute("set lock_timeout = '5s'")
        opened.execute(f"drop schema {schema} cascade")


def asyncs_url(url: str) -> str:
    """The URL as SQLAlchemy has it, for its asynchronous engines."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)
