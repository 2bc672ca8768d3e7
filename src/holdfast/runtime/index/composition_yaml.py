"""YAML: one document as plain data, and as the texts that were written.

Answers for: reading YAML 1.1 as PyYAML's safe loader does, but for what a composition
is better off with: times stay texts, keys are the texts that were written, and a key
that stands twice is refused.
Leaves to others: what the data means (`kinds.index_drafts`).
Always holds: nothing is made but dicts, lists, texts, numbers, truth values and None,
whatever the text says; what would be deeper than `codec.DEEPEST`, has itself inside, or
grows by its aliases past a limit is refused before it takes memory or stack.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holdfast.codec import DEEPEST
from holdfast.errors import BrokenFile, Refused

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node, ScalarNode

_VALUES = 200_000
"""So many values one document may stand for, its aliases followed."""
_FAR_IN = re.compile(r"^[ \t?:-]{90}", re.MULTILINE)
_TAG = "tag:yaml.org,2002:"
_STR, _SEQ, _MAP = f"{_TAG}str", f"{_TAG}seq", f"{_TAG}map"
_NULL, _BOOL = f"{_TAG}null", f"{_TAG}bool"
_INT, _FLOAT = f"{_TAG}int", f"{_TAG}float"
_MERGE, _VALUE, _TIME = f"{_TAG}merge", f"{_TAG}value", f"{_TAG}timestamp"
_TEXTS = frozenset({_STR, _VALUE, _TIME})
_INSIDES = frozenset({_SEQ, _MAP})
_classes: list[Any] = []


def loader() -> Any:
    """What reads YAML. Raises `Refused` where PyYAML is not installed."""
    if not _classes:
        try:
            import yaml  # noqa: PLC0415  # an extra
        except ImportError:
            raise Refused(
                "compositions in YAML need PyYAML: pip install 'holdfast[index]'"
            ) from None
        _classes.append(_made(yaml))
    return _classes[0]


def _made(yaml: Any) -> Any:
    """A loader whose resolver knows no paths and no times: it is asked for each value.

    PyYAML's own parser in C, or where it was built without, the one in Python.
    """
    parent: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resolvers = {
        first: [pair for pair in pairs if pair[0] != _TIME]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    scalar, sequence = yaml.ScalarNode, yaml.SequenceNode

    class Loader(parent):  # type: ignore[misc]
        error = yaml.MarkedYAMLError
        broken = yaml.YAMLError
        ends = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
        starts = (yaml.SequenceStartEvent, yaml.MappingStartEvent)

        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is not scalar:
                return _SEQ if kind is sequence else _MAP
            if implicit[0]:
                for tag, pattern in resolvers.get(value[:1], ()):
                    if pattern.match(value):
                        return str(tag)
            return _STR

    return Loader


def read_yaml(
    text: str, most_characters: int
) -> tuple[Any, Callable[[str], Any] | None]:
    """The data of a document, and what was written under a key of it.

    The second is None where the document is no mapping. `most_characters` is how many
    all its texts may have together. Raises `BrokenFile`, with the line where known.
    """
    made = loader()
    try:
        if _suspect(text):
            _refuse_deep(made, text)
        reading = made(text)
        try:
            node = reading.get_single_node()
            if node is None:
                return None, None
            building = _Building(reading, most_characters)
            data = building.value(node, 0)
        finally:
            reading.dispose()
    except made.error as error:
        raise _broken(error) from None
    except made.broken as error:
        raise BrokenFile(f"is no YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise BrokenFile("is nested too deeply") from None
    return data, _texts(node) if isinstance(data, dict) else None


def _suspect(text: str) -> bool:
    """Whether it might be deeper than is safe: PyYAML's parser in C would crash."""
    return text.count("[") + text.count("{") > DEEPEST or bool(_FAR_IN.search(text))


def _refuse_deep(made: Any, text: str) -> None:
    """Look through the events alone, which takes no stack."""
    reading = made(text)
    depth = 0
    try:
        while reading.check_event():
            event = reading.get_event()
            if isinstance(event, made.starts):
                depth += 1
                if depth > DEEPEST:
                    line = event.start_mark.line + 1
                    raise BrokenFile(f"is nested more than {DEEPEST} levels deep", line)
            elif isinstance(event, made.ends):
                depth -= 1
    finally:
        reading.dispose()


