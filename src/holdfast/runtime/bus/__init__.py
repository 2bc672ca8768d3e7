"""The bus: messages between agents, of one process or of many; nothing of it is kept.

In reading order: `bus` is what users hold, `subscription` what a subscriber holds,
`hub` who gets what, `routes` whom a message is for, `boxes` what waits for one
subscriber, `line` publishers who wait for room, `offline` what waits for a name that
nobody has; `reaching` has the way to other processes, `nats` and
`engines/postgres/relay` what carries it there.
"""

from holdfast.runtime.bus.bus import Bus
from holdfast.runtime.bus.messages import BusMessage
from holdfast.runtime.bus.reaching import Gap
from holdfast.runtime.bus.subscription import Subscription

__all__ = ["Bus", "BusMessage", "Gap", "Subscription"]
