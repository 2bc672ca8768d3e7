"""Statements: SQL text under names, read from `.sql` files.

Answers for: the form of those files. A block opens with `-- name --` and a sentence in
comments; a line `{name}` within a statement stands for that block's text. The block
`tables` holds what is created, not what is run.
Leaves to others: running them (engines), and which file belongs to whom (kinds).
Always holds: a name is there once, and every statement says what it is for.
"""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

TABLES = "tables"
_HEADER = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_INCLUDE = re.compile(r"^\{(\w+)\}$", re.MULTILINE)
PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
_SCHEMA = Path(__file__).parent


class Statement(msgspec.Struct, frozen=True):
    """One named statement, and what it is for."""

    name: str
    says: str
    text: str

    @property
    def parameters(self) -> frozenset[str]:
        """The names that the text takes values for."""
        return frozenset(PARAMETER.findall(self.text))


def shipped(name: str) -> str:
    """The text of one of the `.sql` files that come with holdfast."""
    return (_SCHEMA / f"{name}.sql").read_text(encoding="utf-8")


def overrides(engine: str) -> dict[str, Statement]:
    """Statements that one engine has in its own words, or alone.

    They include what the shared files have, and shared ones include what they have.
    """
    shared = "".join(
        path.read_text(encoding="utf-8") for path in sorted(_SCHEMA.glob("*.sql"))
    )
    own = "".join(
        path.read_text(encoding="utf-8")
        for path in sorted((_SCHEMA / engine).glob("*.sql"))
    )
    blocks = [block for block in _blocks(shared) if block.name != TABLES]
    known = {block.name: block for block in blocks}
    found = parse(own, known)
    return found | {
        block.name: _with_includes(block, known | found)
        for block in blocks
        if block.name not in found and found.keys() & _INCLUDE.findall(block.text)
    }


def parse(
    text: str, known: Mapping[str, Statement] = MappingProxyType({})
) -> dict[str, Statement]:
    """The blocks of one file, by name, with what they include put in.

    They may include each other, and what is known already.
    """
    blocks = _blocks(text)
    found = {block.name: block for block in blocks}
    if len(found) != len(blocks):
        raise ValueError("a name stands twice among the statements")
    every = {**known, **found}
    return {name: _with_includes(block, every) for name, block in found.items()}


@functools.cache
def _blocks(text: str) -> tuple[Statement, ...]:
    parts = _HEADER.split(text)
    if parts[0].strip():
        raise ValueError("SQL stands before the first `-- name --`")
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return tuple(_block(name, body) for name, body in pairs)


def _block(name: str, body: str) -> Statement:
    lines = body.strip().splitlines()
    said = 0
    while said < len(lines) and lines[said].startswith("--"):
        said += 1
    says = " ".join(line.lstrip("- ") for line in lines[:said])
    if not says:
        raise ValueError(f"the statement {name!r} does not say what it is for")
    text = body.strip() if name == TABLES else "\n".join(lines[said:])
    return Statement(name, says, text)


def _with_includes(block: Statement, found: Mapping[str, Statement]) -> Statement:
    if block.name == TABLES or "{" not in block.text:
        return block
    for name in _INCLUDE.findall(block.text):
        if name not in found:
            raise ValueError(f"{block.name!r} includes an unknown {name!r}")
    text = _INCLUDE.sub(lambda match: found[match[1]].text, block.text)
    return Statement(block.name, block.says, text)
