"""The command line: `holdfast`, for people by default and for programs with `--json`.

Answers for: starting it, also where its libraries are missing.
Leaves to others: the commands and how they end (`app`).
Always holds: `import holdfast` does not come here, and needs none of its libraries.
"""

import sys
from collections.abc import Sequence

LIBRARIES = ("cyclopts", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status. Without arguments, those of the process."""
    try:
        from holdfast.cli.app import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in LIBRARIES:
            raise
        print(
            f"holdfast: the command line needs {missing.name}, which is not "
            "installed:\n  pip install 'holdfast[cli]'",
            file=sys.stderr,
        )
        return 1
    return run(sys.argv[1:] if arguments is None else arguments)
