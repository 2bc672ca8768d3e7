"""NATS: carries a bus's frames to as many machines as a NATS server reaches.

Answers for: a connection on an event loop of its own thread, made again when it was
lost, and the subjects: `<prefix>.topic.<topic>`, `<prefix>.to.<name>`, `<prefix>.all`
and `<prefix>.here`.
Leaves to others: what is in a frame (reaching), cutting one up (`carrying`).
Always holds: all that comes is heard by one subscription, and so in order; no topic and
no name leaves its place in a subject.
"""

import asyncio
import re
import threading
import time
from contextlib import suppress
from urllib.parse import quote, urlsplit

from holdfast import edges
from holdfast.engines.carrying import Carrier, Frame, Together, Traffic, pieces
from holdfast.errors import CannotOpen, Closed, InvalidId, Unreachable, WrongType
from holdfast.logs import logger

try:
    import nats
    import nats.errors
    from nats.aio.client import Client
    from nats.aio.msg import Msg
except ImportError as error:
    raise CannotOpen(
        f"a bus over NATS needs nats-py, which is not all there ({error}): "
        "pip install 'holdfast[nats]'"
    ) from None

_log = logger("holdfast.bus")
_RETRY_SECONDS = 0.2
_CONNECT_SECONDS = 5
_LEAVE_SECONDS = 5.0
_PREFIX_BYTES = 1_000
"""A server takes lines of 4,096 bytes; a topic has 2,400 of them at most."""
_NO_TOKENS = re.compile(r"^\.|\.$|\.\.")
_UNPUSHED_MOST = 500
"""How many frames are handed to the connection before it is seen to that they left."""


def carrier(servers: str, prefix: str) -> Carrier:
    """What carries a bus over these servers, whose URLs have commas between them."""
    if not isinstance(servers, str):
        raise edges.wrong_type("nats", "a URL", servers)
    if not servers.strip():
        raise WrongType("nats: this is no URL, but empty")
    if len(token_of(edges.id_of(prefix, "prefix"))) > _PREFIX_BYTES:
        raise InvalidId(
            f"prefix: it is too long for a subject: {_PREFIX_BYTES:,} bytes at most, "
            "percent-encoded"
        )
    return NatsCarrier(servers.split(","), prefix)


