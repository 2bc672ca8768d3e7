"""Compositions for tests: files of them, and rows as if such files had been scanned."""

import json
import os
import time
from pathlib import Path
from typing import Any

from holdfast.kinds.index_drafts import as_written, draft_of
from holdfast.kinds.index_rows import FilePut, FolderRow, FolderRows
from holdfast.runtime.index import composition_files
from holdfast.transaction import OpenTransaction

PATIENCE_SECONDS = 50.0
"""So long it is waited for what comes in a moment on a machine with nothing to do."""


def until(condition: Any) -> Any:
    """Wait until something holds; what it is then."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)
    return found


def write(folder: Path, path: str, content: Any = "") -> Path:
    """Write a file: a text as it is, bytes too, anything else as JSON."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif isinstance(content, str):
        file.write_text(content, encoding="utf-8")
    else:
        file.write_text(json.dumps(content), encoding="utf-8")
    return file


def replace(file: Path, content: str) -> None:
    """Put a new file in the place of one, of its size and its time of writing."""
    assert len(content.encode()) == file.stat().st_size
    was = file.stat()
    new = file.with_suffix(".new")
    new.write_text(content, encoding="utf-8")
    os.utime(new, ns=(was.st_atime_ns, was.st_mtime_ns))
    new.replace(file)


def settle(monkeypatch: Any) -> None:
    """Have files count as being at rest at once, as if each test took a while."""
    monkeypatch.setattr(composition_files, "SETTLED_NS", -(10**12))


def names(found: Any) -> list[str]:
    """The names of what was found, in order."""
    return [one.name for one in found]


def counts(report):
    """What a scan added, updated, removed and left as it was."""
    assert report.seconds >= 0
    return report.added, report.updated, report.removed, report.unchanged


def told(store, **asked):
    """What is wrong, by the file's path and the kind of problem."""
    return [(one.path, one.kind.value) for one in store.index.problems(**asked)]


def fill(folder):
    """Some compositions, of each kind of file, and one file that is none."""
    write(folder, "agent.yaml", (
        "name: agent\nversion: 1.10\ntype: profile\ndescription: Does it All\n"
        "tags: [fast, no]\nextends: base@^1.0\n"
    ))  # fmt: skip
    write(folder, "old/agent.yml", "name: agent\nversion: 1.9\ntags: [slow]\n")
    write(folder, "old/base.json", {"name": "base", "version": "1.2.0"})
    write(folder, "broken.yaml", "name: [broken\n")
    write(folder, "readme.md", "name: none")
    write(folder, ".hidden.yaml", "name: hidden")
    write(folder, ".git/config.yaml", "name: hidden")


def put_rows(store: Any, folder: str, contents: dict[str, Any]) -> None:
    """Have rows of a folder of the index as a scan of such files would make them."""
    store.index.add_folder(folder)
    row = FolderRow(1, os.path.abspath(folder), None)
    puts = []
    for path, content in contents.items():
        put = {"path": path, "was": 0, "stamp": (1, 2, 3, 4), "digest": "d"}
        if isinstance(content, str):
            puts.append(FilePut(**put, kind="invalid", problem=content, line=1))
            continue
        name = path.partition(".")[0]
        draft = draft_of(content, as_written(content), name=name, most_tags=9)
        puts.append(FilePut(**put, draft=draft))
    if isinstance(store, OpenTransaction):
        FolderRows(store._tx, store.owner, row).put(puts)
        return
    core, terms = store._core, store._terms
    core.engine.write(
        core.unit(lambda tx: FolderRows(tx, terms.owner, row).put(puts), terms)
    )


def furnish_index(store: Any, word: str) -> None:
    """A folder with compositions that need each other, and a file that is broken."""
    lead = {
        "name": "lead",
        "version": "1.2",
        "type": "profile",
        "description": f"lead of {word}",
        "tags": ["all"],
        "dependencies": ["base"],
    }
    put_rows(
        store,
        "/compositions",
        {
            "lead.yaml": lead,
            "base.json": {"name": "base", "of": word, "extends": f"none of {word}"},
            "broken.yaml": f"is no YAML: {word}",
        },
    )
