"""The command that brings a store's tables up to date, or says how.

Answers for: `migrate`, and the script for a server whose tables another user makes.
Leaves to others: what is to be done (`holdfast.opening`).
"""

import sys
from typing import Annotated

from cyclopts import Parameter

import holdfast
from holdfast.cli import output
from holdfast.cli.opening import Where
from holdfast.opening import migration_sql


def migrate(
    store: Where,
    /,
    *,
    print_sql: Annotated[
        bool,
        Parameter(
            help="Print the SQL for a server, to be run by one who may make tables.",
            negative="",
            show_default=False,
        ),
    ] = False,
    grant_to: Annotated[
        str | None,
        Parameter(help="With --print-sql: the role that will use the store."),
    ] = None,
) -> None:
    """Make a store's tables, or bring them up to date."""
    if print_sql:
        sys.stdout.write(migration_sql(store, grant_to=grant_to))
        return
    with holdfast.open(store) as there:
        output.console().print(f"{there.place} is up to date", soft_wrap=True)
