"""A framework's object on a store of either face: its sync calls, or its async ones."""

from collections.abc import Callable
from typing import Any

from driving import Driven


class Faced:
    """Calls `name` on a sync store, and `a` before its name on an async one."""

    def __init__(self, make: Callable[[Any], Any], store: Any) -> None:
        self._loop = store._loop if isinstance(store, Driven) else None
        self.on = make(store._target if isinstance(store, Driven) else store)

    def call(self, name: str, *args: Any) -> Any:
        if self._loop is None:
            return getattr(self.on, name)(*args)
        return self.wait(getattr(self.on, f"a{name}")(*args))

    def wait(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    @property
    def is_async(self) -> bool:
        return self._loop is not None