def _broken(error: Any) -> BrokenFile:
    mark = error.problem_mark or error.context_mark
    said = error.problem or "is not as YAML should be"
    context = f"{error.context}: " if error.context else ""
    return BrokenFile(f"is no YAML: {context}{said}", mark and mark.line + 1)


class _Building:
    """The data of one document's nodes."""

    def __init__(self, reading: Any, most_characters: int) -> None:
        self._within: set[int] = set()
        self._values = _VALUES
        self._most = self._characters = most_characters
        self._made: dict[str, Callable[[Any], Any]] = {
            _NULL: lambda node: None,
            _BOOL: reading.construct_yaml_bool,
            _INT: reading.construct_yaml_int,
            _FLOAT: reading.construct_yaml_float,
        }

    def value(self, node: "Node", depth: int) -> Any:
        """What a node stands for."""
        self._values -= 1
        if self._values < 0:
            raise _at(node, f"stands for more than {_VALUES:,} values, by its aliases")
        tag = node.tag
        if tag in _TEXTS:
            return self._text(node)
        if tag in _INSIDES:
            return self._inside(node, depth)
        made = self._made.get(tag)
        if made is None or not isinstance(node.value, str):
            raise _at(node, f"has the tag {_short(tag)}, which is not taken: data only")
        try:
            return made(node)
        except (ValueError, OverflowError, KeyError, IndexError):
            said = tag.removeprefix(_TAG)
            raise _at(node, f"has a value that is no {said}") from None

    def _text(self, node: "Node") -> str:
        text = node.value
        if not isinstance(text, str):
            raise _at(node, "has a tag that does not go with its value")
        self._characters -= len(text)
        if self._characters < 0:
            raise _at(
                node,
                f"stands for more than {self._most:,} characters, by its aliases "
                "(limits.value_bytes)",
            )
        return text

    def _inside(self, node: Any, depth: int) -> Any:
        if id(node) in self._within:
            raise _at(node, "has an alias that leads into itself")
        if depth >= DEEPEST:
            raise _at(node, f"is nested more than {DEEPEST} levels deep")
        self._within.add(id(node))
        if node.tag == _SEQ and node.id == "sequence":
            found: Any = [self.value(one, depth + 1) for one in node.value]
        elif node.tag == _MAP and node.id == "mapping":
            found = self._mapping(node, depth + 1)
        else:
            raise _at(node, "has a tag that does not go with its value")
        self._within.discard(id(node))
        return found

    def _mapping(self, node: "MappingNode", depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged += self._merged(value, depth)
                continue
            name = self._key(key)
            if name in found:
                raise _at(key, f"has the key {name[:80]!r} twice")
            found[name] = self.value(value, depth)
        for one in merged:  # the first of them has the say, after the keys themselves
            for name, value in one.items():
                found.setdefault(name, value)
        return found

    def _key(self, key: "ScalarNode") -> str:
        if not isinstance(key.value, str):
            raise _at(key, "has a key that is no text")
        self._characters -= len(key.value)
        return key.value

    def _merged(self, node: "Node", depth: int) -> list[dict[str, Any]]:
        found = self.value(node, depth)
        found = found if isinstance(found, list) else [found]
        if not all(isinstance(one, dict) for one in found):
            raise _at(node, "merges (`<<`) what is no mapping")
        return found


def _at(node: "Node", said: str) -> BrokenFile:
    return BrokenFile(said, node.start_mark.line + 1)


def _short(tag: str) -> str:
    return tag.replace(_TAG, "!!")[:80]


def _texts(node: "Node") -> Callable[[str], Any]:
    """What was written under a key, every scalar as its text; None for nothing."""
    nodes = {key.value: value for key, value in node.value if key.tag != _MERGE}
    merged = [value for key, value in node.value if key.tag == _MERGE]

    def under(key: str) -> Any:
        if key in nodes:
            return _written(nodes[key])
        for one in merged:
            for base in one.value if one.tag == _SEQ else [one]:
                found = _texts(base)(key)
                if found is not None:
                    return found
        return None

    return under


def _written(node: "Node") -> Any:
    """A node's texts. It was built before: it is neither too large nor in itself."""
    if node.tag == _NULL:
        return None
    if isinstance(node.value, str):
        return node.value
    if node.tag == _SEQ:
        return [_written(one) for one in node.value]
    return {key.value: _written(value) for key, value in node.value}
