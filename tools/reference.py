"""Write the made parts of `docs/reference`: signatures, records, tables.

A page says `<!-- made: sessions.append -->`; what stands from there to `<!-- end -->`
is written from the code. Names: an operation (`sessions.append`), a call on what users
hold (`store.run`, `work.complete`), a function (`holdfast.open`), a command
(`cli.sessions`), a record (`record.Session`), or a table (`table.limits`).

python tools/reference.py           writes the pages
python tools/reference.py --check   fails if a page is not what would be written
"""

import ast
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from cyclopts import Parameter

import holdfast
import holdfast.config as config_package
from afaces import Plain, drop_cursor
from holdfast import declared, errors, guarantees
from holdfast.care.copying import CopyReport
from holdfast.care.pages import CopiedTable
from holdfast.cli import (
    app,
    checkpoints,
    config,
    copying,
    events,
    exporting,
    importing,
    jobs,
    look,
    machines,
    migrating,
    searching,
    state,
    trimming,
    working,
)
from holdfast.config import AgentConfig, Config, Setting, StoreConfig
from holdfast.contract import Operation
from holdfast.core import TableUsage, Usage
from holdfast.engine import Report
from holdfast.events.analysing import Analysis, Pause
from holdfast.events.attaching import ObservationState
from holdfast.events.exporting import EventExport
from holdfast.events.following import Following
from holdfast.events.log import LogFigures
from holdfast.history import Difference
from holdfast.importers.active_mirror import import_active_mirror
from holdfast.importers.chat import ImportReport, SetAside, as_chat, import_chat
from holdfast.journal import Stretch
from holdfast.kinds.agent_records import Agent, AgentLink, AgentRun, Descendant
from holdfast.kinds.checkpoint_records import (
    Answer,
    Collected,
    MemoryCheckpoint,
    MemoryPart,
    Restoration,
)
from holdfast.kinds.contexts import Context
from holdfast.kinds.event_figures import EventStats, NameFigures, Unusual
from holdfast.kinds.event_records import Event, EventPolicy, EventsTrimmed
from holdfast.kinds.inbox_records import InboxMessage
from holdfast.kinds.index_records import (
    Composition,
    CompositionEntry,
    CompositionFolder,
    Dependency,
    Problem,
    Resolution,
)
from holdfast.kinds.item_records import Item, Near
from holdfast.kinds.job_records import Backoff, Job, JobStats, Limit, Step, Waited
from holdfast.kinds.machine_records import Definition, Machine, MachineStep, Sent
from holdfast.kinds.observation_records import Observation
from holdfast.kinds.overview_records import Glimpse, Overview, Participant
from holdfast.kinds.schedule_records import Schedule
from holdfast.kinds.session_records import Family, Mark, Summary
from holdfast.kinds.state_records import StateSection, StateSummary
from holdfast.kinds.task_records import TRANSITIONS, Progress, TaskLog, TaskMetrics
from holdfast.kinds.thread_records import (
    ChannelValue,
    Checkpoint,
    Dropped,
    Thread,
    Write,
)
from holdfast.kinds.toolset_records import Toolset
from holdfast.kinds.workspace_records import Cleaned, Workspace, WorkspaceChat
from holdfast.limits import Limits
from holdfast.opening import migration_sql
from holdfast.retention import JournalStats, Policy, Reach, TableStats
from holdfast.reverting import Restored, Reverted
from holdfast.runtime.agents.crew import RunningAgent
from holdfast.runtime.agents.shown import StoreAgents
from holdfast.runtime.bus import Bus, BusMessage, Gap
from holdfast.runtime.bus import Subscription as BusSubscription
from holdfast.runtime.cache import Cache, CacheStats
from holdfast.runtime.cache.overviews import OverviewedSessions
from holdfast.runtime.cache.toolsets import StoreToolsets
from holdfast.runtime.checkpoints.shown import StoreCheckpoints
from holdfast.runtime.following import Follower
from holdfast.runtime.index.folder_watching import FolderWatching
from holdfast.runtime.index.scanning import ScanReport
from holdfast.runtime.index.shown import StoreIndex
from holdfast.runtime.jobs.handlers import Handler
from holdfast.runtime.jobs.processing import Processed
from holdfast.runtime.jobs.reporting import WorkerReport
from holdfast.runtime.jobs.running import Handle, RunningJob
from holdfast.runtime.jobs.worker import Worker
from holdfast.runtime.leases.leasing import HeldLease, Holding
from holdfast.runtime.leases.working import Work
from holdfast.runtime.lifecycle import (
    Lifecycle,
    LifecycleReport,
    LifecycleStep,
    Module,
)
from holdfast.runtime.observations.shown import StoreObservations
from holdfast.runtime.requests.queue import Queue
from holdfast.runtime.requests.records import Request
from holdfast.runtime.requests.requests import Requests
from holdfast.runtime.sessions.replying import Coming, Reply
from holdfast.runtime.sessions.talking import Talk
from holdfast.runtime.state.shown import Section, StoreState
from holdfast.runtime.transfer.admission import RefusedSession, SessionsReport
from holdfast.runtime.transfer.exporting import ExportReport
from holdfast.runtime.watch.watching import Watched, Watching
from holdfast.searching.hits import Hit
from holdfast.shown import (
    StoreEvents,
    StoreInbox,
    StoreJobs,
    StoreJournal,
    StoreSessions,
    StoreTasks,
)
from holdfast.store import Store
from holdfast.transaction import OpenTransaction

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
PART = re.compile(r"(<!-- made: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH = 88
HELD: dict[str, tuple[type[Any], ...]] = {
    "store": (Store,),
    "tx": (OpenTransaction,),
    "lease": (HeldLease, Holding),
    "work": (Work,),
    "reply": (Reply, Coming),
    "talk": (Talk,),
    "follower": (Follower,),
    "watched": (Watched, Watching),
    "sessions": (StoreSessions, OverviewedSessions),
    "toolsets": (StoreToolsets,),
    "tasks": (StoreTasks,),
    "inbox": (StoreInbox,),
    "index": (StoreIndex,),
    "watching": (FolderWatching,),
    "jobs": (StoreJobs,),
    "worker": (Worker,),
    "bus": (Bus,),
    "life": (Lifecycle,),
    "module": (Module,),
    "cache": (Cache,),
    "mine": (BusSubscription,),
    "job": (RunningJob, Handle),
    "journal": (StoreJournal,),
    "events": (StoreEvents,),
    "observations": (StoreObservations,),
    "state": (StoreState,),
    "section": (Section,),
    "agents": (StoreAgents,),
    "running": (RunningAgent,),
    "following": (Following,),
    "checkpoints": (StoreCheckpoints,),
    "requests": (Requests, Queue),
    "found": (Config,),
}
"""What users hold, by the name that the pages have for it."""
MODULES = {
    "holdfast": {name: getattr(holdfast, name) for name in holdfast.__all__},
    "runtime": {
        "Bus": Bus,
        "Cache": Cache,
        "Lifecycle": Lifecycle,
        "Requests": Requests,
    },
    "config": {"load": config_package.load, "Secret": config_package.Secret},
    "chat": {"import_chat": import_chat, "as_chat": as_chat},
    "active_mirror": {"import_active_mirror": import_active_mirror},
    "opening": {"migration_sql": migration_sql},
}
RECORDS = {
    found.__name__: found
    for found in (
        *(holdfast.Session, holdfast.Message, holdfast.Task, holdfast.Lease),
        *(holdfast.Change, Progress, TaskLog, TaskMetrics, Usage, TableUsage, Report),
        *(Difference, Reverted, Restored),
        *(ExportReport, SessionsReport, RefusedSession),
        *(ImportReport, SetAside, Stretch, holdfast.Table, CopyReport, CopiedTable),
        *(Context, Summary, Family, Mark),
        *(Overview, Glimpse, Participant, Toolset, CacheStats),
        *(InboxMessage, Processed),
        *(MemoryCheckpoint, MemoryPart, Collected, Restoration, Answer, Request),
        *(BusMessage, Gap),
        *(LifecycleReport, LifecycleStep),
        *(Event, EventPolicy, EventsTrimmed, EventExport, LogFigures),
        *(EventStats, NameFigures, Unusual),
        *(Observation, ObservationState, Analysis, Pause),
        *(Agent, AgentLink, Descendant, AgentRun),
        *(Workspace, WorkspaceChat, Cleaned),
        *(Machine, MachineStep, Sent, Definition),
        *(StateSection, StateSummary),
        *(Composition, CompositionEntry, CompositionFolder, Dependency),
        *(Problem, Resolution, ScanReport),
        *(Item, Near),
        *(Policy, Reach, JournalStats, TableStats),
        *(Config, StoreConfig, AgentConfig, Setting),
        *(guarantees.Guarantee,),
        *(Hit,),
        *(Schedule,),
        *(Job, Backoff, Step, Waited, Limit, JobStats, Handler, WorkerReport),
        *(Thread, Checkpoint, ChannelValue, Write, Dropped),
    )
}
COMMANDS = {
    "demo": app.demo,
    "import": importing.chat,
    "import-sessions": importing.sessions,
    "import-active-mirror": importing.active_mirror,
    "import-ksi-agents": importing.ksi_agents,
    "import-langgraph": importing.langgraph,
    "import-adk": importing.adk,
    "import-openai-agents": importing.openai_agents,
    "export": exporting.export,
    "render": exporting.render,
    "copy": copying.copy,
    "fork": copying.fork,
    "search": searching.search,
    "events": events.events,
    "trim": trimming.trim,
    "migrate": migrating.migrate,
    "checkpoints": checkpoints.checkpoints,
    "config": config.config,
    "worker": working.worker,
    **jobs.COMMANDS,
    **machines.COMMANDS,
    **state.COMMANDS,
    **{command.__name__: command for command in look.COMMANDS},
}


def main() -> int:
    """Write the pages, or check them."""
    stale = []
    for page in sorted(FOLDER.glob("*.md")):
        there = page.read_text(encoding="utf-8")
        wanted = PART.sub(lambda part: part[1] + made(part[2]) + part[3], there)
        if wanted != there:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(wanted, encoding="utf-8")
    if stale and "--check" in sys.argv:
        print(f"not current: {', '.join(stale)}: run python tools/reference.py")
        return 1
    return 0


def made(names: str) -> str:
    """What is written for the names of one part."""
    return "\n".join(one(name) for name in names.split())


def one(name: str) -> str:
    """What is written for one name."""
    group, _, last = name.partition(".")
    if group == "table":
        return TABLES[last]()
    if group == "record":
        return record(RECORDS[last])
    if group == "cli":
        return command(last, COMMANDS[last])
    if group in MODULES:
        return call(name if group == "holdfast" else last, MODULES[group][last])
    for cls in HELD.get(group, ()):
        if last in vars(cls):
            return call(name, vars(cls)[last])
    operation = next(k for k in declared.OURS if k.name == group).operations()[last]
    return call(name, operation)


def call(name: str, member: Any) -> str:
    """A signature, and what the docstring says."""
    function = member
    if isinstance(member, Operation):
        function = member.function
    elif isinstance(member, property):
        function = member.fget
    text = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    (tree,) = ast.parse(text).body
    said = paragraphs(inspect.getdoc(function) or "")
    if isinstance(tree, ast.ClassDef):
        return "\n".join([*making(name, tree, member), f"{said}\n"])
    awaited = "await " if isinstance(tree, ast.AsyncFunctionDef) else ""
    assert awaited or isinstance(tree, ast.FunctionDef)
    return f"```pyi\n{awaited}{signature(name, tree, member)}\n```\n{said}\n"


def making(name: str, tree: ast.ClassDef, cls: type[Any]) -> Iterable[str]:
    """How an object of a class is made, if the class itself says it."""
    for part in tree.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            part.returns = ast.Name(tree.name)
            yield f"```pyi\n{signature(name, part, vars(cls)[part.name])}\n```"


def signature(
    name: str, tree: ast.FunctionDef | ast.AsyncFunctionDef, member: Any
) -> str:
    """The call as it is written, with what each argument is to a caller."""
    tree = Told(member).visit(Plain().visit(tree))
    if isinstance(member, Operation) and member.paged:
        drop_cursor(tree.args)
    result = ast.unparse(tree.returns).strip("'") if tree.returns else "None"
    if isinstance(member, property):
        return f"{name}: {result}"
    if isinstance(member, Operation) and member.paged:
        result = result.replace("Page[", "Iterator[")
    if any("contextmanager" in ast.unparse(mark) for mark in tree.decorator_list):
        result = result.replace("Iterator[", "AbstractContextManager[")
    tree.args.args = [arg for arg in tree.args.args if arg.arg != "self"]
    return wrapped(name, tree.args, result.replace('"', "").replace("'", ""))


def wrapped(name: str, args: ast.arguments, result: str) -> str:
    """In one line if there is room, else an argument a line."""
    line = f"{name}({ast.unparse(args)}) -> {result}"
    if len(line) <= WIDTH:
        return line
    call = ast.parse(f"def f({ast.unparse(args)}): ...").body[0]
    assert isinstance(call, ast.FunctionDef)
    return f"{name}(\n{''.join(arguments(call.args))}) -> {result}"


class Told(ast.NodeTransformer):
    """Puts values in the place of names that only the code has."""

    def __init__(self, member: Any) -> None:
        function = getattr(member, "function", getattr(member, "fget", member))
        self.names = getattr(inspect.unwrap(function), "__globals__", {})

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A private constant, or a number, by its value."""
        value = self.names.get(node.id)
        numbered = node.id.isupper() and isinstance(value, (int, float))
        if numbered or (node.id.startswith("_") and node.id in self.names):
            return ast.Constant(value)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """An argument whose type is written in quotes."""
        if isinstance(node.annotation, ast.Constant):
            node.annotation = ast.parse(str(node.annotation.value), mode="eval").body
        return node


def arguments(args: ast.arguments) -> Iterable[str]:
    """One line for each argument."""
    bare = len(args.args) - len(args.defaults)
    for at, arg in enumerate(args.args):
        default = args.defaults[at - bare] if at >= bare else None
        yield argument(arg, default)
    if args.vararg:
        yield f"    *{ast.unparse(args.vararg)},\n"
    elif args.kwonlyargs:
        yield "    *,\n"
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield argument(arg, default)
    if args.kwarg:
        yield f"    **{ast.unparse(args.kwarg)},\n"


def argument(arg: ast.arg, default: ast.expr | None) -> str:
    """One argument's line."""
    if default is None:
        return f"    {ast.unparse(arg)},\n"
    return f"    {ast.unparse(arg)} = {ast.unparse(default)},\n"


def paragraphs(text: str) -> str:
    """A docstring's paragraphs, a line each."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def record(found: type[msgspec.Struct]) -> str:
    """The fields of a record."""
    lines = [
        f"    {name}: {shown(hint)}{default(found, name)}"
        for name, hint in inspect.get_annotations(found).items()
    ]
    body = "\n".join([f"class {found.__name__}:", *lines])
    return f"```pyi\n{body}\n```\n{paragraphs(inspect.getdoc(found) or '')}\n"


def shown(hint: Any) -> str:
    """A type as it is written."""
    text = hint if isinstance(hint, str) else str(hint)
    if isinstance(hint, type) and not typing.get_args(hint):
        text = hint.__name__
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def default(found: type[msgspec.Struct], name: str) -> str:
    """` = 1` for a field that need not be given."""
    field = next(f for f in msgspec.structs.fields(found) if f.name == name)
    return "" if field.default is msgspec.NODEFAULT else f" = {field.default!r}"


def command(name: str, function: Callable[..., Any]) -> str:
    """A command's usage line, what it does, and its options."""
    given, options = [], []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            options.append(option(parameter))
        else:
            many = "list[" in str(parameter.annotation)
            shown = parameter.name.upper() + ("…" if many else "")
            needed = parameter.default is inspect.Parameter.empty
            given.append(shown if needed else f"[{shown}]")
    verb = "import chat" if name == "import" else name.replace("-", " ", 1)
    usage = " ".join(["holdfast", verb, *given, *(["[options]"] if options else [])])
    said = paragraphs(inspect.getdoc(function) or "")
    table = "| option | default | |\n|---|---|---|\n" + "".join(options)
    return f"```text\n{usage}\n```\n{said}\n\n{table}\n"


def option(parameter: inspect.Parameter) -> str:
    """One option's row."""
    marks = getattr(parameter.annotation, "__metadata__", ())
    said = next((m.help for m in marks if isinstance(m, Parameter) and m.help), "")
    kind = typing.get_args(parameter.annotation) or (parameter.annotation,)
    choices = [k for k in kind if isinstance(k, type) and hasattr(k, "__members__")]
    if choices:
        said = "one of " + ", ".join(f"`{member.value}`" for member in choices[0])
    needed = parameter.default is inspect.Parameter.empty
    given = "needed" if needed else f"`{parameter.default}`"
    if not needed and parameter.default in {None, False, ""}:
        given = ""
    named = next((m.name[0] for m in marks if isinstance(m, Parameter) and m.name), "")
    name = named or "--" + parameter.name.replace("_", "-")
    return f"| `{name}` | {given} | {said} |\n"


def table_of_limits() -> str:
    """Each limit, its default, and what it holds."""
    (tree,) = ast.parse(inspect.getsource(Limits)).body
    assert isinstance(tree, ast.ClassDef)
    rows = []
    for field, doc in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr):
            said = ast.literal_eval(doc.value)
            name = ast.unparse(field.target)
            rows.append(f"| `{name}` | {getattr(Limits(), name):,} | {said} |\n")
    return "| limit | default | |\n|---|---|---|\n" + "".join(rows)


