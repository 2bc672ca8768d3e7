"""The index as a store shows it: with scans, and folders that are watched.

Answers for: what of `store.index` is no single transaction.
Leaves to others: looking through folders (`scanning`), waiting for changes
(`folder_watching`), finding what is in the index (the kind).
Always holds: a look at the past, and a call inside a transaction, are refused.
"""

from os import PathLike
from typing import TYPE_CHECKING

from holdfast.engine import Terms
from holdfast.journal import refuse_past
from holdfast.kinds.index import Index
from holdfast.kinds.index_records import folder_of

if TYPE_CHECKING:
    from holdfast.core import Core
    from holdfast.runtime.index.folder_watching import FolderWatching
    from holdfast.runtime.index.scanning import ScanReport
    from holdfast.store import Store

LOOK_SECONDS = 60.0
"""How often watched folders are looked at, whatever was told, unless chosen."""


class StoreIndex(Index):
    """The index as a store shows it: brought up to date from files."""

    _target: "Store"

    def scan(
        self, path: str | PathLike[str] | None = None, *, thorough: bool = False
    ) -> "ScanReport":
        """Bring the index up to what is in its folders, or in one of them.

        A file is read if it looks otherwise than it was known (size, times, inode), or
        in any case if the scan is `thorough`; it is parsed if its bytes have another
        hash. Files that cannot be read are told by `problems`; the others are in.
        Raises `NotFound` (a folder that is not in the index), `Refused` (YAML, without
        the extra `holdfast[index]`; a store as of a moment).
        """
        from holdfast.runtime.index.scanning import scan  # noqa: PLC0415  # loads slowly

        core, terms = indexing_of(self._target._core, self._target._terms, "scan")  # noqa: SLF001
        return scan(core, terms, path_of(path, core), thorough=thorough)

    def remove_folder(self, path: str | PathLike[str]) -> bool:
        """Leave a folder and its compositions out; True only if it was in the index.

        Its files stay as they are. Its compositions go some hundred at a time, so that
        no writer waits long; within a transaction they go all at once.
        """
        from holdfast.runtime.index.scanning import empty  # noqa: PLC0415  # loads slowly

        core, terms = indexing_of(
            self._target._core,  # noqa: SLF001
            self._target._terms,  # noqa: SLF001
            "remove_folder",
        )
        empty(core, terms, folder_of(path, "path", core.limits))
        operation = Index.operations()["remove_folder"]
        return bool(self._target.perform(Index, operation, (path,), {}))

    def watch(self, *, every_seconds: float = LOOK_SECONDS) -> "FolderWatching":
        """Scan now, and then whatever changes, until it is stopped or the store closed.

        What the system tells of no change (a network drive, say) is found by a look at
        everything each `every_seconds`. Raises `Refused` (without the extra
        `holdfast[index]`; a store as of a moment).
        """
        from holdfast.runtime.index.folder_watching import FolderWatching  # noqa: PLC0415

        core, terms = indexing_of(self._target._core, self._target._terms, "watch")  # noqa: SLF001
        return FolderWatching(core, terms, every_seconds)


def indexing_of(core: "Core", terms: Terms, what: str) -> tuple["Core", Terms]:
    """The core and the terms of a call that writes to the index. Raises `Refused`."""
    core.refuse_inside(f"index.{what}")
    refuse_past(terms.moment)
    core.refuse_closed()
    return core, terms


def path_of(path: str | PathLike[str] | None, core: "Core") -> str | None:
    """A folder's path, as the index has it."""
    return None if path is None else folder_of(path, "path", core.limits)
