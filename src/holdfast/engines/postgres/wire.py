"""The wire: statements on one connection, sent without waiting for each.

Answers for: libpq's pipeline mode (https://www.postgresql.org/docs/current/libpq-
pipeline-mode.html), prepared statements, and turning values into text and back.
Leaves to others: which statements, and in which transaction (transaction, commit).
Always holds: an answer is that of its own statement; when a statement fails, what was
sent after it was not done; a connection on which anything else went wrong is closed.
"""

import hashlib
import re
import select
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import psycopg
from psycopg import errors, pq
from psycopg.abc import Buffer
from psycopg.adapt import Transformer
from psycopg.types.numeric import FloatLoader, NumericBinaryLoader

from holdfast.engine import Part, Row
from holdfast.schema.statements import PARAMETER, Statement

_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED)
_OF_BYTES = re.compile(r"^\s+(\w+) blob\b", re.MULTILINE)
_WORD = re.compile(r"\w+")
Values: TypeAlias = Sequence[bytes | None]


class Bound(msgspec.Struct, frozen=True):
    """A statement as PostgreSQL runs it, and the order of its named values."""

    text: bytes
    names: tuple[str, ...]
    prepared: bytes
    """What it is called on the server; the same text has the same name everywhere."""
    rows: pq.Format = pq.Format.TEXT
    """How its rows are sent; bytes are twice as long as text."""

    def in_order(self, values: Mapping[str, Any]) -> Values:
        """Named values as the texts that PostgreSQL takes."""
        return [_text(value) for value in map(values.__getitem__, self.names)]


def columns_of_bytes(parts: Iterable[Part]) -> frozenset[str]:
    """The columns of a store's tables that hold bytes."""
    return frozenset(name for part in parts for name in _OF_BYTES.findall(part.sql))


def bound(statement: Statement, of_bytes: frozenset[str] = frozenset()) -> Bound:
    """A statement of the catalog, with its parameters by place."""
    names = tuple(dict.fromkeys(PARAMETER.findall(statement.text)))
    text = PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement.text)
    reads_bytes = not of_bytes.isdisjoint(_WORD.findall(text))
    return plain(text, names, pq.Format.BINARY if reads_bytes else pq.Format.TEXT)


def plain(
    text: str, names: tuple[str, ...] = (), rows: pq.Format = pq.Format.TEXT
) -> Bound:
    """A statement whose parameters are written by place already."""
    name = b"hf_" + hashlib.blake2b(text.encode(), digest_size=12).hexdigest().encode()
    return Bound(text.encode(), names, name, rows)


def _text(value: Any) -> bytes | None:
    text = _TEXTS.get(type(value))
    return str(value).encode() if text is None else text(value)


_TEXTS: dict[type, Callable[[Any], bytes | None]] = {
    type(None): lambda _: None,
    str: str.encode,
    int: lambda value: b"%d" % value,
    bool: lambda value: b"1" if value else b"0",
    float: lambda value: repr(value).encode(),
    bytes: lambda value: b"\\x" + value.hex().encode(),
}


class Lost(Exception):
    """The connection is gone, or of no use any more."""


class Link(psycopg.Connection[Row]):
    """A connection, and the wire that it is."""

    wire: "Wire"


def is_direct(link: psycopg.Connection[Any]) -> bool:
    """Whether no pooler is between: one gives process ids of its own."""
    ((pid,),) = link.execute("select pg_catalog.pg_backend_pid()").fetchall()
    return bool(pid == link.pgconn.backend_pid)


def set_up(link: psycopg.Connection[Any]) -> None:
    """Make a new connection ready; nothing of this is the server's to remember."""
    assert isinstance(link, Link)
    link.adapters.register_loader("numeric", FloatLoader)
    link.adapters.register_loader("numeric", _FloatBinaryLoader)
    link.wire = Wire(link)
    link.add_notice_handler(link.wire.heed)
    link.wire.direct = is_direct(link)


class _FloatBinaryLoader(NumericBinaryLoader):
    """As `FloatLoader`, for rows that are sent as bytes."""

    def load(self, data: Buffer) -> float:  # type: ignore[override]
        return float(super().load(data))


