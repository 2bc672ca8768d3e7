"""The commands for state sections: what there is, and what somebody changes by hand.

Answers for: `state`, which lists sections, with what is below it (`get`, `set`,
`delete`); how sections look to people.
Leaves to others: what a section is (`kinds/state`), laying it out (`layout`).
Always holds: what only looks opens the store read-only; nothing creates a store; a
change is on disk before its command ends.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.text import Text

from holdfast.cli import output
from holdfast.cli.layout import page
from holdfast.cli.opening import (
    Cursor,
    Full,
    Json,
    Limit,
    Owner,
    Where,
    listed,
    one_of,
    opened,
    scope,
    writable,
)
from holdfast.cli.output import safe, when
from holdfast.cli.standing import AsOf, head, json_head, standing
from holdfast.errors import BadInput, NotFound

if TYPE_CHECKING:
    from holdfast.kinds.state_records import StateSection, StateSummary
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

_USAGE = """\
Usage: holdfast state STORE [OPTIONS]
       holdfast state COMMAND STORE SECTION [ARGUMENTS] [OPTIONS]
"""
Section = Annotated[str, Parameter(help="The section's name.")]
Key = Annotated[str, Parameter(help="The key.")]


def build() -> App:
    """The `state` command, which lists, and the commands below it."""
    app = App(name="state", usage=_USAGE)
    app.default(state)
    for command in (get, set, delete):
        app.command(command)
    return app


def state(
    store: Where,
    /,
    *,
    owner: Owner = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List the state sections of a store, by name (owner by owner).

    What comes below: `get` shows a section; `set` and `delete` change a key of it.
    """
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        found = listed(scope(there, owner).state.list, limit, cursor)
    if json:
        told = {"sections": list(found), "cursor": found.cursor}
        output.show_json({**json_head(then), **told})
        return
    lines = _lines(found) if found else [Text("no sections")]
    output.show(*head(then), *lines, *output.more(found.cursor))


def get(
    store: Where,
    section: Section,
    key: Annotated[str | None, Parameter(help="One of its keys; else all.")] = None,
    /,
    *,
    owner: Owner = None,
    full: Full = False,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Show a section with what its keys have; or what one key has, as JSON.

    What running processes have not saved yet is not shown.
    """
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        _, found = _section_of(there, owner, section)
    if key is not None:
        output.show_json(_value_of(found, key))
    elif json:
        output.show_json({**json_head(then), "section": found})
    else:
        output.show(*head(then), _page(found, full=full))


def set(
    store: Where,
    section: Section,
    key: Key,
    value: Annotated[str, Parameter(help="What it gets, as JSON.")],
    /,
    *,
    owner: Owner = None,
    json: Json = False,
) -> None:
    """Put a value in the place of a key's; running processes see it within 0.1 s.

    A section that is not there yet is made.
    """
    given = _decoded(value)
    _change(
        store,
        owner,
        section,
        lambda tx: tx.state.set(section, key, given),
        "set",
        json=json,
    )


def delete(
    store: Where,
    section: Section,
    key: Key,
    /,
    *,
    owner: Owner = None,
    json: Json = False,
) -> None:
    """Delete a key of a section; running processes see it within 0.1 s."""

    def change(tx: "OpenTransaction") -> None:
        if not tx.state.delete(section, key):
            raise NotFound("key", key)

    _change(store, owner, section, change, "delete", json=json)


COMMANDS: Mapping[str, Callable[..., Any]] = {
    "state": state,
    "state-get": get,
    "state-set": set,
    "state-delete": delete,
}
"""The commands by the names that the reference has for them."""


def _section_of(
    store: "Store", owner: str | None, section: str
) -> tuple["Store", "StateSection"]:
    """A section, among all owners' if none is named."""
    return one_of(
        store, owner, "section", section, lambda view: view.state.find(section)
    )


def _change(
    target: str,
    owner: str | None,
    section: str,
    change: Callable[["OpenTransaction"], None],
    verb: str,
    *,
    json: bool,
) -> None:
    """Change a section, with the command as the cause, and say how it stands."""
    with writable(target) as there:
        try:
            view, _ = _section_of(there, owner, section)
        except NotFound:
            view = there.owned_by(owner or "")
        with view.transaction(cause=f"holdfast state {verb}") as tx:
            change(tx)
            found = tx.state.find(section)
    if json:
        output.show_json({"section": found})
    else:
        output.show(_line(found.id, found.owner, len(found.values)))


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BadInput(
            f"the value {text!r} is no JSON ({error}); a text is written '\"so\"'"
        ) from None


def _value_of(section: "StateSection", key: str) -> Any:
    if key not in section.values:
        raise NotFound("key", key)
    return section.values[key]


def _lines(found: Iterable["StateSummary"]) -> Iterator[Text]:
    """Sections, a line each: when it changed, whose it is, how much is in it."""
    for one in found:
        line = _line(one.id, one.owner, one.keys).append(f", {one.bytes:,} bytes")
        yield Text.assemble((f"{when(one.updated_at)[:-3]}  ", "dim"), line)


def _line(id: str, owner: str, keys: int) -> Text:
    whose = (f"{safe(owner)}  ", "dim") if owner else ""
    return Text.assemble(whose, f"{safe(id)}  ", output.count(keys, "key"))


def _page(record: "StateSection", *, full: bool) -> RenderableType:
    """One section, with what its keys have."""
    facts = {
        "owner": record.owner,
        "version": str(record.version),
        "created": when(record.created_at) + " UTC",
        "updated": when(record.updated_at) + " UTC",
    }
    values = {
        safe(key): msgspec.json.encode(value).decode()
        for key, value in record.values.items()
    }
    return Group(
        page(record.id, facts, full=full), Text(), page("keys", values, full=full)
    )
