"""The documentation: its code runs, its links lead on, and it leaves out nothing.

How a page is read is told in `pages.py`.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
import pages
import programs
from holdfast import declared, errors
from holdfast.across import AcrossOwners
from holdfast.astore import AsyncStore
from holdfast.cli import main
from holdfast.cli.app import build
from holdfast.config import Config
from holdfast.events.following import Following
from holdfast.runtime.agents.crew import RunningAgent
from holdfast.runtime.agents.shown import StoreAgents
from holdfast.runtime.bus import Bus, Subscription
from holdfast.runtime.cache import Cache
from holdfast.runtime.cache.toolsets import StoreToolsets
from holdfast.runtime.checkpoints.shown import StoreCheckpoints
from holdfast.runtime.following import Follower
from holdfast.runtime.index.folder_watching import FolderWatching
from holdfast.runtime.index.shown import StoreIndex
from holdfast.runtime.jobs.running import RunningJob
from holdfast.runtime.jobs.worker import Worker
from holdfast.runtime.leases.leasing import HeldLease
from holdfast.runtime.leases.working import Work
from holdfast.runtime.lifecycle import Lifecycle, Module
from holdfast.runtime.observations.shown import StoreObservations
from holdfast.runtime.requests.requests import Requests
from holdfast.runtime.sessions.replying import Reply
from holdfast.runtime.sessions.talking import Talk
from holdfast.runtime.state.shown import Section, StoreState
from holdfast.runtime.watch.watching import Watched
from holdfast.shown import (
    StoreEvents,
    StoreJobs,
    StoreJournal,
    StoreSessions,
    StoreTasks,
)
from holdfast.store import Store
from holdfast.transaction import OpenTransaction
from page_servers import with_servers

PAGES = pages.pages()
NAMES = [str(page.relative_to(pages.ROOT)) for page in PAGES]
OWN_KIND = pages.ROOT / "docs" / "how-to" / "your-own-kind.md"
SHOWN_CLASSES = {
    "store": Store,
    "journal": StoreJournal,
    "sessions": StoreSessions,
    "tasks": StoreTasks,
    "jobs": StoreJobs,
    "observations": StoreObservations,
    "state": StoreState,
    "section": Section,
    "agents": StoreAgents,
    "running": RunningAgent,
    "tx": OpenTransaction,
    "lease": HeldLease,
    "work": Work,
    "reply": Reply,
    "talk": Talk,
    "follower": Follower,
    "watched": Watched,
    "events": StoreEvents,
    "following": Following,
    "checkpoints": StoreCheckpoints,
    "requests": Requests,
    "index": StoreIndex,
    "watching": FolderWatching,
    "found": Config,
    "across": AcrossOwners,
    "worker": Worker,
    "bus": Bus,
    "life": Lifecycle,
    "module": Module,
    "cache": Cache,
    "toolsets": StoreToolsets,
    "mine": Subscription,
    "job": RunningJob,
}
"""What users hold in hand, by the name that the reference has for it."""
NOT_FOR_USERS = {
    *("store.perform", "store.begin", "state.look", "state.save"),
    *("reply.beat", "reply.finish", "reply.leave"),
    *("watching.newest", "watching.listen", "watching.forget", "watching.has_news"),
    *("job.begin", "watched.hear", "watched.forsake", "bus.disown"),
}


class Reader:
    """Someone who tries a page out from top to bottom, in a folder of its own."""

    def __init__(self, page: Path, text: str, folder: Path) -> None:
        self.page = page
        self.text = text
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def follow(self) -> None:
        with asyncio.Runner() as runner:
            try:
                for block in pages.blocks_of(self.text):
                    if block.language == "python":
                        self.run_python(block, runner)
                    elif block.language == "console":
                        for command in pages.commands_of(block.text):
                            self.run_command(command, block.line)
            finally:
                self.close_stores(runner)

    def run_python(self, block: pages.Block, runner: asyncio.Runner) -> None:
        if name := re.match(r"# (\w+\.py)\n", block.text):
            (self.folder / name[1]).write_text(block.text, encoding="utf-8")
            return
        text = "\n" * (block.line - 1) + block.text
        code = compile(
            text, str(self.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        with printed() as output:
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, self.names))
            else:
                exec(code, self.names)
        self.compare(block.line, (block.shown or "").split("\n"), output.getvalue())

    def run_command(self, command: pages.Command, line: int) -> None:
        tool, *arguments = shlex.split(command.text)
        if tool == "make":
            assert re.search(rf"^{arguments[0]}:", MAKEFILE, re.MULTILINE)
        elif tool == "holdfast" and is_endless(arguments):
            build().parse_args(
                arguments
            )  # test_demo.py, test_cli_jobs.py and so on run it
        elif tool in {"holdfast", "python"}:
            if "|" in arguments:
                tool, arguments = "sh", ["-c", f"{SHELL}{command.text}"]
            status, output = self.run_for_real(tool, arguments)
            assert status == command.status, f"line {line}: {command.text}\n{output}"
            if command.shown:
                self.compare(line, command.shown, output)
        else:
            assert command.text.startswith("pip install"), command.text

    def run_for_real(self, tool: str, arguments: list[str]) -> tuple[int, str]:
        if tool == "holdfast":
            with printed() as output:
                status = main(arguments)
            return status, output.getvalue()
        program = sys.executable if tool == "python" else tool
        done = ran([program, *arguments], self.folder)
        return abs(done.returncode), done.stdout + done.stderr

    def compare(self, line: int, shown: list[str], output: str) -> None:
        wanted = pages.plain("\n".join(shown), self.folder)
        found = pages.plain(output, self.folder)
        assert pages.agrees(wanted, found), (
            f"{self.page.name}, line {line}, prints\n{output}"
        )

    def close_stores(self, runner: asyncio.Runner) -> None:
        for value in self.names.values():
            if isinstance(value, Store):
                value.close()
            elif isinstance(value, AsyncStore):
                runner.run(value.close())
        self.names.clear()


def is_endless(arguments: list[str]) -> bool:
    """Whether a command takes long, or goes on until it is stopped."""
    return (
        arguments[0] in {"demo", "worker"}
        or arguments[:2] == ["jobs", "watch"]
        or "--follow" in arguments
    )


SHELL = f"""
holdfast() {{ "{sys.executable}" -m holdfast.cli "$@"; }}
psql() {{ "{programs.binaries()}/psql" --no-psqlrc "$@"; }}
"""
"""What a shell needs to know in order to run a page's pipes."""
MAKEFILE = (pages.ROOT / "Makefile").read_text(encoding="utf-8")


