"""Meanings: vectors for what is put into a store, and for what is looked for in it.

Answers for: which texts of a value have a vector, and asking for all of a batch's at
once, outside any transaction.
Leaves to others: making a vector of a text (the user's embedding function), keeping and
comparing vectors (`kinds/items`).
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import SupportsFloat

from holdfast.integrations import extra

with extra("langgraph"):
    from langgraph.store.base import (
        IndexConfig,
        Op,
        PutOp,
        SearchOp,
        ensure_embeddings,
        get_text_at_path,
        tokenize_path,
    )

_WHOLE = "$"


class Vectors:
    """The vectors of one batch's texts and queries."""

    def __init__(
        self,
        meanings: "Meanings",
        texts: Mapping[str, Sequence[float]],
        queries: Mapping[str, Sequence[float]],
    ) -> None:
        self._meanings = meanings
        self._texts = texts
        self._queries = queries

    def of_value(self, op: PutOp) -> dict[str, Sequence[float]] | None:
        """The vectors that stand for what is put, each by the path of its text."""
        named = self._meanings.texts_of(op)
        return {name: self._texts[text] for name, text in named} or None

    def of_query(self, op: SearchOp) -> Sequence[float]:
        """The vector that stands for what is looked for."""
        return self._queries[op.query or ""]


class Meanings:
    """A user's embedding function, and the fields that it is for."""

    def __init__(self, index: IndexConfig) -> None:
        self._embeddings = ensure_embeddings(index.get("embed"))
        self._fields = index.get("fields") or [_WHOLE]

    def of(self, ops: Sequence[Op]) -> Vectors:
        """The vectors that some operations need."""
        texts, queries = self._needed(ops)
        made = self._embeddings.embed_documents(texts) if texts else []
        asked = [self._embeddings.embed_query(query) for query in queries]
        return self._vectors(texts, made, queries, asked)

    async def aof(self, ops: Sequence[Op]) -> Vectors:
        """As `of`, awaited."""
        texts, queries = self._needed(ops)
        made = await self._embeddings.aembed_documents(texts) if texts else []
        asked = await asyncio.gather(*map(self._embeddings.aembed_query, queries))
        return self._vectors(texts, made, queries, asked)

    def texts_of(self, op: PutOp) -> Iterator[tuple[str, str]]:
        """The texts of a value that have a vector, each under its path."""
        if op.value is None or op.index is False:
            return
        for path in self._fields if op.index is None else op.index:
            tokens = path if path == _WHOLE else tokenize_path(path)
            texts = get_text_at_path(op.value, tokens)
            for number, text in enumerate(texts):
                yield (path if len(texts) == 1 else f"{path}.{number}"), text

    def _needed(self, ops: Sequence[Op]) -> tuple[list[str], list[str]]:
        texts = [
            text for op in ops if isinstance(op, PutOp) for _, text in self.texts_of(op)
        ]
        queries = [op.query for op in ops if isinstance(op, SearchOp) and op.query]
        return [*dict.fromkeys(texts)], [*dict.fromkeys(queries)]

    def _vectors(
        self,
        texts: Sequence[str],
        made: Sequence[Sequence[float]],
        queries: Sequence[str],
        asked: Sequence[Sequence[float]],
    ) -> Vectors:
        return Vectors(
            self,
            dict(zip(texts, map(_plain, made), strict=True)),
            dict(zip(queries, map(_plain, asked), strict=True)),
        )


def _plain(vector: Iterable[SupportsFloat]) -> list[float]:
    """A vector as numbers of Python's own; models give those of numpy, too."""
    return [*map(float, vector)]
