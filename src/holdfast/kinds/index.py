"""The index: compositions that are in files, found by name, type, tag and dependency.

Answers for: which folders are in it, finding what their files hold, how compositions go
together, what is wrong with them.
Leaves to others: reading files and telling what has changed (`runtime/index`), what
a composition is (`index_drafts`), keeping what was read (`index_rows`).
Always holds: the files are the truth, and nothing is written to them; of two files with
one name and version, the one of the folder that was added first counts, then the one
whose path is first; a composition whose file cannot be read is not there.
"""

from holdfast.clock import to_datetime
from holdfast.contract import Kind, operation, query
from holdfast.edges import PageSize, Text
from holdfast.engine import Table
from holdfast.errors import NotFound
from holdfast.guarantees import Promise
from holdfast.kinds.index_records import (
    FOLDER,
    NAME,
    PATH,
    PLACE,
    AnyProblem,
    Composition,
    CompositionEntry,
    CompositionFolder,
    CompositionName,
    Folder,
    Problem,
    ProblemKind,
    Resolution,
    Version,
    composition_of,
    entry_of,
)
from holdfast.kinds.index_versions import place_of_version
from holdfast.page import Page, cursor_of, place_of

_FIRST = {"after_name": "", "after_place": "", "after_folder": 0, "after_path": ""}
_LOCKED = "folders"


