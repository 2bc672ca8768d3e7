"""The settings that there are: their names, what each may be, and who calls it what.

Answers for: the table of settings with their defaults, the variables of the environment
that stand for each (holdfast's and older systems'), checks of values.
Leaves to others: where values come from (`sources`), which store is meant (`placing`).
Always holds: a setting's own variable is `HOLDFAST_` and its name in capitals.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from holdfast import edges
from holdfast.limits import Limits, limits_of

PREFIX = "HOLDFAST_"
FILE_VARIABLE = f"{PREFIX}CONFIG"
"""The variable that names the file."""
STORE_VARIABLE = f"{PREFIX}STORE"
"""The variable that says where the store is, as a path or a URL."""
LIMITS = "store.limits."
GROUPS = ("projects", "credentials", "services")
"""Sections in which every name is the user's own."""
SECTIONS = ("store", "agent", "account", "peer", *GROUPS)
MEMORY, FILE, POSTGRES = "memory", "file", "postgres"
IN_MEMORY = ":memory:"
_STORAGES = {
    "memory": MEMORY,
    "in-memory": MEMORY,
    "file": FILE,
    "pglite": FILE,
    "sqlite": FILE,
    "postgres": POSTGRES,
    "postgresql": POSTGRES,
}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?")


class Unfit(Exception):
    """A value that a setting cannot have; says what is wanted in its place."""


class Known(msgspec.Struct, frozen=True):
    """A setting: what reads its value, what it is else, and its older variables.

    `read` takes the value and whether it is a text that stands for one, and raises
    `Unfit`. `older` begins with the newest name.
    """

    read: Callable[[object, bool], Any]
    default: Any = None
    older: tuple[str, ...] = ()
    secret: bool = False
    base: bool = False
    """Whether it is a path, which is taken from where it was said."""


def text(value: object, is_text: bool = True) -> str:
    """A text that says something."""
    if not isinstance(value, str):
        raise Unfit(f"a text is wanted, not {_type_of(value)}")
    if not value.strip() or "\0" in value:
        raise Unfit("a text is wanted that says something")
    if not is_utf8(value):
        raise Unfit("a text is wanted, and this is not UTF-8")
    return value


def is_utf8(value: object) -> bool:
    """Whether it can be written as text, if it is one; a variable may be any bytes."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def target(value: object, is_text: bool) -> str:
    """Where a store is: a path or a URL."""
    found = text(value)
    if found != found.strip():
        raise Unfit("a path or a URL is wanted, without blanks around it")
    return found


def path(value: object, is_text: bool) -> str:
    """A path in the file system, or `:memory:`."""
    if "://" in text(value):
        raise Unfit("a path is wanted, not a URL (that is store.url)")
    return target(value, is_text)


def folder(value: object, is_text: bool) -> str:
    """A folder, which nothing in memory is."""
    if (found := path(value, is_text)) == IN_MEMORY:
        raise Unfit("a folder is wanted (in memory is store.storage)")
    return found


def url(value: object, is_text: bool) -> str:
    """A URL; which engines there are is known to `placing`."""
    if "://" not in text(value):
        raise Unfit("a URL is wanted, such as postgresql://host/database")
    return target(value, is_text)


def storage(value: object, is_text: bool) -> str:
    """What a store is kept in, by any of its names."""
    found = _STORAGES.get(text(value).lower())
    if found is None:
        raise Unfit(_none_of(("in-memory", "pglite", "postgres", "memory", "file")))
    return found


def one_of(*choices: str) -> Callable[[object, bool], str]:
    """One of these words."""

    def read(value: object, is_text: bool) -> str:
        if value not in choices:
            raise Unfit(_none_of(choices))
        return str(value)

    return read


def identity(value: object, is_text: bool) -> str:
    """An id as records have them."""
    return str(_edge(edges.id_of, value))


def owner(value: object, is_text: bool) -> str:
    """Whose state is meant; the empty text is nobody's in particular."""
    return str(_edge(edges.owner_of, value))


def secret(value: object, is_text: bool) -> str:
    """A secret: a text, or a number as it is written."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value)


def limit(name: str) -> Callable[[object, bool], Any]:
    """What reads one of a store's limits."""
    whole = isinstance(getattr(Limits(), name), int)

    def read(value: object, is_text: bool) -> Any:
        if is_text and isinstance(value, str):
            value = _number(value, whole=whole)
        return getattr(_edge(_limits, value, name), name)

    return read


def fixed() -> Mapping[str, Known]:
    """Every setting but those whose names are the user's own."""
    return _FIXED


def _limits(value: object, name: str) -> Limits:
    return limits_of(msgspec.structs.replace(Limits(), **{name: value}))


def _edge(check: Callable[..., Any], value: object, name: str = "") -> Any:
    """What an edge of a store says of a value, without the name that it has there."""
    try:
        return check(value, name)
    except ValueError as error:
        _, colon, said = str(error).partition(": ")
        raise Unfit(said if colon else str(error)) from None


def _number(value: str, *, whole: bool) -> int | float:
    if not (_WHOLE if whole else _NUMBER).fullmatch(value.strip()):
        raise Unfit("a whole number is wanted" if whole else "a number is wanted")
    return int(value) if whole else float(value)


def _none_of(choices: tuple[str, ...]) -> str:
    return f"one of {', '.join(choices)} is wanted"


def _type_of(value: object) -> str:
    names = {dict: "a table", list: "a list", bool: "true or false", int: "a number"}
    return names.get(type(value), type(value).__name__)


_FIXED: dict[str, Known] = {
    "environment": Known(one_of("development", "test", "production"), "development"),
    "store.path": Known(path, older=("PEER_DB_PATH",), base=True),
    "store.url": Known(url, older=("PEER_SYNC_DB_URL", "PEER_DB_URL")),
    "store.storage": Known(
        storage, older=("PEER_SYNC_STORAGE", "PEER_STORAGE", "AGENT_STORAGE")
    ),
    "store.folder": Known(folder, older=("STATE_PATH",), base=True),
    "store.durability": Known(one_of("power-loss", "process-crash"), "power-loss"),
    "store.migrate": Known(one_of("auto", "check"), "auto"),
    "store.owner": Known(owner, ""),
    "agent.id": Known(identity, older=("AVEN_MAIA_ACCOUNT", "PEER_ID", "AGENT_ID")),
    "agent.secret": Known(
        secret, older=("AVEN_MAIA_SECRET", "PEER_SECRET", "AGENT_SECRET"), secret=True
    ),
    "account.mode": Known(one_of("human", "agent"), older=("ACCOUNT_MODE",)),
    "peer.mode": Known(one_of("sync", "agent"), older=("PEER_MODE",)),
    **{
        f"{LIMITS}{field}": Known(limit(field), getattr(Limits(), field))
        for field in Limits.__struct_fields__
    },
}
PLACES = ("store", "store.path", "store.url", "store.storage", "store.folder")
"""The settings that say between them where the store is."""
