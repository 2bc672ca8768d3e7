"""Write `src/holdfast/afaces.py`: the async face of every kind, from the registry.

python tools/afaces.py           writes the file
python tools/afaces.py --check   fails if the file is not what would be written
"""

import ast
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

from holdfast.contract import Kind, Operation
from holdfast.declared import OURS

TARGET = Path(__file__).parent.parent / "src" / "holdfast" / "afaces.py"
HEAD = '''"""The async faces of holdfast's kinds: the same calls, awaited.

Written by `tools/afaces.py` from the registry of operations; not to be edited.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Protocol

from msgspec import UNSET, UnsetType

from holdfast.changes import Change
from holdfast.codec import Json
from holdfast.contract import Kind, Operation
from holdfast.journal import Journal, Stretch
from holdfast.kinds.agent_records import Agent, AgentLink, AgentRun, Descendant
from holdfast.kinds.agents import Agents
from holdfast.kinds.checkpoint_records import MemoryCheckpoint
from holdfast.kinds.checkpoints import Checkpoints
from holdfast.kinds.contexts import Context
from holdfast.kinds.event_figures import EventStats
from holdfast.kinds.event_records import Event, EventPolicy
from holdfast.kinds.events import Events
from holdfast.kinds.inbox import Inbox
from holdfast.kinds.inbox_records import InboxMessage
from holdfast.kinds.index import Index
from holdfast.kinds.index_records import (
    Composition,
    CompositionEntry,
    CompositionFolder,
    Problem,
    Resolution,
)
from holdfast.kinds.item_records import Item, Near
from holdfast.kinds.items import Items
from holdfast.kinds.job_records import (
    Backoff,
    Job,
    JobStats,
    Limit,
    Step,
    Waited,
)
from holdfast.kinds.jobs import Jobs
from holdfast.kinds.leases import Lease, Leases
from holdfast.kinds.machine_records import (
    Definition,
    Machine,
    MachineStep,
    Sent,
)
from holdfast.kinds.machines import Machines
from holdfast.kinds.observation_records import Observation
from holdfast.kinds.observations import Observations
from holdfast.kinds.overview_records import Overview
from holdfast.kinds.schedule_records import Schedule
from holdfast.kinds.schedules import Schedules
from holdfast.kinds.session_records import Family, Mark, Message, Session, Summary
from holdfast.kinds.sessions import Sessions
from holdfast.kinds.state import State
from holdfast.kinds.state_records import StateSection, StateSummary
from holdfast.kinds.task_records import Task, TaskLog, TaskMetrics
from holdfast.kinds.tasks import Tasks
from holdfast.kinds.thread_records import Checkpoint, Dropped, Thread
from holdfast.kinds.threads import Threads
from holdfast.kinds.toolset_records import Toolset
from holdfast.kinds.toolsets import Toolsets
from holdfast.kinds.workspace_records import Cleaned, Workspace, WorkspaceChat
from holdfast.kinds.workspaces import Workspaces
from holdfast.page import Page


class Performs(Protocol):
    """What carries out an operation for an async face."""

    async def perform(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run it, to its commit."""
        ...
'''
PLAIN = {
    "Id": "str",
    "Name": "str",
    "Text": "str",
    "Description": "str",
    "Value": "Json",
    "Data": "Json",
    "Object": "dict[str, Any] | None",
    "Count": "int",
    "PageSize": "int",
    "Seconds": "float",
    "Number": "float",
    "Time": "datetime",
    "AnyStatus": "str",
    "AnyLevel": "str",
    "AnyPattern": "str | Sequence[str]",
    "Place": "str | PathLike[str] | BinaryIO",
    "Tags": "Iterable[str]",
    "Names": "Iterable[str]",
    "Drafts": "Iterable[dict[str, Any]]",
    "Counting": "Callable[[Message], int]",
    "SummaryText": "str",
    "AnyForm": "str",
    "Piece": "str",
    "Labels": "Sequence[str]",
    "Key": "str",
    "Content": "Mapping[str, Any]",
    "Contents": "Sequence[Mapping[str, Any]]",
    "Places": "Sequence[tuple[Sequence[str], str]]",
    "Filter": "Mapping[str, Any]",
    "Vector": "Sequence[float]",
    "Vectors": "Mapping[str, Sequence[float]]",
    "Values": "dict[str, Any]",
    "Writes": "Iterable[dict[str, Any]]",
    "Ids": "Iterable[str]",
    "Channels": "Iterable[str]",
    "Indexed": "str",
    "Renamed": "dict[str, str] | None",
    "Lanes": "Iterable[str]",
    "Priority": "int",
    "Attempts": "int",
    "Retrying": "Backoff | Mapping[str, float]",
    "Delay": "float",
    "Trace": "dict[str, str]",
    "ScheduleId": "str",
    "AnyMissed": "str",
    "Cron": "str",
    "Every": "float",
    "Zone": "str",
    "Tool": "str",
    "MachineName": "str",
    "MachineId": "str",
    "EventName": "str",
    "SpecOrFile": "Mapping[str, Any] | str | PathLike[str]",
    "Functions": "Mapping[str, Any] | Iterable[str]",
    "FromVersions": "Mapping[int, Mapping[str, str]]",
    "AnyUnknown": "str",
    "Patterns": "Iterable[str]",
    "Share": "float",
    "Rate": "float",
    "Where": "dict[str, Any]",
    "CompositionName": "str",
    "Version": "str",
    "Folder": "str | PathLike[str]",
    "AnyProblem": "str",
    "Role": "str",
    "Traits": "Iterable[str]",
    "Counts": "dict[str, float]",
    "AgentDrafts": "Iterable[dict[str, Any]]",
    "Direction": "str",
    "Tools": "Iterable[str]",
    "ToolList": "Iterable[Mapping[str, Any]]",
    "SectionKey": "str",
    "ByKey": "dict[str, Any]",
}
"""What the annotations that carry checks are to a caller."""