def table_of_guarantees() -> str:
    """What each kind of state promises, why, and how it comes back."""
    rows = (
        f"| {one.kind} | {one.promise} | {one.acknowledged} | {one.after_a_crash} | "
        f"{one.recovery} | {one.why} |\n"
        for one in declared.guarantees()
    )
    head = (
        "| kind | promise | acknowledged means | after a crash | comes back by "
        "| why |\n"
    )
    return head + "|---|---|---|---|---|---|\n" + "".join(rows)


def table_of_ownership() -> str:
    """Who answers for each kind of state, what changes it, and what holds of it."""
    said = {True: "yes", False: "no"}
    rows = (
        f"| {one.kind} | `{one.owner}` | {one.changed_by} | {said[one.journalled]} | "
        f"{said[one.in_the_past]} | {said[one.exported]} | {said[one.mirrored]} | "
        f"{said[one.owned]} | {said[one.leased]} |\n"
        for one in declared.guarantees()
    )
    head = (
        "| kind | who answers for it | what changes it | in the journal | in the past "
        "| exported | mirrored | owned | leased |\n"
    )
    return head + "|---|---|---|---|---|---|---|---|---|\n" + "".join(rows)


def table_of_recoveries() -> str:
    """Each way in which state comes back."""
    rows = (f"| {way} | {said} |\n" for way, said in guarantees.WAYS.items())
    return "| comes back by | |\n|---|---|\n" + "".join(rows)


