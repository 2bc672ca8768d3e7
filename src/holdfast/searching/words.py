"""Words: what a word is, the same for every engine, whatever script it is written in.

Answers for: text without case and accents, its words in order, and where it stands.
Leaves to others: which text (`texts`), which words are looked for (`query`).
Always holds: a word has letters, digits and their marks alone, nothing that a query
language of an engine could take for its own; folding goes character by character, so
that every word has a place in the text that it came from.
"""

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 200
"""Characters of a word; what is longer is cut, in the text as in the query."""
_ACCENTS = range(0x300, 0x370)
_ALONE = (
    range(0x0E00, 0x1000),  # Thai, Lao, Tibetan
    range(0x1000, 0x10A0),  # Burmese
    range(0x1780, 0x1800),  # Khmer
    range(0x3040, 0x3100),  # Hiragana, Katakana
    range(0x3400, 0x4DC0),  # Chinese characters, from here on
    range(0x4E00, 0xA000),
    range(0xF900, 0xFB00),
    range(0x20000, 0x32400),
)
"""Scripts that put no space between words: each character is a word of its own."""


class _Folded(dict[int, str]):
    """What each character is folded to, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        made = self[code] = "".join(map(_plain, _decomposed(chr(code))))
        return made


def _decomposed(character: str) -> str:
    apart = unicodedata.normalize("NFKD", character).casefold()
    return unicodedata.normalize("NFKD", apart)


def _plain(character: str) -> str:
    """A character of a word, nothing for an accent, a space for all others."""
    code = ord(character)
    if code in _ACCENTS:
        return ""
    if any(code in script for script in _ALONE):
        return f" {character} "
    return character if unicodedata.category(character)[0] in "LNM" else " "


_folded = _Folded()
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_ASCII = bytes(ord(_folded[code]) for code in range(128)) + bytes(range(128, 256))
"""What each byte of UTF-8 is folded to, once all beyond ASCII is."""


def words(text: str) -> list[str]:
    """The words of a text, in order, without case and accents."""
    return [word[:LONGEST] for word in folded(text).split()]


def marked(text: str, mark: str) -> str:
    """The words of a text, each behind a mark, one space between them.

    It is what every message costs that is indexed: so no word is looked at by itself.
    """
    spaced = folded(text).strip()
    while "  " in spaced:
        spaced = spaced.replace("  ", " ")
    if _has_longer(spaced):
        spaced = " ".join(words(spaced))
    return mark + spaced.replace(" ", f" {mark}") if spaced else ""


def folded(text: str) -> str:
    """A text without case and accents, spaces for whatever is no word."""
    if not text.isascii():
        text = _BEYOND_ASCII.sub(_fold, text)
    return text.encode().translate(_ASCII).decode()


def _has_longer(spaced: str) -> bool:
    """Whether one of the words must be cut; goes in leaps, from space to space."""
    after = 0
    while after + LONGEST < len(spaced):
        space = spaced.rfind(" ", after, after + LONGEST + 1)
        if space < 0:
            return True
        after = space + 1
    return False


def _fold(found: re.Match[str]) -> str:
    return found[0].translate(_folded)


def origins(text: str) -> Sequence[int]:
    """Where in a text each character of it, folded, came from; and where it ends."""
    one_each = text.isascii() or all(len(_folded[ord(c)]) == 1 for c in set(text))
    if one_each:
        return range(len(text) + 1)
    came = [
        place for place, character in enumerate(text) for _ in _folded[ord(character)]
    ]
    return [*came, len(text)]
