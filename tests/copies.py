"""What tests of copies have in common: places, stores with a past, comparing them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import holdfast
from conftest import place_on
from examples import EXAMPLES, WRITING, dump, furnish
from holdfast.care import pages
from holdfast.declared import registry
from holdfast.errors import HoldfastError
from holdfast.schema.copied import copied

ROUTES = [
    ("file", "file"),
    ("file", "postgres"),
    ("postgres", "file"),
    ("postgres", "postgres"),
]
CHOICES = {"partitions", "row_security"}
"""What a store on PostgreSQL says beside what every store says."""
Places = Callable[[str], str]


@contextmanager
def places_in(folder: Path) -> Iterator[Places]:
    """Gives places on engines, one after another, where no store is yet."""
    with ExitStack() as stack:
        count = iter(range(100))

        def place(engine: str) -> str:
            here = folder / f"place-{next(count)}"
            here.mkdir()
            return stack.enter_context(place_on(engine, here))

        yield place


def small_pages(patch: pytest.MonkeyPatch) -> None:
    """Have every table span many pages, and every few changes many steps."""
    patch.setattr(pages, "_FIRST_ROWS", 2)
    patch.setattr(pages, "_MOST_ROWS", 3)


def live(store: Any) -> None:
    """Give a store a past: two owners with one of everything, and all that can be."""
    for owner in ("", "ada"):
        mine = store.owned_by(owner)
        furnish(mine, owner or "nobody")
        for name in WRITING:
            if name == "leases.acquire":
                continue  # the lease would keep what follows from being done
            args = EXAMPLES[name].args
            try:
                mine.call(name, args)
            except HoldfastError:
                continue  # what an earlier example has deleted or finished
        mine.run(lambda tx: [1, 2], once="first")
    bob = store.owned_by("bob")
    furnish(bob, "bob")
    bob.sessions.create("a long one", id="long", tags=["long"])
    said = [{"role": "user", "content": {"n": n}} for n in range(12)]
    bob.sessions.extend("long", said)


def kept(target: str) -> dict[str, Any]:
    """All that is in a store, and that is sound; without what one engine chose.

    Nor are its indexes in it, which each store makes for itself.
    """
    tables = {"store", *(table.name for table in copied(registry().parts()))}
    with holdfast.open(target) as store:
        assert store.check().problems == ()
        found = {name: rows for name, rows in dump(store).items() if name in tables}
    found["store"] = [row for row in found["store"] if row["name"] not in CHOICES]
    return found


def births(found: dict[str, Any]) -> None:
    """See that every image says when that version of its row was born."""
    for table in (name for name in found if name.startswith("was_")):
        for image in found[table]:
            before = [
                change["seq"]
                for change in found["change"]
                if change["no"] == image["no"] and change["seq"] < image["died"]
            ]
            assert image["born"] == max(before), (table, image)