def table_of_promises() -> str:
    """What each promise means."""
    rows = (
        f"| `{promise.name}` | {meaning.acknowledged} | {meaning.after_a_crash} |\n"
        for promise, meaning in guarantees.MEANINGS.items()
    )
    head = "| promise | acknowledged means | after a crash |\n|---|---|---|\n"
    return head + "".join(rows)


def table_of_moves() -> str:
    """From each status of a task, where it may go."""
    rows = []
    for status, moves in TRANSITIONS.items():
        there = ", ".join(f"`{to}`" for to in sorted(moves))
        rows.append(f"| `{status}` | {there or 'nothing: it is finished'} |\n")
    return "| from | to |\n|---|---|\n" + "".join(rows)


def tree_of_errors() -> str:
    """The tree as it is drawn at the top of `errors.py`."""
    drawn = (errors.__doc__ or "").split("\n\n")[1]
    return f"```text\n{textwrap.dedent(drawn)}\n```\n"


TABLES: dict[str, Callable[[], str]] = {
    "limits": table_of_limits,
    "guarantees": table_of_guarantees,
    "ownership": table_of_ownership,
    "recoveries": table_of_recoveries,
    "promises": table_of_promises,
    "moves": table_of_moves,
    "errors": tree_of_errors,
}

if __name__ == "__main__":
    sys.exit(main())
