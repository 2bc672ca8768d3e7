"""What a configuration is: its parts, its settings, and where each came from.

Answers for: the records, what of them may be shown, opening the store that they name.
Leaves to others: finding them out (`loading`), what is a secret (`masking`).
Always holds: nothing in it changes; no repr, text or JSON of it has a secret.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from holdfast.config.secret import Secret
from holdfast.errors import Refused
from holdfast.limits import Limits

if TYPE_CHECKING:
    from holdfast.opening import Opening
    from holdfast.store import Store

T = TypeVar("T")


class Source(StrEnum):
    """Where a setting came from; a later one is stronger."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    ARGUMENT = "argument"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as it may be shown, and where it came from.

    `where` is a line of a file, a variable, or an argument. `over` tells what said
    otherwise and is weaker, each as it may be shown.
    """

    name: str
    value: Any
    source: Source
    where: str
    over: tuple[str, ...] = ()


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which store, and how it is opened. `target` is a path, `:memory:` or a URL."""

    target: Secret
    durability: str
    migrate: str
    owner: str
    limits: Limits

    @property
    def place(self) -> str:
        """Where the store is, as it may be shown."""
        return str(self.target)


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who this program is."""

    id: str | None
    secret: Secret | None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a program was told when it started. It is read once, and never changes.

    `projects` are tables of yours, in which what has a secret's name, or a secret in
    it, is a `Secret`; `credentials` are secrets, and `services` addresses, by their
    names. `settings` has each value with where it came from, and `notes` what is worth
    knowing of them.
    """

    environment: str
    store: StoreConfig
    agent: AgentConfig
    account_mode: str | None
    peer_mode: str | None
    projects: Mapping[str, Mapping[str, Any]]
    credentials: Mapping[str, Secret]
    services: Mapping[str, Secret]
    settings: tuple[Setting, ...]
    notes: tuple[str, ...]
    file: str | None

    def __repr__(self) -> str:
        return (
            f"Config(environment={self.environment!r}, store={self.store.place!r}, "
            f"file={self.file!r})"
        )

    def project(self, name: str) -> Mapping[str, Any]:
        """A project's definition. Raises `Refused` if there is none of that name."""
        return _named("projects", self.projects, name)

    def credential(self, name: str) -> str:
        """A credential itself, not masked. Raises `Refused` if there is none."""
        return _named("credentials", self.credentials, name).reveal()

    def service(self, name: str) -> str:
        """A service's address itself, not masked. Raises `Refused` if there is none."""
        return _named("services", self.services, name).reveal()

    def open(self) -> "Store":
        """Open the store that is named here; what `holdfast.open(config)` does."""
        from holdfast import opening  # noqa: PLC0415  # it stands above this

        return opening.open(self)

    def aopen(self) -> "Opening":
        """Open that store for asyncio; what `holdfast.aopen(config)` does."""
        from holdfast import opening  # noqa: PLC0415  # it stands above this

        return opening.aopen(self)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data that can be shown: secrets are masked."""
        from holdfast.config.masking import masked  # noqa: PLC0415  # few ask

        return {
            "environment": self.environment,
            "store": {
                "target": self.store.place,
                "durability": self.store.durability,
                "migrate": self.store.migrate,
                "owner": self.store.owner,
                "limits": msgspec.structs.asdict(self.store.limits),
            },
            "agent": {"id": self.agent.id, "secret": masked(self.agent.secret)},
            "account": {"mode": self.account_mode},
            "peer": {"mode": self.peer_mode},
            "projects": {name: masked(one) for name, one in self.projects.items()},
            "credentials": {name: str(one) for name, one in self.credentials.items()},
            "services": {name: str(one) for name, one in self.services.items()},
        }


def _named(part: str, found: Mapping[str, T], name: str) -> T:
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise Refused(
            f"{part}.{name} is not configured (there are: {known}): put it under "
            f"[{part}] in holdfast.toml"
        )
    return found[name]
