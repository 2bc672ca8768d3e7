"""Loading a configuration: what was said, each by the strongest who said it.

Answers for: `load`: a file, then the environment over it, then arguments over both;
what each setting is by that, and where it came from.
Leaves to others: reading each of the three (`sources`), what a value comes to
(`values`), the store's place (`placing`).
Always holds: a value that cannot be is refused by its name and its place, all of them
at once; no message has a secret.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from holdfast.config import names
from holdfast.config.masking import has_secret, is_secret_name, masked, shown_of
from holdfast.config.names import IN_MEMORY, LIMITS, PLACES, Unfit, fixed
from holdfast.config.placing import Clash, Place, Taken, place_of
from holdfast.config.records import (
    AgentConfig,
    Config,
    Setting,
    Source,
    StoreConfig,
)
from holdfast.config.secret import Secret
from holdfast.config.sources import (
    Args,
    Given,
    Said,
    file_of,
    from_arguments,
    from_environment,
    from_file,
    is_reference,
)
from holdfast.config.values import dotted, frozen, value_of
from holdfast.errors import CannotOpen, InvalidConfig
from holdfast.limits import Limits
from holdfast.logs import logger

_SHOWN = 60


def load(
    path: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    args: Args = None,
) -> Config:
    """What this program was told: `holdfast.toml`, the environment, then arguments.

    `path` is the file; None stands for the variable `HOLDFAST_CONFIG`, or else for
    `holdfast.toml` in this folder, if there is one. `env` is `os.environ` unless given.
    `args` are settings by name, nested or dotted (None: not given), or texts such as
    `"store.durability=process-crash"`. Raises `InvalidConfig` (values that cannot be,
    each by its name and its place), `CannotOpen` (a file that cannot be read),
    `WrongType`.
    """
    env = os.environ if env is None else env
    try:
        file = file_of(path, env)
        layers = [
            *([from_file(file)] if file else []),
            from_environment(env),
            from_arguments(args),
        ]
        return _Loading(layers, env, file).config()
    except OSError as error:
        raise CannotOpen(
            "the folder that this program is in cannot be looked at "
            f"({error.strerror}): start it in another one"
        ) from error


class _Loading:
    """One configuration as it comes to be: what was said, and what is wrong with it."""

    def __init__(
        self, layers: Iterable[Said], env: Mapping[str, str], file: Path | None
    ) -> None:
        self._env = env
        self._file = file
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._settings: list[Setting] = []
        self._said: dict[tuple[str, ...], list[Given]] = {}
        self._open_to_others = False
        self._secrets_in_the_file = False
        every: list[Given] = []
        for layer in layers:
            self._problems += layer.problems
            self._notes += layer.notes
            self._open_to_others |= layer.is_open_to_others
            every += layer.given
        for given in sorted(every, key=_is_variable):  # these are others' by name
            if names.is_utf8(given.name) and names.is_utf8(given.value):
                self._said.setdefault(self._path(given), []).append(given)
            else:
                place = f"{given.name} ({given.where})".encode(errors="replace")
                self._problems.append(
                    f"{place.decode()}: it has bytes that are no UTF-8"
                )

    def config(self) -> Config:
        """The configuration. Raises `InvalidConfig`."""
        environment = self._fixed("environment")
        place = self._place(environment)
        values = {
            name: self._fixed(name)
            for name in fixed()
            if name not in PLACES and name != "environment"
        }
        groups = {group: self._group(group) for group in names.GROUPS}
        if self._problems:
            raise InvalidConfig(self._problems)
        self._tell()
        return Config(
            environment=environment,
            store=_store(place, values),
            agent=AgentConfig(id=values["agent.id"], secret=values["agent.secret"]),
            account_mode=values["account.mode"],
            peer_mode=values["peer.mode"],
            projects=frozen(groups["projects"]),
            credentials=MappingProxyType(dotted(groups["credentials"])),
            services=MappingProxyType(dotted(groups["services"])),
            settings=tuple(self._settings),
            notes=tuple(self._notes),
            file=str(self._file) if self._file else None,
        )

    def _path(self, given: Given) -> tuple[str, ...]:
        """A setting's path; a variable's is that of a credential that is there."""
        if given.path[0] in names.GROUPS and _is_variable(given):
            for path in self._said:
                if _plain_name(path) == _plain_name(given.path):
                    return path
        return given.path

    def _fixed(self, name: str) -> Any:
        """A setting of ours, by the strongest who said something."""
        known = fixed()[name]
        said = self._read(tuple(name.split(".")))
        value = said[-1].value if said else known.default
        self._show(name, value, said)
        return value

    def _read(self, path: tuple[str, ...]) -> list[Taken]:
        """What was said of a setting, the strongest last; what cannot be is noted."""
        said = sorted(self._said.get(path, ()), key=lambda one: one.strength)
        taken = []
        for given in said:
            try:
                env = self._env if given is said[-1] else None
                value = value_of(given, path, env)
            except Unfit as error:
                self._refuse(given, path, str(error))
                continue
            taken.append(Taken(given, value))
            if given.source is Source.FILE and not is_reference(path, given.value):
                self._secrets_in_the_file |= has_secret(value)
        self._tell_of_older(taken, path)
        return taken

    def _refuse(self, given: Given, path: tuple[str, ...], wanted: str) -> None:
        name = ".".join(path)
        hidden = path[0] in {"credentials", "services"} or is_secret_name(path[-1])
        is_plain = isinstance(given.value, (str, int, float))
        told = hidden or not is_plain or ", not " in wanted or " is not " in wanted
        shown = "" if told else f"; it says {_cut(given.value)}"
        self._problems.append(f"{name} ({given.where}): {shown_of(wanted)}{shown}")

    def _tell_of_older(self, taken: list[Taken], path: tuple[str, ...]) -> None:
        """Say where two variables of one setting differ."""
        if path[:1] == ("store",) and ".".join(path) in PLACES:
            return
        said = [one for one in taken if _is_variable(one.given)]
        for older in said[:-1]:
            newest = said[-1]
            if older.value != newest.value:
                self._notes.append(
                    f"{'.'.join(path)}: {newest.given.where} is used, and not "
                    f"{older.given.where}, an older name, which says otherwise"
                )

    def _place(self, environment: str) -> Place:
        """Where the store is; one in memory is refused in production."""
        taken = [one for name in PLACES for one in self._read(tuple(name.split(".")))]
        try:
            place = place_of(taken)
        except Clash as error:
            self._problems.append(f"store: {error}")
            return Place(target=IN_MEMORY, source=Source.DEFAULT, where="default")
        if place.target == IN_MEMORY and environment == "production":
            self._refuse_in_memory(place)
        self._notes += place.notes
        self._settings.append(
            Setting(
                name="store",
                value=shown_of(place.target),
                source=place.source,
                where=place.where,
                over=place.over,
            )
        )
        return place

    def _refuse_in_memory(self, place: Place) -> None:
        (declared,) = [one for one in self._settings if one.name == "environment"]
        self._problems.append(
            f"store ({place.where}): in memory is refused where production is declared "
            f"({declared.where}), for a restart would lose all of it: name a file "
            "(store.path, PEER_DB_PATH) or a server (store.url, PEER_DB_URL)"
        )

    def _group(self, group: str) -> dict[str, Any]:
        """The settings of a section whose names are the user's own, as one tree."""
        found: dict[str, Any] = {}
        told: set[str] = set()
        for path in [path for path in self._said if path[0] == group]:
            said = self._read(path)
            if not said:
                continue
            inner = found
            for name in path[1:-1]:
                inner = inner.setdefault(name, {})
                if not isinstance(inner, dict):
                    break
            if not isinstance(inner, dict) or isinstance(inner.get(path[-1]), dict):
                self._refuse(said[-1].given, path, "it is a table and a value at once")
                continue
            if ".".join(path) in told and group != "projects":
                self._refuse(said[-1].given, path, "it is said twice, once in quotes")
                continue
            told.add(".".join(path))
            inner[path[-1]] = said[-1].value
            self._show(".".join(path), said[-1].value, said)
        return found

    def _show(self, name: str, value: object, said: list[Taken]) -> None:
        """Keep a value as it may be shown, with where it came from."""
        given = said[-1].given if said else None
        over = [one for one in reversed(said[:-1]) if one.value != value]
        self._settings.append(
            Setting(
                name=name,
                value=masked(value),
                source=given.source if given else Source.DEFAULT,
                where=given.where if given else "default",
                over=tuple(
                    f"{one.given.where}: {_cut(masked(one.value))}" for one in over
                ),
            )
        )

    def _tell(self) -> None:
        """Log what is worth knowing, a file with secrets that others may read too."""
        if self._open_to_others and self._secrets_in_the_file:
            self._notes.append(
                f"{self._file} has secrets in it, and others may read it: chmod 600, "
                'or name where they are ({ env = "…" }, { file = "…" })'
            )
        for note in self._notes:
            logger("holdfast").warning("%s", note)


def _store(place: Place, values: Mapping[str, Any]) -> StoreConfig:
    limits = {
        name.removeprefix(LIMITS): value
        for name, value in values.items()
        if name.startswith(LIMITS)
    }
    return StoreConfig(
        target=Secret(place.target, shown_of(place.target)),
        durability=values["store.durability"],
        migrate=values["store.migrate"],
        owner=values["store.owner"],
        limits=Limits(**limits),
    )


def _is_variable(given: Given) -> bool:
    return given.source is Source.ENVIRONMENT


def _plain_name(path: tuple[str, ...]) -> str:
    """A name as a variable can have it."""
    return re.sub(r"\W", "_", "_".join(path)).lower()


def _cut(value: object) -> str:
    """A value in a message: short, and without what is secret in it."""
    text = shown_of(str(value))
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return repr(text) if isinstance(value, str) else text
