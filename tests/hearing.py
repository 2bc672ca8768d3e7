"""Hearing: what a bus's subscriber is given, for tests."""

from typing import Any

import pytest

from holdfast.errors import TimedOut
from holdfast.runtime.bus import Subscription
from turns import JOIN_SECONDS


def heard(subscription: Subscription, count: int) -> list[Any]:
    """The data of the next messages, which have to come."""
    return [subscription.get(JOIN_SECONDS).data for _ in range(count)]


def hears_nothing(subscription: Subscription, seconds: float = 0) -> None:
    """No message comes for so long."""
    with pytest.raises(TimedOut):
        subscription.get(seconds)
