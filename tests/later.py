"""Holdfast as it will be: with made-up migrations after those that it has.

Answers for: pretending versions of the tables, two beyond today's, so that a test that
stands on them needs no change when a real migration is added.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from holdfast import contract
from holdfast.schema import format as formats
from holdfast.schema.statements import shipped

TODAY = formats.VERSION
NEXT = TODAY + 1
LAST = TODAY + 2
STEPS = formats.steps()
"""The real migrations, which come before the made-up ones."""
EXPAND = """
    alter table session add column mood text;
    create index session_mood on session (owner, mood, created_at, no);
    create table nap (
        id text primary key,
        naps integer
    ) strict;
    alter table nap add column depth integer;
    update session set mood = 'calm';
"""
CONTRACT = """
    drop index session_mood;
    alter table session drop column max_context_messages;
    drop table nap;
"""
_FIRST = "    line integer,\n"
_WINDOW = "    max_context_messages integer,\n"
_TAGS = "create table session_tag ("
_EXPANDED = {
    _FIRST: f"{_FIRST}    mood text,\n",
    _TAGS: (
        "create index session_mood on session (owner, mood, created_at, no);\n"
        "create table nap (\n    id text primary key,\n    naps integer,\n"
        f"    depth integer\n) strict;\n{_TAGS}"
    ),
}
_CONTRACTED = {_FIRST: _EXPANDED[_FIRST], _WINDOW: ""}
_FRESH: dict[int, dict[str, str]] = {TODAY: {}, NEXT: _EXPANDED, LAST: _CONTRACTED}
"""What a new store's tables have other than today's, by version."""


@contextmanager
def holdfast_of(
    version: int,
    made_up: tuple[str, ...] = (EXPAND, CONTRACT),
    *,
    reads_from: int = 1,
    writes_from: int = 1,
) -> Iterator[None]:
    """Pretend a version, from `TODAY` to `LAST`, and the steps that lead to it."""
    stamp = formats.Stamp(version, reads_from, writes_from)
    steps = (*STEPS, *made_up)[: version - 1]
    with ExitStack() as pretending:
        for patch in (
            mock.patch.object(formats, "VERSION", version),
            mock.patch.object(formats, "OURS", stamp),
            mock.patch.object(formats, "steps", return_value=steps),
            mock.patch.object(contract, "shipped", lambda name: _text(name, version)),
        ):
            pretending.enter_context(patch)
        yield


def _text(name: str, version: int) -> str:
    text = shipped(name)
    if name == "sessions":
        for today, then in _FRESH[version].items():
            assert text.count(today) == 1, f"no longer there once: {today!r}"
            text = text.replace(today, then)
    return text
