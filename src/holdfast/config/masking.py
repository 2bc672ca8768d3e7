"""Masking: what of a value may be shown to whoever reads a screen or a log.

Answers for: which names are those of secrets, and what in a text is a secret whatever
its name.
Leaves to others: which settings are secret in themselves (`names`), what holds a
secret (`secret`).
Always holds: in doubt something is masked that need not be, never the other way round.
"""

import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from holdfast.config.secret import MASK, Secret

_LONG = 2**63
_SECRET_WORDS = frozenset(
    {
        *("auth", "authorization", "bearer", "cookie", "cookies", "creds"),
        *("credential", "credentials", "jwt", "mnemonic", "otp", "passcode"),
        *("passphrase", "passwd", "password", "passwords", "pat", "pin", "psk", "pw"),
        *("pwd", "secret", "secrets", "sig", "signature", "token", "tokens"),
        *("webhook", "webhooks", "pass", "apikey", "hmac", "jwk", "jwks"),
    }
)
_KEYS_OF = frozenset(
    {
        *("access", "account", "api", "app", "auth", "bot", "client", "consumer"),
        *("decryption", "deploy", "encryption", "hmac", "license", "master"),
        *("private", "secret", "server", "service", "session", "shared", "signing"),
        *("ssh", "storage", "tls", "vault", "webhook"),
        *("anthropic", "aws", "azure", "claude", "cohere", "datadog", "deepseek"),
        *("gemini", "github", "gitlab", "google", "groq", "hf", "huggingface"),
        *("langsmith", "mistral", "openai", "openrouter", "pinecone", "sendgrid"),
        *("sentry", "serpapi", "stripe", "tavily", "twilio", "xai"),
    }
)
"""Words that make a secret of a `key` behind them; a mere `key` is none, nor is one of
what keys are only names in (`jira_key`, `primary_key`)."""
_ENDINGS = (
    *("accesskey", "accesskeys", "apikey", "apikeys", "passphrase", "passwd"),
    *("password", "passwords", "privatekey", "secret", "secretkey", "secrets"),
    *("signingkey", "token"),
)
"""What words end with that were run together: `sslpassword`, `authtoken`."""
_COUNTED = frozenset({"max", "min", "limit", "total", "prompt", "completion", "num"})
"""Words that make `tokens` a number of them."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ADDRESS = re.compile(r"(?<=[A-Za-z0-9+.\-])://(?P<user>(?:(?!\s\S*://)[^\n])*)@")
"""A URL from its scheme up to the last `@` before another one: also past blanks, which
a password may have."""
_IN_A_PATH = re.compile(r"[\w.\-]+(/[^:?#\s]*)?/")
"""What stands before an `@` that begins a part of a path: `https://host/@scope`."""
_LOGIN = re.compile(r"(?<![\w.+\-/:@])[\w.+\-]+:(?!//)\S*@(?!sha\d+:)(?=[\w\[])")
"""Who logs in where no scheme is said: `ada:password@host`."""
_NAMED = re.compile(
    r"(?<![\w.\-])(?P<name>[\w.\-]+)[\"']?\s{0,9}(?P<is>[=:])[ \t]{0,9}"
)
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_VALUES = {
    "=": re.compile(rf"{_QUOTED}|[^\s&;#]+"),
    ":": re.compile(rf"{_QUOTED}|[^\n]+"),
}
"""What follows a name: with a colon it is a header's, YAML's or JSON's, and may have
blanks."""
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{6,}")
_SHAPED = re.compile(
    r"\b(?:gh[a-z]_\w{8,}|github_pat_\w{8,}|glpat-[\w\-]{8,}|sk-[\w\-]{8,}"
    r"|[rs]k_(?:live|test)_\w{8,}|whsec_\w{8,}|xox[a-z]-[\w\-]{8,}|hf_\w{16,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{12,}|AIza[\w\-]{20,}|ya29\.[\w\-]{8,}|npm_\w{20,}"
    r"|pypi-[\w\-]{20,}|SG\.[\w\-]{10,}\.[\w\-]{10,}"
    r"|eyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]*)"
    r"|(?<=hooks\.slack\.com/)[^\s'\"]+|(?<=/api/webhooks/)[^\s'\"]+"
    r"|(?<=/bot)[0-9]{6,}:[\w\-]{20,}"
)
"""What GitHub, GitLab, Slack, Amazon, Google, makers of models and the like call their
tokens; a JWT; addresses that are secrets themselves."""
_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret: `apiKey`, `db.password`, `X-Auth`."""
    words = [word.lower() for word in _WORD.findall(name)]
    for before, word in zip(["", *words], words, strict=False):
        if word == "tokens" and before in _COUNTED:
            continue
        if word in _SECRET_WORDS or (word in {"key", "keys"} and before in _KEYS_OF):
            return True
        if word.endswith(_ENDINGS):
            return True
    return False


def shown_of(text: str) -> str:
    """The text, with what is a secret in it masked.

    That is: who logs in by a URL (a token in the place of a user as well), values under
    a secret's name (`?token=`, `password=`, `"pin": `), headers, and known tokens'
    shapes. It takes time in proportion to the text.
    """
    text = _BLOCK.sub(MASK, text)
    text = _ADDRESS.sub(_without_user, text)
    text = _LOGIN.sub(f"{MASK}@", text)
    text = _without_values(text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _SHAPED.sub(MASK, text)


def has_secret(value: object) -> bool:
    """Whether anything of a value is masked where it is shown."""
    if isinstance(value, Secret):
        return str(value) != value.reveal()
    if isinstance(value, str):
        return shown_of(value) != value
    if isinstance(value, Mapping):
        return any(map(has_secret, value.values()))
    return isinstance(value, (list, tuple)) and any(map(has_secret, value))


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
    return f"://{MASK}@"


def _without_values(text: str) -> str:
    """A text without the values that stand behind the names of secrets."""
    parts, done = [], 0
    for named in _NAMED.finditer(text):
        if named.start() < done or not is_secret_name(named["name"]):
            continue
        if value := _VALUES[named["is"]].match(text, named.end()):
            parts += [text[done : named.end()], MASK]
            done = value.end()
    return "".join([*parts, text[done:]])
