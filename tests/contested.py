"""A store on PostgreSQL that many are at: its fixtures, and what is looked at after."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import holdfast
from holdfast.engines.postgres.target import target_of
from postgres import empty_store, shared_url

PROMPT_SECONDS = 0.5
"""Half of what PostgreSQL lets pass before it looks for a deadlock."""


@pytest.fixture
def url() -> Iterator[str]:
    """A store with the sessions `a` and `b`, which no process has open."""
    with empty_store() as made:
        with holdfast.open(made) as store:
            store.sessions.create(id="a")
            store.sessions.create(id="b")
        yield made
        with holdfast.open(made) as store:
            assert store.check().problems == ()


@pytest.fixture
def store(url: str) -> Iterator[holdfast.Store]:
    with holdfast.open(url) as opened:
        yield opened


def raw(url: str) -> psycopg.Connection[Any]:
    schema = target_of(url.partition("://")[2], read_only=False).schema
    return psycopg.connect(shared_url(), options=f"-c search_path={schema}")


def positions(store: holdfast.Store, id: str) -> list[int]:
    return [message.position for message in store.sessions.history(id)]


def said(store: holdfast.Store, id: str) -> list[Any]:
    return [message.content for message in store.sessions.history(id)]
