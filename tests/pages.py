"""Pages of documentation, taken apart: code blocks, headings, links.

A python block is run; if its first line is `# name.py`, it is kept under that name
instead. A `text` block right after a python block is what that block prints. In a
`console` block, `$ command` is followed by what it prints, if that is shown; a line `…`
stands for any number of lines, and `# exit status 1` behind a command for its status.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
NAMED = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")
RUN = {"python", "console"}
LANGUAGES = {"text", "pyi", "sql"} | RUN

_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")
_MADE = re.compile(r"^<!-- made: (.+) -->$", re.MULTILINE)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00|Z)?")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STATUS = re.compile(r"\s+# exit status (\d+)$")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, the line where it begins."""

    language: str
    text: str
    line: int
    shown: str | None = None
    """What a python block prints, by the page."""


@dataclass(frozen=True)
class Command:
    """One command of a console block, the output shown, the exit status promised."""

    text: str
    shown: list[str]
    status: int


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it, down to the next one of its level."""

    title: str
    text: str

    @property
    def made(self) -> list[str]:
        """The names whose signatures are made here."""
        return [name for entry in _MADE.findall(self.text) for name in entry.split()]

    @property
    def code(self) -> str:
        """All code of the section that is run."""
        run = [b for b in blocks_of(self.text) if b.language in RUN]
        return "\n".join(block.text for block in run)


def pages() -> list[Path]:
    """Every page of the documentation."""
    return [ROOT / name for name in NAMED] + sorted((ROOT / "docs").rglob("*.md"))


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, each python block with what it prints."""
    found = list(_FENCE.finditer(text))
    blocks = []
    for at, match in enumerate(found):
        line = text.count("\n", 0, match.start()) + 2
        after = found[at + 1] if at + 1 < len(found) else None
        next_to = after is not None and not text[match.end() : after.start()].strip()
        shown = after[2] if after and next_to and after[1] == "text" else None
        blocks.append(Block(match[1], match[2], line, shown))
    return blocks


def commands_of(text: str) -> list[Command]:
    """The commands of a console block."""
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.rstrip("\n").split("\n")
        status = _STATUS.search(command)
        found.append(
            Command(_STATUS.sub("", command), shown, int(status[1]) if status else 0)
        )
    return found


def sections_of(text: str) -> list[Section]:
    """Every section of a page, those within others too."""
    plain = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    lines, bare = text.split("\n"), plain.split("\n")
    heads = [
        (number, len(found[1]), found[2])
        for number, line in enumerate(bare)
        if (found := _HEADING.match(line))
    ]
    ends = [*heads, (len(lines), 0, "")]
    return [
        Section(
            title,
            "\n".join(
                lines[start : next(n for n, d, _ in ends[at + 1 :] if d <= deep)]
            ),
        )
        for at, (start, deep, title) in enumerate(heads)
    ]


def links_of(text: str) -> list[str]:
    """The targets of a page's links, outside of code."""
    return _LINK.findall(_INLINE.sub("", _FENCE.sub("", text)))


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = [title for _, title in _HEADING.findall(_FENCE.sub("", text))]
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    }


def code_words_of(text: str) -> set[str]:
    """What stands in inline code, whole and word by word."""
    spans = _INLINE.findall(_FENCE.sub("", text))
    return {*spans, *(word for span in spans for word in re.findall(r"\w+", span))}


def plain(text: str, folder: Path) -> list[str]:
    """Output in lines, with what differs from run to run taken out."""
    text = text.replace(str(folder.resolve()), "/home/you")
    text = _ID.sub("ID", _TIME.sub("TIME", text))
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


def agrees(shown: list[str], found: list[str]) -> bool:
    """Whether output is what the page shows; `…` stands for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line) + r"\n"
        for line in shown
    )
    return re.fullmatch(pattern, "".join(line + "\n" for line in found)) is not None
