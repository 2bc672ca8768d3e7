"""Where settings are said: a file, the environment, arguments.

Answers for: reading each of the three into what was said, by name and place.
Leaves to others: what a value may be (`names`), which one counts (`loading`).
Always holds: nothing is written; a file is read once, and only if it is a plain file.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from holdfast.config.names import (
    FILE_VARIABLE,
    GROUPS,
    PREFIX,
    SECTIONS,
    STORE_VARIABLE,
    fixed,
)
from holdfast.config.records import Source
from holdfast.config.toml_lines import line_of, lines_of
from holdfast.errors import CannotOpen, InvalidConfig, WrongType

FILE_NAME = "holdfast.toml"
_FILE_BYTES = 1_000_000
_NAMED = tuple(f"{group}." for group in GROUPS)
_ALIKE = 0.75
"""How much alike a name has to be to one that there is, to be taken for a slip."""
Args = Mapping[str, object] | Iterable[str] | None
"""Arguments: by name, nested or dotted; or texts such as `store.durability=…`."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a setting, and where.

    `strength` orders what was said: the file, older variables, our own, arguments.
    With `is_text`, the value is a text that may stand for a number. `base` is the
    folder that a path in it begins at.
    """

    path: tuple[str, ...]
    value: Any
    source: Source
    where: str
    strength: tuple[int, int]
    is_text: bool = False
    base: Path

    @property
    def name(self) -> str:
        """The setting's name."""
        return ".".join(self.path)


class Said(msgspec.Struct):
    """All that was said in one place, and what of it cannot be."""

    given: list[Given] = []
    problems: list[str] = []
    notes: list[str] = []
    is_open_to_others: bool = False
    """Whether others than its owner may read the file."""


