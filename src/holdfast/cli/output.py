"""How the command line prints: for people, paged and coloured; for programs, JSON.

Answers for: colour only on a terminal (and not with NO_COLOR), paging only what is
longer than the screen, JSON, and text that is safe to show.
Leaves to others: what a record looks like (`records`, `changes`).
Always holds: a stored text cannot steer the terminal; `--json` prints nothing else
than JSON on standard output.
"""

import contextlib
import os
import sys
from datetime import UTC, datetime

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text

_STEERING = {"\u061c", "\u200e", "\u200f", "\u2028", "\u2029"} | {
    chr(code) for span in ((0x202A, 0x202F), (0x2066, 0x206A)) for code in range(*span)
}
_MARK = "\N{REPLACEMENT CHARACTER}"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line how to end where nobody reads."""
        raise BrokenPipeError


def console(*, errors: bool = False) -> Console:
    """A console on standard output, or on standard error; 80 columns off a terminal."""
    with contextlib.suppress(AttributeError):  # a stand-in without an encoding
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return _Console(stderr=errors, highlight=False, markup=False, emoji=False)


def show(*parts: RenderableType) -> None:
    """Print for people; through a pager if that is more than the screen holds."""
    out = console()
    with out.capture() as captured:
        for part in parts:
            out.print(part)
    text = captured.get()
    if _is_watched(out) and text.count("\n") >= out.height:
        os.environ.setdefault("LESS", "FRX")
        with out.pager(styles=True):
            for part in parts:
                out.print(part)
    else:
        if not out.is_terminal:
            text = "".join(line.rstrip() + "\n" for line in text.splitlines())
        _write(text.encode(sys.stdout.encoding, errors="backslashreplace"))


def show_text(text: str) -> None:
    """Print a text that is safe to show as it is."""
    _write(text.encode(sys.stdout.encoding, errors="backslashreplace"))


def show_json(value: object) -> None:
    """Print one JSON document."""
    text = msgspec.json.encode(value, enc_hook=str)
    _write(msgspec.json.format(text, indent=2) + b"\n")


def show_json_line(value: object) -> None:
    """Print one line of a stream of JSON, at once."""
    _write(msgspec.json.encode(value, enc_hook=str) + b"\n")
    sys.stdout.flush()


def complain(text: str, *, name: str = "holdfast: ") -> None:
    """Say on standard error what went wrong."""
    print(name + safe(text), file=sys.stderr)


def safe(text: str) -> str:
    """The text without anything that would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(_MARK if _steers(char) else char for char in text.expandtabs(4))


def one_line(value: object) -> str:
    """A value in one line: text as it is, anything else as JSON."""
    if not isinstance(value, str):
        value = msgspec.json.encode(value, enc_hook=str).decode()
    return " ".join(safe(value).split())


def when(moment: datetime) -> str:
    """A time as people read it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def cut(text: str, width: int, style: str = "") -> Text:
    """One line of at most so many columns."""
    line = Text(text, style=style, no_wrap=True, end="")
    line.truncate(max(width, 1), overflow="ellipsis")
    return line


def hint(text: str) -> Text:
    """A remark on how to go on."""
    return Text(text, style="dim", overflow="fold")


def more(cursor: str | None) -> list[Text]:
    """How to go on from a page, if there is more."""
    return [hint(f"\nmore: add --cursor {cursor}")] if cursor else []


def count(number: int, noun: str) -> str:
    """A number and its noun: `1 message`, `2,000 messages`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _is_watched(out: Console) -> bool:
    return out.is_terminal and sys.stdin is not None and sys.stdin.isatty()


def _steers(char: str) -> bool:
    return char in _STEERING or (
        (char < " " or "\x7f" <= char < "\xa0") and char != "\n"
    )


def _write(text: bytes) -> None:
    """Write all of it; a stream without a buffer may take a part at a time."""
    sys.stdout.flush()
    rest = memoryview(text)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
