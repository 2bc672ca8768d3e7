"""LangGraph: its own savers' and stores' databases, brought into a store.

Answers for: `import_langgraph`: what SqliteSaver, SqliteStore, PostgresSaver and
PostgresStore keep, and what becomes of it.
Leaves to others: reading and keeping checkpoints (`langgraph_steps`,
`langgraph_threads`) and items (`langgraph_items`).
Always holds: a database is only read; `HoldfastSaver` and `HoldfastStore` give back
what was there; nothing is unpickled or imported by name; what does not go in is told
of, and the rest goes in; twice adds nothing.

    there                            here
    checkpoints, and what they hold  checkpoints of a thread
    channel `messages`               the messages of the thread's session
    writes, checkpoint_writes        writes of a checkpoint
    store, store_vectors             items, whose time begins anew
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from holdfast.importers import langgraph_items, langgraph_steps
from holdfast.importers.databases import Database, Source, Unreadable, looked_at
from holdfast.importers.item_intake import ItemIntake
from holdfast.importers.langgraph_items import arrived, rows_in
from holdfast.importers.langgraph_steps import steps_in
from holdfast.importers.langgraph_threads import Threads
from holdfast.importers.report import (
    ImportReport,
    Others,
    SetAside,
    SetAsides,
    sample_of,
)

if TYPE_CHECKING:
    from holdfast.store import Store

_NEEDS = (*langgraph_steps.NEEDS, langgraph_items.NEEDS)


def import_langgraph(store: "Store", source: Source) -> ImportReport:
    """Bring a database of LangGraph's checkpoints, or of its items, into a store.

    What has a type that only code could decode (a pickle, say) is set aside. Items that
    are past their time stay where they are. Raises `CannotOpen`, and `BrokenFile` for a
    database that is none, with nothing written.
    """
    with looked_at(store, source, "checkpoints or items of LangGraph", _NEEDS) as there:
        set_aside = SetAsides()
        others: list[Others] = []
        if any(need <= there.tables.keys() for need in langgraph_steps.NEEDS):
            others += _threads(store, there, set_aside)
        if there.tables.keys() >= langgraph_items.NEEDS:
            others.append(_items(store, there, set_aside))
        return ImportReport(
            file=there.name,
            sessions=0,
            sessions_added=0,
            messages=0,
            added=0,
            already_there=0,
            set_aside=tuple(set_aside.named),
            set_aside_count=set_aside.count,
            others=tuple(others),
        )


def _threads(
    store: "Store", database: Database, set_aside: SetAsides
) -> Iterator[Others]:
    """Take in all threads."""
    threads = Threads(store, database.name, set_aside)
    try:
        for place, found in steps_in(database):
            if isinstance(found, SetAside):
                set_aside.append(found)
            else:
                threads.take(place, found)
    except Unreadable as error:
        set_aside.append(_unread("checkpoints", error))
    threads.flush()
    return threads.counts()


def _items(store: "Store", database: Database, set_aside: SetAsides) -> Others:
    """Take in all items that are not past their time."""
    items = ItemIntake(store, database.name, "item", set_aside)
    try:
        for row in rows_in(database):
            try:
                item = arrived(row)
            except (ValueError, TypeError, RecursionError) as error:
                sample = sample_of(row.value)
                set_aside.append(SetAside(row.place, None, str(error), sample))
            else:
                if item is not None:
                    items.take(item)
    except Unreadable as error:
        set_aside.append(_unread("store", error))
    items.flush()
    return items.count()


def _unread(table: str, error: Unreadable) -> SetAside:
    return SetAside(table, None, f"{error}; what comes after this could not be read")
