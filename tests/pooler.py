"""A pooler in transaction mode, as PgBouncer 1.18 is one, for tests of what it breaks.

Answers for: the wire protocol as far as a pooler reads it. A client has a server's
connection from a transaction's first message until that is idle and owes no answer,
and then another: on purpose never the same one twice while another can be had.
Leaves to others: authentication (the server must trust), TLS, prepared statements.
Always holds: what a session keeps stays with the server's connection, where the next
client meets it, but for the few parameters that PgBouncer carries along.

The protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import asyncio
import contextlib
import os
import secrets
import struct
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from typing import Self
from urllib.parse import quote, urlencode

_HOST = "127.0.0.1"
_PROTOCOL = 3 << 16
_CANCEL = 80877102
_ENCRYPTIONS = (80877103, 80877104)
_CARRIED = {"client_encoding", "datestyle", "timezone", "application_name"}
_CARRIED |= {"standard_conforming_strings"}
"""What a client keeps from transaction to transaction: it is set on each server."""
_GONE = (OSError, asyncio.IncompleteReadError)
_AUTHENTICATED = struct.pack("!cII", b"R", 8, 0)
_IDLE = struct.pack("!cIc", b"Z", 5, b"I")


class Pooler:
    """A pooler before the server on `server_port`: `size` connections a database.

    A process of its own, for psycopg's calls may hold this one's interpreter.
    """

    def __init__(self, server_port: int, size: int = 3) -> None:
        self._command = [sys.executable, __file__, str(server_port), str(size)]

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.communicate()  # the end of its input is its end
        assert self._process.returncode == 0

    def url(self, *, database: str = "postgres", **options: object) -> str:
        """The URL of a server's database through this pooler."""
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        return f"postgresql://postgres@{_HOST}:{self.port}/{database}{query}"


class _Refused(Exception):
    """What a client is told before it is sent away."""


class _Pools:
    """All that the process does, until its input ends."""

    def __init__(self, server_port: int, size: int) -> None:
        self.size = size
        self._server_port = server_port
        self._pools: dict[tuple[str, str], _Pool] = {}
        self._clients: dict[bytes, _Client] = {}

    async def serve(self) -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
        listening = await asyncio.start_server(self._attend, _HOST, 0)
        print(listening.sockets[0].getsockname()[1], flush=True)
        await over.wait()
        os._exit(0)  # its connections end with it

    async def reach(self) -> tuple[StreamReader, StreamWriter]:
        """A connection to the server."""
        return await asyncio.open_connection(_HOST, self._server_port)

    async def _attend(self, reader: StreamReader, writer: StreamWriter) -> None:
        """A client, from its first word to its last."""
        client = _Client(reader, writer)
        try:
            with contextlib.suppress(*_GONE):
                code, body = await client.introduce()
                if code == _CANCEL:
                    await self._cancel(body)
                else:
                    await self._admit(client, code, body)
                    await client.work()
        except _Refused as refused:
            writer.write(_error(str(refused)))
        finally:
            self._clients.pop(client.key, None)
            if client.server is not None:  # in the midst of a transaction
                client.server.close()
            writer.close()

    async def _admit(self, client: "_Client", code: int, body: bytes) -> None:
        if code != _PROTOCOL:
            raise _Refused(f"unsupported protocol version: {code}")
        who, named = _startup(body)
        client.pool = self._pools.setdefault(who, _Pool(self, who))
        said = {**await client.pool.welcome(), **named}
        client.carried = {k: v for k, v in said.items() if k in _CARRIED}
        self._clients[client.key] = client
        told = [_message("S", name, value) for name, value in said.items()]
        key = struct.pack("!cI", b"K", 12) + client.key
        await client.send(b"".join([_AUTHENTICATED, *told, key, _IDLE]))

    async def _cancel(self, key: bytes) -> None:
        client = self._clients.get(key)
        if client is not None and client.server is not None:
            request = struct.pack("!II", 16, _CANCEL) + client.server.key
            _, writer = await self.reach()
            writer.write(request)
            writer.close()


class _Pool:
    """The server's connections of one user to one database."""

    def __init__(self, pools: _Pools, who: tuple[str, str]) -> None:
        self._pools = pools
        self._who = who
        self._count = 0
        self._free: list[_Server] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._welcome: dict[str, str] = {}

    async def welcome(self) -> dict[str, str]:
        """What the server says of itself to who logs in; asked once."""
        if not self._welcome:
            server = await self.take(None)
            self._welcome = dict(server.parameters)
            self.give(server)
        return self._welcome

    async def take(self, last: "_Server | None") -> "_Server":
        """A server's connection; another than the last, if it can be."""
        while True:
            if self._count < self._pools.size:
                return await self._open()
            if self._free:
                others = [server for server in self._free if server is not last]
                server = (others or self._free)[0]
                self._free.remove(server)
                return server
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    async def _open(self) -> "_Server":
        self._count += 1
        try:
            server = _Server(self, *await self._pools.reach())
            await server.login(*self._who)
        except (_Refused, *_GONE) as error:
            self.lose(None)
            raise _Refused("server login failed") from error
        return server

    def give(self, server: "_Server") -> None:
        """Take back a connection on which a transaction has ended."""
        self._free.append(server)
        self._stir()

    def lose(self, server: "_Server | None") -> None:
        """One connection is no more."""
        self._count -= 1
        self._free = [free for free in self._free if free is not server]
        self._stir()

    def _stir(self) -> None:
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            turn.set_result(None)


