"""What an item is: its record, how it is found again, and what is put in its place.

Answers for: the records, reading them from rows, checking what many are made from.
Leaves to others: everything that is done with them (`items`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, cast

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import WrongType
from holdfast.kinds.item_filters import filter_of
from holdfast.kinds.item_places import (
    id_of_place,
    key_of,
    labels_of,
    namespace_of,
    text_of_namespace,
)
from holdfast.kinds.item_vectors import vector_of, vectors_of
from holdfast.limits import Limits, hold

_US = 1_000_000


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A document under a key in a namespace.

    `ends_at` is when it will be out of sight: `ttl_seconds` after it was last put or
    refreshed; both are None for one that stays.
    """

    id: str
    owner: str
    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    ends_at: datetime | None
    ttl_seconds: float | None


class Near(msgspec.Struct, frozen=True, kw_only=True):
    """An item, and how near its meaning is: 1 is the same, 0 has nothing to do."""

    item: Item
    score: float


class Place(msgspec.Struct, frozen=True):
    """Where an item is: the text of its namespace, its key there, its id."""

    namespace: str
    key: str
    id: str

    @classmethod
    def of(cls, namespace: Sequence[str], key: str) -> "Place":
        """The place of a key in a namespace."""
        text = text_of_namespace(namespace)
        return cls(text, key, id_of_place(text, key))


class Draft(msgspec.Struct, frozen=True):
    """What is put in a place: JSON text, how long it lives, what stands for it."""

    place: Place
    value: str
    lifetime_us: int | None = None
    vectors: bytes | None = None


def draft_of(
    place: Place, value: Any, ttl_seconds: float | None, vectors: Any
) -> Draft:
    """A draft of checked arguments."""
    lifetime = None if ttl_seconds is None else max(1, round(ttl_seconds * _US))
    return Draft(place, codec.document(value).text, lifetime, vectors)


def drafts_in(checked: object) -> tuple[Draft, ...]:
    """What the check of `Contents` makes of them."""
    return cast("tuple[Draft, ...]", checked)


def places_in(checked: object) -> tuple[Place, ...]:
    """What the check of `Places` makes of them."""
    return cast("tuple[Place, ...]", checked)


def item_of(row: Row) -> Item:
    """The record that a row stands for."""
    (_, owner, id, namespace, key, created_at, updated_at, ends_at, lifetime_us,
     value) = row  # fmt: skip
    return Item(
        id=id,
        owner=owner,
        namespace=namespace_of(namespace),
        key=key,
        value=codec.decode(value),
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        ends_at=None if ends_at is None else to_datetime(ends_at),
        ttl_seconds=None if lifetime_us is None else lifetime_us / _US,
    )


def _content(value: object, name: str, limits: Limits) -> Any:
    if not isinstance(value, (dict, codec.Document)):
        raise edges.wrong_type(name, "a dict", value)
    return edges.object_of(value, name, limits)


def _places(value: object, name: str, limits: Limits) -> tuple[Place, ...]:
    """Places: a list of pairs, each of a namespace and a key."""
    return tuple(
        _place(pair, f"{name}[{number}]", limits)
        for number, pair in enumerate(_batch(value, name, limits))
    )


def _place(pair: object, name: str, limits: Limits) -> Place:
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:  # noqa: PLR2004
        raise edges.wrong_type(name, "a pair of namespace and key", pair)
    labels = labels_of(pair[0], f"{name}[0]", limits)
    return Place.of(labels, key_of(pair[1], f"{name}[1]", limits))


def _contents(value: object, name: str, limits: Limits) -> tuple[Draft, ...]:
    """What is put in many places: a list of dicts, as `put` takes arguments."""
    return tuple(
        _draft(given, f"{name}[{number}]", limits)
        for number, given in enumerate(_batch(value, name, limits))
    )


def _draft(given: object, name: str, limits: Limits) -> Draft:
    if not isinstance(given, dict):
        raise edges.wrong_type(name, "a dict", given)
    needed, known = {"namespace", "key", "value"}, {"ttl_seconds", "vectors"}
    if not needed <= given.keys() <= needed | known:
        raise WrongType(
            f"{name}: an item has namespace, key and value, and may have ttl_seconds "
            "and vectors"
        )
    place = _place([given["namespace"], given["key"]], name, limits)
    content = _content(given["value"], f"{name}['value']", limits)
    seconds, vectors = given.get("ttl_seconds"), given.get("vectors")
    return draft_of(
        place,
        content,
        None if seconds is None else edges.seconds_of(seconds, name, limits),
        None if vectors is None else vectors_of(vectors, name, limits),
    )


def _batch(value: object, name: str, limits: Limits) -> Sequence[object]:
    if not isinstance(value, (list, tuple)):
        raise edges.wrong_type(name, "a list", value)
    hold(len(value), limits.batch, name, "batch")
    return value


Labels = Annotated[Sequence[str], Edge(labels_of)]
Key = Annotated[str, Edge(key_of)]
Content = Annotated[Mapping[str, Any], Edge(_content)]
Contents = Annotated[Sequence[Mapping[str, Any]], Edge(_contents)]
Places = Annotated[Sequence[tuple[Sequence[str], str]], Edge(_places)]
Filter = Annotated[Mapping[str, Any], Edge(filter_of)]
Vector = Annotated[Sequence[float], Edge(vector_of)]
Vectors = Annotated[Mapping[str, Sequence[float]], Edge(vectors_of)]
