"""What the agents replay: conversations, cut into steps.

Answers for: the words for it, and handing it to the agents' processes.
Leaves to others: where it comes from (`reading`), keeping it (`keeping`).
Always holds: conversation i of the input is `talks[i]`, and its message k is step k;
an id tells the conversation's number, from 1, in the order of the input.
"""

from pathlib import Path
from typing import Any

import msgspec

MARK = "demo_step"
"""The key in a message's metadata that tells which step it is, for the count."""


class Step(msgspec.Struct, frozen=True):
    """One message: its role, its content, and whatever else it carries."""

    role: str
    content: Any = None
    metadata: dict[str, Any] = {}

    def marked(self, number: int) -> dict[str, Any]:
        """What is kept as the message's metadata."""
        return {**self.metadata, MARK: number}


class Talk(msgspec.Struct, frozen=True):
    """One conversation, under the id that its session and its task will have."""

    id: str
    title: str
    steps: list[Step]


class Load(msgspec.Struct, frozen=True):
    """All that is replayed."""

    source: str
    talks: list[Talk]
    pause_seconds: float = 0.0
    """How long an agent waits before each step."""
    set_aside: list[str] = []
    """What of the file is no conversation and no message, and why."""

    @property
    def steps(self) -> int:
        """How many steps there are in all."""
        return sum(len(talk.steps) for talk in self.talks)

    def save(self, path: Path) -> None:
        """Write it down for the agents."""
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def saved(cls, path: Path) -> "Load":
        """Read what `save` wrote."""
        return msgspec.json.decode(path.read_bytes(), type=cls)
