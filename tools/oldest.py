"""Print the oldest supported versions of frameworks, as pip has requirements.

What an extra asks for at least is what it is given: nothing newer. `BESIDES` are
packages that a framework has use of, and of which newer ones break that version.

python tools/oldest.py EXTRA ... >constraints.txt
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

BESIDES = {
    "langgraph": {"langgraph-prebuilt": "1.0.8"},
    "openai-agents": {"openai": "2.19"},
    "pydantic-ai-conversations": {"pydantic-graph": "2.66"},
}
_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_ASKED = re.compile(r"([\w-]+)>=([\w.]+)")


def least(extra: str) -> Iterator[tuple[str, str]]:
    """What an extra asks for: the name of each package, and its oldest version."""
    extras = tomllib.loads(_PROJECT.read_text())["project"]["optional-dependencies"]
    for asked in extras[extra]:
        matched = _ASKED.fullmatch(asked)
        if matched is None:
            raise SystemExit(f"{extra}: {asked!r} does not say the oldest version")
        yield matched[1], matched[2]
    yield from BESIDES.get(extra, {}).items()


def main(extras: list[str]) -> None:
    """Print the oldest versions of what some extras bring."""
    for extra in extras:
        for name, version in least(extra):
            print(f"{name}=={version}")


if __name__ == "__main__":
    main(sys.argv[1:])
