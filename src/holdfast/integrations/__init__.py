"""Integrations: the frameworks that people use, on the same rows as all else.

Answers for: one module a framework, which keeps what it has as sessions and messages;
telling which extra brings a framework that is missing.
Leaves to others: what is kept and how (the kinds).
Always holds: `import holdfast` comes to none of them; nothing that is stored is
imported or called when it is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the imports of a framework: if it is missing, say how to install it."""
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ImportError(
            f"this needs {missing.name}, which is not installed: "
            f'pip install "holdfast[{name}]"',
            name=missing.name,
        ) from missing