class Index(Kind):
    """Compositions in files; `scan` and `watch` of a store bring it up to date."""

    name = "index"
    promise = Promise.DERIVED
    why = "the files are the truth: what is in the index can be read from them again"
    changed_by = "scan, watch, add_folder, remove_folder"
    tables = (
        Table("composition_folder", journalled=False),
        Table("composition_file", journalled=False),
        Table("composition", journalled=False),
        Table("composition_link", journalled=False),
    )

    @operation
    def add_folder(
        self, path: Folder, *, type: CompositionName | None = None
    ) -> CompositionFolder:
        """Have a folder's compositions in the index, as soon as it is scanned.

        All that is in it, and in folders within it: `.yaml`, `.yml` and `.json`.
        `type` is for those that say none. Adding it again changes no more than that.
        """
        self.tx.lock(self.name, _LOCKED)
        row = self.tx.one("composition_folder_get", owner=self.owner, path=path)
        if row is None:
            last = self.tx.one("composition_folder_last", owner=self.owner)
            number = ((last and last[0]) or 0) + 1
            self.tx.put(
                "composition_folder_add",
                owner=self.owner,
                folder=number,
                path=path,
                type=type,
                now=self.tx.now,
            )
        else:
            number = row[0]
            if row[1] != type:
                known = {"owner": self.owner, "folder": number}
                self.tx.put("composition_folder_type", type=type, **known)
                self.tx.put("composition_folder_stale", **known)
        return self._folders(number - 1, 1)[0]

    @operation
    def remove_folder(self, path: Folder) -> bool:
        """Leave a folder and its compositions out; True only if it was in the index.

        Its files stay as they are.
        """
        from holdfast.kinds.index_rows import emptied  # noqa: PLC0415  # seldom needed

        self.tx.lock(self.name, _LOCKED)
        row = self.tx.one("composition_folder_get", owner=self.owner, path=path)
        if row is None:
            return False
        while emptied(self.tx, self.owner, str(path)):
            pass
        self.tx.put("composition_folder_drop", owner=self.owner, folder=row[0])
        return True

    @query
    def folders(
        self, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[CompositionFolder]:
        """The folders that are in the index, in the order in which they count."""
        after = 0 if cursor is None else int(place_of(cursor, int)[0])
        found = self._folders(after, limit + 1)
        more = None
        if len(found) > limit:
            more = cursor_of(self._numbers(after, limit)[-1])
        return Page(found[:limit], more)

    @query
    def get(self, name: CompositionName, version: Version | None = None) -> Composition:
        """A composition with all that its file says: the newest, or one version.

        Raises `NotFound`, which says so where its file cannot be read.
        """
        known = {"owner": self.owner, "name": name}
        if version is None:
            row = self.tx.one("composition_get", **known)
        else:
            place = place_of_version(version)
            row = self.tx.one("composition_get_version", place=place, **known)
        if row is None:
            raise self._missing(name, version)
        return composition_of(row)

    @query
    def find(
        self,
        *,
        name: CompositionName | None = None,
        type: CompositionName | None = None,
        tag: CompositionName | None = None,
        depends_on: CompositionName | None = None,
        text: Text | None = None,
        every_version: bool = False,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[CompositionEntry]:
        """Compositions by name, of each the newest version; all that is said must hold.

        `depends_on` is what one itself needs, in whichever version; `text` stands in
        its name, description or tags, whatever its case. With `every_version` older
        ones are listed too, the oldest of a name first.
        """
        values: dict[str, object] = {
            "owner": self.owner,
            "type": type,
            "tag": tag,
            "need": depends_on,
            "words": None if text is None else _like(text),
            "every": int(every_version),
            "limit": limit + 1,
            **_after(cursor),
        }
        linked = {"tag": tag, "need": depends_on, "type": type}
        what = next((key for key, value in linked.items() if value is not None), None)
        if name is not None:
            del values["after_name"]
            rows = self.tx.all("composition_find_name", name=name, **values)
        elif what is not None:
            asked = {"what": what, "value": linked[what]}
            rows = self.tx.all("composition_find_linked", **asked, **values)
        else:
            rows = self.tx.all("composition_find", **values)
        last = rows[limit - 1] if len(rows) > limit else None
        more = None
        if last is not None:
            more = cursor_of(last[NAME], last[PLACE], last[FOLDER], last[PATH])
        return Page(map(entry_of, rows[:limit]), more)

    @query
    def resolve(
        self, name: CompositionName, version: Version | None = None
    ) -> Resolution:
        """A composition with all that it needs, and what that needs, in order.

        Of each dependency the newest version that would do is meant. Raises `NotFound`
        (the composition itself), `TooLarge` (it needs more than 10,000).
        """
        from holdfast.kinds.index_resolving import Resolving  # noqa: PLC0415  # seldom

        resolving = Resolving(self.tx, self.owner)
        every = resolving.places(name)
        place = max(every, default="") if version is None else place_of_version(version)
        if place not in every:
            raise self._missing(name, version)
        return resolving.resolution(name, place)

    @query
    def problems(
        self,
        kind: AnyProblem | None = None,
        *,
        limit: PageSize = 100,
        cursor: str | None = None,
    ) -> Page[Problem]:
        """What is wrong, by folder and path; none of it keeps others from being found.

        Files that cannot be read or hold no composition, compositions that are there
        twice, dependencies that are missing, circles.
        """
        from holdfast.kinds.index_problems import problems_in  # noqa: PLC0415  # seldom

        skip = 0 if cursor is None else max(0, int(place_of(cursor, int)[0]))
        chosen_kind = None if kind is None else ProblemKind(kind)
        found = problems_in(self.tx, self.owner, chosen_kind)
        more = cursor_of(skip + limit) if len(found) > skip + limit else None
        return Page(found[skip : skip + limit], more)

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many compositions the owner has, and the bytes of what they hold."""
        count, size = self.tx.one("index_usage", owner=self.owner) or (0, 0)
        return {"composition": (count, size)}

    def _folders(self, after: int, limit: int) -> list[CompositionFolder]:
        asked = {"owner": self.owner, "after": after, "limit": limit}
        return [
            CompositionFolder(
                path=path,
                type=type,
                files=files,
                broken=broken,
                added_at=to_datetime(added_at),
                problem=problem,
            )
            for _, path, type, problem, added_at, files, broken in self.tx.all(
                "composition_folder_list", **asked
            )
        ]

    def _numbers(self, after: int, limit: int) -> list[int]:
        asked = {"owner": self.owner, "after": after, "limit": limit}
        return [row[0] for row in self.tx.all("composition_folder_every", **asked)]

    def _missing(self, name: str, version: str | None) -> NotFound:
        wanted = name if version is None else f"{name} {version}"
        error = NotFound("composition", wanted)
        row = self.tx.one("composition_lost", owner=self.owner, named=name)
        if row is not None:
            folder, path, problem, line = row
            where = f"{folder}/{path}" + ("" if line is None else f", line {line}")
            error.args = (f"{error}: {where}, which had {name!r}, {problem}",)
        return error


def _after(cursor: str | None) -> dict[str, object]:
    if cursor is None:
        return dict(_FIRST)
    name, place, folder, path = place_of(cursor, str, str, int, str)
    return {
        "after_name": name,
        "after_place": place,
        "after_folder": folder,
        "after_path": path,
    }


def _like(text: str) -> str:
    """The pattern of what has a text in it, by its words as they are kept."""
    for sign in "!%_":
        text = text.replace(sign, f"!{sign}")
    return f"%{text.casefold()}%"
