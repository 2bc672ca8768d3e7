"""Operators: what each of them makes of its operand.

Answers for: `$if`, `$eq` and the others: their operands' forms, what they mean.
Leaves to others: compiling operands (`expressions`), paths (`scopes`).
Always holds: an operator gives a value, whatever its operands turn out to be: what
makes no sense gives null, false, 0 or nothing.
"""

import operator
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from holdfast.statecharts.places import Place, kind_of
from holdfast.statecharts.scopes import Make, Scope, Steps, is_path, steps_of, walked

_ITEM = 100
_EXACT = 2**53
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Constant:
    """A value that is always the same: each caller gets one of its own."""

    __slots__ = ("_text", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value
        self._text = _encode(value) if isinstance(value, (list, dict)) else None

    def __call__(self, scope: Scope) -> Any:
        return self._value if self._text is None else _decode(self._text)


class Here(msgspec.Struct, frozen=True):
    """Where an expression stands: its place, what loops call their items, how deep."""

    place: Place
    names: frozenset[str]
    depth: int
    compile: Callable[[Any, "Here"], Make]

    def at(self, key: str | int) -> "Here":
        """A place within it."""
        return Here(self.place.at(key), self.names, self.depth + 1, self.compile)

    def within(self, name: str) -> "Here":
        """It, in a loop that calls its items so."""
        return Here(self.place, self.names | {name}, self.depth, self.compile)

    def made(self, source: Any, key: str | int | None = None) -> Make:
        """What an expression here, or at a place within, makes."""
        return self.compile(source, self if key is None else self.at(key))

    def refuse(self, problem: str) -> Make:
        """Tell of a problem; what stands for what cannot be made."""
        self.place.tell(problem)
        return Constant(None)


Operator: TypeAlias = Callable[[Any, Here], Make]


def is_true(value: Any) -> bool:
    """Whether a value counts as true: not null, false, 0 or the empty text."""
    return bool(value) or type(value) is list or type(value) is dict


def text_of(value: Any) -> str:
    """A value as a text: null is empty, lists and objects are JSON."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    return _encode(value).decode()


# Values


def _context(operand: Any, here: Here) -> Make:
    steps = _steps(operand, here)
    return lambda scope: scope.meter.look(walked(scope.context, steps))


def _item(operand: Any, here: Here) -> Make:
    steps = _steps(operand, here)
    return lambda scope: scope.meter.look(walked(scope.item, steps))


def _steps(operand: Any, here: Here) -> Steps:
    if not isinstance(operand, str):
        here.refuse(f"a path is wanted, not {kind_of(operand)}")
        return ()
    return steps_of(operand) if operand else ()


def _now(operand: Any, here: Here) -> Make:
    return lambda scope: None if scope.now is None else scope.now // 1_000


# Truth


def _if(operand: Any, here: Here) -> Make:
    if not (isinstance(operand, dict) and "condition" in operand):
        return here.refuse("an object with 'condition', 'then' and 'else' is wanted")
    here.place.tell_unknown(operand, {"condition", "then", "else"})
    condition, then, other = (
        here.made(operand.get(key), key) for key in ("condition", "then", "else")
    )
    return lambda scope: (then if is_true(condition(scope)) else other)(scope)


def _not(operand: Any, here: Here) -> Make:
    if isinstance(operand, list) and len(operand) == 1:
        operand, here = operand[0], here.at(0)
    make = here.made(operand)
    return lambda scope: not is_true(make(scope))


def _and(operand: Any, here: Here) -> Make:
    makes = _several(operand, here)
    return lambda scope: all(is_true(make(scope)) for make in makes)


def _or(operand: Any, here: Here) -> Make:
    makes = _several(operand, here)
    return lambda scope: any(is_true(make(scope)) for make in makes)


def _several(operand: Any, here: Here) -> list[Make]:
    if isinstance(operand, list):
        return [here.made(one, index) for index, one in enumerate(operand)]
    return [here.made(operand)]


def _comparing(answer: Callable[[Any, Any], bool]) -> Operator:
    def compare(operand: Any, here: Here) -> Make:
        if not (isinstance(operand, list) and len(operand) == 2):  # noqa: PLR2004
            return here.refuse("a list of two values is wanted")
        left, right = (here.made(one, index) for index, one in enumerate(operand))
        return lambda scope: answer(left(scope), right(scope))

    return compare


def _same(left: Any, right: Any) -> bool:
    """Whether two values are equal; true is not 1, and 1 is 1.0."""
    if type(left) is list and type(right) is list:
        return len(left) == len(right) and all(map(_same, left, right))
    if type(left) is dict and type(right) is dict:
        return left.keys() == right.keys() and all(
            _same(value, right[key]) for key, value in left.items()
        )
    return (type(left) is bool) is (type(right) is bool) and bool(left == right)


def _differ(left: Any, right: Any) -> bool:
    return not _same(left, right)


def _in_order(answer: Callable[[Any, Any], bool]) -> Operator:
    """Compares numbers with numbers and texts with texts; anything else is false."""

    def compare(left: Any, right: Any) -> bool:
        kind = _order_of(left)
        return kind is not None and kind is _order_of(right) and answer(left, right)

    return _comparing(compare)


def _order_of(value: Any) -> type | None:
    if isinstance(value, (int, float)):
        return float
    return str if isinstance(value, str) else None


# Texts and lists


def _trim(operand: Any, here: Here) -> Make:
    make = here.made(operand)

    def trimmed(scope: Scope) -> Any:
        value = make(scope)
        return value.strip() if type(value) is str else value

    return trimmed


def _to_string(operand: Any, here: Here) -> Make:
    make = here.made(operand)
    return lambda scope: text_of(make(scope))


def _length(operand: Any, here: Here) -> Make:
    make = here.made(operand)

    def length(scope: Scope) -> int:
        value = make(scope)
        return len(value) if type(value) in {list, str} else 0

    return length


def _concat(operand: Any, here: Here) -> Make:
    makes = _several(operand, here)

    def put_together(scope: Scope) -> list[Any]:
        made: list[Any] = []
        for value in (make(scope) for make in makes):
            if type(value) is list:
                made.extend(value)
            elif value is not None:
                made.append(value)
        return made

    return put_together


def _join(operand: Any, here: Here) -> Make:
    makes = _several(operand, here)
    if len(makes) not in {1, 2}:
        return here.refuse("a list is wanted: the values, and what goes between them")
    values, between = makes[0], makes[-1] if len(makes) > 1 else Constant("")

    def joined(scope: Scope) -> str:
        value = values(scope)
        if type(value) is dict and type(value.get("items")) is list:
            value = value["items"]
        if type(value) is not list:
            return text_of(value)
        texts, mark = [text_of(one) for one in value], text_of(between(scope))
        scope.meter.spend(sum(map(len, texts)) + len(mark) * len(texts))
        return mark.join(texts)

    return joined


# Loops


def _map(operand: Any, here: Here) -> Make:
    loop = _loop_of(operand, here, "return", "do")
    if loop is None:
        return Constant(None)
    give = loop.made("return", "do")
    if give is None:
        return here.refuse("'return' is missing: what comes of each item")
    return lambda scope: [give(inner) for inner in loop.each(scope)]


def _find(operand: Any, here: Here) -> Make:
    loop = _loop_of(operand, here, "where", "return")
    if loop is None:
        return Constant(None)
    where, give = loop.made("where"), loop.made("return")

    def found(scope: Scope) -> Any:
        for inner in loop.each(scope):
            if where is None or is_true(where(inner)):
                return inner.item if give is None else give(inner)
        return None

    return found


class _Loop(msgspec.Struct, frozen=True):
    """What `$map` and `$find` go over."""

    operand: dict[str, Any]
    here: Here
    name: str
    values: Make
    cost: int

    def made(self, *keys: str) -> Make | None:
        """What the first of some keys that is there makes of an item."""
        here = self.here.within(self.name)
        for key in keys:
            if key in self.operand:
                return here.made(self.operand[key], key)
        return None

    def each(self, scope: Scope) -> Iterable[Scope]:
        """The scope of each item; it is one scope, which changes."""
        values = self.values(scope)
        if type(values) is not list:
            return
        inner = scope.inner()
        for item in values:
            scope.meter.spend(self.cost)
            inner.item = inner.named[self.name] = item
            yield inner


def _loop_of(operand: Any, here: Here, *keys: str) -> _Loop | None:
    """A loop; None for what is told to be none."""
    if not isinstance(operand, dict):
        here.refuse(f"an object with an 'array' is wanted, not {kind_of(operand)}")
        return None
    here.place.tell_unknown(operand, {"array", "items", "as", *keys})
    over = "items" if "items" in operand and "array" not in operand else "array"
    if over not in operand:
        here.refuse("'array' is missing: the list to go over")
    name = operand.get("as", "item")
    if not (isinstance(name, str) and is_path(name) and "." not in name):
        here.at("as").refuse("a name is wanted, such as 'item'")
        return None
    values = here.made(operand.get(over), over)
    return _Loop(operand, here, name, values, _ITEM + len(_encode(operand)))


OPERATORS: dict[str, Operator] = {
    "$context": _context,
    "$item": _item,
    "$now": _now,
    "$if": _if,
    "$not": _not,
    "$and": _and,
    "$or": _or,
    "$eq": _comparing(_same),
    "$ne": _comparing(_differ),
    "$gt": _in_order(operator.gt),
    "$gte": _in_order(operator.ge),
    "$lt": _in_order(operator.lt),
    "$lte": _in_order(operator.le),
    "$trim": _trim,
    "$toString": _to_string,
    "$length": _length,
    "$concat": _concat,
    "$join": _join,
    "$map": _map,
    "$find": _find,
}
