"""The bus: publish, subscribe, send.

Answers for: what users hold: checks of what is handed in, and where it goes.
Leaves to others: who gets what (hub), other processes (reaching).
Always holds: data is checked and copied once, before anybody is given it; nothing
outlives the process.
"""

import weakref
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast import edges
from holdfast.clock import Clock, SystemClock, uuid7
from holdfast.codec import Json
from holdfast.engines.carrying import Carrier
from holdfast.errors import InvalidId, WrongType
from holdfast.limits import Limits
from holdfast.patterns import pattern_of
from holdfast.runtime.bus.boxes import Box, Overflow
from holdfast.runtime.bus.hub import Hub, aside
from holdfast.runtime.bus.line import aput, put
from holdfast.runtime.bus.messages import BusMessage, Parcel
from holdfast.runtime.bus.offline import Offline
from holdfast.runtime.bus.reaching import Gap, Reach
from holdfast.runtime.bus.routes import Member
from holdfast.runtime.bus.subscription import Subscription

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.store import Store

_TOPIC_CHARACTERS = 200
_OVERFLOWS = ("wait", "drop", "refuse")


class Bus:
    """Messages between agents: of this process, or of all that share a server.

    `Bus()` and `Bus(store)` of a store in a file are this process's; `Bus(store)` of a
    store on PostgreSQL reaches every process that has such a bus of that store, and
    `Bus(nats="nats://…")` every one with this `prefix` there. Close it at the end, or
    use `with`.
    """

    def __init__(
        self,
        store: "Store | AsyncStore | None" = None,
        *,
        nats: str | None = None,
        prefix: str = "holdfast",
        history: int = 1_000,
        offline: int = 1_000,
        offline_seconds: float = 3_600.0,
        clock: Clock | None = None,
    ) -> None:
        """Raises `Refused`, `Closed` (the store is), `Unreachable`, `CannotOpen`.

        Refused are a store as of a moment, and a server that nothing can be heard from.
        `WrongType` and `InvalidId` are raised, too.
        """
        _check_store(store)
        core = None if store is None else store._core  # noqa: SLF001
        owner = ""
        if core is not None and store is not None:
            core.refuse_closed()
            owner = core.terms(store._terms).owner  # noqa: SLF001
        self._limits = Limits() if core is None else core.limits
        self._clock = clock or (SystemClock() if core is None else core.clock)
        kept = edges.count_of(offline, "offline", self._limits)
        seconds = edges.seconds_of(offline_seconds, "offline_seconds", self._limits)
        newest = edges.count_of(history, "history", self._limits)
        self._hub = Hub(Offline(kept, seconds, self._clock), newest)
        self._reach: Reach | None = None
        carrier = _nats(nats, prefix) if nats is not None else _relay(core)
        if carrier is not None:
            self._reach_out(carrier, owner)

    # Taking part.

    def subscribe(
        self,
        *patterns: str,
        name: str | None = None,
        capacity: int = 1_000,
        overflow: Overflow = "wait",
    ) -> Subscription:
        """Be given the messages whose topic fits one of the patterns (`"task.*"`).

        With a `name`, also what is sent to that name. `capacity` is how many messages
        may wait to be taken. When that many do, who publishes here waits for room
        (`"wait"`), is refused (`"refuse"`), or the oldest one is dropped (`"drop"`);
        what comes from another process always drops it. Raises `Closed`, `InvalidId`,
        `WrongType`.
        """
        if any(isinstance(one, list | tuple | set | frozenset) for one in patterns):
            raise WrongType('pattern: give them one by one: subscribe("a", "b")')
        meant = tuple(pattern_of(p, "pattern", self._limits) for p in patterns)
        if name is not None:
            edges.id_of(name, "name")
        if edges.count_of(capacity, "capacity", self._limits) < 1:
            raise WrongType("capacity: there must be room for one message at least")
        if overflow not in _OVERFLOWS:
            raise WrongType(
                f"overflow: {overflow!r} is none of: {', '.join(_OVERFLOWS)}"
            )
        who = "a subscriber" if name is None else f"subscriber {name!r}"
        box: Box[Parcel] = Box(self._hub.mutex, capacity, overflow, who)
        member = Member(box, name, meant)
        self._hub.add(member)
        return Subscription(self._hub, member, self, self._limits)

    def publish(
        self,
        topic: str,
        data: Json = None,
        *,
        sender: str | None = None,
        correlation: str | None = None,
        timeout_seconds: float | None = 5.0,
    ) -> int:
        """Give a message to who is subscribed to its topic; how many here took it.

        Where a subscriber is full, it waits: not at all with `timeout_seconds=0`, and
        without end with None. Raises `Busy` if that lasted too long,
        `Refused`, `Closed`: then nobody was given it; and `NotStorable`, `TooLarge`,
        `InvalidId`, `WrongType`.
        """
        parcel = self._parcel(topic, data, sender, correlation)
        return self._put(parcel, timeout_seconds, "await bus.apublish")

    async def apublish(
        self,
        topic: str,
        data: Json = None,
        *,
        sender: str | None = None,
        correlation: str | None = None,
        timeout_seconds: float | None = 5.0,
    ) -> int:
        """As `publish`, awaited."""
        parcel = self._parcel(topic, data, sender, correlation)
        return await self._aput(parcel, timeout_seconds)

    def send(
        self,
        to: str,
        data: Json = None,
        *,
        topic: str = "direct",
        sender: str | None = None,
        correlation: str | None = None,
        timeout_seconds: float | None = 5.0,
    ) -> int:
        """Give a message to who has that name; how many here took it.

        If nobody has it, here or elsewhere, the message is kept until somebody does:
        so many of them, and for so long, as the bus was made for. Raises as `publish`.
        """
        parcel = self._parcel(topic, data, sender, correlation, edges.id_of(to, "to"))
        return self._put(parcel, timeout_seconds, "await bus.asend")

    async def asend(
        self,
        to: str,
        data: Json = None,
        *,
        topic: str = "direct",
        sender: str | None = None,
        correlation: str | None = None,
        timeout_seconds: float | None = 5.0,
    ) -> int:
        """As `send`, awaited."""
        parcel = self._parcel(topic, data, sender, correlation, edges.id_of(to, "to"))
        return await self._aput(parcel, timeout_seconds)

    def broadcast(
        self,
        data: Json = None,
        *,
        topic: str = "broadcast",
        sender: str | None = None,
        correlation: str | None = None,
        timeout_seconds: float | None = 5.0,
    ) -> int:
        """Give a message to every subscriber, whatever it subscribed to.

        How many here took it. Raises as `publish`.
        """
        parcel = self._parcel(topic, data, sender, correlation, everyone=True)
        return self._put(parcel, timeout_seconds, "await bus.abroadcast")

    async def abroadcast(
        self,
        data: Json = None,
        *,
        topic: str = "broadcast",
        sender: str | None = None,
        correlation: str | None = None,
        timeout_seconds: float | None = 5.0,
    ) -> int:
        """As `broadcast`, awaited."""
        parcel = self._parcel(topic, data, sender, correlation, everyone=True)
        return await self._aput(parcel, timeout_seconds)

    # Looking.

    def history(
        self, pattern: str = "*", *, limit: int = 100
    ) -> tuple[BusMessage, ...]:
        """The newest messages of these topics that went by here, oldest first."""
        meant = pattern_of(pattern, "pattern", self._limits)
        if (newest := edges.count_of(limit, "limit", self._limits)) < 1:
            raise WrongType("limit: it is 1 at least")
        return tuple(one.opened() for one in self._hub.recent(meant, newest))

    def names(self) -> frozenset[str]:
        """The names that subscribers have, here and, as far as is known, elsewhere."""
        return frozenset(self._hub.names())

    @property
    def given_up(self) -> int:
        """How many direct messages, kept for a name, then were too many or too old."""
        return self._hub.given_up()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """When the way to other processes was lost, oldest first; the newest 100."""
        return () if self._reach is None else self._reach.gaps()

    # Its end.

    def close(self) -> None:
        """End all subscriptions. What has come can still be taken from each."""
        if self._hub.is_within():
            aside(self.close)
        elif self._reach is not None:
            self._reach.close()
        else:
            self._hub.close("the bus was closed")

    async def aclose(self) -> None:
        """As `close`, awaited."""
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        await asyncio.to_thread(self.close)

    async def __aenter__(self) -> "Bus":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> "Bus":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # How it is done.

    def _reach_out(self, carrier: Carrier, owner: str) -> None:
        self._reach = Reach(self._hub, self._clock, owner, carrier)
        self._hub.reach = self._reach
        self._reach.open()
        weakref.finalize(self, _let_go, self._reach).atexit = False

    def _parcel(
        self,
        topic: str,
        data: Json,
        sender: str | None,
        correlation: str | None,
        to: str | None = None,
        *,
        everyone: bool = False,
    ) -> Parcel:
        _check_topic(topic)
        if sender is not None:
            edges.id_of(sender, "sender")
        if correlation is not None:
            edges.id_of(correlation, "correlation")
        document = edges.document_of(data, "data", self._limits)
        now = self._clock.now_us()
        id = uuid7(now, self._clock.chance())
        raw = msgspec.Raw(document.text)
        return Parcel(id, topic, sender, to, everyone, correlation, now, raw)

    def _put(self, parcel: Parcel, timeout_seconds: float | None, instead: str) -> int:
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", self._limits)
        return put(self._hub, parcel, seconds, instead)

    async def _aput(self, parcel: Parcel, timeout_seconds: float | None) -> int:
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", self._limits)
        return await aput(self._hub, parcel, seconds)