def main() -> int:
    """Write the file, or check it."""
    text = formatted(HEAD + "".join(face(kind) for kind in OURS))
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") != text:
        print(f"{TARGET.name} is not current: run python tools/afaces.py")
        return 1
    return 0


def face(kind: type[Kind]) -> str:
    """The class of one kind's async face."""
    name = kind.__name__
    methods = "\n".join(
        method(name, operation) for operation in kind.operations().values()
    )
    return (
        f"\n\n_{name.upper()} = {name}.operations()\n\n\n"
        f'class Async{name}:\n    """{kind.__doc__}"""\n\n'
        "    def __init__(\n"
        f"        self, target: Performs, kind: type[Kind] = {name}\n"
        "    ) -> None:\n"
        "        self._target = target\n"
        "        self._kind = kind\n\n"
        f"{methods}"
    )


def method(kind: str, operation: Operation) -> str:
    """One awaited method, or one async iterator over pages."""
    source = textwrap.dedent(inspect.getsource(operation.function))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.FunctionDef)
    tree = Plain().visit(tree)
    if operation.paged:
        drop_cursor(tree.args)
    named = ", ".join(f'"{a.arg}": {a.arg}' for a in tree.args.kwonlyargs)
    places = [a.arg for a in tree.args.args[1:]]
    placed = ", ".join(places) + ("," if len(places) == 1 else "")
    doc = textwrap.indent(f'"""{operation.function.__doc__}"""', "        ").lstrip()
    head = f"    async def {operation.name}({ast.unparse(tree.args)})"
    call = f'self._target.perform(self._kind, _{kind.upper()}["{operation.name}"]'
    result = ast.unparse(tree.returns) if tree.returns else "None"
    if not operation.paged:
        body = f"return await {call}, ({placed}), {{{named}}})"
        return f"{head} -> {result}:\n        {doc}\n        {body}\n"
    result = result.replace("Page[", "AsyncIterator[")
    named = ", ".join(part for part in (named, '"cursor": cursor') if part)
    return (
        f"{head} -> {result}:\n        {doc}\n"
        "        cursor: str | None = None\n"
        "        while True:\n"
        f"            page = await {call}, ({placed}), {{{named}}})\n"
        "            for record in page:\n"
        "                yield record\n"
        "            cursor = page.cursor\n"
        "            if cursor is None:\n"
        "                return\n"
    )


class Plain(ast.NodeTransformer):
    """Puts, for annotations that carry checks, what they are to a caller."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """One name within an annotation."""
        if node.id in PLAIN:
            return ast.parse(PLAIN[node.id], mode="eval").body
        return node


def drop_cursor(args: ast.arguments) -> None:
    """Take the parameter away by which pages are asked for."""
    kept = [
        (arg, default)
        for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
        if arg.arg != "cursor"
    ]
    args.kwonlyargs = [arg for arg, _ in kept]
    args.kw_defaults = [default for _, default in kept]


def formatted(text: str) -> str:
    """The text as ruff would have it."""
    command = ["ruff", "format", "--stdin-filename", str(TARGET), "-"]
    done = subprocess.run(
        [sys.executable, "-m", *command], input=text, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
