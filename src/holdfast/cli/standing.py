"""`--as-of`: the moment of a store that a command looks at.

Answers for: the option, and how the moment is told, to people and in JSON.
Leaves to others: the words that name a time (`when`), finding the moment (`moments`).
Always holds: a look at the past says so, with the time that was asked for and the time
at which the moment was written.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter, Token
from rich.text import Text

from holdfast.cli import output
from holdfast.cli.when import when
from holdfast.clock import SystemClock, to_datetime
from holdfast.errors import Trimmed

if TYPE_CHECKING:
    from holdfast.store import Store


def named(_: object, tokens: Sequence[Token]) -> datetime | int:
    """The moment that is named on the command line. Raises `BadInput`."""
    return when(tokens[-1].value, to_datetime(SystemClock().now_us()))


AsOf = Annotated[
    datetime | int | None,
    Parameter(
        help="As it was then: a moment's number, or a time, such as "
        '"10 minutes ago", "yesterday 18:00", 2026-11-20T18:00Z.',
        converter=named,
    ),
]


class Standing(msgspec.Struct, frozen=True):
    """What was asked for, the moment that this is, and when that was written.

    `asked` is None for the present; `at` is None for the beginning, and where the
    journal does not tell any more.
    """

    asked: datetime | int | None
    moment: int
    at: datetime | None

    def told(self) -> str:
        """The moment in one line, for people."""
        number = f"moment {self.moment}"
        if self.at is not None:
            number += f", of {output.when(self.at)} UTC"
        elif self.moment == 0:
            number += ", before anything was written"
        if isinstance(self.asked, datetime):
            return f"{output.when(self.asked)} UTC: {number}"
        return number if self.asked is not None else f"now: {number}"


def standing(store: "Store", asked: datetime | int | None) -> Standing | None:
    """Where a look with `--as-of` stands; None without it."""
    return None if asked is None else stood(store, asked)


def stood(store: "Store", asked: datetime | int | None) -> Standing:
    """The moment that a store is at, for what was asked."""
    moment = store.moment()
    return Standing(asked, moment, _written_at(store, moment))


def _written_at(store: "Store", moment: int) -> datetime | None:
    try:
        found = store.across_owners().journal.read(max(moment - 1, 0), limit=1)
    except Trimmed:
        return None
    return found[0].at if found else None


def head(then: Standing | None) -> list[Text]:
    """The line over what is shown; none for the present."""
    return [Text(f"as of {then.told()}\n", style="bold")] if then else []


def json_head(then: Standing | None) -> dict[str, Any]:
    """The same for programs: what a document begins with."""
    return {"as_of": then} if then else {}


def say_beside(then: Standing | None) -> None:
    """Say which moment it is, where standard output has a document alone."""
    if then:
        output.complain(f"as of {then.told()}", name="")
