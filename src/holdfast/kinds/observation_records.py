"""What an observation is: its record, and what its arguments have to be.

Answers for: the record, its statuses, reading it from rows, checks of arguments.
Leaves to others: everything that is done with it (`observations`), which events it sees
(`events.observing`).
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import WrongType
from holdfast.limits import Limits, hold
from holdfast.patterns import Scalar, pattern_of, where_of

EVERYONE = "*"
"""The target that stands for everyone."""
OF_OBSERVATIONS = "observation:"
"""What the names of events begin with that observations tell of themselves."""
_PATTERNS = 100
_FASTEST = 1_000_000


class ObservationStatus(StrEnum):
    """Whether an observation sees anything."""

    ACTIVE = "active"
    """It sees what it is for."""
    PAUSED = "paused"
    """It sees nothing until it is resumed."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody observes somebody, and by which events.

    `target` is whose events, or `"*"` for everyone's; `events` are patterns of their
    names, of which one has to fit; `where` is what their data must hold. Of those, a
    share of `sampling_rate` is seen, and at most `rate_limit` a second (None: all).
    With `inbox`, they come to the observer's inbox too.
    """

    id: str
    owner: str
    observer: str
    target: str
    events: tuple[str, ...]
    sampling_rate: float
    rate_limit: float | None
    where: dict[str, Any] | None
    inbox: bool
    status: ObservationStatus
    created_at: datetime
    updated_at: datetime
    version: int

    @property
    def active(self) -> bool:
        """Whether it sees anything."""
        return self.status is ObservationStatus.ACTIVE


def _patterns(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    """Patterns, each once; what fits one of them fits."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list of patterns", value)
    found = [pattern_of(one, f"{name}[{i}]", limits) for i, one in enumerate(value)]
    if not 0 < len(found) <= _PATTERNS:
        raise WrongType(f"{name}: 1 to {_PATTERNS} patterns are wanted")
    texts = tuple(dict.fromkeys(pattern.text for pattern in found))
    hold(len("".join(texts).encode()), limits.text_bytes, name, "text_bytes")
    return texts


def _share(value: object, name: str, limits: Limits) -> float:
    share = float(edges.number_of(value, name, limits))
    if not 0 <= share <= 1:
        raise WrongType(f"{name}: a share is between 0 and 1, not {value}")
    return share


def _rate(value: object, name: str, limits: Limits) -> float:
    rate = float(edges.number_of(value, name, limits))
    if not 0 < rate <= _FASTEST:
        raise WrongType(
            f"{name}: above 0 a second, up to {_FASTEST:,}, and not {value} "
            "(None: without a limit)"
        )
    return rate


Patterns = Annotated[Iterable[str], Edge(_patterns)]
Share = Annotated[float, Edge(_share)]
Rate = Annotated[float, Edge(_rate)]
Where = Annotated[dict[str, Scalar], Edge(where_of)]
AnyStatus = Annotated[ObservationStatus | str, Edge(edges.member_of(ObservationStatus))]


def observation_of(row: Row) -> Observation:
    """An observation from a row of `observation_fields`."""
    (_, owner, id, observer, target, events, sampling_rate, rate_limit, conditions,
     inbox, status, created_at, updated_at, version) = row  # fmt: skip
    return Observation(
        id=id,
        owner=owner,
        observer=observer,
        target=target,
        events=tuple(codec.decode(events)),
        sampling_rate=sampling_rate,
        rate_limit=rate_limit,
        where=codec.decode(conditions),
        inbox=bool(inbox),
        status=ObservationStatus(status),
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        version=version,
    )
