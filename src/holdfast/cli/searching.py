"""`holdfast search`: full text over a store.

Answers for: one owner or all of them, and how hits look.
Leaves to others: what is found (`holdfast.searching`).
Always holds: no store is created by a search, and none migrated; where it can be, its
index is led on, so that the next search need not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.padding import Padding
from rich.text import Text

import holdfast
from holdfast.cli import output
from holdfast.cli.opening import Json, Kinds, Limit, Owner, Where, opened
from holdfast.cli.standing import AsOf, head, json_head, standing
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.searching.hits import Hit
    from holdfast.store import Store

_INDENT = 2
Query = Annotated[
    str, Parameter(help='Words; "a phrase", begin*, this OR that, -without.')
]


def search(
    store: Where,
    query: Query,
    /,
    *,
    owner: Owner = None,
    kind: Kinds = None,
    limit: Limit = 20,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Search messages, titles, tasks and all else that has text, the best first."""
    with _led_on(store) as there:
        view = there if as_of is None else there.as_of(as_of)
        then = standing(view, as_of)
        hits = _found(view, query, owner, kind, limit)
    if json:
        output.show_json({**json_head(then), "hits": hits})
        return
    lines = [line for hit in hits for line in _lines(hit)]
    output.show(*head(then), *(lines or [Text("nothing was found")]))


@contextmanager
def _led_on(target: str) -> Iterator["Store"]:
    """A store that is there, open so that its index can be led on, if that may be."""
    opened(target).close()
    try:
        store = holdfast.open(target, migrate="check")
    except HoldfastError:
        store = opened(target)
    with store:
        yield store


def _found(
    store: "Store", query: str, owner: str | None, kinds: list[str] | None, limit: int
) -> list["Hit"]:
    owners = store.owners() if owner is None else [owner]
    hits = [
        hit
        for name in owners or [""]
        for hit in store.owned_by(name).search(query, kinds=kinds, limit=limit)
    ]
    return sorted(hits, key=lambda hit: -hit.score)[:limit]


def _lines(hit: "Hit") -> Iterator[Text | Padding]:
    """Where it is, and the piece with its matches."""
    record = hit.record
    place = f"{record['session']} {record['position']}" if hit.kind == "message" else ""
    said = [hit.kind, place or hit.id or "", record.get("role"), record["owner"]]
    yield output.hint("  ".join(output.one_line(part) for part in said if part))
    piece = Text()
    done = 0
    for start, end in hit.matches:
        piece.append(_flat(hit.piece[done:start]))
        piece.append(_flat(hit.piece[start:end]), "bold")
        done = end
    piece.append(_flat(hit.piece[done:]))
    yield Padding(piece, (0, 0, 0, _INDENT))


def _flat(text: str) -> str:
    """A part of a line, with the spaces at its ends."""
    return output.safe(text).replace("\n", " ")
