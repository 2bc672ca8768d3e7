"""The demonstration: agents are killed at work, and nothing acknowledged is lost.

Agents in processes of their own replay conversations into one store, step by step,
working a task for each conversation. A supervisor kills them with SIGKILL at random
moments and starts them again. Beside it, the same load under the same kills runs the
way it is often written with plain `sqlite3`; one piece of code counts both.

Reading order: `load` (what is replayed), `keeping` (what a way of keeping it must be
able to do), `with_holdfast` and `with_sqlite` (the two ways), `agent` (the process
that is killed), `crew` (who kills it), `ledger` (who counts), `reading`, `screen`,
`report`, `run`.
"""

from pathlib import Path


def run_demo(
    input: Path | None = None,
    agents: int = 8,
    kills: int = 20,
    keep: Path | None = None,
) -> int:
    """Run both ways, print the table, and return the exit status.

    `input` is a file of chat-completion transcripts; without one, the conversations
    of the package are replayed. `keep` is where the store shall be kept.
    The status is 1 if holdfast lost, doubled or half-did anything, or did not finish;
    130 after Ctrl-C. Raises `BadInput` and `CannotOpen` before anything is started.
    """
    from holdfast.demo.run import run  # noqa: PLC0415 - an agent starts without rich

    return run(source=input, agents=agents, kills=kills, keep=keep)
