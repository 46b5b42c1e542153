"""Public identifiers: `job_…`, sortable by the time they were made.

A job's id is a version 7 UUID in the database (16 bytes, in time order, so that the
primary key's index grows at one end) and 26 characters of Crockford base 32 outside.
"""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford, lower case: no i, l, o, u
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_LENGTH = 26  # 130 bits hold the 128 of a UUID; the first character is 0–7

_lock = threading.Lock()
_last = 0


def new_uuid() -> UUID:
    """A version 7 UUID (RFC 9562): 48 bits of milliseconds, 12 of a counter in the
    millisecond, 62 random. Strictly growing within a process."""
    global _last
    with _lock:
        stamp = (time.time_ns() // 1_000_000) << 12
        _last = stamp if stamp > _last else _last + 1
        stamp = _last
    milliseconds, counter = stamp >> 12, stamp & 0xFFF
    tail = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (counter << 64) | (0b10 << 62) | tail)


_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]  # 10 bits at a time


def encode(prefix: str, value: UUID) -> str:
    """`job` and a UUID → `job_01k…`."""
    number = value.int
    pairs = _PAIRS
    return f"{prefix}_" + "".join([pairs[(number >> shift) & 1023] for shift in range(120, -10, -10)])


def decode(prefix: str, text: str) -> UUID | None:
    """The UUID of an id, or None where the text is no id of that kind."""
    head, _, body = text.partition("_")
    if head != prefix or len(body) != _LENGTH or body[0] > "7":
        return None
    number = 0
    for character in body:
        value = _VALUES.get(character)
        if value is None:
            return None
        number = (number << 5) | value
    return UUID(int=number)
