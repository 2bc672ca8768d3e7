"""The commands, and how each ends.

Answers for: which commands there are, exit statuses, errors in one line.
Leaves to others: what a command does (the files beside this one).
Always holds: no traceback for what holdfast foresees; what a program reads goes to
standard output, what went wrong to standard error.

    0    done
    1    an error of holdfast's, problems found, or something set aside
    2    the command was not understood
    130  Ctrl-C
    141  whoever read the output went away
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError

import holdfast
from holdfast.cli import (
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
from holdfast.cli.output import complain
from holdfast.errors import HoldfastError, NeedsMigration

FAILED, MISUSED, INTERRUPTED, UNHEARD = 1, 2, 130, 141


def build() -> App:
    """The command line, ready to be run."""
    app = App(
        name="holdfast",
        help="Holdfast keeps an agent's state: look at a store, or fill one.",
        version=f"holdfast {holdfast.__version__}",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    app.command(demo)
    app.command(importing.build())
    app.command(exporting.export)
    app.command(exporting.render)
    app.command(copying.copy)
    app.command(copying.fork)
    app.command(searching.search)
    app.command(events.events)
    app.command(trimming.trim)
    app.command(jobs.build())
    app.command(jobs.schedules)
    app.command(machines.build())
    app.command(state.build())
    app.command(working.worker)
    app.command(migrating.migrate)
    app.command(checkpoints.checkpoints)
    app.command(config.config)
    for command in look.COMMANDS:
        app.command(command)
    return app


def demo(
    *,
    input: Annotated[
        Path | None, Parameter(help="Transcripts to replay, instead of small ones.")
    ] = None,
    agents: Annotated[int, Parameter(help="Agents, each a process.")] = 8,
    kills: Annotated[int, Parameter(help="How often one of them is killed.")] = 20,
    keep: Annotated[
        Path | None, Parameter(help="Keep the store at this path afterwards.")
    ] = None,
) -> int:
    """Watch agents being killed at work, while nothing acknowledged is lost."""
    from holdfast.demo import run_demo  # noqa: PLC0415 - nothing else needs it

    return run_demo(input, agents, kills, keep)


def run(arguments: Sequence[str]) -> int:
    """Run a command, and say what went wrong; its exit status."""
    try:
        status = build()(arguments)
        sys.stdout.flush()
    except CycloptsError as error:
        complain(str(error).strip())
        complain(_remedy(error), name="")
        return MISUSED
    except HoldfastError as error:
        complain(str(error))
        if isinstance(error, NeedsMigration):
            complain("`holdfast migrate STORE` brings it up to date", name="")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return UNHEARD
    return status if isinstance(status, int) else 0


def _remedy(error: CycloptsError) -> str:
    """Where to look for what a command understands."""
    verb = " ".join(error.command_chain or ())
    if isinstance(error, UnknownOptionError) and "--as-of" in str(error):
        return f"`holdfast {verb}` shows the present only"
    return f"`{f'holdfast {verb}'.strip()} --help` tells what there is"


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere, for nobody listens."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
