"""Reaching: the bus of other processes.

Answers for: frames and their numbers, by which a message that comes twice is known, and
one that never came; who is where; gaps.
Leaves to others: carrying frames (NATS, `engines/postgres/relay`), subscribers (hub).
Always holds: frames of one process are heard in order, each once; others' owners are
not heard. What is not marked otherwise happens under the hub's lock.
"""

import time
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from holdfast.clock import Clock, to_datetime, token
from holdfast.engines.carrying import Carrier, Frame
from holdfast.logs import logger
from holdfast.runtime.bus.boxes import Box
from holdfast.runtime.bus.messages import Parcel

if TYPE_CHECKING:
    from holdfast.runtime.bus.hub import Hub

_VERSION = 1
_WAITING_MOST = 10_000
"""Frames that wait to be carried."""
_BEAT_SECONDS = 5.0
"""How often a process says who is there, if it says nothing else."""
_GONE_US = 16_000_000
"""After such a silence, the names of a process are nobody's any more."""
_FORGOTTEN_US = 3_600_000_000
_GAPS_MOST = 100


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which messages may have been lost on the way from or to others.

    `until` is None as long as the way is not there. `missed` counts what others sent
    and this process never heard, as far as that is known by now; `unsent` what it could
    not send.
    """

    since: datetime
    until: datetime | None
    missed: int
    unsent: int


class Said(msgspec.Struct, array_like=True, frozen=True):
    """What one process says to the others."""

    version: int
    owner: str
    origin: str
    number: int
    """Counted up with all that it says."""
    seq: int
    """Counted up with its messages: the last one's, where this is none."""
    kind: Literal["message", "here", "joined", "left", "bye"]
    parcel: Parcel | None = None
    names: list[str] = []
    asks: bool = False
    """Whether the others are to say who is there."""


class _Other(msgspec.Struct):
    """Another process, as far as it was heard."""

    seq: int
    heard: int
    names: set[str] = msgspec.field(default_factory=set)


class _Lost(msgspec.Struct):
    """A gap, as it grows."""

    since: int
    until: int | None = None
    missed: int = 0
    unsent: int = 0