class Wire:
    """What is sent on a link, and what comes back, in order."""

    def __init__(self, link: "psycopg.BaseConnection[Any]") -> None:
        self._link = link
        self._pg = link.pgconn
        self._prepared: set[bytes] = set()
        self._sent: deque[bytes] = deque()
        """What has not been answered: names of what is prepared, b"" for others."""
        self.waiting = 0
        """How many statements were sent since the last answer."""
        self.unpushed = 0
        """How many of these the server may not have got yet."""
        self._load = Transformer(link)
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)
        self.prepares = True
        self.direct = True
        """Whether no pooler is between: one gives process ids of its own."""
        self.rests = False
        """Whether the server is told each time that nothing may follow for long."""
        self._told_to_go = False

    def went_away(self) -> bool:
        """Whether it was lost while it was idle; nothing is asked of the server."""
        try:
            while self._poll.poll(0) and not self._told_to_go:
                self._pg.consume_input()
                self._pg.is_busy()  # has what came in looked at
        except psycopg.Error:
            return True
        return self._told_to_go or self._pg.status == pq.ConnStatus.BAD

    def heed(self, said: psycopg.errors.Diagnostic) -> None:
        """What a server says by itself may be its last word on a connection."""
        if said.severity_nonlocalized == "FATAL":
            self._told_to_go = True

    def open(self) -> None:
        """Begin to send without waiting."""
        if self._pg.pipeline_status == pq.PipelineStatus.OFF:
            self._pg.enter_pipeline_mode()

    def send(self, what: Bound, values: Values = ()) -> None:
        """Have a statement run; what it gives is not asked for."""
        try:
            self._send(what, values)
        except psycopg.Error as error:
            self.drop()
            raise Lost(str(error)) from error

    def ask(self, what: Bound, values: Values = ()) -> "pq.abc.PGresult":
        """Run a statement; its result, all that was sent before having gone well.

        Raises `psycopg.Error` with an SQLSTATE if a statement failed, `Lost` if the
        connection did.
        """
        self.send(what, values)
        return self.settle()[-1]

    def settle(self) -> list["pq.abc.PGresult"]:
        """Wait for all that was sent; every result, in order. Raises as `ask` does."""
        if self.rests:
            return self._rested()
        results: list[pq.abc.PGresult] = []
        try:
            self._pg.send_flush_request()
            self._flush()
            while self._sent:
                prepared = self._sent[0]
                result = self._result()
                if not prepared:
                    results.append(result)
            self.waiting = 0
        except Lost:
            raise
        except psycopg.Error as error:
            if error.sqlstate is not None:
                raise
            self.drop()
            raise Lost(str(error)) from error
        except BaseException:
            self.drop()
            raise
        return results

    def rows(self, result: "pq.abc.PGresult") -> list[Row]:
        """The rows of a result."""
        self._load.set_pgresult(result)
        return self._load.load_rows(0, result.ntuples, tuple)

    def push(self) -> None:
        """Let the server begin with what was sent, while more of it is made."""
        self.unpushed = 0
        try:
            self._pg.flush()
        except psycopg.Error as error:
            self.drop()
            raise Lost(str(error)) from error

    def finish(self, what: Bound) -> bytes:
        """Run the last statement of a transaction, and say what the server calls it.

        Raises as `ask` does; whatever happens, nothing more is on its way then.
        """
        self.send(what)
        results, failed = self.until_rest()
        if failed is not None:
            raise failed
        return results[-1].command_status or b""

    def recover(self) -> None:
        """After a statement failed: let others follow. Raises `Lost`."""
        self.until_rest()

    def until_rest(self) -> tuple[list["pq.abc.PGresult"], psycopg.Error | None]:
        """Wait until nothing is on its way: every result, and the first failure.

        Raises `Lost`.
        """
        results: list[pq.abc.PGresult] = []
        failed: psycopg.Error | None = None
        self.waiting = 0
        try:
            self._pg.pipeline_sync()
            self._flush()
            while (result := self._until_synced()) is not None:
                results.append(result)
                if result.status == pq.ExecStatus.FATAL_ERROR:
                    failed = failed or errors.error_from_result(result)
        except BaseException as error:
            self.drop()
            if isinstance(error, psycopg.Error):
                raise Lost(str(failed or error)) from (failed or error)
            raise
        return results, failed

    def close(self) -> None:
        """Send one at a time again; nothing must be on its way."""
        if not self.lost and self._pg.pipeline_status != pq.PipelineStatus.OFF:
            self._pg.exit_pipeline_mode()

    def drop(self) -> None:
        """Let go of the connection, whatever the server is doing; it rolls back."""
        self._pg.finish()

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._link.closed

    def _send(self, what: Bound, values: Values) -> None:
        if not self.prepares:
            self._pg.send_query_params(
                what.text, values or None, result_format=what.rows
            )
        else:
            if what.prepared not in self._prepared:
                self._pg.send_prepare(what.prepared, what.text)
                self._prepared.add(what.prepared)
                self._sent.append(what.prepared)
            self._pg.send_query_prepared(
                what.prepared, values or None, result_format=what.rows
            )
        self._sent.append(b"")
        self.waiting += 1
        self.unpushed += 1

    def _rested(self) -> list["pq.abc.PGresult"]:
        """Settle, so that the server calls itself idle, and measures for how long."""
        results, failed = self.until_rest()
        if failed is not None:
            raise failed
        return results

    def _result(self) -> "pq.abc.PGresult":
        result = self._next()
        assert result is not None
        prepared = self._sent.popleft()
        if result.status in _FAILED:
            self._prepared.discard(prepared)
            raise errors.error_from_result(result, encoding="utf-8")
        end = self._next()
        assert end is None
        return result

    def _next(self) -> "pq.abc.PGresult | None":
        pg = self._pg
        while pg.is_busy():
            self._poll.poll()
            pg.consume_input()
        result = pg.get_result()
        if result is None and pg.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError("the connection is gone")
        return result

    def _flush(self) -> None:
        self.unpushed = 0
        while self._pg.flush():
            poll = select.poll()
            poll.register(self._pg.socket, select.POLLIN | select.POLLOUT)
            poll.poll()
            self._pg.consume_input()

    def _until_synced(self) -> "pq.abc.PGresult | None":
        """The next result; None when there is none before the point of rest."""
        while (result := self._next()) is None:
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            self._sent.clear()
            return None
        prepared = self._sent.popleft() if self._sent else b""
        if result.status in _FAILED:
            self._prepared.discard(prepared)
        return result
