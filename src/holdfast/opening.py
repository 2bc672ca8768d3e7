"""Opening a store: from a target and options to a store in hand.

Answers for: what a target may be, what each option may be, `open` and `aopen`.
Leaves to others: what is found there (engines).
"""

import os
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any, Literal

from holdfast import edges
from holdfast.clock import Clock, SystemClock
from holdfast.config.records import Config
from holdfast.core import Core
from holdfast.declared import registry
from holdfast.engine import Options, Terms
from holdfast.errors import InvalidConfig, WrongType
from holdfast.limits import Limits, limits_of
from holdfast.store import Store
from holdfast.targets import migration_script

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore

_DEFAULT = "holdfast.db"
_VARIABLE = "HOLDFAST_STORE"
_DECLARED = "HOLDFAST_ENVIRONMENT"
_PASSING = frozenset({"", "development", "test"})
"""What may be declared where a store in memory is taken from the environment."""
Durability = Literal["power-loss", "process-crash"]
Migrate = Literal["auto", "check"]


def open(
    target: str | os.PathLike[str] | Config | None = None,
    *,
    owner: str | None = None,
    durability: Durability | None = None,
    read_only: bool = False,
    migrate: Migrate | None = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
) -> Store:
    """Open a store; one that is not there yet is made.

    `target` is a path, `sqlite:///path`, `:memory:`, or `postgresql://…`; None stands
    for the environment variable `HOLDFAST_STORE`, or else `holdfast.db` in this folder.
    With durability "power-loss" (the usual one) every commit is synced to disk before
    it is acknowledged; with "process-crash" a power cut (on a server: its crash) may
    take the newest ones. `migrate="check"` raises `NeedsMigration` instead of bringing
    an older store's tables up to date. A `Config` says all of these, as far as they
    are not given here.

    Raises `CannotOpen`, `NotAStore`, `TooNew`, `NeedsMigration`, `Busy`, `WrongType`,
    and `InvalidConfig` if `HOLDFAST_STORE` is in memory where production is declared.
    """
    opened = _core(target, owner, durability, read_only, migrate, clock, limits)
    return Store(*opened)


def aopen(
    target: str | os.PathLike[str] | Config | None = None,
    *,
    owner: str | None = None,
    durability: Durability | None = None,
    read_only: bool = False,
    migrate: Migrate | None = None,
    clock: Clock | None = None,
    limits: Limits | None = None,
) -> "Opening":
    """Open a store for asyncio; to be awaited, or entered with `async with`.

    Takes and raises what `open` does.
    """
    return Opening((target, owner, durability, read_only, migrate, clock, limits))


def migration_sql(target: str, *, grant_to: str | None = None) -> str:
    """The SQL that makes a store's tables on a server, or brings them up to date.

    For where the user that runs the agents may not: run it as one who may. With
    `grant_to` it lets that role use the store. Raises `CannotOpen`, `NotAStore`,
    `TooNew`, `Refused` (a store in a file).
    """
    options = Options(
        durability="power-loss",
        read_only=False,
        migrate="check",
        limits=Limits(),
        clock=SystemClock(),
    )
    return migration_script(target, registry().parts(), options, grant_to)


class Opening(Awaitable["AsyncStore"]):
    """A store that is being opened: to be awaited, or entered with `async with`."""

    def __init__(self, options: tuple[Any, ...]) -> None:
        self._options = options
        self._store: AsyncStore | None = None

    def __await__(self) -> Generator[Any, None, "AsyncStore"]:
        return self._open().__await__()

    async def __aenter__(self) -> "AsyncStore":
        self._store = await self._open()
        return self._store

    async def __aexit__(self, *_: object) -> None:
        if self._store is not None:
            await self._store.close()

    async def _open(self) -> "AsyncStore":
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        from holdfast.astore import AsyncStore  # noqa: PLC0415

        opened = await asyncio.to_thread(_core, *self._options)
        return AsyncStore(*opened)


def _core(
    target: str | os.PathLike[str] | Config | None,
    owner: str | None,
    durability: str | None,
    read_only: bool,
    migrate: str | None,
    clock: Clock | None,
    limits: Limits | None,
) -> tuple[Core, Terms]:
    if isinstance(target, Config):
        told = target.store
        target = told.target.reveal()
        owner = told.owner if owner is None else owner
        durability = told.durability if durability is None else durability
        migrate = told.migrate if migrate is None else migrate
        limits = told.limits if limits is None else limits
    if target is None:
        target = _named_by_the_environment()
    if not isinstance(target, (str, os.PathLike)):
        raise edges.wrong_type("target", "a path or a URL", target)
    durability = "power-loss" if durability is None else durability
    migrate = "auto" if migrate is None else migrate
    _choice("durability", durability, ("power-loss", "process-crash"))
    _choice("migrate", migrate, ("auto", "check"))
    options = Options(
        durability=durability,
        read_only=bool(read_only),
        migrate=migrate,
        limits=limits_of(limits),
        clock=clock or SystemClock(),
    )
    terms = Terms(owner=edges.owner_of("" if owner is None else owner))
    return Core(os.fspath(target), registry(), options), terms


def _named_by_the_environment() -> str:
    """Where the store is that nobody named. Raises `InvalidConfig`."""
    target = os.environ.get(_VARIABLE) or _DEFAULT
    declared = os.environ.get(_DECLARED, "")
    if target.endswith(":memory:") and declared not in _PASSING:
        told = (
            f"{_VARIABLE}: in memory is refused where production is declared "
            f"({_DECLARED}={declared}), for a restart would lose all of it: name a "
            "file or a server"
        )
        raise InvalidConfig([told])
    return target


def _choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise WrongType(f"{name}: {value!r} is none of: {', '.join(choices)}")
