"""Past: statements that read, as of a moment of the journal.

Answers for: a statement's text in which each journalled table stands for its rows as
they were at `:moment`: those that no later change touched, and images of the others.
Leaves to others: which moments there are (`moments`), running a statement (engines).
Always holds: nothing is copied, and a condition on a table's indexed columns reaches
the same index of its images.

Of all images of a row, the one of a moment is the first that died after it. Where a
statement asks for one row by its key, only that image is looked at, however many there
are; elsewhere those are passed over that were born too late. Where a statement asks for
the first rows in an order, so are both halves asked, for no planner does that alone.

Where that is not enough, a statement `x` is overridden by `x_past`. There
`ever_<table>` stands for the rows of a table at the moment and all that came since.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from holdfast.engine import Part
from holdfast.errors import Refused
from holdfast.schema.format import ELSEWHERE
from holdfast.schema.records import Shape, shapes
from holdfast.schema.statements import Statement

B = TypeVar("B")
_HISTORY = "change"
_OVERRIDE = "{}_past"
_MARK = "@past"
_EVER, _WAS = "ever_", "was_"
_READS = re.compile(r"\s*(?:select|with)\b")
_IMAGE, _CHANGE = "an_image", "a_change"
"""What only this file calls a table: a statement's own names must not be in the way."""
_NEXT_WORD = r"(?:where|order|group|limit|on|cross|join|left|inner|union|for)\b"
_WHERE = re.compile(r"\s+where\s+")
_EQUAL = re.compile(
    r"(?:(\w+)\.)?(\w+) = (:\w+|\w+\.\w+|(?:coalesce|cast)\([\w.,+ ]+\))"
    r"(?=[\s)]|$)(?!\s*[-+*/|])(?:\s+(and)\s+)?"
)
_ORDERED = re.compile(
    r"(?P<where>.*)\s+order by\s+(?P<keys>[^()]+?)\s+limit\s+(?P<limit>:\w+|\d+)\s*",
    re.DOTALL,
)
_INNERMOST = re.compile(r"\([^()]*\)")


class Asked(msgspec.Struct, frozen=True):
    """What a statement asks of a table: under which name, and which rows of it.

    `equal` has the columns that must be equal to something; `where` and `order` are
    said where the first rows in an order are asked for, and of this table alone.
    """

    alias: str
    equal: Mapping[str, str]
    where: str = ""
    order: str = ""


class Shadow(msgspec.Struct, frozen=True):
    """A journalled table, and what stands for it as of a moment."""

    table: str
    shape: Shape

    def rows(self, asked: Asked) -> str:
        """Its rows at the moment."""
        a = asked.alias
        images = f"{_WAS}{self.table}"
        for key in (("no",), self.shape.key):
            if key and not asked.order and asked.equal.keys() >= set(key):
                images = f"({_first(images, key, asked.equal)})"
                break
        alive = f"{a}.died > :moment and {a}.born <= :moment"
        return self._both(asked, _UNTOUCHED.format(a), images, alive)

    def ever(self, asked: Asked) -> str:
        """Its rows at the moment, and all that came since."""
        images = f"{_WAS}{self.table}"
        return self._both(asked, "0 = 0", images, f"{asked.alias}.died > :moment")

    def images(self) -> str:
        """The images that there were at the moment."""
        columns = ", ".join(["died", "born", *self.shape.columns])
        return f"select {columns} from {_WAS}{self.table} where died <= :moment"

    def _both(self, asked: Asked, untouched: str, images: str, alive: str) -> str:
        now = self._half(asked, self.table, untouched)
        return f"{now} union all {self._half(asked, images, alive)}"

    def _half(self, asked: Asked, rows: str, there: str) -> str:
        a = asked.alias
        columns = ", ".join(f"{a}.{column}" for column in self.shape.columns)
        half = f"select {columns} from {rows} {a} where {there}"
        if not asked.order:
            return half
        return f"select * from ({half} and {asked.where} {asked.order}) {a}"


def _first(images: str, key: tuple[str, ...], equal: Mapping[str, str]) -> str:
    """The first image of a row, by its key, that died after the moment.

    Said in two ways, for each planner takes the index of the key for one of them only:
    SQLite where columns are equal to something, PostgreSQL where rows are compared and
    a column is bounded from both sides, which it takes for few rows (it might else look
    through all that died since).
    """
    named = [name for name in key if name != "owner"]
    columns = ", ".join(f"{_IMAGE}.{name}" for name in named)
    values = ", ".join(equal[name] for name in named)
    owner = [f"{_IMAGE}.owner = {equal['owner']}"] if "owner" in equal else []
    same = [f"{_IMAGE}.{name} is not distinct from {equal[name]}" for name in named]
    where = [
        *owner,
        *same,
        f"{_IMAGE}.died > :moment",
        f"{_IMAGE}.{named[0]} >= {equal[named[0]]}",
        f"{_IMAGE}.{named[0]} <= {equal[named[0]]}",
        f"({columns}, {_IMAGE}.died) > ({values}, :moment)",
        f"({columns}) <= ({values})",
    ]
    return (
        f"select {_IMAGE}.* from {images} {_IMAGE} where {' and '.join(where)} "
        f"order by {columns}, {_IMAGE}.died limit 1"
    )


