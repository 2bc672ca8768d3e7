"""Driving the async face with sync calls, so that one test serves both faces.

Every awaitable is run on one event loop, every async iterator becomes an iterator, and
every async context manager a context manager; what they give is wrapped likewise.
"""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Driven:
    """An object of the async face, with its calls awaited for the caller."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return driven(getattr(self._target, name), self._loop)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return driven(self._target(*args, **kwargs), self._loop)

    def __enter__(self) -> Any:
        return driven(
            self._loop.run_until_complete(self._target.__aenter__()), self._loop
        )

    def __exit__(self, *raised: Any) -> None:
        self._loop.run_until_complete(self._target.__aexit__(*raised))

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        try:
            return self._loop.run_until_complete(anext(self._target))
        except StopAsyncIteration:
            raise StopIteration from None


def driven(value: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """The value, or what stands for it on the sync side."""
    if inspect.iscoroutine(value):
        return driven(loop.run_until_complete(value), loop)
    if inspect.isasyncgen(value):
        return _each(value, loop)
    if type(value).__name__ == "_AsyncGeneratorContextManager":
        return _within(value, loop)
    if _is_face(value):
        return Driven(value, loop)
    return value


def _is_face(value: Any) -> bool:
    name = type(value).__name__
    return name.startswith("Async") or (
        inspect.ismethod(value) and type(value.__self__).__name__.startswith("Async")
    )


def _each(values: Any, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    try:
        while True:
            try:
                yield loop.run_until_complete(anext(values))
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(values.aclose())


@contextmanager
def _within(manager: Any, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    entered = loop.run_until_complete(manager.__aenter__())
    try:
        yield driven(entered, loop)
    except BaseException as error:
        raised = (type(error), error, error.__traceback__)
        if not loop.run_until_complete(manager.__aexit__(*raised)):
            raise
    else:
        loop.run_until_complete(manager.__aexit__(None, None, None))
