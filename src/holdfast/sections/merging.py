"""Merging: what is done to the value of one key, and what several changes come to.

Answers for: putting a value, taking it away, merging an object into what is there.
Leaves to others: which section and key it is, where its value is kept.
Always holds: changes that are put together first come to the same as one after another,
whatever is there when they are made. Objects are merged within objects; every other
value takes the place of what was there, None as well.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from holdfast import codec
from holdfast.codec import Document

_NUMBER_BYTES = 8


class Put(msgspec.Struct, frozen=True):
    """A value in the place of whatever is there."""

    document: Document


class Gone(msgspec.Struct, frozen=True):
    """No value any more."""


class Leaf(msgspec.Struct, frozen=True):
    """Within a merge: a value in the place of whatever is there."""

    value: Any


Tree: TypeAlias = dict[str, "Tree | Leaf"]
"""What is merged: by the names of an object, values or what is merged in turn."""


class Merge(msgspec.Struct, frozen=True):
    """An object that is merged into the one that is there.

    Where nothing is, it is merged into `otherwise`.
    """

    tree: Tree
    otherwise: Any = None


Change: TypeAlias = Put | Gone | Merge


def merge_of(document: Document, otherwise: Any = None) -> Change:
    """What merges a value into what is there: an object is merged, another one put."""
    value: Any = document.value
    return Merge(_tree(value), otherwise) if isinstance(value, dict) else Put(document)


def applied(change: Change | None, there: Document | None) -> Document | None:
    """What a change makes of what is there; None stands for nothing."""
    if change is None:
        return there
    if isinstance(change, Put):
        return change.document
    if isinstance(change, Gone):
        return None
    start = change.otherwise if there is None else there.value
    return codec.document(_merged(change.tree, start))


def put_together(first: Change | None, second: Change) -> Change:
    """One change for two that come one after another; both stay as they are."""
    if first is None or not isinstance(second, Merge):
        return second
    if isinstance(first, Merge):
        both = own(first)
        merge_into(both, second)
        return both
    found = applied(second, applied(first, None))
    return Gone() if found is None else Put(found)


def own(change: Merge) -> Merge:
    """The same merge, which nobody else has, so that `merge_into` may change it."""
    return Merge(_copied(change.tree), change.otherwise)


def merge_into(first: Merge, second: Merge) -> int:
    """Have a merge do what comes after it as well; by how many bytes it has grown.

    It costs what the second one has, however much is in the first.
    """
    return _join(first.tree, second.tree)


def fresh(document: Document) -> Any:
    """The value of a document, for a caller to change as they like."""
    value = document.value
    return codec.decode(document.text) if isinstance(value, (dict, list)) else value


def size_of(change: Change) -> int:
    """About how many bytes a change has."""
    if isinstance(change, Put):
        return len(change.document.text)
    return _size(change.tree) if isinstance(change, Merge) else 0


def _tree(value: Mapping[str, Any]) -> Tree:
    return {
        name: _tree(inner) if isinstance(inner, dict) else Leaf(inner)
        for name, inner in value.items()
    }


def _merged(tree: Tree, there: Any) -> dict[str, Any]:
    found = dict(there) if isinstance(there, dict) else {}
    for name, node in tree.items():
        if isinstance(node, Leaf):
            found[name] = node.value
        else:
            found[name] = _merged(node, found.get(name))
    return found


def _copied(tree: Tree) -> Tree:
    return {name: _copy_of(node) for name, node in tree.items()}


def _copy_of(node: "Tree | Leaf") -> "Tree | Leaf":
    return node if isinstance(node, Leaf) else _copied(node)


def _join(first: Tree, second: Tree) -> int:
    """Put a copy of a tree into another one; by how many bytes that one has grown."""
    grown = 0
    for name, node in second.items():
        before = first.get(name)
        if isinstance(before, dict) and isinstance(node, dict):
            grown += _join(before, node)
            continue
        after = _copy_of(node)
        if isinstance(before, Leaf) and isinstance(node, dict):
            after = Leaf(_merged(node, before.value))
        grown += _size_of(after)
        grown += len(name) if before is None else -_size_of(before)
        first[name] = after
    return grown


def _size(tree: Tree) -> int:
    return sum(len(name) + _size_of(node) for name, node in tree.items())


def _size_of(node: "Tree | Leaf") -> int:
    if not isinstance(node, Leaf):
        return _size(node)
    value = node.value
    if isinstance(value, (list, dict)):
        return len(codec.document(value).text)
    return len(value) if isinstance(value, str) else _NUMBER_BYTES
