"""Masking: what of a value may be shown to whoever reads a screen or a log.

Answers for: which names are those of secrets, what in a text is a secret whatever its
name, and `Secret`, which holds one and shows only that it is there.
Leaves to others: which settings are secret in themselves (`names`).
Always holds: in doubt something is masked that need not be, never the other way round.
"""

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

MASK = "***"
_LONG = 2**63
_SECRET_WORDS = frozenset(
    {
        *("auth", "authorization", "bearer", "cookie", "cookies", "creds"),
        *("credential", "credentials", "jwt", "mnemonic", "otp", "passcode"),
        *("passphrase", "passwd", "password", "passwords", "pat", "pin", "pwd"),
        *("secret", "secrets", "token", "tokens", "webhook", "pass", "apikey"),
    }
)
_KEYS_OF = frozenset(
    {
        *("access", "account", "api", "encryption", "license", "master", "private"),
        *("secret", "service", "shared", "signing", "ssh", "storage"),
    }
)
"""Words that make a secret of a `key` behind them; a mere `key` is none."""
_ENDINGS = ("apikey", "passphrase", "passwd", "password", "secret", "token")
"""What words end with that were run together: `sslpassword`, `authtoken`."""
_COUNTED = frozenset({"max", "min", "limit", "total", "prompt", "completion", "num"})
"""Words that make `tokens` a number of them."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)(?P<user>\S*)@")
_IN_A_PATH = re.compile(r"[\w.\-]+(/[^:?#]*)?/")
"""What stands before an `@` that begins a part of a path: `https://host/@scope`."""
_PAIR = re.compile(
    r"(?P<name>[A-Za-z][\w.\-]*)(?P<is>\s*=\s*)(?P<value>'[^']*'|\"[^\"]*\"|[^\s&;#]+)"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{6,}")
_SHAPED = re.compile(
    r"\b(?:gh[a-z]_\w{8,}|github_pat_\w{8,}|glpat-[\w\-]{8,}|sk-[\w\-]{8,}"
    r"|xox[a-z]-[\w\-]{8,}|AKIA[0-9A-Z]{12,}|AIza[\w\-]{20,}"
    r"|eyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]*)"
)
"""What GitHub, GitLab, Slack, Amazon, Google and makers of models call their tokens;
and a JWT."""
_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL)


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


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret: `apiKey`, `db.password`, `X-Auth`."""
    words = [word.lower() for word in _WORD.findall(name)]
    for before, word in zip(["", *words], words, strict=False):
        if word == "tokens" and before in _COUNTED:
            continue
        if word in _SECRET_WORDS or (word == "key" and before in _KEYS_OF):
            return True
        if word.endswith(_ENDINGS):
            return True
    return False


def shown_of(text: str) -> str:
    """The text, with what is a secret in it masked.

    That is: who logs in by a URL (a token in the place of a user as well), values under
    a secret's name (`?token=`, `password=`), headers, and known tokens' shapes.
    """
    text = _BLOCK.sub(MASK, text)
    text = _ADDRESS.sub(_without_user, text)
    text = _PAIR.sub(_without_value, text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _SHAPED.sub(MASK, text)


def masked(value: object, name: str = "") -> Any:
    """A value as it may be shown: as plain data, its secrets masked, whatever type."""
    if not (value is None or isinstance(value, Secret)) and is_secret_name(name):
        return MASK
    if isinstance(value, (Secret, date, time)) or _is_long(value):
        return str(value)
    if isinstance(value, str):
        return shown_of(value)
    if isinstance(value, Mapping):
        return {str(key): masked(part, str(key)) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(part, name) for part in value]
    return value


def concealed(value: Any, name: str = "") -> Any:
    """A value whose secrets are `Secret`s; a mapping and a list become new ones."""
    if isinstance(value, Mapping):
        inner = name if is_secret_name(name) else ""
        return {key: concealed(part, inner or str(key)) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(concealed(part, name) for part in value)
    if isinstance(value, Secret) or value is None:
        return value
    if is_secret_name(name):
        return Secret(str(value))
    if isinstance(value, str) and (shown := shown_of(value)) != value:
        return Secret(value, shown)
    return value


def _is_long(value: object) -> bool:
    """Whether a number is longer than JSON's readers take."""
    return isinstance(value, int) and abs(value) >= _LONG


def _without_user(match: re.Match[str]) -> str:
    """A URL up to its host: masked unless the `@` is certainly part of its path."""
    if _IN_A_PATH.fullmatch(match["user"]):
        return match[0]
    return f"{match['scheme']}{MASK}@"


def _without_value(match: re.Match[str]) -> str:
    """A pair of a name and a value, the value masked if the name is a secret's."""
    if is_secret_name(match["name"]):
        return f"{match['name']}{match['is']}{MASK}"
    return match[0]
