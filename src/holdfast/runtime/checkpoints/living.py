"""Living: which processes there are, and which of them live.

Answers for: who this process is, to others; whether the process of a run still lives.
Always holds: on one machine that is known: a process is told from a later one of the
same number by when it began. Of other machines, all that is known is when they last
said something.
"""

import os
from contextlib import suppress
from pathlib import Path

from holdfast.kinds.checkpoint_records import STALE_SECONDS, Run

_STATE, _STARTED = 0, 19
"""Fields of a process's status behind its name (proc(5))."""
_GONE = {"Z", "X"}
_LABEL_CHARACTERS = 120
_TOLD = Path("/proc")
"""Where a system tells of its processes, if it does."""
_open: set[str] = set()
"""The runs of this process that are not over. Each change of it is one step."""


def begin(id: str) -> Run:
    """A run of this process, from now on."""
    _open.add(id)
    pid = os.getpid()
    return Run(id, machine(), pid, _started(pid) or "", f"{_host()}:{pid}")


def end(id: str) -> None:
    """Have a run of this process be over."""
    _open.discard(id)


def forget_all() -> None:
    """In a process that was forked: none of the parent's runs is one of ours."""
    _open.clear()


def lives(run: Run, silent_seconds: float) -> bool:
    """Whether a run may not be over, of which nothing was heard for so long."""
    if run.machine != machine():
        return silent_seconds < STALE_SECONDS
    if run.pid == os.getpid() and run.started == (_started(run.pid) or ""):
        return run.id in _open
    return _is_there(run.pid, run.started)


def _is_there(pid: int, started: str) -> bool:
    """Whether a process of this machine is there, and no other one of its number."""
    if started and (_TOLD / "self" / "stat").exists():
        return _started(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process began, as the system counts; None if it is gone, or untold."""
    try:
        status = _TOLD / str(pid) / "stat"
        said = status.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = said.rpartition(")")[2].split()
    return None if fields[_STATE] in _GONE else fields[_STARTED]


def _host() -> str:
    name = os.uname().nodename[:_LABEL_CHARACTERS]
    return "".join(char if char.isprintable() else "?" for char in name)


def machine() -> str:
    """What tells this machine, since it was started, from any other.

    Also a container from its neighbours, whose processes have numbers of their own.
    """
    import hashlib  # noqa: PLC0415  # it loads slowly, and not everyone needs it

    parts = [_host()]
    with suppress(OSError):
        boot = _TOLD / "sys" / "kernel" / "random" / "boot_id"
        parts.append(boot.read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(str((_TOLD / "self" / "ns" / "pid").readlink()))
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()
