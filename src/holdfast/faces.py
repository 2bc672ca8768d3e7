"""Faces: a kind as a store shows it, where each call is a transaction of its own.

Answers for: making, from a kind's class, the class of its sync face. It derives from
the kind, so that its signatures, its docstrings and its type are the kind's own.
Leaves to others: the async faces (`afaces`, generated from the same operations).
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from holdfast.contract import Kind, Operation, each

K = TypeVar("K", bound=Kind)


class Performs(Protocol):
    """What carries out an operation for a face."""

    def perform(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run it, to its commit."""
        ...


_classes: dict[type[Kind], type[Any]] = {}
_async_classes: dict[type[Kind], type[Any]] = {}


def face(kind: type[K], target: Performs) -> K:
    """A kind whose operations are carried out by `target`, each by itself."""
    made_class = _classes.get(kind) or _face_class(kind)
    made = object.__new__(made_class)
    made._target = target
    return cast("K", made)


def _face_class(kind: type[Kind]) -> type[Any]:
    methods = {
        name: _method(kind, operation) for name, operation in kind.operations().items()
    }
    made = type(kind.__name__, (kind,), {**methods, "__doc__": kind.__doc__})
    return _classes.setdefault(kind, made)


def async_face(kind: type[Kind], target: Any, written: type[Any] | None) -> Any:
    """The async face of a kind: a written class, or one made from its operations."""
    return (written or _async_classes.get(kind) or _async_class(kind))(target, kind)


def _async_class(kind: type[Kind]) -> type[Any]:
    def init(self: Any, target: Any, kind: type[Kind]) -> None:
        self._target = target
        self._kind = kind

    methods = {
        name: _async_method(operation) for name, operation in kind.operations().items()
    }
    made = type(
        f"Async{kind.__name__}",
        (),
        {**methods, "__init__": init, "__doc__": kind.__doc__},
    )
    return _async_classes.setdefault(kind, made)


def _async_method(operation: Operation) -> Callable[..., Any]:
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._target.perform(self._kind, operation, args, kwargs)

    async def call_each(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs["cursor"] = None
        while True:
            page = await self._target.perform(self._kind, operation, args, kwargs)
            for record in page:
                yield record
            kwargs["cursor"] = page.cursor
            if page.cursor is None:
                return

    return functools.wraps(operation.function)(call_each if operation.paged else call)


def _method(kind: type[Kind], operation: Operation) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._target.perform(kind, operation, args, kwargs)

    def call_each(self: Any, *args: Any, **kwargs: Any) -> Any:
        return each(
            lambda cursor: self._target.perform(
                kind, operation, args, {**kwargs, "cursor": cursor}
            )
        )

    return functools.wraps(operation.function)(call_each if operation.paged else call)
