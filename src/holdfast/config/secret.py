"""A secret: a text that is not shown.

Answers for: `Secret`, which holds one and shows only that it is there.
Leaves to others: what is a secret (`masking`, `names`).
"""

from typing import Any

MASK = "***"


class Secret:
    """A text that is not shown: `reveal()` gives it, and nothing else does.

    As text, in a repr, in a message or in JSON it is its mask, or what of it may be
    shown. Two are equal if what they hold is.
    """

    __slots__ = ("_shown", "_text")

    def __init__(self, text: str, shown: str = MASK) -> None:
        self._text = text
        self._shown = shown

    def reveal(self) -> str:
        """The text itself: hand it to who needs it, and keep it nowhere."""
        return self._text

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"Secret({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac  # noqa: PLC0415  # few compare any

        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a secret is not pickled: load the configuration where it is")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self
