"""What a value that was said comes to: checked, and a secret where it is one.

Answers for: values of settings, of credentials, services and projects; secrets that
are kept elsewhere, in a variable or in a file.
Leaves to others: what each setting of ours may be (`names`), which one counts
(`loading`).
Always holds: a secret that is kept elsewhere is looked for only if it counts.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from holdfast.config import names
from holdfast.config.masking import concealed, is_secret_name, shown_of
from holdfast.config.names import Unfit, fixed
from holdfast.config.secret import MASK, Secret
from holdfast.config.sources import Given, is_reference

_SECRET_BYTES = 100_000


def value_of(given: Given, path: tuple[str, ...], env: Mapping[str, str] | None) -> Any:
    """The value that was said, checked. Raises `Unfit`.

    With no `env` another one counts, and a secret is not looked for.
    """
    if is_reference(path, given.value):
        return _referred(given, env)
    if path == ("store",):
        return names.target(given.value, given.is_text)
    if path[0] == "credentials":
        return Secret(names.secret(given.value, given.is_text))
    if path[0] == "services":
        address = names.text(given.value)
        hidden = is_secret_name(path[-1])
        return Secret(address, MASK if hidden else shown_of(address))
    known = fixed().get(".".join(path))
    if known is None:
        return _of_a_project(given, path)
    value = known.read(given.value, given.is_text)
    return Secret(value) if known.secret else value


def frozen(value: Any) -> Any:
    """The same data, of which nothing can be changed."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: frozen(part) for name, part in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(part) for part in value)
    return value


def dotted(found: Mapping[str, Any], before: str = "") -> dict[str, Secret]:
    """Secrets by their names, those of inner tables with theirs before them."""
    flat: dict[str, Secret] = {}
    for name, value in found.items():
        inner = isinstance(value, Mapping)
        flat |= (
            dotted(value, f"{before}{name}.") if inner else {f"{before}{name}": value}
        )
    return flat


def _referred(given: Given, env: Mapping[str, str] | None) -> Secret:
    """A secret that is kept elsewhere: in a variable, or in a file."""
    ((kind, name),) = given.value.items()
    names.text(name)
    if env is None:
        return Secret("", f'{{ {kind} = "{name}" }}')
    if kind == "file":
        return Secret(_in_a_file(given, name))
    if not (found := env.get(name)):
        raise Unfit(f"it is to be in the variable {name}, which is not set")
    return Secret(names.text(found))


def _in_a_file(given: Given, name: str) -> str:
    """What is in a secret's file, without the line's end."""
    try:
        file = given.base / Path(name).expanduser()
        if not file.is_file() or file.stat().st_size > _SECRET_BYTES:
            raise Unfit(f"it is to be in {file}, which is no file, or too long")
        return names.text(file.read_text(encoding="utf-8").rstrip("\r\n"))
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise Unfit(
            f"it is to be in {name}, which cannot be read ({type(error).__name__})"
        ) from None


def _of_a_project(given: Given, path: tuple[str, ...]) -> Any:
    """A value of a project's table: data, in which secrets are concealed."""
    if len(path) == 2 and given.value != {}:  # noqa: PLR2004  # projects.name
        raise Unfit("a project is a table: [projects.name]")
    secret = next((name for name in path[2:] if is_secret_name(name)), path[-1])
    return concealed(given.value, secret)
