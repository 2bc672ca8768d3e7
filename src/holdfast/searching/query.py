"""Queries: what is looked for, from the words that somebody typed.

Words must all be there, in any order; `"a phrase"` in that order; `begin*` stands for
every word that begins so; `OR` joins the two terms beside it; a term behind `-` must
not be there. Whatever else is typed counts as space between words, and words typed
without a space between them are a phrase.

Answers for: reading that language, what of a query an index is asked, and whether a
text is what was asked for.
Leaves to others: what a word is (`words`).
Always holds: whatever is typed is a query, or a `BadInput` or `Refused` that says why.
"""

import functools
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from holdfast.errors import Refused, TooLarge
from holdfast.searching.words import LONGEST, words

MOST_WORDS = 100
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))(\*?)')
Place = tuple[int, int, int]
"""Where a term stands in a folded text: from, to, and which term it is."""


Finder: TypeAlias = Callable[[str], list[tuple[int, int]]]
"""Gives where something is in a folded text, which is handed in with spaces around."""


class Term(msgspec.Struct, frozen=True):
    """Words in a row; of the last, any that begins so, if `begins`."""

    words: tuple[str, ...]
    begins: bool

    @functools.lru_cache(maxsize=1024)  # noqa: B019  # a term is a value
    def finder(self) -> Finder:
        """What finds it in a folded text that has a space at either end."""
        cut = len(self.words[-1]) == LONGEST
        if len(self.words) == 1 and not self.begins and not cut:
            return functools.partial(_word_in, f" {self.words[0]} ")
        end = r"\S*" if self.begins or cut else ""
        said = " +".join(map(re.escape, self.words))
        return functools.partial(_matches_in, re.compile(f" {said}{end}(?= )"))


class Query(msgspec.Struct, frozen=True):
    """Of each of `all`, one term at least must be there; of `none`, no term."""

    all: tuple[tuple[Term, ...], ...]
    none: tuple[Term, ...]

    def asked_of(self, marks: Iterable[str]) -> str:
        """What an index is asked, where words stand behind one of some marks.

        It knows which words a record has, and not in which order.
        """
        return " OR ".join(f"({self._behind(mark)})" for mark in marks)

    def _behind(self, mark: str) -> str:
        parts = [
            f"({' OR '.join(_every(mark, term) for term in choices)})"
            for choices in self.all
        ]
        without = [
            f" NOT {_quoted(mark, term.words[0], begins=term.begins)}"
            for term in self.none
            if len(term.words) == 1
        ]
        return f"({' AND '.join(parts)}){''.join(without)}"


class Matcher:
    """Looks at texts, one after another, for what a query wants."""

    def __init__(self, query: Query) -> None:
        patterns = iter(range(sum(map(len, query.all))))
        self._groups = [[next(patterns) for _ in choices] for choices in query.all]
        self._wanted = [term.finder() for choices in query.all for term in choices]
        self._unwanted = [term.finder() for term in query.none]

    def places(self, folded: str) -> list[Place] | None:
        """Where the query's terms are in a folded text; None if it does not fit."""
        spaced = f" {folded} "
        found = [
            (start, end, number)
            for number, find in enumerate(self._wanted)
            for start, end in find(spaced)
        ]
        if not found or any(find(spaced) for find in self._unwanted):
            return None
        if len(self._wanted) == 1:
            return found
        there = {number for _, _, number in found}
        if all(not there.isdisjoint(group) for group in self._groups):
            return found
        return None

    @property
    def terms(self) -> int:
        """How many terms there are to be found."""
        return len(self._wanted)


@functools.lru_cache(maxsize=256)
def read_query(text: str) -> Query:
    """The query that was typed.

    Raises `Refused` (nothing in it that could be found), `TooLarge`.
    """
    groups: list[list[Term]] = []
    without: list[Term] = []
    joins = False
    for minus, term in _terms(text):
        if term is None:
            joins = bool(groups)
        elif minus:
            without.append(term)
        elif joins:
            groups[-1].append(term)
            joins = False
        else:
            groups.append([term])
    if not groups:
        raise Refused(
            "query: it has no word that is to be there; letters and digits make words, "
            "and beside what a record must not have, say what it must"
        )
    every = [*without, *(term for choices in groups for term in choices)]
    if sum(len(term.words) for term in every) > MOST_WORDS:
        raise TooLarge(f"query: more than {MOST_WORDS} words; nothing was looked for")
    return Query(tuple(map(tuple, groups)), tuple(without))


def _terms(text: str) -> Iterable[tuple[bool, Term | None]]:
    """Each term, and whether it must not be there; None for an `OR`."""
    for found in _TERM.finditer(text):
        minus, phrase, word, star = found.groups()
        if word == "OR" and not minus:
            yield False, None
            continue
        said = phrase if word is None else word
        begins = bool(star) or said.endswith("*")
        if parts := words(said):
            yield bool(minus), Term(tuple(parts), begins)


def _word_in(spaced_word: str, spaced: str) -> list[tuple[int, int]]:
    found = []
    length = len(spaced_word)
    start = spaced.find(spaced_word)
    while start >= 0:
        end = start + length - 2
        found.append((start, end))
        start = spaced.find(spaced_word, end + 1)
    return found


def _matches_in(pattern: re.Pattern[str], spaced: str) -> list[tuple[int, int]]:
    return [(match.start(), match.end() - 1) for match in pattern.finditer(spaced)]


def _every(mark: str, term: Term) -> str:
    last = len(term.words) - 1
    parts = [
        _quoted(mark, word, begins=term.begins and place == last)
        for place, word in enumerate(term.words)
    ]
    return f"({' AND '.join(parts)})"


def _quoted(mark: str, word: str, *, begins: bool) -> str:
    return f'"{mark}{word}"{"*" if begins else ""}'
