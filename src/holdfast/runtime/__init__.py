"""The runtime: what lives as long as the process that uses a store."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.runtime.bus import Bus
    from holdfast.runtime.cache import Cache
    from holdfast.runtime.jobs.handlers import Handler
    from holdfast.runtime.lifecycle import Lifecycle
    from holdfast.runtime.requests.requests import AsyncRequests, Requests

__all__ = ["AsyncRequests", "Bus", "Cache", "Handler", "Lifecycle", "Requests"]
_WHERE = {
    "AsyncRequests": "requests.requests",
    "Bus": "bus",
    "Cache": "cache",
    "Handler": "jobs.handlers",
    "Lifecycle": "lifecycle",
    "Requests": "requests.requests",
}
"""The module of each name, which is loaded for those who ask for it."""


def __getattr__(name: str) -> object:
    """Load what somebody asks for."""
    if name in _WHERE:
        from importlib import import_module  # noqa: PLC0415  # as said

        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
