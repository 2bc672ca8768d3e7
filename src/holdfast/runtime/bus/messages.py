"""Messages: what a subscriber is given, and what it is on its way to there.

Answers for: `BusMessage`, and `Parcel`, which all of a message's subscribers share.
Always holds: a parcel's data is JSON text, so that each subscriber's is its own.
"""

from datetime import datetime
from typing import Any

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime

_decode = msgspec.json.Decoder().decode


class BusMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What was published, or sent, and by whom.

    `to` is the name that a direct message was sent to. `data` is nobody else's: it may
    be changed.
    """

    id: str
    topic: str
    sender: str | None
    to: str | None
    correlation: str | None
    at: datetime
    data: Any


class Parcel(msgspec.Struct, array_like=True, frozen=True):
    """A message on its way."""

    id: str
    topic: str
    sender: str | None
    to: str | None
    everyone: bool
    """Whether it is for each subscriber, whatever that subscribed to."""
    correlation: str | None
    at: int
    data: msgspec.Raw

    def opened(self) -> BusMessage:
        """The message, with data of its own."""
        return BusMessage(
            id=self.id,
            topic=self.topic,
            sender=self.sender,
            to=self.to,
            correlation=self.correlation,
            at=to_datetime(self.at),
            data=_decode(self.data),
        )

    def is_sound(self) -> bool:
        """Whether it can be opened, and its data is such as is sent from here."""
        try:
            codec.document(self.opened().data)
        except (ValueError, OverflowError, RecursionError):
            return False
        return True
