"""Targets: which engine a path or a URL leads to.

Answers for: the engines that are built in, and those that installed packages bring.
Leaves to others: what the rest of a URL means (each engine).
Always holds: an engine's modules are loaded only when a target needs them.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import TypeAlias

from holdfast.engine import Engine, Options, Part
from holdfast.errors import CannotOpen, Refused

Connect: TypeAlias = Callable[[str, tuple[Part, ...], Options], Engine]
"""Makes an engine from what follows `scheme://`, the kinds' parts, and options."""
_ENGINES: Mapping[str, str] = {
    "sqlite": "holdfast.engines.sqlite",
    "postgresql": "holdfast.engines.postgres",
    "postgres": "holdfast.engines.postgres",
}
_GROUP = "holdfast.engines"
"""Where installed packages name engines of theirs: a scheme, and its `Connect`."""


def open_engine(target: str, parts: tuple[Part, ...], options: Options) -> Engine:
    """The engine for a target: a path, `:memory:`, or a URL.

    Raises `CannotOpen` for a scheme that no engine answers to.
    """
    scheme, rest = _scheme_of(target)
    if scheme not in _ENGINES:
        return _installed(scheme)(rest, parts, options)
    engine: Engine = importlib.import_module(_ENGINES[scheme]).connect(
        rest, parts, options
    )
    return engine


def schemes() -> tuple[str, ...]:
    """The schemes of URLs that an engine answers to, installed packages' too."""
    from importlib.metadata import entry_points  # noqa: PLC0415  # it loads slowly

    return (*_ENGINES, *sorted(entry_points(group=_GROUP).names))


def migration_script(
    target: str, parts: tuple[Part, ...], options: Options, role: str | None
) -> str:
    """The SQL that brings a target's tables up to date, for somebody else to run.

    Raises `Refused` where nobody else could: a file is brought up by opening it.
    """
    scheme, rest = _scheme_of(target)
    module = importlib.import_module(_ENGINES.get(scheme, _ENGINES["sqlite"]))
    if not hasattr(module, "script"):
        raise Refused(
            f"{target} is brought up to date by opening it; only a database server's "
            "tables can be made by another user's script"
        )
    text: str = module.script(rest, parts, options, role)
    return text


def _scheme_of(target: str) -> tuple[str, str]:
    """The scheme of a target, and the rest of it; a path has SQLite's."""
    scheme, found, rest = target.partition("://")
    if not found:
        return "sqlite", target
    return scheme, rest.removeprefix("/") if scheme == "sqlite" else rest


def _installed(scheme: str) -> Connect:
    """What an installed package has for a scheme that is not built in."""
    from importlib.metadata import entry_points  # noqa: PLC0415  # it loads slowly

    every = entry_points(group=_GROUP)
    values = {found.value: found for found in every if found.name == scheme}
    if not values:
        known = ", ".join(f"{name}://" for name in (*_ENGINES, *sorted(every.names)))
        raise CannotOpen(f"no engine answers to {scheme}:// (known: a path, {known})")
    if len(values) > 1:
        both = ", ".join(sorted(values))
        raise CannotOpen(f"more than one engine answers to {scheme}://: {both}")
    ((value, found),) = values.items()
    try:
        connect: Connect = found.load()
    except (ImportError, AttributeError) as error:
        raise CannotOpen(
            f"the engine for {scheme}:// ({value}) cannot be loaded ({error}): install "
            "what it needs"
        ) from error
    return connect
