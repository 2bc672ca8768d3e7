"""Definitions of machines: what machines of a name are, in each version.

Answers for: keeping definitions, and bringing along the functions that they name.
Leaves to others: what a spec may say (`statecharts/specs`), the machines (`machines`).
Always holds: a version of a definition never changes; functions are never kept.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, cast

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, PageSize
from holdfast.engine import Row, Table
from holdfast.errors import AlreadyExists, NotFound, Refused
from holdfast.guarantees import Promise
from holdfast.kinds.machine_records import (
    AFTER,
    AnyUnknown,
    Definition,
    FromVersions,
    Functions,
    MachineName,
    SpecOrFile,
    Unknown,
    definition_of,
)
from holdfast.page import Page, cursor_of, place_of
from holdfast.statecharts.specs import spec_of

_DIGEST_BYTES = 16


class Definitions(Kind):
    """What machines have in common that have a name."""

    name = "machines"
    promise = Promise.DURABLE
    why = "a state, its history and its effects are one, and none is done twice"
    changed_by = "send, receive, timers, and effects that end"
    leased = True
    tables = (
        Table("machine"),
        Table("machine_step", json=("context",), parent=("machine", "machine")),
        Table(
            "machine_effect",
            json=("on_success", "payload"),
            parent=("machine", "machine"),
        ),
        Table("machine_definition", json=("spec", "from_versions")),
        Table("machine_now", journalled=False),
    )

    @operation
    def define(
        self,
        name: MachineName,
        spec: SpecOrFile,
        *,
        version: Count = 1,
        guards: Functions | None = None,
        effects: Functions | None = None,
        unknown: AnyUnknown = "ignore",
        from_versions: FromVersions | None = None,
    ) -> Definition:
        """Say what machines of a name are; a version that is there is given back.

        `spec` is a dict, or the path of a `.state.maia` file. `guards` are functions of
        the context and an event's payload, `effects` functions of a job, by the names
        that the spec calls them by; an effect that another process does is named alone.
        They are this process's and not kept: each process that sends events, or runs a
        worker, defines its machines, and makes its `Worker` after that. Machines follow
        the newest version; a state that it does not have is what `from_versions` calls
        it, or else the initial one.
        Raises `Refused` (what is wrong with the spec, all of it; a tool with another
        function already), `AlreadyExists` (the version, with other content),
        `WrongType`, `CannotOpen`.
        """
        checks, tools = _by_name(guards), _by_name(effects)
        told = cast("dict[str, Any]", spec)
        known = spec_of(told, guards=checks, effects=tools)
        moved = cast("dict[int, dict[str, str]]", from_versions or {})
        _refuse_unknown_states(name, moved, known.states)
        if AFTER in known.tools:
            raise Refused(
                f"machine {name!r}: {AFTER!r} is what timers are called; nothing was "
                "written: give the tool another name"
            )
        states = {str(key): states for key, states in moved.items()}
        content = {
            "spec": codec.document(told).text,
            "unknown": Unknown(unknown).value,
            "from_versions": codec.text_of(states or None),
        }
        self.tx.lock("machine_definitions", name)
        digest = _digest(name, version, *content.values())
        there = self._there(name, version, digest)
        self.tx.terms.provided.bring(self.owner, name, _given(checks), _given(tools))
        return there or self._added(name, version, digest, content)

    @query
    def definition(
        self, name: MachineName, *, version: Count | None = None
    ) -> Definition:
        """A version of a definition, or the newest one. Raises `NotFound`."""
        if version is None:
            return definition_of(self._newest(name))
        row = self._version(name, version)
        if row is None:
            raise NotFound("machine_definition", f"{name}, version {version}")
        return definition_of(row)

    @query
    def definitions(
        self, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[Definition]:
        """All versions of all definitions, by name and version."""
        after = ("", -1) if cursor is None else place_of(cursor, str, int)
        rows = self.tx.all(
            "machine_definition_list",
            owner=self.owner,
            after_name=after[0],
            after_version=after[1],
            limit=limit + 1,
        )
        more = len(rows) > limit and cursor_of(*rows[limit - 1][:2])
        return Page(map(definition_of, rows[:limit]), more or None)

    def _there(self, name: str, version: int, digest: str) -> Definition | None:
        """A version of a definition, if it is there. Raises `AlreadyExists`."""
        row = self._version(name, version)
        if row is None:
            return None
        there = definition_of(row)
        if there.digest != digest:
            raise AlreadyExists(
                "machine_definition",
                f"{name}, version {version}",
                instead="give it another version",
            )
        return there

    def _added(
        self,
        name: str,
        version: int,
        digest: str,
        content: Mapping[str, str | None],
    ) -> Definition:
        self.tx.put(
            "machine_definition_add",
            no=self.tx.new_no(),
            owner=self.owner,
            name=name,
            version=version,
            digest=digest,
            now=self.tx.now,
            **content,
        )
        return self.definition(name, version=version)

    def _version(self, name: str, version: int) -> Row | None:
        asked = {"owner": self.owner, "name": name, "version": version}
        return self.tx.one("machine_definition_get", **asked)

    def _newest(self, name: str) -> Row:
        row = self.tx.one("machine_definition_newest", owner=self.owner, name=name)
        if row is None:
            raise NotFound("machine_definition", name)
        return row


def _by_name(functions: object) -> dict[str, Any]:
    """Functions by their names, as they were checked."""
    return cast("dict[str, Any]", functions or {})


def _given(functions: Mapping[str, Any]) -> dict[str, Any]:
    """The functions among names that may have none here."""
    return {name: found for name, found in functions.items() if found is not None}


def _refuse_unknown_states(
    name: str, from_versions: dict[int, dict[str, str]], states: Collection[str]
) -> None:
    for version, moved in from_versions.items():
        for was, state in moved.items():
            if state not in states:
                raise Refused(
                    f"machine {name!r}: from_versions[{version}] calls {was!r} "
                    f"{state!r}, which is none of its states; nothing was written"
                )


def _digest(*content: object) -> str:
    """What stands for a version of a definition, wherever it was compiled."""
    text = repr(content).encode()
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).hexdigest()
