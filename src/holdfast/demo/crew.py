"""Who kills: a supervisor of agents in processes of their own.

Answers for: starting agents, hearing them, killing them at the planned moments,
starting them again, and leaving no process behind, whatever happens.
Leaves to others: what an agent does (`agent`), what is made of its words (`ledger`).
Always holds: only processes that were started here are killed, each by its own handle;
a killed agent is heard to its last word before its successor starts.
"""

import contextlib
import os
import random
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from holdfast.demo.ledger import Ledger

LISTEN_SECONDS = 0.02
"""How long to wait for a word from an agent, before looking whether a kill is due."""

STRAY_SECONDS = 0.02
"""A kill strays from its moment by so much at most, so that it follows no rhythm."""

PATIENCE = 10
"""So many agents may end by an error of their own before a run is given up."""


class Kill(msgspec.Struct, frozen=True):
    """One planned kill."""

    after: int
    """It is due when so many steps are known to have been kept."""
    stray_seconds: float
    choice: float
    """Which of the agents at work it hits, from 0 up to 1."""


def plan(kills: int, steps: int, chance: random.Random) -> list[Kill]:
    """Kills at random moments, between the first steps and the last ones."""
    return [
        Kill(after, chance.uniform(0, STRAY_SECONDS), chance.random())
        for after in sorted(
            int(steps * chance.uniform(0.02, 0.9)) for _ in range(kills)
        )
    ]


class Orders(msgspec.Struct, frozen=True):
    """What the agents of one run are told."""

    way: str
    store: Path
    load_file: Path
    errors_file: Path
    agents: int


class Agent:
    """One process, from its start to its end."""

    def __init__(self, orders: Orders, name: str) -> None:
        self.name = name
        self.struck: Kill | None = None
        self.hand: int | None = None
        """The conversation that it has in hand."""
        words = [orders.way, orders.store, orders.load_file, name]
        with orders.errors_file.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "holdfast.demo.agent", *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                process_group=0,  # a Ctrl-C is the supervisor's to answer
            )
        assert self._process.stdout is not None
        self.ear = self._process.stdout.fileno()
        self._rest = b""

    def hear(self) -> Iterator[list[str]]:
        """The words that came since; an empty list at the end."""
        heard = os.read(self.ear, 1 << 16)
        *lines, self._rest = (self._rest + heard).split(b"\n")
        yield from (line.decode().split() for line in lines)
        if not heard:
            yield []

    def kill(self, planned: Kill | None = None) -> None:
        """SIGKILL."""
        self.struck = planned
        self._process.kill()

    def end(self) -> int:
        """Wait for its end; its status."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self._process.wait()


class Crew:
    """All agents of one run, and their supervisor."""

    def __init__(
        self,
        orders: Orders,
        ledger: Ledger,
        kills: list[Kill],
        show: Callable[["Crew"], None],
    ) -> None:
        self._orders = orders
        self._ledger = ledger
        self._due = list(kills)
        self._show = show
        self._selector = selectors.DefaultSelector()
        self._agents: list[Agent] = []
        self._strike_at: float | None = None
        self._first = self._last = 0.0
        self.kills = self.restarts = self.falls = 0

    @property
    def reached(self) -> int:
        """How many steps are known to have been kept so far."""
        return self._ledger.reached

    @property
    def seconds(self) -> float:
        """From the first acknowledged step to the last."""
        return self._last - self._first

    def run(self) -> None:
        """See the whole load through; no process is left, even if this raises."""
        try:
            for number in range(self._orders.agents):
                self._start(f"agent-{number + 1}")
            while self._agents:
                for key, _ in self._selector.select(LISTEN_SECONDS):
                    self._listen(key.data)
                self._strike()
                self._show(self)
        finally:
            self._stop()

    def _start(self, name: str) -> None:
        agent = Agent(self._orders, name)
        self._agents.append(agent)
        self._selector.register(agent.ear, selectors.EVENT_READ, agent)

    def _listen(self, agent: Agent) -> None:
        for words in agent.hear():
            match words:
                case ["took", index, messages, done]:
                    agent.hand = int(index)
                    self._ledger.was_taken(int(index), int(messages), int(done))
                case ["kept", index, number]:
                    self._ledger.was_acknowledged(int(index), int(number))
                    self._last = time.monotonic()
                    self._first = self._first or self._last
                case ["let", _]:
                    agent.hand = None
                case _:
                    self._bury(agent)

    def _bury(self, agent: Agent) -> None:
        """An agent has ended: of a kill, of an error, or because all is done."""
        self._agents.remove(agent)
        self._selector.unregister(agent.ear)
        if agent.end() == 0:
            if agent.struck:  # it was faster: this kill is still to be done
                self._due.insert(0, agent.struck)
            return
        self.kills += agent.struck is not None
        self.falls += agent.struck is None
        if self.falls <= PATIENCE:
            self.restarts += 1
            self._start(agent.name)

    def _strike(self) -> None:
        """Kill an agent at work, if a kill is due."""
        if not self._due or self.reached < self._due[0].after:
            return
        now = time.monotonic()
        self._strike_at = self._strike_at or now + self._due[0].stray_seconds
        at_work = [a for a in self._agents if a.hand is not None and not a.struck]
        if now < self._strike_at or not at_work:
            return
        kill, self._strike_at = self._due.pop(0), None
        at_work[int(kill.choice * len(at_work))].kill(kill)

    def _stop(self) -> None:
        """End every agent that is left."""
        for agent in self._agents:
            with contextlib.suppress(OSError):
                agent.kill()
        for agent in self._agents:
            agent.end()
        self._agents.clear()
        self._selector.close()
