"""Wording: finding items by the words of a question, where nothing stands for meaning.

Answers for: which items have a word of it, the best first.
Leaves to others: what a word is, and how matches are ranked (`searching`).
"""

from collections.abc import Iterable, Iterator

from holdfast import codec
from holdfast.kinds.item_records import Item
from holdfast.kinds.items import Items
from holdfast.searching.finding import Match, ranked
from holdfast.searching.query import MOST_WORDS, Matcher, Query, Term
from holdfast.searching.texts import text_of
from holdfast.searching.words import folded, words

_TABLE = Items.tables[0]


def by_words(query: str, items: Iterable[Item]) -> Iterator[tuple[Item, float]]:
    """Items that have any word of a query, by Okapi BM25; of equals the first."""
    every = list(dict.fromkeys(words(query)))[:MOST_WORDS]
    if not every:
        return
    any_of = tuple(Term((word,), begins=False) for word in every)
    matcher = Matcher(Query(all=(any_of,), none=()))
    known: dict[int, Item] = {}
    matches = []
    for place, item in enumerate(items):
        text = text_of(_TABLE, [codec.document(item.value).text])
        found = matcher.places(folded(text))
        if found is not None:
            known[-place] = item
            matches.append(Match(Items, _TABLE, {"no": -place}, text, found))
    for match in ranked(matches, matcher.terms):
        yield known[match.row["no"]], match.score
