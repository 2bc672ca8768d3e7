"""Places: where in a spec a problem is, and all problems in one error.

Answers for: how a place is written, what is told of it, names that are nearly right.
Leaves to others: what is a problem (`specs`, `expressions`,
`guards`).
"""

import re
from collections.abc import Collection, Iterable

from holdfast.errors import Refused

_KINDS: dict[type, str] = {
    bool: "true or false",
    str: "a text",
    dict: "an object",
    list: "a list",
}
_LISTED = 100
"""So many problems are written out in one error."""
_COMPARED = 1_000
_PLAIN = re.compile(r"[\w@$°/:-]+")


class Place:
    """A place in a spec, such as `states.idle.on.SEND.target`."""

    __slots__ = ("_problems", "text")

    def __init__(self, text: str = "", problems: list[str] | None = None) -> None:
        self.text = text
        self._problems: list[str] = [] if problems is None else problems

    def at(self, key: str | int) -> "Place":
        """A place within it."""
        if isinstance(key, str) and _PLAIN.fullmatch(key):
            inner = f"{self.text}.{key}" if self.text else key
        else:
            inner = f"{self.text}[{key!r}]"
        return Place(inner, self._problems)

    def tell(self, problem: str) -> None:
        """Tell of a problem here."""
        self._problems.append(f"{self.text}: {problem}" if self.text else problem)

    def tell_unknown(self, keys: Iterable[str], known: Collection[str]) -> None:
        """Tell of the keys here that are none of those that are known."""
        for key in keys:
            if key not in known:
                self.at(key).tell(f"there is no such key{self.meant(key, known)}")

    def meant(self, name: str, names: Collection[str]) -> str:
        """What to say of the name that was probably meant; empty if none comes near."""
        if len(self._problems) >= _LISTED or len(names) > _COMPARED:
            return ""
        import difflib  # noqa: PLC0415  # it loads slowly, and few need it

        found = difflib.get_close_matches(name[:_COMPARED], names, n=1)
        return f"; did you mean {found[0]!r}?" if found else ""

    def refuse_problems(self, what: str) -> None:
        """Raise `Refused`, with all that was told of, if anything was."""
        if not self._problems:
            return
        if len(self._problems) == 1:
            told = f" a problem; nothing was written: {self._problems[0]}"
        else:
            listed = "".join(f"\n- {problem}" for problem in self._problems[:_LISTED])
            more = len(self._problems) - _LISTED
            rest = f"\n- and {more:,} more" if more > 0 else ""
            count = f"{len(self._problems):,}"
            told = f" {count} problems; nothing was written:{listed}{rest}"
        raise Refused(f"{what} has{told}")


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    return _KINDS.get(type(value), "a number")
