"""Drafts: a composition as its file says it, before it is in the index.

A composition is a mapping. Of its keys, `name`, `version`, `type` (or
`component_type`), `description`, `tags` (also under `metadata`) are read as they are
written: `version: 1.10` is `1.10`. What it needs stands under `dependencies`,
`extends`, `mixins`, or `composition` of one of its `components`. Everything else is
content.

Answers for: finding these in a mapping, and saying what is wrong with them.
Leaves to others: reading files (`runtime/index`), keeping (`index`).
Always holds: a draft has a name, its content can be stored, and it names each thing
that it needs once.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from holdfast import codec
from holdfast.errors import BrokenFile, NotStorable, WrongType
from holdfast.kinds.index_records import NAME_BYTES, Dependency, name_flaw
from holdfast.kinds.index_versions import VERSION_BYTES, wanted_of

Written: TypeAlias = Callable[[str], Any]
"""What a key's value is where every scalar is the text that was written; None for
nothing."""
_DESCRIBED = 2_000
_NEEDED = re.compile(
    r"(?P<name>[^\s<>=!~^]+?)"
    r"(?:@(?P<at>[^@/]+)|\s*(?P<signed>(?:[<>=!~^]=?|!=).*)|\s+(?P<bare>[\dv*].*))?",
    re.DOTALL,
)


class Draft(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a file says of its composition; `content` is all of it, as JSON text."""

    name: str
    version: str | None
    type: str | None
    description: str
    tags: tuple[str, ...]
    dependencies: tuple[Dependency, ...]
    content: str

    @property
    def words(self) -> str:
        """What a search for words looks through."""
        said = "\n".join((self.name, self.description, *self.tags))
        return said.casefold()


def draft_of(content: Any, written: Written, *, name: str, most_tags: int) -> Draft:
    """The draft of a mapping, or of its `Document`; `name` is for what says none.

    Raises `BrokenFile`.
    """
    plain = content.value if isinstance(content, codec.Document) else content
    if not isinstance(plain, dict):
        raise BrokenFile(f"holds {_said(plain)}; a composition is a mapping of keys")
    version = _one(written("version"), "version", VERSION_BYTES)
    type = _one(written("type"), "type") or _one(
        written("component_type"), "component_type"
    )
    metadata = written("metadata")
    tags = (*_tags(written("tags")), *_tags(_tags_in(metadata)))
    tags = tuple(dict.fromkeys(tags))
    if len(tags) > most_tags:
        raise BrokenFile(f"has {len(tags)} tags; limits.tags allows {most_tags}")
    needed = _needed(plain, written)
    try:
        document = codec.document(content)
    except NotStorable as error:
        raise BrokenFile(f"holds what JSON cannot: {error}") from None
    return Draft(
        name=_one(written("name"), "name") or _named(name),
        version=version,
        type=type,
        description=_description(written("description")),
        tags=tags,
        dependencies=tuple(needed.values()),
        content=document.text,
    )


def _said(value: object) -> str:
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else "a single value"


def _one(value: Any, key: str, most: int = NAME_BYTES) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BrokenFile(f"{key}: a text is wanted, not {_shape(value)}")
    if flaw := name_flaw(value):
        raise BrokenFile(f"{key}: the text {flaw}")
    if most < NAME_BYTES and len(value.encode()) > most:
        raise BrokenFile(f"{key}: the text has more than {most} bytes")
    return value


def _shape(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "a mapping"


def _named(name: str) -> str:
    """The name by which a file goes that says none."""
    if flaw := name_flaw(name):
        raise BrokenFile(f"says no name, and the file's own {flaw}")
    return name


def _description(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return value[:_DESCRIBED].replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _tags_in(metadata: Any) -> Any:
    return metadata.get("tags") if isinstance(metadata, dict) else None


def _tags(value: Any) -> Iterator[str]:
    if value is None:
        return
    for tag in [value] if isinstance(value, str) else _listed(value, "tags"):
        found = _one(tag, "tags")
        if found is not None:
            yield found


def _listed(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise BrokenFile(f"{key}: a list is wanted, not {_shape(value)}")
    return value


def _needed(
    content: dict[str, Any], written: Written
) -> dict[tuple[str, str | None], Dependency]:
    """What is needed, each once, in the order in which it is named."""
    found: dict[tuple[str, str | None], Dependency] = {}
    for key, value in _named_needs(content, written):
        if value is None:
            continue
        for one in _dependencies(value, key):
            found[one.name, one.version] = one
    return found


def _named_needs(
    content: dict[str, Any], written: Written
) -> Iterable[tuple[str, Any]]:
    for key in ("extends", "mixins", "dependencies"):
        yield key, written(key)
    parts = content.get("components")
    if isinstance(parts, list) and any(_of_another(part) for part in parts):
        for part in written("components"):
            if isinstance(part, dict):
                yield "components.composition", part.get("composition")


def _of_another(part: object) -> bool:
    return isinstance(part, dict) and "composition" in part


def _dependencies(value: Any, key: str) -> Iterator[Dependency]:
    if isinstance(value, str):
        yield _dependency(value, key)
    elif isinstance(value, dict):
        for name, version in value.items():
            yield _versioned(name, version, f"{key}.{name}")
    else:
        for one in _listed(value, key):
            if isinstance(one, dict):
                yield _versioned(one.get("name"), one.get("version"), key)
            else:
                yield _dependency(one, key)


def _dependency(text: Any, key: str) -> Dependency:
    """`base`, `base@1.2`, `base >=1.2, <2`."""
    plain = _one(text, key)
    name, version = (None, None) if plain is None else _parted(plain)
    return _versioned(name, version, key)


@functools.lru_cache(maxsize=4096)
def _parted(text: str) -> tuple[str, str | None]:
    """The name and the version that a text of both says."""
    found = _NEEDED.fullmatch(text)
    if found is None:
        return text, None
    return found["name"], found["at"] or found["signed"] or found["bare"]


def _versioned(name: Any, version: Any, key: str) -> Dependency:
    found = _one(name, key)
    if found is None:
        raise BrokenFile(f"{key}: a dependency has a name")
    wanted = _one(version, key)
    if wanted is None:
        return Dependency(found)
    try:
        return Dependency(found, wanted_of(wanted).text)
    except WrongType as error:
        raise BrokenFile(f"{key}: {error}") from None


def as_written(content: Mapping[str, Any]) -> Written:
    """The view of a mapping whose scalars are values, and no texts any more."""

    def under(key: str) -> Any:
        value = content.get(key)
        return value if value is None or type(value) is str else _text(value)

    return under


def _text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: _text(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_text(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else str(value)
