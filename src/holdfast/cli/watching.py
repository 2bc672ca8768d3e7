"""`jobs watch`: a store's jobs, live.

Answers for: the command; when it looks, how it ends; a line for each change where there
is no screen, or for programs.
Leaves to others: what happened (`happenings`), the screen (`job_screen`).
Always holds: it looks as soon as something was committed, at most four times a second,
and spends a fifth of its time on that at most; the store is opened read-only.
"""

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.live import Live
from rich.text import Text

from holdfast.cli import job_lines, output
from holdfast.cli.happenings import Happenings
from holdfast.cli.job_figures import figures_of
from holdfast.cli.job_screen import Screen, happening
from holdfast.cli.opening import Json, Owner, Where, opened
from holdfast.clock import SystemClock, to_datetime

if TYPE_CHECKING:
    from rich.console import Console

    from holdfast.store import Store

_APART_SECONDS = 0.25
_UNTOLD_SECONDS = 1.0
"""How often it looks where nothing is committed: leases run down all the same."""
_SPARED = 4
"""So many times as long as a look takes it waits before the next one."""


def watch(store: Where, /, *, owner: Owner = None, json: Json = False) -> int:
    """Show a store's jobs live, until Ctrl-C; off a terminal, a line for each change.

    On a screen: figures by kind, the jobs that are active, with their worker and what
    is left of its lease, and those that ended last. What begins and ends between two
    looks, of which there are four a second, is told by its end alone.
    """
    screen = output.console()
    with opened(store) as there:
        try:
            if json or not screen.is_terminal:
                _tell(there, owner, screen, json=json)
            else:
                _show(there, owner, screen)
        except KeyboardInterrupt:
            return 0
    return 0


def _tell(store: "Store", owner: str | None, screen: "Console", *, json: bool) -> None:
    """Print what happens, as it does."""
    happenings = Happenings(store, owner)
    if not json:
        now = to_datetime(SystemClock().now_us())
        _print(screen, job_lines.figures(figures_of(store, owner), now))
    for _ in _looks(store):
        for one in happenings.look():
            if json:
                output.show_json_line(one)
            else:
                _print(screen, happening(one))


def _print(screen: "Console", line: Text) -> None:
    screen.print(line, soft_wrap=True)
    screen.file.flush()


def _show(store: "Store", owner: str | None, console: "Console") -> None:
    """Keep the screen current."""
    screen = Screen(store, owner)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for _ in _looks(store):
            live.update(screen.drawn(console.width, console.height - 1), refresh=True)


def _looks(store: "Store") -> Iterator[None]:
    """Each time that it is to be looked."""
    woken = threading.Event()
    stop = store._core.engine.watch(woken.set)  # noqa: SLF001
    try:
        while True:
            woken.clear()
            began = time.monotonic()
            yield
            pause = max(_APART_SECONDS, _SPARED * (time.monotonic() - began))
            time.sleep(pause)
            woken.wait(max(_UNTOLD_SECONDS - pause, 0.0))
    finally:
        stop()
