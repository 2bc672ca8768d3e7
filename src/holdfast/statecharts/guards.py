"""Guards: whether a transition may be made.

Answers for: the forms that a guard has, what is wrong with one, what it says of a
machine and an event.
Leaves to others: which transition is tried first (`machine_steps`), keeping functions
(`provided`).
Always holds: a guard changes nothing, whatever its function does with what it is given;
a JSON Schema fetches nothing, and its patterns do not run long.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from holdfast.errors import HoldfastError, Refused
from holdfast.statecharts.expressions import Scope, expression_of, is_expression
from holdfast.statecharts.operators import is_true
from holdfast.statecharts.places import Place, kind_of

Functions: TypeAlias = Mapping[str, Callable[[dict[str, Any], Any], object]]
"""Functions of a context and a payload, by the names that specs call them by."""

_BACKTRACKS = 100_000
_FORMS = (
    'a guard is true or false, {"schema": …}, an expression such as '
    '{"$eq": ["$status", "open"]}, or the name of a function'
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class GuardFailed(Exception):
    """A guard could not be evaluated, and so counts as false; says why."""


class _Asked(msgspec.Struct, frozen=True):
    """What a guard is asked about."""

    state: str
    context: dict[str, Any]
    payload: Any
    functions: Functions
    now: int | None


class Guard(msgspec.Struct, frozen=True):
    """Whether a transition may be made; `text` is how a reader would call it.

    `function` is the name of the function that it needs, if it needs one.
    """

    text: str
    says: Callable[[_Asked], bool]
    function: str | None = None

    def holds(
        self,
        state: str,
        context: dict[str, Any],
        payload: Any,
        functions: Functions,
        now: int | None = None,
    ) -> bool:
        """Whether it may be made; `now` in microseconds.

        Raises `GuardFailed`, and `LookupError` with the name that `functions` lacks.
        """
        return self.says(_Asked(state, context, payload, functions, now))

    def __str__(self) -> str:
        return self.text


ALWAYS = Guard("always", lambda asked: True)
NEVER = Guard("never", lambda asked: False)


def guard_of(value: Any, place: Place) -> Guard | None:
    """A guard, from what a spec says; None for none, or for what is told of its place.

    Raises `Refused`, if it is a JSON Schema, and what reads these is not installed.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return ALWAYS if value else NEVER
    if is_expression(value):
        return _expression(value, place)
    if isinstance(value, str) and value:
        return _function(value)
    if isinstance(value, dict) and value.keys() == {"schema"}:
        return _schema(value["schema"], place.at("schema"))
    place.tell(f"{_FORMS}; this is {kind_of(value)}")
    return None


def _function(name: str) -> Guard:
    def says(asked: _Asked) -> bool:
        function = asked.functions.get(name)
        if function is None:
            raise LookupError(name)
        copies = _decode(_encode((asked.context, asked.payload)))
        try:
            answer = function(*copies)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise GuardFailed(f"guard {name!r} counts as false: {why}") from error
        if not inspect.isawaitable(answer):
            return bool(answer)
        if inspect.iscoroutine(answer):
            answer.close()
        raise GuardFailed(f"guard {name!r} counts as false: a guard is not async")

    return Guard(name, says, name)


def _expression(value: Any, place: Place) -> Guard:
    expression = expression_of(value, place)

    def says(asked: _Asked) -> bool:
        scope = Scope.of(asked.context, asked.payload, asked.now)
        try:
            return is_true(scope.value_of(expression))
        except HoldfastError as error:
            raise GuardFailed(f"a guard counts as false: {error}") from error

    return Guard(_encode(value).decode(), says)


def _schema(schema: Any, place: Place) -> Guard | None:
    try:
        import jsonschema_rs  # noqa: PLC0415  # an extra
    except ImportError:
        raise Refused(
            f"{place.text}: guards that are JSON Schemas need jsonschema-rs: "
            "pip install 'holdfast[machines]'"
        ) from None
    if not isinstance(schema, (dict, bool)):
        place.tell(f"a JSON Schema is an object, true or false, not {kind_of(schema)}")
        return None
    patterns = jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS)
    try:
        validator = jsonschema_rs.validator_for(
            schema, retriever=_fetch_nothing, pattern_options=patterns
        )
    except ValueError as error:
        place.tell(f"this is no valid JSON Schema: {str(error).splitlines()[0]}")
        return None

    def says(asked: _Asked) -> bool:
        try:
            return bool(validator.is_valid({"state": asked.state, **asked.context}))
        except ValueError as error:
            raise GuardFailed(f"a schema guard counts as false: {error}") from error

    return Guard("schema", says)


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is elsewhere, and nothing is fetched: put it into '$defs'")