class _Client:
    """One who believes to be connected to a server."""

    pool: _Pool

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.key = secrets.token_bytes(8)
        self.carried: dict[str, str] = {}
        self.server: _Server | None = None
        self.owed = 0
        """How many times the server has yet to say that it is ready."""

    async def introduce(self) -> tuple[int, bytes]:
        """Its first message, after what it asked about encryption was refused."""
        while True:
            size, code = struct.unpack("!II", await self._reader.readexactly(8))
            if code not in _ENCRYPTIONS:
                return code, await self._reader.readexactly(size - 8)
            await self.send(b"N")

    async def work(self) -> None:
        """Pass on its messages, each transaction's to another server's connection."""
        last: _Server | None = None
        while True:
            kind, message = await _read(self._reader)
            if kind == b"X":
                return
            if self.server is None:
                self.server = last = await self.pool.take(last)
                self.owed = 0
                await last.adopt(self)
            self.owed += kind in (b"Q", b"F", b"S")
            await self.server.send(message)

    async def send(self, message: bytes) -> None:
        self.writer.write(message)
        with contextlib.suppress(ConnectionError):  # it learns so where it reads
            await self.writer.drain()


class _Server:
    """A connection to the server."""

    key: bytes
    _pumping: asyncio.Task[None]

    def __init__(self, pool: _Pool, reader: StreamReader, writer: StreamWriter) -> None:
        self._pool = pool
        self._reader = reader
        self._writer = writer
        self.parameters: dict[str, str] = {}
        self._client: _Client | None = None
        self._copying = False
        self._setting: asyncio.Future[None] | None = None

    async def login(self, user: str, database: str) -> None:
        """Log in, and learn what the server says of itself."""
        body = f"user\0{user}\0database\0{database}\0\0".encode()
        self._writer.write(struct.pack("!II", len(body) + 8, _PROTOCOL) + body)
        kind = b""
        while kind != b"Z":
            kind, message = await _read(self._reader)
            if kind == b"S":
                self._learn(message)
            elif kind == b"K":
                self.key = message[5:]
            elif kind == b"E" or (kind == b"R" and message != _AUTHENTICATED):
                self._writer.close()
                raise _Refused
        self._pumping = asyncio.create_task(self._pump())

    async def adopt(self, client: _Client) -> None:
        """Work for a client, under the parameters that it carries along."""
        other = client.carried.items() - self.parameters.items()
        if other:
            self._setting = asyncio.get_running_loop().create_future()
            quoted = [(name, value.replace("'", "''")) for name, value in other]
            text = "".join(f"SET {name}='{value}';" for name, value in quoted)
            await self.send(_message("Q", text))
            await self._setting
        self._client = client

    async def send(self, message: bytes) -> None:
        self._writer.write(message)
        with contextlib.suppress(ConnectionError):  # `_pump` meets it too, and tells
            await self._writer.drain()

    def close(self) -> None:
        """Close it, for what a client left behind in it."""
        self._client = None
        self._writer.close()

    async def _pump(self) -> None:
        """Pass on all that the server says, to the client of the moment or to none."""
        with contextlib.suppress(*_GONE):
            while True:
                kind, message = await _read(self._reader)
                if kind == b"S":
                    self._learn(message)
                if self._setting is not None:
                    self._settle(kind)
                elif (client := self._client) is not None:
                    client.writer.write(message)
                    self._heed(client, kind, message)
                    await client.send(b"")
        self._settle(b"E")
        self._pool.lose(self)
        if self._client is not None:
            self._client.server = None
            self._client.writer.write(_error("server conn crashed?"))
            self._client.writer.close()

    def _settle(self, kind: bytes) -> None:
        """The answer to the parameters' being set, which is no client's."""
        if self._setting is None or kind not in (b"E", b"Z"):
            return
        if kind == b"E":
            self._setting.set_exception(_Refused("invalid server parameter"))
        else:
            self._setting.set_result(None)
        self._setting = None

    def _heed(self, client: _Client, kind: bytes, message: bytes) -> None:
        """What a message means for who is connected to whom."""
        if kind in (b"G", b"H"):
            self._copying = True
        elif kind in (b"C", b"E") and self._copying:
            self._copying = False
            client.owed = 0  # a server in a copy ignores the Sync that it is sent
        elif kind == b"Z":
            client.owed = max(0, client.owed - 1)
            if message[5:] == b"I" and client.owed == 0:
                client.server = self._client = None
                self._pool.give(self)

    def _learn(self, message: bytes) -> None:
        name, value, _ = message[5:].decode().split("\0")
        name = name.lower() if name.lower() in _CARRIED else name
        self.parameters[name] = value
        if self._client is not None and name in _CARRIED:
            self._client.carried[name] = value


async def _read(reader: StreamReader) -> tuple[bytes, bytes]:
    """The next message: its kind, and all of it."""
    head = await reader.readexactly(5)
    (size,) = struct.unpack("!I", head[1:])
    return head[:1], head + await reader.readexactly(size - 4)


def _startup(body: bytes) -> tuple[tuple[str, str], dict[str, str]]:
    """Who a client is and where to, and the parameters that it names."""
    words = body.decode().split("\0")[:-2]
    named = {k.lower(): v for k, v in zip(words[::2], words[1::2], strict=True)}
    user = named.pop("user")
    database = named.pop("database", user)
    for name in named.keys() - _CARRIED:
        raise _Refused(f"unsupported startup parameter: {name}")
    return (user, database), named


def _message(kind: str, *words: str) -> bytes:
    body = "".join(f"{word}\0" for word in words).encode()
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def _error(text: str) -> bytes:
    return _message("E", "SFATAL", "VFATAL", "C08P01", f"M{text}", "")


if __name__ == "__main__":
    asyncio.run(_Pools(int(sys.argv[1]), int(sys.argv[2])).serve())
