"""The servers that pages of documentation name, while such a page is tried out.

Answers for: a database `agents` behind `db.internal` (`db1` and `db2` are the same
server), a pooler before it behind `pooler.internal`, and two users: `agent`, who owns
the database, and `worker`, who may make nothing in it; NATS behind `nats.internal`.
Leaves to others: what a page's blocks are (pages), and running them (test_docs).
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import nats_servers
import pages
import programs
from pooler import Pooler
from postgres import Server, shared_server

_NAMED = re.compile(r"\b(?:db[12]?|pooler)\.internal\b")
_NATS = re.compile(r"\bnats\.internal:4222\b")
_USERS = ("agent", "worker")


@contextmanager
def with_servers(text: str) -> Iterator[str]:
    """A page's text, with real places for those that its code names."""
    if _NATS.search(text):
        with nats_servers.running() as nats:
            where = f"{programs.HOST}:{nats.port}"
            with with_servers(_NATS.sub(where, text)) as rest:
                yield rest
        return
    code = [b.text for b in pages.blocks_of(text) if b.language in pages.RUN]
    named = {host for block in code for host in _NAMED.findall(block)}
    if not named:
        yield text
        return
    server = shared_server()
    with ExitStack() as stack:
        stack.enter_context(_database(server))
        place = f"{programs.HOST}:{server.port}"
        places = dict.fromkeys(named, place)
        if "pooler.internal" in named:
            pooler = stack.enter_context(Pooler(server.port))
            places["pooler.internal"] = f"{programs.HOST}:{pooler.port}"
        yield _NAMED.sub(lambda found: places.get(found[0], found[0]), text)


@contextmanager
def _database(server: Server) -> Iterator[None]:
    for user in _USERS:
        server.sql(f"create role {user} login")
    server.sql("create database agents owner agent")
    try:
        yield
    finally:
        server.sql("drop database agents with (force)")
        for user in _USERS:
            server.sql(f"drop role {user}")
