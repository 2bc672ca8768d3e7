"""Caches: values that are made once, kept for a time, and outdated by the journal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.runtime.cache.cache import Cache, CacheStats

__all__ = ["Cache", "CacheStats"]


def __getattr__(name: str) -> object:
    """Load caches for those who ask for them."""
    if name in __all__:
        from holdfast.runtime.cache import cache  # noqa: PLC0415  # as said

        return getattr(cache, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