def _check_store(store: object) -> None:
    if store is None or hasattr(store, "_core"):
        return
    if isinstance(store, str):
        raise WrongType(
            "store: a Store or an AsyncStore is needed, not a text; a NATS server is "
            "said by Bus(nats=), a store is opened by holdfast.open()"
        )
    raise edges.wrong_type("store", "a Store or an AsyncStore", store)


def _let_go(reach: Reach) -> None:
    """Close a bus that nobody has any more, nor a subscription of it."""
    if not reach.is_closed():
        aside(reach.close)


def _check_topic(topic: str) -> None:
    """A topic: 1 to 200 printable characters."""
    if not isinstance(topic, str):
        raise edges.wrong_type("topic", "text", topic)
    if not 0 < len(topic) <= _TOPIC_CHARACTERS or not topic.isprintable():
        raise InvalidId(
            f"topic: {topic[:80]!r} is no topic: 1 to {_TOPIC_CHARACTERS} printable "
            "characters"
        )


def _relay(core: Any) -> Carrier | None:
    """What carries messages between the processes of a store, if its engine can."""
    relay = None if core is None else getattr(core.engine, "relay", None)
    return None if relay is None else relay()


def _nats(servers: str, prefix: str) -> Carrier:
    from holdfast.runtime.bus.nats import carrier  # noqa: PLC0415  # an extra

    return carrier(servers, prefix)
