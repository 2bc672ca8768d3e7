"""The identity of something that has no id: a digest of its content.

Answers for: equal content has an equal digest, however it was written down.
Always holds: a digest has 64 bits, as 16 hexadecimal digits; a clash of two contents
is noticed when they are kept under one id, for content is compared there.
"""

import hashlib
import json
from array import array

import msgspec

from holdfast.codec import Json

_DIGEST_BYTES = 8
_FIRST_SLOTS = 1 << 10


class Digest:
    """The digest of a row of values; the order of keys in an object does not count."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def add(self, value: Json) -> None:
        """Take one more value in."""
        text = _canonical(value)
        self._hash.update(len(text).to_bytes(8))
        self._hash.update(text)

    def hex(self) -> str:
        """The digest of all that was taken in."""
        return self._hash.hexdigest()


class Tally:
    """Counts how often each digest came up, in about 13 bytes each.

    A set of Python's own takes 90, and a file may have millions of conversations.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST_SLOTS))
        self._used = 0
        self._repeats: dict[int, int] = {}

    def count(self, digest: str) -> int:
        """How often this digest came up so far, this time included."""
        key = int(digest, 16) or 1
        if self._put(key):
            return 1
        self._repeats[key] = self._repeats.get(key, 1) + 1
        return self._repeats[key]

    def _put(self, key: int) -> bool:
        """Remember a key; whether it is new."""
        slots, mask = self._slots, len(self._slots) - 1
        place = key & mask
        while (there := slots[place]) != 0:
            if there == key:
                return False
            place = (place + 1) & mask
        slots[place] = key
        self._used += 1
        if self._used * 4 > len(slots) * 3:
            self._grow()
        return True

    def _grow(self) -> None:
        there = self._slots
        self._slots = array("Q", bytes(16 * len(there)))
        self._used = 0
        for key in there:
            if key:
                self._put(key)


def _canonical(value: Json) -> bytes:
    """The one text that stands for a value."""
    try:
        return msgspec.json.encode(value, order="deterministic")
    except ValueError:  # a lone surrogate, which the store will refuse
        return json.dumps(value, sort_keys=True).encode()
