"""Configuration: what a program is told when it starts, read once.

Answers for: `load`, and what it gives: a file `holdfast.toml`, the environment over it,
arguments over both.
Leaves to others: state, which changes while a program runs (`store.state`).
Always holds: a configuration never changes; each value knows where it came from;
secrets are masked wherever one is shown.
"""

from typing import TYPE_CHECKING

from holdfast.config.records import (
    AgentConfig,
    Config,
    Setting,
    Source,
    StoreConfig,
)
from holdfast.config.secret import Secret

if TYPE_CHECKING:
    from holdfast.config.loading import load

__all__ = [
    "AgentConfig",
    "Config",
    "Secret",
    "Setting",
    "Source",
    "StoreConfig",
    "load",
]


def __getattr__(name: str) -> object:
    """Load what reads configurations when somebody asks for it; few programs do."""
    if name == "load":
        from holdfast.config.loading import load  # noqa: PLC0415  # as said

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
