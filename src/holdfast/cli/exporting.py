"""The commands that hand out sessions: as a file for a store, as a text for people.

Answers for: `export` and `render`.
Leaves to others: the file (`runtime/transfer`), the texts (`kinds/rendering`).
Always holds: the store is opened read-only; what is printed steers no terminal. That
it is of the past is said beside a document, and never in it.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from holdfast.cli import output
from holdfast.cli.opening import Json, Owner, Where, one_of, opened
from holdfast.cli.standing import AsOf, json_head, say_beside, standing
from holdfast.errors import Refused
from holdfast.kinds.rendering import Form

if TYPE_CHECKING:
    from holdfast.store import Store


def export(
    store: Where,
    ids: Annotated[
        list[str] | None, Parameter(help="Sessions. Without any: every one.")
    ] = None,
    /,
    *,
    to: Annotated[
        str,
        Parameter(
            help="The file to write, or - for standard output.",
            allow_leading_hyphen=True,
        ),
    ],
    owner: Annotated[
        str | None, Parameter(help="Whose they are, if several have some.")
    ] = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Write sessions to a file, which `holdfast import sessions` takes in elsewhere.

    All of it is of one moment. The file is there when all of it is on the disk, and
    nobody else can read it.
    """
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        view = _of_one_owner(there, owner)
        if to == "-":
            say_beside(then)
            view.sessions.export_to(sys.stdout.buffer, id=ids)
            return
        done = view.sessions.export_to(to, id=ids)
    if json:
        output.show_json({**json_head(then), **msgspec.structs.asdict(done)})
        return
    output.console().print(
        f"{output.safe(to)}: {output.count(done.messages, 'message')} in "
        f"{output.count(done.sessions, 'session')}, {done.bytes:,} bytes"
        + (f"\nas of {then.told()}" if then else ""),
        soft_wrap=True,
    )


def render(
    store: Where,
    id: Annotated[str, Parameter(help="The session.")],
    /,
    *,
    form: Annotated[Form, Parameter("--as", help="What it is made into.")] = (
        Form.MARKDOWN
    ),
    owner: Owner = None,
    as_of: AsOf = None,
) -> None:
    """Print a session with all its messages as one text."""
    with opened(store, as_of) as there:
        view, _ = one_of(
            there, owner, "session", id, lambda view: view.sessions.get(id)
        )
        text = view.sessions.render(id, form)
        say_beside(standing(there, as_of))
    output.show_text(text)


def _of_one_owner(store: "Store", owner: str | None) -> "Store":
    """The store as its owner sees it. Raises `Refused` if there are several."""
    if owner is None:
        owners = store.owners() or [store.owner]
        if len(owners) > 1:
            names = ", ".join(map(repr, owners))
            raise Refused(f"several owners have records here ({names}): add --owner")
        (owner,) = owners
    return store.owned_by(owner)