class Reach:
    """What a carrier takes frames from, and brings others' to."""

    def __init__(self, hub: "Hub", clock: Clock, owner: str, carrier: Carrier) -> None:
        self.outlet: Box[Said] = Box(
            hub.mutex, _WAITING_MOST, "wait", "the way to other processes"
        )
        self.carrier = carrier
        self._hub = hub
        self._clock = clock
        self._owner = owner
        self._origin = token(clock.now_us())
        self._number = 0
        self._seq = 0
        self._others: dict[str, _Other] = {}
        self._gaps: deque[_Lost] = deque(maxlen=_GAPS_MOST)
        self._gap = _Lost(0)
        """The last time that the way itself was lost."""
        self._ways = {"hears": True, "speaks": True}
        self._beat = time.monotonic()

    # For the hub.

    def reaches(self, parcel: Parcel) -> bool:
        """Whether a message is for others, too."""
        if parcel.to is None:
            return True
        lately = self._clock.now_us() - _GONE_US
        return any(
            parcel.to in other.names and other.heard > lately
            for other in self._others.values()
        )

    def send(self, parcel: Parcel) -> None:
        """Have a message carried."""
        self._say("message", parcel=parcel)

    def joined(self, name: str) -> None:
        """Say that a name is here."""
        self._say("joined", names=[name])

    def left(self, name: str) -> None:
        """Say that a name is here no more."""
        self._say("left", names=[name])

    def names(self) -> set[str]:
        """The names that are elsewhere."""
        lately = self._clock.now_us() - _GONE_US
        heard = (one.names for one in self._others.values() if one.heard > lately)
        return set[str]().union(*heard)

    # For the bus; not under the lock.

    def open(self) -> None:
        """Connect, and ask who is there."""
        from holdfast.engines import living  # noqa: PLC0415  # it loads asyncio

        self.carrier.open(self)
        living.opened(self)
        with self._hub.mutex:
            self._here(asks=True)

    def close(self) -> None:
        """Take part no more, take leave, and let go of everything."""
        from holdfast.engines import living  # noqa: PLC0415  # it loads asyncio

        if not self._hub.close("the bus was closed"):
            return
        living.closed(self)
        with self._hub.mutex:
            self._say("bye")
            self.outlet.close("the bus was closed")
        self.carrier.close()

    def is_closed(self) -> bool:
        """Whether it was closed, or is a parent process's."""
        return self._hub.closed is not None

    def disown(self) -> None:
        """In a forked process: the hub has been told. This stays, and is not used."""

    def gaps(self) -> tuple[Gap, ...]:
        """The newest gaps, oldest first."""
        with self._hub.mutex:
            return tuple(
                Gap(
                    since=to_datetime(gap.since),
                    until=None if gap.until is None else to_datetime(gap.until),
                    missed=gap.missed,
                    unsent=gap.unsent + (self.outlet.missed if not gap.until else 0),
                )
                for gap in self._gaps
            )

    # For the carrier, from its threads; not under the lock.

    def next(self) -> Frame:
        """The next frame to carry, as soon as there is one. Raises `Closed`."""
        while True:
            said = self.outlet.get(self._to_next_beat(), "")
            if said is not None:
                return self._frame(said)
            self._beats()

    async def anext(self) -> Frame:
        """As `next`, awaited."""
        while True:
            said = await self.outlet.aget(self._to_next_beat())
            if said is not None:
                return self._frame(said)
            self._beats()

    def more(self) -> Frame | None:
        """The next frame to carry, if there is one already."""
        said = self.outlet.take()
        return None if said is None else self._frame(said)

    def came(self, text: bytes) -> None:
        """A frame came, perhaps one's own, or one that means nothing here."""
        try:
            said = _read(text)
        except (msgspec.DecodeError, RecursionError):
            return _log("debug", "what came over the bus could not be read")
        if said.origin == self._origin or said.owner != self._owner:
            return None
        if not _is_sound(said):
            return _log("debug", "what came over the bus is of another kind")
        with self._hub.mutex:
            missed = self._heard(said)
        if missed:
            _log("warning", f"{missed} messages of another process never came")
        return None

    def hears(self, so: bool) -> None:
        """Whether what others send is heard, from now on."""
        self._way("hears", so)

    def speaks(self, so: bool) -> None:
        """Whether what is sent goes out, from now on."""
        self._way("speaks", so)

    # How it is done.

    def _say(
        self,
        kind: Literal["message", "here", "joined", "left", "bye"],
        *,
        parcel: Parcel | None = None,
        names: Iterable[str] = (),
        asks: bool = False,
    ) -> None:
        self._number += 1
        self._seq += parcel is not None
        who = (_VERSION, self._owner, self._origin, self._number, self._seq)
        said = Said(*who, kind, parcel, list(names), asks)
        if self.outlet.overflow == "drop":
            self.outlet.put(said)
        else:  # a message waits for room, and the little that is said beside goes by
            self.outlet.add(said)

    def _here(self, *, asks: bool = False) -> None:
        self._beat = time.monotonic()
        self._say("here", names=self._hub.own_names(), asks=asks)

    def _to_next_beat(self) -> float:
        return max(0.0, self._beat + _BEAT_SECONDS - time.monotonic())

    def _beats(self) -> None:
        """Say who is there, if it is time; and forget who has been silent for long."""
        if self._to_next_beat() > 0:
            return
        with self._hub.mutex:
            self._here()
            long_ago = self._clock.now_us() - _FORGOTTEN_US
            for origin, other in list(self._others.items()):
                if other.heard < long_ago:
                    del self._others[origin]

    def _heard(self, said: Said) -> int:
        """Take in what another process says; how much of it never came."""
        now = self._clock.now_us()
        other = self._others.get(said.origin)
        if other is None:
            other = _Other(said.seq - (said.parcel is not None), now)
            self._others[said.origin] = other
        if said.parcel is not None and said.seq <= other.seq:
            return 0  # it was sent again, for fear that it was lost
        missed = said.seq - other.seq - (said.parcel is not None)
        if missed > 0:
            self._note(missed, since=other.heard, now=now)
        other.seq, other.heard = max(said.seq, other.seq), now
        if said.parcel is not None:
            self._hub.arrived(said.parcel)
        elif said.kind == "bye":
            del self._others[said.origin]
        elif said.kind == "left":
            other.names.difference_update(said.names)
        else:
            names = set(said.names)
            other.names = names if said.kind == "here" else other.names | names
            self._hub.appeared(names)
            if said.asks:
                self._here()
        return max(0, missed)

    def _note(self, missed: int, *, since: int, now: int) -> None:
        """Count what never came into the gap that it was lost in, if one is known."""
        if not self._gaps or self._gaps[-1].since < since:
            self._gaps.append(_Lost(since, now))
        self._gaps[-1].missed += missed

    def _way(self, which: str, so: bool) -> None:
        with self._hub.mutex:
            was = all(self._ways.values())
            self._ways[which] = so
            self.outlet.forgo("wait" if self._ways["speaks"] else "drop")
            now = self._clock.now_us()
            whole = all(self._ways.values())
            if was and not whole:
                self._gap = _Lost(now)
                self._gaps.append(self._gap)
            elif whole and not was:
                self._gap.until = now
                self._gap.unsent, self.outlet.missed = self.outlet.missed, 0
                self._here(asks=True)
        if was and not whole:
            _log("warning", "the way to other processes is lost: messages may be, too")
        elif whole and not was:
            _log("warning", "the way to other processes is there again")

    def _frame(self, said: Said) -> Frame:
        parcel = said.parcel
        if parcel is None:
            room, name = "here", ""
        elif parcel.to is not None:
            room, name = "to", parcel.to
        else:
            room, name = ("all", "") if parcel.everyone else ("topic", parcel.topic)
        return Frame(f"{said.origin}.{said.number}", room, name, _write(said))


_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(Said).decode


def _is_sound(said: Said) -> bool:
    if said.version != _VERSION or (said.kind == "message") != (
        said.parcel is not None
    ):
        return False
    return said.parcel is None or said.parcel.is_sound()


def _log(level: Literal["debug", "warning"], text: str) -> None:
    getattr(logger("holdfast.bus"), level)(text)
