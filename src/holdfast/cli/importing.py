"""The commands that bring files into a store.

Answers for: `import chat`, `import sessions` and the importers of other programs'
stores: progress, a summary, a report file.
Leaves to others: reading the files and keeping what is in them (`importers`).
Always holds: what was set aside is counted and named, and makes the exit status 1.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from cyclopts import App, Parameter, Token
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

import holdfast
from holdfast.cli import output
from holdfast.cli.opening import Json
from holdfast.errors import BadInput, CannotOpen
from holdfast.importers.active_mirror import import_active_mirror
from holdfast.importers.chat import ImportReport, import_chat
from holdfast.importers.databases import is_server
from holdfast.importers.ksi_agents import import_ksi_agents
from holdfast.importers.openai_agents import import_openai_agents
from holdfast.importers.report import report_of

if TYPE_CHECKING:
    from holdfast.store import Store

S = TypeVar("S", Path, str)
NAMED_ON_SCREEN = 20
Tell: TypeAlias = Callable[[int, int, int], None]
Databases = Annotated[
    list[str],
    Parameter(help="Files of SQLite's, or URLs of PostgreSQL databases."),
]
To = Annotated[str, Parameter(help="The store; it is made if it is not there.")]
Whose = Annotated[str, Parameter(help="Whose they shall be.", show_default=False)]
ReportTo = Annotated[
    Path | None, Parameter(help="Write what was done to this file, as JSON.")
]


def _zone(_: object, tokens: Sequence[Token]) -> ZoneInfo:
    """The time zone of a name. Raises `BadInput`."""
    name = tokens[-1].value
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise BadInput(
            f"{name!r} is no time zone that this machine knows; one is Europe/Paris"
        ) from None


def build() -> App:
    """The `import` command, with one command below it for each format."""
    app = App(name="import", help="Bring files of other programs into a store.")
    app.command(chat)
    app.command(sessions)
    app.command(active_mirror)
    app.command(langgraph)
    app.command(openai_agents)
    app.command(adk)
    app.command(ksi_agents)
    return app


def chat(
    files: Annotated[list[Path], Parameter(help="Files of chat transcripts.")],
    /,
    *,
    to: To,
    owner: Whose = "",
    session: Annotated[
        str | None,
        Parameter(help="The session for messages that stand by themselves."),
    ] = None,
    report: ReportTo = None,
    json: Json = False,
) -> int:
    """Bring chat-completion transcripts into a store.

    A file is a JSON list of messages, a list of objects with `messages` or `traj`, one
    such object, or JSON lines of either. Running it again adds nothing, and finishes a
    run that was interrupted. What cannot be taken is named and set aside; then the
    exit status is 1.
    """

    def bring(store: "Store", file: Path, tell: Tell) -> ImportReport:
        return import_chat(store, file, session=session, on_progress=tell)

    _refuse_folders(files)
    return _bring_all(files, bring, to, owner, report, json=json)


def sessions(
    files: Annotated[list[Path], Parameter(help="Files that a store has exported.")],
    /,
    *,
    to: To,
    owner: Whose = "",
    report: ReportTo = None,
    json: Json = False,
) -> int:
    """Take in sessions that `holdfast export` wrote, with their ids and times.

    A file that is broken anywhere is refused as a whole. A session that is there is
    given the messages that it lacks at its end; one that has other messages is left as
    it is, and named; then the exit status is 1. Running it again adds nothing, and
    finishes a run that was interrupted.
    """

    def bring(store: "Store", file: Path, tell: Tell) -> ImportReport:
        return report_of(store.sessions.import_from(file, on_progress=tell))

    _refuse_folders(files)
    return _bring_all(files, bring, to, owner, report, json=json)


def active_mirror(
    files: Annotated[
        list[Path],
        Parameter(help="Databases, exports, or folders of sessions."),
    ],
    /,
    *,
    to: To,
    owner: Whose = "",
    zone: Annotated[
        ZoneInfo | None,
        Parameter(
            help="Where times without a zone are from, such as Europe/Paris; else this "
            "machine's zone.",
            converter=_zone,
        ),
    ] = None,
    report: ReportTo = None,
    json: Json = False,
) -> int:
    """Bring what ActiveMirrorOS has kept into a store.

    That is a `conversations.db` or exports of the Python program, or a folder of
    sessions of the JavaScript one. Running it again adds nothing. Messages whose
    session is not there, and what else does not go in, are named; then the exit status
    is 1.
    """

    def bring(store: "Store", file: Path, tell: Tell) -> ImportReport:
        return import_active_mirror(store, file, zone=zone)

    return _bring_all(files, bring, to, owner, report, json=json)


def ksi_agents(
    files: Annotated[list[Path], Parameter(help="Files of agents' identities.")],
    /,
    *,
    to: To,
    owner: Whose = "",
    report: ReportTo = None,
    json: Json = False,
) -> int:
    """Bring the identities of KSI's agents into a store.

    A file is an `agent_identities.json`. Running it again adds nothing. An identity
    that cannot be kept, or whose id another agent of the store has, is named; then the
    exit status is 1.
    """

    def bring(store: "Store", file: Path, tell: Tell) -> ImportReport:
        return import_ksi_agents(store, file)

    _refuse_folders(files)
    return _bring_all(files, bring, to, owner, report, json=json)


def langgraph(
    sources: Databases,
    /,
    *,
    to: To,
    owner: Whose = "",
    report: ReportTo = None,
    json: Json = False,
) -> int:
    """Bring what LangGraph's own savers and stores have kept into a store.

    That is a database of its SqliteSaver, SqliteStore, PostgresSaver or PostgresStore;
    it is only read. Running it again adds nothing. What only code could decode (a
    pickle, say), and what else does not go in, is named; then the exit status is 1.
    """
    with _installed():
        from holdfast.importers.langgraph import import_langgraph  # noqa: PLC0415

    def bring(store: "Store", source: str, tell: Tell) -> ImportReport:
        return import_langgraph(store, source)

    return _bring_all(sources, bring, to, owner, report, json=json)


def openai_agents(
    sources: Databases,
    /,
    *,
    to: To,
    owner: Whose = "",
    report: ReportTo = None,
    json: Json = False,
) -> int:
    """Bring sessions of the OpenAI Agents SDK into a store.

    That is a database of its SQLiteSession, its AdvancedSQLiteSession with all
    branches, or its SQLAlchemySession; it is only read. Running it again adds nothing.
    Items that cannot be read, or whose session is not there, are named; then the exit
    status is 1.
    """

    def bring(store: "Store", source: str, tell: Tell) -> ImportReport:
        return import_openai_agents(store, source)

    return _bring_all(sources, bring, to, owner, report, json=json)


def adk(
    sources: Databases,
    /,
    *,
    to: To,
    owner: Whose = "",
    report: ReportTo = None,
    json: Json = False,
) -> int:
    """Bring sessions of Google's ADK into a store, with all states.

    That is a database of its SqliteSessionService or its DatabaseSessionService; it is
    only read. Running it again adds nothing. What only code could decode (actions that
    older versions have pickled), and what else does not go in, is named; then the exit
    status is 1.
    """
    with _installed():
        from holdfast.importers.adk import import_adk  # noqa: PLC0415

    def bring(store: "Store", source: str, tell: Tell) -> ImportReport:
        return import_adk(store, source)

    return _bring_all(sources, bring, to, owner, report, json=json)


@contextmanager
def _installed() -> Iterator[None]:
    """Around the import of an importer that needs a framework."""
    try:
        yield
    except ImportError as missing:
        raise CannotOpen(f"{missing}; nothing was imported") from missing


def _bring_all(
    files: list[S],
    bring: Callable[["Store", S, Tell], ImportReport],
    to: str,
    owner: str,
    report: Path | None,
    *,
    json: bool,
) -> int:
    """Bring each file into the store, and say what became of it; the exit status."""
    _look_before([Path(file) for file in files if not is_server(file)], to, report)
    reports = []
    try:
        with holdfast.open(to, owner=owner) as store:
            for file in files:
                name = "PostgreSQL" if is_server(file) else Path(file).name
                with _progress(name) as tell:
                    done = bring(store, file, tell)
                reports.append(done)
                if not json:
                    _summarise(done)
    except KeyboardInterrupt:
        output.complain("stopped; what is in stays, and the same command goes on")
        raise
    finally:
        if report is not None:
            _write(report, reports)
    if json:
        output.show_json({"files": reports})
    return 1 if any(done.set_aside_count for done in reports) else 0


def _refuse_folders(files: list[Path]) -> None:
    for file in files:
        if file.is_dir():
            raise CannotOpen(f"{file} is a folder; nothing was imported")


def _look_before(files: list[Path], to: str, report: Path | None) -> None:
    """See that every file is there, and is not the store, before anything is opened.

    The store's own file must never be read beside the store: closing it again would
    drop the locks that this process holds on it.
    """
    if report is not None and not report.absolute().parent.is_dir():
        raise CannotOpen(f"{report}: there is no such folder; nothing was imported")
    store = Path(to.removeprefix("sqlite:///"))
    for file in files:
        if not file.exists():
            raise CannotOpen(f"there is no file {file}; nothing was imported")
        if store.exists() and file.samefile(store):
            raise BadInput(f"{file} is the store itself; nothing was imported")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int, int], None]]:
    """A bar on standard error, if that is a terminal."""
    screen = output.console(errors=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TextColumn("{task.fields[messages]} messages"),
        TimeRemainingColumn(),
    )
    bar = Progress(
        *columns, console=screen, transient=True, disable=not screen.is_terminal
    )
    with bar:
        shown = output.cut(output.one_line(name), 20).plain
        task = bar.add_task(shown, total=None, messages="0")

        def tell(read: int, total: int, messages: int) -> None:
            bar.update(task, completed=read, total=total, messages=f"{messages:,}")

        yield tell


def _summarise(done: ImportReport) -> None:
    screen = output.console()
    screen.print(
        Text(output.safe(done.file), style="bold", end=""),
        f": {'; '.join(_counts(done))}",
        sep="",
        soft_wrap=True,
    )
    if done.set_aside_count:
        screen.print(Text(f"  {done.set_aside_count:,} set aside:", "yellow"))
    for what in done.set_aside[:NAMED_ON_SCREEN]:
        place = output.safe(what.position)
        if what.at_byte is not None:
            place += f" (byte {what.at_byte:,})"
        text = Text(f"{place}: {output.one_line(what.reason)}")
        screen.print(Padding(text, (0, 0, 0, 2)))
        if what.sample:
            sample = f"    {output.one_line(what.sample)}"
            screen.print(output.cut(sample, screen.width, "dim"))
    if done.set_aside_count > NAMED_ON_SCREEN:
        screen.print(Text("  … --report FILE names the others as well", "dim"))


def _counts(done: ImportReport) -> Iterator[str]:
    """What there was of each kind, and what of it went in."""
    if not done.others or done.sessions:
        yield (
            f"{output.count(done.messages, 'message')}"
            f" in {output.count(done.sessions, 'session')}:"
            f" {done.added:,} added, {done.already_there:,} already there"
        )
    for other in done.others:
        yield (
            f"{output.count(other.found, other.what)}:"
            f" {other.added:,} added, {other.already_there:,} already there"
        )


def _write(path: Path, reports: list[ImportReport]) -> None:
    text = msgspec.json.format(msgspec.json.encode({"files": reports}), indent=2)
    try:
        path.write_bytes(text + b"\n")
    except OSError as error:
        raise CannotOpen(
            f"{path}: {error.strerror}; the report was not written, "
            "what was imported stays"
        ) from error
