"""Edges: what is checked of an argument, once, before its unit of work starts.

Answers for: ids, names and texts that are safe to keep, values that can be stored,
times that know their zone, numbers in range; and turning an operation's annotations
into those checks.
Leaves to others: what an argument means (kinds).
Always holds: a check raises before anything is written, and names the argument.
"""

import functools
import re
import types
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import Enum
from typing import (
    Annotated,
    Any,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

import msgspec
from msgspec import UNSET, UnsetType

from holdfast import codec
from holdfast.errors import InvalidId, NotStorable, WrongType
from holdfast.limits import Limits, hold

T = TypeVar("T")
Check: TypeAlias = Callable[[Any, str, Limits], Any]

_ID_CHARACTERS = 200
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f/\\\ud800-\udfff\u2028\u2029"  # controls, folders, halves
    # What nobody sees: two ids that look the same would be two records.
    r"\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_DOTS = re.compile(r"\.+")
_NAME_CHARACTERS = 64
_NAME = re.compile(r"[^\W\d_][\w.:-]*")
_TOOL = re.compile(r"[@°]?[^\W\d_][\w.:-]*(?:/[\w:-][\w.:-]*)*")
_MAX_NUMBER = 2**53
_MAX_SECONDS = 100 * 366 * 86_400


class Edge(msgspec.Struct, frozen=True):
    """Marks an annotation with the check that its arguments pass.

    `around` gives what stands for an argument that is left out: it is asked where the
    call is made, and may say None.
    """

    check: Check
    around: Callable[[], object] | None = None


def id_of(value: object, name: str, limits: Limits | None = None) -> str:
    """An id: 1 to 200 printable characters, nothing that could leave a folder."""
    if type(value) is not str:
        raise wrong_type(name, "text", value)
    if not 0 < len(value) <= _ID_CHARACTERS:  # before it is looked up, and remembered
        raise InvalidId(
            f"{name}: an id has 1 to {_ID_CHARACTERS} characters, not {len(value)}"
        )
    if flaw := _flaw(value):
        raise InvalidId(f"{name}: {flaw}")
    return value


@functools.lru_cache(maxsize=4096)
def _flaw(id: str) -> str:
    """What makes a text no id, in words; empty if nothing does."""
    if _UNSAFE.search(id) or _DOTS.fullmatch(id) or id != id.strip():
        return (
            f"{id!r} is not safe as an id (printable characters only, no slash or "
            "backslash, not just dots, no space at an end)"
        )
    return ""


def owner_of(value: object, name: str = "owner", limits: Limits | None = None) -> str:
    """An owner: an id, or the empty text that stands for a store's only owner."""
    return "" if value == "" else id_of(value, name)


def name_of(value: object, name: str, limits: Limits) -> str:
    """A short name: a letter, then up to 63 letters, digits, `_`, `.`, `:`, `-`."""
    if not isinstance(value, str):
        raise wrong_type(name, "text", value)
    if len(value) > _NAME_CHARACTERS or not _is_name(value):
        raise InvalidId(
            f"{name}: {value[:80]!r} is no short name (a letter, then up to 63 "
            "letters, digits, or _ . : -)"
        )
    return str(value)


def tool_of(value: object, name: str, limits: Limits) -> str:
    """What does work: a short name, or one in rooms, such as `@core/db`."""
    if type(value) is str and len(value) <= _NAME_CHARACTERS and _is_tool(value):
        return value
    return name_of(value, name, limits)


@functools.lru_cache(maxsize=256)
def _is_tool(value: str) -> bool:
    return _TOOL.fullmatch(value) is not None


@functools.lru_cache(maxsize=256)
def _is_name(value: str) -> bool:
    return _NAME.fullmatch(value) is not None


def text_of(value: object, name: str, limits: Limits) -> str:
    """A short text, within `limits.text_bytes`."""
    if not isinstance(value, str):
        raise wrong_type(name, "text", value)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise NotStorable(f"{name}: text with a lone surrogate") from None
    if "\x00" in value:
        raise NotStorable(f"{name}: text with a NUL character")
    hold(size, limits.text_bytes, name, "text_bytes")
    return str(value)


def texts_of(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    """Short texts, each once, in their order; at most `limits.tags` of them."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise wrong_type(name, "a list of texts", value)
    found: dict[str, None] = {}
    for index, one in enumerate(value):
        found[text_of(one, f"{name}[{index}]", limits)] = None
        hold(len(found), limits.tags, name, "tags")
    return tuple(found)


def document_of(value: object, name: str, limits: Limits) -> Any:
    """A value that JSON can carry, checked and encoded, within `limits.value_bytes`."""
    found = json_of(value, name)
    if len(found.text) * 4 > limits.value_bytes:
        hold(len(found.text.encode()), limits.value_bytes, name, "value_bytes")
    return found


def json_of(value: object, name: str) -> codec.Document:
    """A value that JSON can carry, checked and encoded, however large it is."""
    try:
        return codec.document(cast("codec.Json", value))
    except NotStorable as error:
        raise NotStorable(name + str(error).removeprefix("value")) from None


def object_of(value: object, name: str, limits: Limits) -> Any:
    """A JSON object (a dict), checked and encoded; or None."""
    if value is None:
        return None
    plain = value.value if type(value) is codec.Document else value
    if not isinstance(plain, dict):
        raise wrong_type(name, "a dict", plain)
    return document_of(value, name, limits)


def count_of(value: object, name: str, limits: Limits) -> int:
    """A whole number from 0 on."""
    number = _integer(value, name, limits)
    if number < 0:
        raise WrongType(f"{name}: {number} is below 0")
    return number


def page_of(value: object, name: str, limits: Limits) -> int:
    """How many records a page may have: 1 to `limits.page`."""
    number = _integer(value, name, limits)
    if number < 1:
        raise WrongType(f"{name}: a page has at least 1 record, not {number}")
    hold(number, limits.page, name, "page")
    return number


def seconds_of(value: object, name: str, limits: Limits) -> float:
    """A time span in seconds, above 0, up to 100 years."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number of seconds", value)
    if not 0 < value <= _MAX_SECONDS:
        raise WrongType(f"{name}: {value} seconds is no time span (at most 100 years)")
    return float(value)


def wait_of(value: object, name: str, limits: Limits) -> float | None:
    """A time to wait, in seconds: 0 for not at all, None for no end."""
    if value is None:
        return None
    if value == 0 and not isinstance(value, bool):
        return 0.0
    return seconds_of(value, name, limits)


def number_of(value: object, name: str, limits: Limits) -> float | int:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number", value)
    if not -_MAX_NUMBER <= value <= _MAX_NUMBER:
        raise WrongType(f"{name}: {value} is out of range")
    return value


def truth_of(value: object, name: str, limits: Limits) -> bool:
    """True or False."""
    if type(value) is not bool:
        raise wrong_type(name, "True or False", value)
    return value


def time_of(value: object, name: str, limits: Limits) -> datetime:
    """A time that knows its zone; text in ISO 8601 is taken too."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise WrongType(f"{name}: {value!r} is no time in ISO 8601") from None
    if not isinstance(value, datetime):
        raise wrong_type(name, "a time", value)
    if value.tzinfo is None:
        raise WrongType(
            f"{name}: {value} has no time zone (use datetime.now(UTC), "
            "or .replace(tzinfo=…))"
        )
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise WrongType(f"{name}: {value} is past the years 1 to 9999 in UTC") from None
    return value


def moment_of(value: object, name: str, limits: Limits) -> int | datetime:
    """A moment of the journal, by its number or by a time that knows its zone."""
    if isinstance(value, (str, datetime)):
        return time_of(value, name, limits)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "a moment's number, or a time", value)
    return count_of(value, name, limits)


def wrong_type(name: str, wanted: str, value: object) -> WrongType:
    """The error for an argument of another type; it does not show the value."""
    return WrongType(f"{name}: {wanted} is wanted, not {type(value).__name__}")


def _integer(value: object, name: str, limits: Limits) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "a whole number", value)
    if not -_MAX_NUMBER <= value <= _MAX_NUMBER:
        raise WrongType(f"{name}: {value} is out of range")
    return int(value)


Id = Annotated[str, Edge(id_of)]
Name = Annotated[str, Edge(name_of)]
Tool = Annotated[str, Edge(tool_of)]
Text = Annotated[str, Edge(text_of)]
Value = Annotated[codec.Json, Edge(document_of)]
Object = Annotated[dict[str, Any] | None, Edge(object_of)]
Count = Annotated[int, Edge(count_of)]
PageSize = Annotated[int, Edge(page_of)]
Seconds = Annotated[float, Edge(seconds_of)]
Number = Annotated[float, Edge(number_of)]
Time = Annotated[datetime, Edge(time_of)]
Moment = Annotated[int | datetime | str, Edge(moment_of)]

_PLAIN: dict[object, Check] = {
    str: text_of,
    int: _integer,
    bool: truth_of,
    float: number_of,
    datetime: time_of,
}


def check_for(annotation: object) -> Check:
    """The check that an argument with this annotation passes.

    `TypeError` if holdfast knows none: then the annotation should carry an `Edge`.
    """
    if get_origin(annotation) is Annotated:
        return next(mark.check for mark in get_args(annotation) if type(mark) is Edge)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return member_of(annotation)
    if get_origin(annotation) in {Union, types.UnionType}:
        return _one_of(get_args(annotation))
    raise TypeError(f"no check is known for arguments of type {annotation!r}")


def around_for(annotation: object) -> Callable[[], object] | None:
    """What gives an argument of this annotation that is left out, if anything does."""
    for option in (annotation, *get_args(annotation)):
        if get_origin(option) is Annotated:
            marks = [mark for mark in get_args(option) if type(mark) is Edge]
            return marks[0].around
    return None


def _one_of(options: tuple[object, ...]) -> Check:
    absent = tuple(
        {type(None): None, UnsetType: UNSET}[option]
        for option in options
        if option in {type(None), UnsetType}
    )
    first, last = absent[0], absent[-1]
    (present,) = (o for o in options if o not in {type(None), UnsetType})
    check = check_for(present)

    def checked(value: object, name: str, limits: Limits) -> object:
        if value is first or value is last:
            return value
        return check(value, name, limits)

    return checked


def member_of(kind: type[Enum]) -> Check:
    """The check for a member of an enumeration, or its value."""

    def checked(value: object, name: str, limits: Limits) -> Enum:
        try:
            return kind(value)
        except ValueError:
            choices = ", ".join(str(member.value) for member in kind)
            raise WrongType(f"{name}: {value!r} is none of: {choices}") from None

    return checked