_TOUCHED = (
    f"coalesce((select 1 from change {_CHANGE} "
    f"where {_CHANGE}.no = {{0}}.no and {_CHANGE}.seq > :moment and {_CHANGE}.op"
)
_UNTOUCHED = (
    f"({{0}}.no <= :moment or {{0}}.no >= {ELSEWHERE}) "
    f"and {_TOUCHED} <> 'create' limit 1), 0) <> 1 "
    f"and {_TOUCHED} = 'create' and {_CHANGE}.no <> {_CHANGE}.seq limit 1), 0) <> 1"
)
"""Of a row: it was there at the moment, and is as it was. Of `not exists` PostgreSQL
makes a join, after which nothing is in order; of `is null` it believes that few are."""


class Statements(dict[str, B]):
    """The statements of a store as an engine runs them, each by its name.

    Each is made when it is first asked for; as of a moment, by `past(name)`. Raises
    `Refused` for the past of one that writes.
    """

    def __init__(
        self,
        statements: Mapping[str, Statement],
        parts: Iterable[Part],
        bind: Callable[[Statement], B],
    ) -> None:
        super().__init__()
        self._written = statements
        self._bind = bind
        self._shadows = {shadow.table: shadow for shadow in _shadows(parts)}
        tables = [
            f"{prefix}{name}" for name in self._shadows for prefix in ("", _EVER, _WAS)
        ]
        every = "|".join(sorted([*tables, _HISTORY], key=len, reverse=True))
        self._named = re.compile(
            rf"\b(from|join)\s+({every})\b(?:\s+(?!{_NEXT_WORD})([a-z_]\w*))?"
        )

    def __missing__(self, name: str) -> B:
        there = name.removesuffix(_MARK)
        found = self._written[name] if name == there else self.past(there)
        made = self[name] = self._bind(found)
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._written

    def past(self, name: str) -> Statement:
        """A statement as of a moment, which it takes as a value more."""
        written = self._written.get(_OVERRIDE.format(name)) or self._written[name]
        if not _READS.match(written.text):
            raise Refused(
                f"{name} writes, and the past stays as it was; nothing was written"
            )
        return Statement(name, written.says, self._shadowed(written.text))

    def _shadowed(self, text: str) -> str:
        return self._named.sub(self._shadow, text)

    def _shadow(self, found: re.Match[str]) -> str:
        word, name, alias = found.groups()
        return f"{word} ({self._rows(name, found)}) {alias or name}"

    def _rows(self, name: str, found: re.Match[str]) -> str:
        if name == _HISTORY:
            return "select * from change where seq <= :moment"
        if name in self._shadows:
            return self._shadows[name].rows(self._asked(found))
        if name.startswith(_EVER):
            return self._shadows[name.removeprefix(_EVER)].ever(self._asked(found))
        return self._shadows[name.removeprefix(_WAS)].images()

    def _asked(self, found: re.Match[str]) -> Asked:
        word, name, alias = found.groups()
        alias = alias or name
        where = _WHERE.match(found.string, found.end())
        if word == "join" or where is None:
            return Asked(alias, {})
        clause = _clause(found.string[where.end() :])
        if _has_or(clause):
            return Asked(alias, {})
        if ordered := _ORDERED.fullmatch(clause):
            order = f"order by {ordered['keys']} limit {ordered['limit']}"
            return Asked(alias, {}, self._shadowed(ordered["where"]), order)
        return Asked(alias, _equal(clause, alias))


def past(name: str) -> str:
    """What the statement of a name is called as of a moment."""
    return name + _MARK


def _shadows(parts: Iterable[Part]) -> Iterator[Shadow]:
    for part in parts:
        known = shapes(part.sql)
        for table in part.tables:
            if table.journalled:
                yield Shadow(table.name, known[table.name])


def _clause(text: str) -> str:
    """A text up to where a parenthesis closes that was opened before it."""
    depth = 0
    for place, sign in enumerate(text):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth < 0:
            return text[:place]
    return text


def _has_or(clause: str) -> bool:
    """Whether one of several conditions of a clause is enough."""
    flat, inner = clause, 1
    while inner:
        flat, inner = _INNERMOST.subn("", flat)
    return re.search(r"\bor\b", flat) is not None


def _equal(clause: str, alias: str) -> dict[str, str]:
    """The columns that a clause begins by holding equal to something, and to what."""
    equal: dict[str, str] = {}
    place = 0
    while term := _EQUAL.match(clause, place):
        qualifier, column, value, more = term.groups()
        if qualifier in {None, alias}:
            equal[column] = value
        place = term.end()
        if more is None:
            break
    return equal
