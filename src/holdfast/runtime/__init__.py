"""The runtime: what lives as long as the process that uses a store."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.runtime.bus import Bus

__all__ = ["Bus"]


def __getattr__(name: str) -> object:
    """Load the bus for those who ask for it."""
    if name == "Bus":
        from holdfast.runtime.bus import Bus  # noqa: PLC0415  # as said

        return Bus
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