def file_of(path: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Path | None:
    """The file to be read: the one named, or `holdfast.toml` here if it is there."""
    named = path if path is not None else env.get(FILE_VARIABLE) or None
    if named is not None:
        return _path_of(named)
    usual = Path(FILE_NAME).absolute()
    return usual if usual.exists() else None


def from_file(file: Path) -> Said:
    """What a file says. Raises `CannotOpen`, or `InvalidConfig` if it is no TOML."""
    text, is_open_to_others = _text_of(file)
    said = Said(is_open_to_others=is_open_to_others)
    try:
        leaves, lines = _read(file, text)
    except RecursionError:
        raise InvalidConfig([f"{file}: it is nested too deeply"]) from None
    for parts, value in leaves:
        line = line_of(lines, parts)
        one = Given(
            path=parts,
            value=value,
            source=Source.FILE,
            where=f"{file.name}:{line}" if line else file.name,
            strength=(1, 0),
            base=file.parent,
        )
        _take(said, one)
    return said


def _read(
    file: Path, text: str
) -> tuple[list[tuple[tuple[str, ...], Any]], dict[tuple[str, ...], int]]:
    """Each key of a file with its value, and the lines of keys."""
    import tomllib  # noqa: PLC0415  # few need it

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfig([_not_toml(file, text, str(error))]) from None
    return list(_leaves(found)), lines_of(text)


def from_environment(env: Mapping[str, str]) -> Said:
    """What variables say, by any of their names. One that is empty says nothing."""
    said = Said()
    for name, known in fixed().items():
        for age, variable in enumerate(known.older):
            if value := env.get(variable):
                path = tuple(name.split("."))
                said.given.append(_variable(path, variable, value, (2, -age)))
    ours = _own_variables()
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        if not env[variable]:
            continue
        found = ours.get(variable) or _in_group(variable)
        if found is not None:
            order = int(variable == STORE_VARIABLE)
            given = _variable(found, variable, env[variable], (3, order))
            said.given.append(given)
        else:
            _unknown_variable(said, variable, ours)
    return said


def from_arguments(args: Args) -> Said:
    """What arguments say; one that is None says nothing. Raises `WrongType`."""
    said = Said()
    for path, value, is_text in _arguments(args):
        one = Given(
            path=path,
            value=value,
            source=Source.ARGUMENT,
            where=f"argument {'.'.join(path)}",
            strength=(4, int(path == ("store",))),
            is_text=is_text,
            base=Path.cwd(),
        )
        _take(said, one)
    return said


def _not_toml(file: Path, text: str, said: str) -> str:
    """What is wrong with a file that is no TOML, and on which line."""
    what, _, at = said.rpartition(" (at ")
    found = re.search(r"line (\d+)", at)
    line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
    return f"{file}:{line}: this is not TOML: {what or said}"


def _path_of(given: str | os.PathLike[str]) -> Path:
    """The path of a file that was named. Raises `CannotOpen`, `WrongType`."""
    named = os.fspath(given) if isinstance(given, os.PathLike) else given
    if not isinstance(named, str):
        raise WrongType(f"path: a path is wanted, not {type(given).__name__}")
    try:
        path = Path(named).expanduser()
    except RuntimeError:
        raise CannotOpen(f"{named!r}: there is no such home folder") from None
    if "\0" in named:
        raise CannotOpen(f"{named!r}: no file can be called so")
    return path.absolute()


def _text_of(file: Path) -> tuple[str, bool]:
    """What is in a file, and whether others may read it."""
    try:
        if file.exists() and not file.is_file():
            raise CannotOpen(f"{file}: this is no plain file: name a file of TOML")
        with file.open("rb") as stream:
            read = stream.read(_FILE_BYTES + 1)
            mode = os.fstat(stream.fileno()).st_mode
    except OSError as error:
        raise CannotOpen(
            f"{file}: the configuration cannot be read ({error.strerror})"
        ) from error
    if len(read) > _FILE_BYTES:
        raise InvalidConfig([f"{file}: it is longer than {_FILE_BYTES:,} bytes"])
    try:
        text = read.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = read.count(b"\n", 0, error.start) + 1
        raise InvalidConfig([f"{file}:{line}: this is not UTF-8"]) from None
    return text, os.name == "posix" and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def _leaves(
    found: Mapping[str, Any], before: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each key with its value; a table that says where a secret is, is one value."""
    for key, value in found.items():
        path = (*before, str(key))
        if isinstance(value, Mapping) and not is_reference(path, value):
            yield from _leaves(value, path)
            if not value:
                yield path, {}
        else:
            yield path, value


def is_reference(path: tuple[str, ...], value: object) -> bool:
    """Whether a value says where a secret is: `{ env = "…" }`, `{ file = "…" }`."""
    secret = path[0] == "credentials" or path == ("agent", "secret")
    known = isinstance(value, Mapping) and set(value) in ({"env"}, {"file"})
    return secret and known


def _take(said: Said, one: Given) -> None:
    """Keep what was said, if there is a setting of that name."""
    is_target = one.path == ("store",) and not isinstance(one.value, Mapping)
    is_in_group = one.path[0] in GROUPS and len(one.path) > 1
    is_ours = one.name in fixed() and one.path == tuple(one.name.split("."))
    if not all(one.path):
        said.problems.append(f"{one.name} ({one.where}): a part of its name is empty")
    elif is_target or is_in_group or is_ours:
        said.given.append(one)
    elif one.value != {} or one.path[0] not in SECTIONS:
        said.problems.append(f"{one.name} ({one.where}): {_no_such(one.name)}")


def _no_such(name: str) -> str:
    """Why something is no setting, and what may have been meant."""
    if name in fixed():
        return "a dot in quotes is part of a name: leave the quotes out"
    if any(one.startswith(f"{name}.") for one in (*fixed(), *_NAMED)):
        return "a table is wanted, not a value"
    return f"there is no such setting{_hint(name)}"


def _hint(name: str) -> str:
    """What may have been meant."""
    import difflib  # noqa: PLC0415  # few make slips

    known = [*fixed(), *SECTIONS]
    alike = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
    if not alike:  # perhaps in another section
        last = name.rpartition(".")[2]
        alike = [one for one in known if one.rpartition(".")[2] == last][:1]
    return f" (did you mean {alike[0]}?)" if alike else ""


def _variable(
    path: tuple[str, ...], variable: str, value: str, strength: tuple[int, int]
) -> Given:
    return Given(
        path=path,
        value=value,
        source=Source.ENVIRONMENT,
        where=variable,
        strength=strength,
        is_text=True,
        base=Path.cwd(),
    )


def _own_variables() -> dict[str, tuple[str, ...]]:
    """Our own variables, and the setting that each stands for."""
    found = {
        PREFIX + name.replace(".", "_").upper(): tuple(name.split("."))
        for name in fixed()
    }
    return {**found, STORE_VARIABLE: ("store",)}


def _in_group(variable: str) -> tuple[str, ...] | None:
    """The credential or the service that a variable stands for."""
    for group in ("credentials", "services"):
        begin = f"{PREFIX}{group.upper()}_"
        if variable.startswith(begin) and len(variable) > len(begin):
            return group, variable.removeprefix(begin).lower()
    return None


def _unknown_variable(said: Said, variable: str, known: Iterable[str]) -> None:
    """A variable of ours that there is not: a slip is refused, others are told of."""
    import difflib  # noqa: PLC0415  # few make slips

    rests = [one.removeprefix(PREFIX) for one in known]
    rest = variable.removeprefix(PREFIX)
    alike = difflib.get_close_matches(rest, rests, n=1, cutoff=_ALIKE)
    if alike:
        said.problems.append(
            f"{variable}: there is no such setting (did you mean {PREFIX}{alike[0]}?)"
        )
    else:
        said.notes.append(f"{variable} is no setting, and is not used")


def _arguments(args: Args) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """Each argument's path, its value, and whether that may be a text for a number."""
    if args is None:
        return
    if isinstance(args, Mapping):
        for path, value in _leaves(args):
            if isinstance(value, os.PathLike):
                value = os.fspath(value)  # noqa: PLW2901  # as a path is written
            if value is not None:
                yield tuple(".".join(path).split(".")), value, isinstance(value, str)
        return
    if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
        raise WrongType(
            "args: a list of `name=value`, or a mapping, is wanted (what argparse "
            "gives is one by vars)"
        )
    for one in args:
        name, sign, value = one.partition("=") if isinstance(one, str) else ("", "", "")
        if not sign or not name.strip():
            raise WrongType("args: `name=value` is wanted, store.owner=ada for example")
        yield tuple(name.strip().split(".")), value, True
