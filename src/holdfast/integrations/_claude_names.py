"""Names that Claude's SDK gives, as ids that are safe to keep.

Answers for: the id of a session for a key, ids and tags for other texts.
Always holds: two keys never have one id; what a text says can be read in its id, up to
a length that ids may have.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

_CHARACTERS = 200
_DIGEST = 32


def safe(*parts: str) -> str:
    """An id of texts, in which other characters than letters and digits are quoted."""
    text = ":".join(quote(part, safe="", errors="surrogatepass") for part in parts)
    if len(text) <= _CHARACTERS and text.strip("."):
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{text[: _CHARACTERS - _DIGEST - 1]}+{digest}"


def session_id_of(key: Mapping[str, Any]) -> str:
    """The id of the session that keeps the transcript of a key."""
    subpath = key.get("subpath")
    below = () if subpath is None else subpath.split("/")
    return safe(key["session_id"], key["project_key"], *below)


def project_tag(project_key: str) -> str:
    """The tag that the sessions of a project have."""
    return safe("claude", project_key)
