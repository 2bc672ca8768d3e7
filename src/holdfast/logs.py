"""Logs: what holdfast says to whoever runs it, through Python's own logging.

Answers for: loading that only when something is to be said: it loads slowly, and few
programs ever need it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


def logger(name: str) -> "logging.Logger":
    """The logger of that name."""
    import logging  # noqa: PLC0415  # it loads slowly, and few need it

    return logging.getLogger(name)