class NatsCarrier:
    """Frames of all buses with this prefix."""

    def __init__(self, servers: list[str], prefix: str) -> None:
        self._servers = servers
        self._prefix = token_of(prefix).replace(".", "%2E")
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._said: Exception | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._there = asyncio.Event()
        """Whether there is a connection."""
        self._ended = asyncio.Event()
        """Whether the client has given up: it does when the server finds fault."""
        self._leaving = False

    def open(self, traffic: Traffic) -> None:
        """Connect, and hear. Raises `Unreachable`, `CannotOpen`."""
        self._thread = threading.Thread(
            target=self._run, args=(traffic,), name="holdfast-bus", daemon=True
        )
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._unreachable(self._error) from self._error

    def close(self) -> None:
        """Carry what is there, if the server is; then let go of everything."""
        self._leaving = True
        thread, until = self._thread, time.monotonic() + _LEAVE_SECONDS
        if thread is None:
            return
        thread.join(_RETRY_SECONDS)
        while thread.is_alive() and self._there.is_set() and time.monotonic() < until:
            thread.join(_RETRY_SECONDS)
        with suppress(RuntimeError):  # its event loop has ended
            if self._loop is not None and self._work is not None:
                self._loop.call_soon_threadsafe(self._work.cancel)
        thread.join()

    def _run(self, traffic: Traffic) -> None:
        try:
            asyncio.run(self._carry(traffic))
        except asyncio.CancelledError:
            return
        except Exception as error:
            self._error = error
            if self._ready.is_set():
                _log.exception("the way to other processes is lost for good")
        finally:
            self._ready.set()

    async def _carry(self, traffic: Traffic) -> None:
        self._loop, self._work = asyncio.get_running_loop(), asyncio.current_task()
        client = await self._begun(traffic)
        self._ready.set()
        try:
            while not await self._spoken(client, traffic):
                _log.warning("NATS ended the connection: %s", self._said or "no word")
                await client.close()
                client = await self._begun_again(traffic)
        finally:
            await client.close()

    async def _begun(self, traffic: Traffic) -> Client:
        """A client that hears."""
        client = Client()
        together = Together()

        async def heard(message: Msg) -> None:
            whole = together.add(message.data)
            if whole is not None:
                traffic.came(whole)

        try:
            await self._connect(client, traffic)
            await client.subscribe(f"{self._prefix}.>", cb=heard)
            await _synced(client)
        except BaseException:
            await client.close()
            raise
        return client

    async def _begun_again(self, traffic: Traffic) -> Client:
        """Another client, as soon as the server has one."""
        while True:
            await asyncio.sleep(_RETRY_SECONDS)
            with suppress(nats.errors.Error, OSError, TimeoutError):
                client = await self._begun(traffic)
                traffic.speaks(True)
                traffic.hears(True)
                return client

    async def _spoken(self, client: Client, traffic: Traffic) -> bool:
        """Carry frames until the bus is closed; False if the client ends before."""
        speaking = asyncio.ensure_future(self._speak(client, traffic))
        ending = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((speaking, ending), return_when="FIRST_COMPLETED")
            if not speaking.done():
                return False
            with suppress(nats.errors.Error):
                speaking.result()
                return True
            return False
        finally:
            for one in (speaking, ending):
                one.cancel()
            await asyncio.gather(speaking, ending, return_exceptions=True)

    async def _connect(self, client: Client, traffic: Traffic) -> None:
        self._ended = ended = asyncio.Event()

        async def over() -> None:
            ended.set()

        async def lost() -> None:
            if not self._leaving and self._there.is_set():
                self._there.clear()
                traffic.speaks(False)
                traffic.hears(False)

        async def there_again() -> None:
            self._there.set()
            traffic.speaks(True)
            traffic.hears(True)

        async def silent(error: Exception) -> None:
            """It is told by `lost`, by what is missed, by `open` or at the end."""
            if self._said is None or not _is_unwelcome(self._said):
                self._said = error

        async with asyncio.timeout(_CONNECT_SECONDS):
            await client.connect(
                self._servers,
                name="holdfast",
                error_cb=silent,
                disconnected_cb=lost,
                reconnected_cb=there_again,
                closed_cb=over,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_RETRY_SECONDS,  # type: ignore[arg-type]  # it sleeps so
                connect_timeout=_CONNECT_SECONDS,
                no_echo=True,
                ping_interval=10,
            )
        self._there.set()

    async def _speak(self, client: Client, traffic: Traffic) -> None:
        """Carry frames until the bus is closed."""
        unpushed = 0
        while True:
            await self._there.wait()
            try:
                frame = traffic.more() or await traffic.anext()
            except Closed:
                return await _pushed(client)
            for piece in pieces(frame, client.max_payload):
                await self._publish(client, self._subject(frame), piece)
            unpushed += 1
            if unpushed >= _UNPUSHED_MOST:
                unpushed = 0
                await _pushed(client)

    async def _publish(self, client: Client, subject: str, piece: bytes) -> None:
        """Hand a piece to the connection, as soon as there is one."""
        while True:
            with suppress(nats.errors.OutboundBufferLimitError):
                return await client.publish(subject, piece)
            await asyncio.sleep(_RETRY_SECONDS)

    def _subject(self, frame: Frame) -> str:
        if not frame.name:
            return f"{self._prefix}.{frame.room}"
        return f"{self._prefix}.{frame.room}.{token_of(frame.name)}"

    def _unreachable(self, error: BaseException) -> CannotOpen | Unreachable:
        places = ", ".join(map(_place, self._servers))
        said = self._said or error
        if _is_unwelcome(said):
            return CannotOpen(f"NATS at {places} does not let this user in")
        return Unreachable(
            f"NATS at {places} cannot be reached ({type(said).__name__})"
        )


def _is_unwelcome(error: BaseException) -> bool:
    """Whether the server has said that this user may not come in."""
    return "authorization" in str(error).lower()


def _place(url: str) -> str:
    """Where a URL leads, without the password that may be in it."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "?"
    except ValueError:
        return "?"


async def _synced(client: Client) -> None:
    """Wait until the server has all that the client was handed.

    A client's ping goes out past what waits to be written; by the time it is answered,
    that was written, and a second one comes after it.
    """
    await client.flush()
    await client.flush()


async def _pushed(client: Client) -> None:
    """Wait until the server has what it was sent, if it is there."""
    with suppress(nats.errors.Error, TimeoutError):
        await _synced(client)


def token_of(name: str) -> str:
    """A topic or a name as a part of a subject; its dots stay, where that can be."""
    safe = quote(name, safe="")
    return safe.replace(".", "%2E") if _NO_TOKENS.search(name) else safe
