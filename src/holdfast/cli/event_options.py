"""The options of `holdfast events`: which events are meant, and how they are looked at.

Answers for: what each option says of itself, the words and conditions that they take,
and which do not go together.
Leaves to others: looking (`events`), the words that name a time (`when`).
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter, validators

from holdfast.cli.standing import named
from holdfast.errors import BadInput
from holdfast.kinds.event_records import Level

Follow = Annotated[
    bool,
    Parameter(help="As they happen, until Ctrl-C.", negative="", show_default=False),
]
Pattern = Annotated[
    list[str] | None,
    Parameter(
        help='Only of such names: "task:*"; * is any run of characters (may be '
        "repeated).",
        negative="",
    ),
]
Since = Annotated[
    datetime | int | None,
    Parameter(
        help='Only from then on: "10 minutes ago", yesterday 18:00.', converter=named
    ),
]
Until = Annotated[
    datetime | int | None,
    Parameter(help="Only from before then.", converter=named),
]
Session = Annotated[str | None, Parameter(help="Only of this session.")]
Correlation = Annotated[str | None, Parameter(help="Only with this correlation.")]
AnyLevel = Annotated[
    Level | None,
    Parameter(
        help="Only debug, info, warning or error, and what is graver.",
        show_choices=False,
    ),
]
Source = Annotated[str | None, Parameter(help="Only from this source.")]
Conditions = Annotated[
    list[str] | None,
    Parameter(
        help="Only with this in the data, as a dotted path and its value: "
        "task.id=t1 (may be repeated).",
        negative="",
    ),
]
Limit = Annotated[
    int | None,
    Parameter(
        help="The newest so many (100, if not said); with --follow, end after so "
        "many; with --chain, the first so many.",
        validator=validators.Number(gte=1),
    ),
]
Stats = Annotated[
    bool,
    Parameter(
        help="How many of which names when, and what is unusual, instead.",
        negative="",
        show_default=False,
    ),
]
Chain = Annotated[
    str | None,
    Parameter(help="What belongs together by this correlation, instead."),
]
Export = Annotated[
    str | None,
    Parameter(help="Write them to files in this folder, one for each day in UTC."),
]
_EVERY = frozenset(
    {"pattern", "since", "until", "session", "correlation", "source", "level", "where"}
)
_TAKEN = {
    "--follow": _EVERY - {"until"},
    "--stats": frozenset({"since", "until"}),
    "--chain": frozenset[str](),
    "--export": frozenset({"pattern", "since", "until"}),
}
"""Which of the options that say what is meant go with which way to look."""
_LIMITED = {"--follow", "--chain"}


class Asked(msgspec.Struct, frozen=True):
    """Which events are meant, as the options say; None for no matter which."""

    pattern: list[str] | None
    since: datetime | None
    until: datetime | None
    session: str | None
    correlation: str | None
    source: str | None
    level: Level | None
    where: dict[str, Any] | None

    def given(self) -> dict[str, Any]:
        """Those of these options that say something."""
        options = msgspec.structs.asdict(self)
        return {name: said for name, said in options.items() if said is not None}


def asked(
    pattern: list[str] | None,
    since: datetime | int | None,
    until: datetime | int | None,
    session: str | None,
    correlation: str | None,
    source: str | None,
    level: Level | None,
    where: list[str] | None,
) -> Asked:
    """Which events the options mean. Raises `BadInput`."""
    return Asked(
        pattern,
        _time("--since", since),
        _time("--until", until),
        session,
        correlation,
        source,
        level,
        None if where is None else dict(map(_condition, where)),
    )


def refuse_several(
    asked: Asked,
    limit: int | None,
    follow: bool,
    stats: bool,
    chain: str | None,
    export: str | None,
) -> None:
    """Raise `BadInput` for options that do not go together."""
    ways = {
        "--follow": follow,
        "--stats": stats,
        "--chain": chain is not None,
        "--export": export is not None,
    }
    chosen = [option for option, is_given in ways.items() if is_given]
    if len(chosen) > 1:
        raise BadInput(f"{' and '.join(chosen)} do not go together")
    for option in chosen:
        wrong = sorted(asked.given().keys() - _TAKEN[option])
        if wrong or (limit is not None and option not in _LIMITED):
            raise BadInput(f"{option} does not take --{[*wrong, 'limit'][0]}")


def _time(option: str, moment: datetime | int | None) -> datetime | None:
    if isinstance(moment, int):
        raise BadInput(f'events are found by a time: {option} "10 minutes ago", say')
    return moment


def _condition(text: str) -> tuple[str, Any]:
    """A path and its value: JSON, or else a text as it is."""
    path, sign, value = text.partition("=")
    if not sign or not path:
        raise BadInput(f"{text!r} is no condition: --where task.id=t1, say")
    try:
        return path, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return path, value
