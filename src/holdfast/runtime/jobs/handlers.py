"""Handlers: the functions that do jobs, each for one kind, and their versions.

Answers for: what a worker may be given as handlers, and how a function's version is
told when nobody names it.
Leaves to others: calling them (`serving`), what a changed version leads to (`running`).
Always holds: a version that nobody named changes when the function's own code does; not
with comments or places, and not with what it calls. It may change with Python's.
"""

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, TypeAlias

import msgspec

from holdfast import edges
from holdfast.errors import WrongType
from holdfast.limits import Limits

Function: TypeAlias = Callable[[Any], Any]
"""A handler's function: of a running job, plain or async."""
_DIGEST_BYTES = 8


class Handler(msgspec.Struct, frozen=True):
    """A function that does jobs of one kind, and how it is to be run.

    `version` names its code; jobs that began under another one are told. An attempt
    that takes longer than `timeout_seconds` has failed.
    """

    function: Function
    version: str | None = None
    timeout_seconds: float | None = None


class Handling(msgspec.Struct, frozen=True):
    """A handler, looked over."""

    kind: str
    function: Function
    awaited: bool
    version: str
    timeout_seconds: float | None


def handlings(
    handlers: object, timeout_seconds: object, limits: Limits
) -> dict[str, Handling]:
    """What a worker is to call, by kind. Raises `WrongType`, `InvalidId`."""
    if not isinstance(handlers, Mapping):
        raise edges.wrong_type("handlers", "a dict of functions by kind", handlers)
    if not handlers:
        raise WrongType("handlers: a worker has one handler at least")
    usual = _seconds(timeout_seconds, "timeout_seconds", limits)
    return {
        edges.tool_of(kind, "a handler's kind", limits): _handling(
            kind, handler, usual, limits
        )
        for kind, handler in handlers.items()
    }


def _handling(
    kind: str, handler: object, usual: float | None, limits: Limits
) -> Handling:
    given = handler if isinstance(handler, Handler) else Handler(handler)  # type: ignore[arg-type]
    function = given.function
    if not callable(function):
        raise edges.wrong_type(f"the handler of {kind!r}", "a function", function)
    version = given.version
    if version is not None:
        version = edges.text_of(version, f"the version of {kind!r}", limits)
    own = _seconds(given.timeout_seconds, f"the time of {kind!r}", limits)
    return Handling(
        kind=kind,
        function=function,
        awaited=_is_async(function),
        version=version or digest(function),
        timeout_seconds=own or usual,
    )


def _seconds(value: object, name: str, limits: Limits) -> float | None:
    return None if value is None else edges.seconds_of(value, name, limits)


def _is_async(function: Function) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004  # of an object, its method
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def digest(function: Function) -> str:
    """A version made from a function's own code."""
    found: Any = function
    while isinstance(found, functools.partial):
        found = found.func
    found = inspect.unwrap(found)
    if not hasattr(found, "__code__"):
        found = getattr(found, "__call__", found)  # noqa: B004
    code = getattr(found, "__code__", None)
    said = repr(found) if code is None else _words(code)
    return hashlib.blake2b(said.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _words(code: CodeType) -> str:
    """What a piece of code does, in words that are the same in every process."""
    constants = [_constant(constant) for constant in code.co_consts]
    return repr((code.co_code, code.co_names, code.co_varnames, constants))


def _constant(value: object) -> str:
    if isinstance(value, CodeType):
        return _words(value)
    if isinstance(value, frozenset):  # whose order is by chance
        return repr(sorted(_constant(item) for item in value))
    if isinstance(value, tuple):
        return repr([_constant(item) for item in value])
    return repr(value)
