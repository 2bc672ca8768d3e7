"""Which store is meant, where several settings say something of it.

Answers for: one place out of a path, a URL, a folder and what a store is kept in, said
in the file, the environment and arguments.
Leaves to others: what each value may be (`names`), opening it (`holdfast.opening`).
Always holds: who is strongest decides; a file and a server that are said equally
strongly are refused.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from holdfast.config.masking import shown_of
from holdfast.config.names import FILE, IN_MEMORY, MEMORY, POSTGRES
from holdfast.config.records import Source
from holdfast.config.sources import Given
from holdfast.targets import schemes

FILE_NAME = "holdfast.db"
_SQLITE = "sqlite://"
_SERVERS = ("postgresql://", "postgres://")


class Clash(Exception):
    """What was said of the store cannot be true together; says what to do."""


class Taken(msgspec.Struct, frozen=True):
    """What was said of a setting, and the value that it has by that."""

    given: Given
    value: object


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the store is, what said so, and what said otherwise."""

    target: str
    source: Source
    where: str
    over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def place_of(taken: Iterable[Taken]) -> Place:
    """The place of the store, by all that was said of it. Raises `Clash`."""
    said = sorted(map(_plain, taken), key=lambda one: one.given.strength)
    if not said:
        target = str(Path(FILE_NAME).absolute())
        return Place(target=target, source=Source.DEFAULT, where="default")
    top = said[-1].given.strength[0]
    every = {_kind(one): one for one in said}
    here = {_kind(one): one for one in said if one.given.strength[0] == top}
    storage = here.get("storage")
    if storage is None and {"path", "url"} <= here.keys():
        storage = every.get("storage") or _refuse_both(here)
    target, used = _by_storage(storage, every) if storage else _by_itself(here)
    unused = [one for one in said if one not in used and _differs(one, used)]
    return Place(
        target=target,
        source=used[0].given.source,
        where=", ".join(one.given.where for one in used),
        over=tuple(f"{one.given.where}: {_told(one)}" for one in reversed(unused)),
        notes=tuple(_note(one, used) for one in unused if _is_variable(one)),
    )


def _plain(one: Taken) -> Taken:
    """What says all at once (`store`), as the setting that it stands for."""
    text = str(one.value)
    name = one.given.path[-1]
    if name in {"url", "store"} and text.startswith(_SQLITE):
        name, text = "path", text.removeprefix(_SQLITE).removeprefix("/")
        if not text:
            raise Clash(f"{one.given.where}: a path is wanted behind {_SQLITE}/")
    elif name == "store":
        name = "url" if "://" in text else "path"
    if name == "path" and text == IN_MEMORY:
        name, text = "storage", MEMORY
    given = msgspec.structs.replace(one.given, path=("store", name))
    return Taken(given, text)


def _kind(one: Taken) -> str:
    return one.given.path[-1]


def _by_itself(here: Mapping[str, Taken]) -> tuple[str, list[Taken]]:
    """The place where nothing says what the store is kept in."""
    if url := here.get("url"):
        return _url(url), [url]
    if path := here.get("path"):
        return _file(path), [path]
    folder = here["folder"]
    return _file(folder, FILE_NAME), [folder]


def _by_storage(storage: Taken, every: Mapping[str, Taken]) -> tuple[str, list[Taken]]:
    """The place, by what the store is to be kept in."""
    if storage.value == MEMORY:
        return IN_MEMORY, [storage]
    if storage.value == POSTGRES:
        url = every.get("url")
        if url is None or not str(url.value).startswith(_SERVERS):
            raise Clash(
                f"{storage.given.where} says postgres, and nothing says where that is: "
                "give a postgresql:// URL (store.url, PEER_DB_URL)"
            )
        return _url(url), [storage, url]
    assert storage.value == FILE
    if path := every.get("path"):
        return _file(path), [storage, path]
    if folder := every.get("folder"):
        return _file(folder, FILE_NAME), [storage, folder]
    return str(Path(FILE_NAME).absolute()), [storage]


def _refuse_both(here: Mapping[str, Taken]) -> Taken:
    path, url = here["path"].given.where, here["url"].given.where
    raise Clash(
        f"{path} says that it is a file, and {url} that it is on a server: leave one "
        "out, or say which with store.storage (AGENT_STORAGE): pglite or postgres"
    )


def _url(one: Taken) -> str:
    scheme = str(one.value).partition("://")[0]
    if scheme not in schemes():
        known = ", ".join(f"{name}://" for name in schemes())
        raise Clash(f"{one.given.where}: no engine answers to {scheme}:// ({known} do)")
    return str(one.value)


def _file(one: Taken, name: str = "") -> str:
    """The path that was said, from the folder where it was said."""
    try:
        path = one.given.base / Path(str(one.value)).expanduser() / name
    except RuntimeError:
        raise Clash(
            f"{one.given.where}: there is no home folder for {one.value!r}"
        ) from None
    return os.path.normpath(path.absolute())


def _differs(one: Taken, used: list[Taken]) -> bool:
    """Whether what was not used says anything else than what was."""
    return not any(
        _kind(one) == _kind(other) and one.value == other.value for other in used
    )


def _is_variable(one: Taken) -> bool:
    return one.given.source is Source.ENVIRONMENT


def _told(one: Taken) -> str:
    return shown_of(str(one.value))


def _note(one: Taken, used: list[Taken]) -> str:
    by = ", ".join(f"{two.given.where} ({_told(two)})" for two in used)
    return f"{one.given.where} ({_told(one)}) is not used for the store: {by} decides"
