"""KSI: the identities of its agents, out of `agent_identities.json`.

Answers for: reading that file, and keeping each identity as an agent, with its times.
Leaves to others: what an agent is (`kinds.agent_records`).
Always holds: one identity that cannot be kept is named, and spoils no other; an agent
that is there stays as it is.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from holdfast import edges
from holdfast.errors import AlreadyExists, BadInput, BrokenFile, CannotOpen, NotFound
from holdfast.importers.report import (
    ImportReport,
    Others,
    SetAside,
    SetAsides,
    sample_of,
)
from holdfast.kinds.agent_records import AgentDraft, draft_of
from holdfast.limits import Limits

if TYPE_CHECKING:
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

_AT_ONCE = 200
_KNOWN = {
    "agent_id": "id",
    "display_name": "name",
    "role": "role",
    "personality_traits": "traits",
    "preferences": "preferences",
    "stats": "statistics",
    "created_at": "created_at",
    "last_active": "active_at",
}
"""What an identity's fields are called here; the others are metadata."""
_Piece: TypeAlias = tuple[str, AgentDraft, object]
"""Where an identity stands, what is kept of it, and the identity."""


def import_ksi_agents(store: "Store", file: Path) -> ImportReport:
    """Bring the identities of KSI's agents into a store.

    The file has an object with an identity under each agent's id, or a list of them.
    Raises `CannotOpen`, and `BrokenFile` for one that is none, with nothing written.
    """
    limits = store._core.limits  # noqa: SLF001
    aside = SetAsides()
    added = there = found = 0
    pieces: list[_Piece] = []
    for place, id, identity in _identities(file):
        found += 1
        try:
            pieces.append((place, _draft(id, identity, limits), identity))
        except BadInput as error:
            aside.append(SetAside(place, None, str(error), sample_of(identity)))
    for start in range(0, len(pieces), _AT_ONCE):
        some = pieces[start : start + _AT_ONCE]
        for piece, done in zip(some, store.run(_keep_all, some), strict=True):
            added += done == "added"
            there += done == "there"
            if done not in {"added", "there"}:
                aside.append(SetAside(piece[0], None, done, sample_of(piece[2])))
    return ImportReport(
        file=file.name,
        sessions=0,
        sessions_added=0,
        messages=0,
        added=0,
        already_there=0,
        set_aside=tuple(aside.named),
        set_aside_count=aside.count,
        others=(Others(what="agent", found=found, added=added, already_there=there),),
    )


def _keep_all(tx: "OpenTransaction", pieces: Iterable[_Piece]) -> list[str]:
    """What became of each: `added`, `there`, or why it was not kept."""
    return [_keep(tx, draft) for _, draft, _ in pieces]


def _keep(tx: "OpenTransaction", draft: AgentDraft) -> str:
    try:
        tx.agents.get(draft.id or "")
    except NotFound:
        is_new = True
    else:
        is_new = False
    drafts: Any = [draft]
    try:
        tx.agents.create_all(drafts)
    except AlreadyExists:
        return "another agent has this id in the store, and was left as it is there"
    return "added" if is_new else "there"


def _identities(file: Path) -> Iterator[tuple[str, object, object]]:
    """Each identity, with its place and the id that it stands under."""
    try:
        text = file.read_bytes()
        try:
            read = msgspec.json.decode(text)
        except msgspec.DecodeError:  # KSI writes NaN, and halves of characters, too
            read = json.loads(text)
    except OSError as error:
        raise CannotOpen(f"{file}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BrokenFile(
            f"{file} is no JSON file; nothing was written: {error}"
        ) from None
    if isinstance(read, dict):
        for id, identity in read.items():
            yield f".{id}" if id.isidentifier() else f"[{id!r}]", id, identity
    elif isinstance(read, list):
        for number, identity in enumerate(read):
            yield f"[{number}]", None, identity
    else:
        raise BrokenFile(
            f"{file} has no identities of agents: an object or a list is wanted; "
            "nothing was written"
        )


def _draft(id: object, identity: object, limits: Limits) -> AgentDraft:
    """What is kept of an identity. Raises `BadInput`."""
    if not isinstance(identity, Mapping):
        raise edges.wrong_type("the identity", "an object", identity)
    given = {_KNOWN[key]: identity[key] for key in _KNOWN.keys() & identity.keys()}
    given["id"] = given.get("id") or id
    given["name"] = given.get("name") or given["id"]
    if given["id"] is None:
        raise BadInput("an identity without an agent_id")
    if given.get("role") == "":
        del given["role"]
    for name in ("created_at", "active_at"):
        if given.get(name) is not None:
            given[name] = _time(given[name], name, limits)
    rest = {key: identity[key] for key in identity if key not in _KNOWN}
    given["metadata"] = rest or None
    return draft_of(given, "the identity", limits)


def _time(value: object, name: str, limits: Limits) -> datetime:
    """A time of KSI's, which is in UTC where it says no zone."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return edges.time_of(value, name, limits)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return edges.time_of(value, name, limits)
