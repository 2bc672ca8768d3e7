"""Expressions: values worked out from a machine's context and an event's payload.

Answers for: which values in a spec are expressions, compiling them, what is wrong with
one.
Leaves to others: what operators do (`operators`), paths (`scopes`),
where expressions stand in a spec (`specs`).
Always holds: an expression reads its scope and nothing else, and changes nothing; it is
compiled once; what it gives shares nothing with the spec.
"""

import functools
from typing import Any

import msgspec

from holdfast.statecharts.operators import OPERATORS, Constant, Here, text_of
from holdfast.statecharts.places import Place
from holdfast.statecharts.scopes import (
    Make,
    Scope,
    context_path,
    is_path,
    item_path,
)

__all__ = ["Expression", "Scope", "expression_of", "is_expression"]

DEEPEST = 50
"""How deep expressions may stand within one another."""
_DATA = {
    *("$schema", "$id", "$ref", "$defs", "$anchor", "$dynamicRef", "$dynamicAnchor"),
    *("$recursiveRef", "$recursiveAnchor", "$vocabulary", "$comment", "$async", "$co"),
}
"""Keys that begin with a dollar and are data: those of schemas."""


class Expression(msgspec.Struct, frozen=True, dict=True):
    """An expression, as it was written; compiled when it is first asked for."""

    source: Any

    @functools.cached_property
    def make(self) -> Make:
        """What works it out. Raises `Refused`, if it cannot be compiled."""
        place = Place()
        make = _made(self.source, Here(place, frozenset(), 0, _made))
        place.refuse_problems("an expression")
        return make


def expression_of(source: Any, place: Place) -> Expression:
    """An expression; what is wrong with it is told of its place."""
    expression = Expression(source)
    make = _made(source, Here(place, frozenset(), 0, _made))
    expression.__dict__["make"] = make  # as its cached property keeps it
    return expression


def is_expression(source: Any) -> bool:
    """Whether it is one by its looks: a text with a dollar, or an operator."""
    if isinstance(source, str):
        return source.startswith("$")
    return isinstance(source, dict) and any(map(_is_operator, source))


def _made(source: Any, here: Here) -> Make:
    if here.depth > DEEPEST:
        return here.refuse(f"expressions are nested deeper than {DEEPEST}")
    if isinstance(source, str):
        return _path(source, here) if source.startswith("$") else Constant(source)
    if isinstance(source, list):
        return _list(source, here)
    if isinstance(source, dict):
        return _operation(source, here) or _object(source, here)
    return Constant(source)


def _path(source: str, here: Here) -> Make:
    path = source.removeprefix("$").removeprefix("$")
    if not is_path(path):
        return here.refuse(
            "a text that begins with '$' is a path, keys with dots between them: "
            "'$user.name' of the context, '$$id' of the payload"
        )
    if source.startswith("$$"):
        return item_path(path, here.names)
    return context_path(path)


def _operation(source: dict[str, Any], here: Here) -> Make | None:
    """What an operator makes; None for an object that is none."""
    named = [key for key in source if _is_operator(key)]
    if not named:
        return None
    if len(source) > 1:
        return here.at(named[0]).refuse("an operator is the only key of its object")
    (name,) = named
    if name not in OPERATORS:
        return here.at(name).refuse(
            f"there is no such operator{here.place.meant(name, OPERATORS)}"
        )
    return OPERATORS[name](source[name], here.at(name))


def _is_operator(key: str) -> bool:
    return key.startswith("$") and not key.startswith("$$") and key not in _DATA


def _object(source: dict[str, Any], here: Here) -> Make:
    makes = {key: here.made(value, key) for key, value in source.items()}
    named = {key: _path(key, here.at(key)) for key in source if key.startswith("$$")}
    if named:
        return _object_with_made_keys(makes, named)
    if all(type(make) is Constant for make in makes.values()):
        return Constant(source)
    pairs = tuple(makes.items())
    return lambda scope: {key: make(scope) for key, make in pairs}


def _object_with_made_keys(makes: dict[str, Make], named: dict[str, Make]) -> Make:
    def make_all(scope: Scope) -> dict[str, Any]:
        made = {}
        for key, make in makes.items():
            name = named[key](scope) if key in named else key
            made[key if name is None else text_of(name)] = make(scope)
        return made

    return make_all


def _list(source: list[Any], here: Here) -> Make:
    makes = [here.made(value, index) for index, value in enumerate(source)]
    if all(type(make) is Constant for make in makes):
        return Constant(source)
    return lambda scope: [make(scope) for make in makes]