def ran(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A process of its own, at its end."""
    env = {
        **os.environ,
        "PYTHONPATH": str(pages.ROOT / "src"),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer than most pages
    }
    return subprocess.run(
        command, cwd=folder, env=env, check=False, capture_output=True, text=True
    )


@contextlib.contextmanager
def printed() -> Iterator[io.StringIO]:
    """What is printed meanwhile, on either stream."""
    text = io.StringIO()
    stream = io.TextIOWrapper(raw := io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield text
    text.write(raw.getvalue().decode())


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_code_block_of_the_page_runs_as_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("HOLDFAST_STORE", raising=False)
    monkeypatch.setattr(declared, "_declared", dict(declared._declared))
    monkeypatch.setattr(declared, "_indexes", dict(declared._indexes))
    monkeypatch.setattr(declared, "_current", [])
    with with_servers(page.read_text(encoding="utf-8")) as text:
        Reader(page, text, tmp_path).follow()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_of_the_page_has_a_language_that_is_checked(page):
    blocks = pages.blocks_of(page.read_text(encoding="utf-8"))
    assert {block.language for block in blocks} <= pages.LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_within_the_documentation_leads_somewhere(page):
    for link in pages.links_of(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in pages.anchors_of(target.read_text(encoding="utf-8")), link


def test_every_page_can_be_reached_from_the_readme():
    reached, ahead = set(), [pages.ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for link in pages.links_of(page.read_text(encoding="utf-8")):
            path = link.partition("#")[0]
            if path and ":" not in path:
                ahead.append((page.parent / path).resolve())
    assert set(PAGES) <= reached


def reference() -> list[pages.Section]:
    """Every section of the reference."""
    return [
        section
        for page in sorted(pages.REFERENCE.glob("*.md"))
        for section in pages.sections_of(page.read_text(encoding="utf-8"))
    ]


def documented() -> dict[str, str]:
    """Each name that the reference has a signature of, with its section's code."""
    return {name: section.code for section in reference() for name in section.made}


def is_of_runtime(cls: type) -> bool:
    """Whether a base of what users hold is no kind, whose operations are known."""
    return cls.__module__.startswith("holdfast.runtime.")


def public_calls() -> set[str]:
    """Every operation of the registry, and every call on what users hold in hand."""
    ours = {f"{k.name}.{name}" for k in declared.OURS for name in k.operations()}
    held = {
        f"{said}.{name}"
        for said, shown in SHOWN_CLASSES.items()
        for cls in (shown, *(c for c in shown.__bases__ if is_of_runtime(c)))
        for name, member in vars(cls).items()
        if not name.startswith("_")
        and (callable(member) or isinstance(member, property))
    }
    return (ours | held | {"holdfast.open", "holdfast.aopen"}) - NOT_FOR_USERS


def test_every_public_call_is_documented_with_an_example_that_runs():
    said = documented()
    assert public_calls() - said.keys() == set()
    without = {
        name
        for name in public_calls()
        if not re.search(rf"\.{name.rpartition('.')[2]}\b", said[name])
    }
    assert without == set()


def test_the_made_parts_of_the_reference_are_current():
    done = ran([sys.executable, "tools/reference.py", "--check"], pages.ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_name_of_the_package_is_documented():
    words = {
        word
        for page in pages.REFERENCE.glob("*.md")
        for word in pages.code_words_of(page.read_text(encoding="utf-8"))
    }
    words |= {name.rpartition(".")[2] for name in documented()}
    assert set(holdfast.__all__) - words == set()


def test_every_error_is_documented_and_says_what_to_do():
    known = {
        name for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.HoldfastError)
    }  # fmt: skip
    text = (pages.REFERENCE / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", text, re.MULTILINE))
    assert known - rows.keys() == set()
    assert all(remedy.strip() for remedy in rows.values())


def test_every_command_is_documented_with_an_example_that_runs():
    commands = {name for name in build() if not name.startswith("-")}
    said = documented()
    assert {f"cli.{name}" for name in commands} - said.keys() == set()
    for name in commands:
        assert f"$ holdfast {name}" in said[f"cli.{name}"]


def test_a_kind_of_ones_own_takes_under_60_lines_of_code():
    blocks = pages.blocks_of(OWN_KIND.read_text(encoding="utf-8"))
    lines = [
        line
        for block in blocks
        if block.language in {"python", "sql"}
        for line in block.text.splitlines()
        if line.strip()
    ]
    assert 0 < len(lines) < 60
