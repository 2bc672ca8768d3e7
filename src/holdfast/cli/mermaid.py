"""A machine's chart as Mermaid writes it (`stateDiagram-v2`).

Answers for: names and texts that Mermaid would take for something else; which states
and arrows stand out.
Leaves to others: what is in the chart (`machine_charts`).
Always holds: no name can end the line that it stands in, or begin another.
"""

import re
from collections.abc import Iterator

from holdfast.cli.machine_charts import Arrow, Chart, Node

_PLAIN = re.compile(r"[A-Za-z]\w*", re.ASCII)
_WORDS = (
    "acc",
    "as",
    "class",
    "click",
    "default",
    "direction",
    "end",
    "fork",
    "hide",
    "href",
    "join",
    "note",
    "root",
    "scale",
    "state",
    "style",
)
"""What begins like one of these may be a word of Mermaid's own."""
_MEANT = re.compile(
    r"""
    (?<!\w)[_.-] | [_.-](?!\w)        # lists and emphasis, but not a-b, a_b, 1.5
    | (?<=\])\( | (?<=^\d)\)         # a link, a list
    | \[(?=\[) | d(?=irection\s)     # a fork, a direction: lines of Mermaid's own
    | [^\w\ ,/()\[\]!?'=@…_.-] | [°ﬂ]
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What Mermaid, or the Markdown in its labels, may take for something else."""
_CLASSES = {
    "present": "fill:#1f6feb,stroke:#0b3d91,stroke-width:3px,color:#ffffff",
    "visited": "fill:#dbeafe,stroke:#1f6feb,color:#0b1f44",
    "gone": "fill:#ffffff,stroke:#8c959f,stroke-dasharray:4 3,color:#57606a",
}


def mermaid(chart: Chart) -> str:
    """The chart as the text of a Mermaid diagram."""
    return "\n".join(["stateDiagram-v2", *_lines(chart)]) + "\n"


def _lines(chart: Chart) -> Iterator[str]:
    ids = _ids([node.name for node in chart.nodes])
    for node in chart.nodes:
        yield f'    state "{_escaped(node.title)}" as {ids[node.name]}'
        yield from (f"    {ids[node.name]}: {_escaped(does)}" for does in node.does)
    yield f"    [*] --> {ids[chart.initial]}"
    for arrow in chart.arrows:
        ends = f"{ids[arrow.source]} --> {ids[arrow.target]}"
        yield f"    {ends}: {'<br/>'.join(_told(arrow))}"
    for name, look in _CLASSES.items():
        members = [ids[node.name] for node in chart.nodes if _class(node) == name]
        if members:
            yield f"    classDef {name} {look}"
            yield f"    class {','.join(members)} {name}"


def _told(arrow: Arrow) -> Iterator[str]:
    return (_escaped(way.told()) for way in arrow.ways)


def _class(node: Node) -> str | None:
    if node.present:
        return "present"
    if node.gone:
        return "gone"
    return "visited" if node.visited else None


def _ids(names: list[str]) -> dict[str, str]:
    """What each state is called in the diagram: its name, or a number of its own."""
    ids: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        id = name if _is_plain(name) else f"s{number}"
        while id != name and id in names:
            id += "_"
        ids[name] = id
    return ids


def _is_plain(name: str) -> bool:
    return bool(_PLAIN.fullmatch(name)) and not name.lower().startswith(_WORDS)


def _escaped(text: str) -> str:
    """A text of others, so that Mermaid shows it as it is."""
    return _MEANT.sub(lambda found: f"#{ord(found[0])};", text)
