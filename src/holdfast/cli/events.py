"""`holdfast events`: what happened, what happens, and how much of it.

Answers for: the newest, a chain, a live stream, figures, files; of one owner or of all.
Leaves to others: what the options mean (`event_options`), how events look
(`event_lines`), finding them (`kinds/events`).
Always holds: a store is opened read-only, and is never created by a look; the newest is
at the end.
"""

import heapq
from collections.abc import Sequence
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from rich.text import Text

from holdfast.cli import event_lines, output
from holdfast.cli import event_options as options
from holdfast.cli.event_options import Asked
from holdfast.cli.event_streams import Streams, owners_of
from holdfast.cli.opening import PAGE, Json, Owner, Where, opened
from holdfast.contract import each
from holdfast.errors import Refused

if TYPE_CHECKING:
    from rich.console import RenderableType

    from holdfast.kinds.event_records import Event
    from holdfast.store import Store

_SHOWN = 100
_MORE = "older ones are left out: say --limit, or --since"
_NO_EVENTS = (
    "no events here: a program that has the store open tells of one with\n"
    '    store.events.emit("name", {"some": "data"})'
)


def events(
    store: Where,
    /,
    *,
    follow: options.Follow = False,
    pattern: options.Pattern = None,
    since: options.Since = None,
    until: options.Until = None,
    session: options.Session = None,
    correlation: options.Correlation = None,
    level: options.AnyLevel = None,
    source: options.Source = None,
    where: options.Conditions = None,
    limit: options.Limit = None,
    stats: options.Stats = False,
    chain: options.Chain = None,
    export: options.Export = None,
    owner: Owner = None,
    json: Json = False,
) -> None:
    """Print what happened: when, how grave, what, and its data; the newest at the end.

    With --json a line for each event, or one for the figures, or for what was exported.
    """
    asked = options.asked(
        pattern, since, until, session, correlation, source, level, where
    )
    options.refuse_several(asked, limit, follow, stats, chain, export)
    with opened(store) as there:
        if follow:
            _follow(there, owner, asked, limit, json=json)
        elif stats:
            _stats(there, owner, asked, json=json)
        elif export is not None:
            _export(there, owner, asked, export, json=json)
        elif chain is not None:
            _chain(there, owner, chain, limit, json=json)
        else:
            _list(there, owner, asked, limit or _SHOWN, json=json)


def _list(
    store: "Store", owner: str | None, asked: Asked, limit: int, *, json: bool
) -> None:
    """The newest events, the newest of them at the end."""
    wanted = {**asked.given(), "newest_first": True, "limit": min(limit + 1, PAGE)}
    found = _merged(store, owner, "query", wanted, limit + 1, reverse=True)
    shown = found[:limit][::-1]
    if json or shown:
        _show(shown, json=json)
    else:
        output.show(Text("no event is like that" if asked.given() else _NO_EVENTS))
    if len(found) > limit and not json:
        output.show(output.hint(_MORE))


def _chain(
    store: "Store", owner: str | None, id: str, limit: int | None, *, json: bool
) -> None:
    """What belongs together, oldest first."""
    wanted = {"correlation": id, "limit": min(limit or PAGE, PAGE)}
    found = _merged(store, owner, "chain", wanted, limit)
    if json or found:
        _show(found, json=json)
    else:
        output.show(Text("no event has that correlation"))


def _merged(
    store: "Store",
    owner: str | None,
    name: str,
    wanted: dict[str, Any],
    limit: int | None,
    *,
    reverse: bool = False,
) -> list["Event"]:
    """What an operation finds of each owner's events, in the order of time."""
    found = []
    for one in _owners(store, owner):
        ask = getattr(store.owned_by(one).events, name)
        found.append(each(partial(ask, **wanted)))
    merged = heapq.merge(*found, key=attrgetter("at"), reverse=reverse)
    return list(islice(merged, limit))


def _show(found: Sequence["Event"], *, json: bool) -> None:
    if json:
        for event in found:
            output.show_json_line(event)
    else:
        output.show(*event_lines.Telling(output.console().width).all(found))


def _follow(
    store: "Store", owner: str | None, asked: Asked, limit: int | None, *, json: bool
) -> None:
    """Print events as they happen, until Ctrl-C."""
    screen = output.console()
    telling = event_lines.Telling(screen.width)
    streams = Streams(store, owner, asked.given())
    try:
        for event in islice(streams, limit):
            if json:
                output.show_json_line(event)
                continue
            for line in telling.lines(event):
                screen.print(line, soft_wrap=True)
            screen.file.flush()
    except KeyboardInterrupt:
        return
    finally:
        streams.close()


def _stats(store: "Store", owner: str | None, asked: Asked, *, json: bool) -> None:
    """The figures, owner by owner."""
    owners = _owners(store, owner)
    width = output.console().width
    parts: list[RenderableType] = []
    for name in owners:
        found = store.owned_by(name).events.stats(**asked.given())
        if json:
            output.show_json_line({"owner": name, **msgspec.structs.asdict(found)})
            continue
        if name or len(owners) > 1:
            said = f"of {output.safe(name)}" if name else "of no owner"
            parts.append(Text(("\n" if parts else "") + said, style="bold"))
        parts += event_lines.figures(found, width)
    if not json:
        output.show(*(parts or [Text(_NO_EVENTS)]))


def _export(
    store: "Store", owner: str | None, asked: Asked, folder: str, *, json: bool
) -> None:
    """Write an owner's events to files, and say how many."""
    owners = _owners(store, owner)
    if len(owners) > 1:
        names = ", ".join(map(repr, owners))
        raise Refused(f"several owners have events here ({names}): add --owner")
    view = store.owned_by(owners[0]) if owners else store
    done = view.events.export_to(folder, **asked.given())
    if json:
        output.show_json_line(done)
        return
    files = output.count(len(done.files), "file")
    output.console().print(
        f"{output.safe(folder)}: {output.count(done.events, 'event')} in {files}, "
        f"{done.bytes:,} bytes",
        soft_wrap=True,
    )


def _owners(store: "Store", owner: str | None) -> list[str]:
    return owners_of(store) if owner is None else [owner]
