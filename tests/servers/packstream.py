"""PackStream, the encoding of Bolt's messages, as far as the tests' server needs it.

https://neo4j.com/docs/bolt/current/packstream/
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Structure:
    tag: int
    fields: list[Any]


def packed(value: Any) -> bytes:
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">b", value) if -16 <= value < 128 else b"\xcb" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xc1" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return b"\xd2" + struct.pack(">I", len(data)) + data
    if isinstance(value, list):
        return b"\xd6" + struct.pack(">I", len(value)) + b"".join(map(packed, value))
    if isinstance(value, dict):
        members = b"".join(packed(name) + packed(each) for name, each in value.items())
        return b"\xda" + struct.pack(">I", len(value)) + members
    if isinstance(value, Structure):
        return bytes([0xB0 + len(value.fields), value.tag]) + b"".join(map(packed, value.fields))
    raise TypeError(f"no PackStream type for {value!r}")


class Unpacker:
    """Reads one value after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def value(self) -> Any:
        marker = self._number(">B")
        if marker < 0x80 or marker >= 0xF0:
            return marker if marker < 0x80 else marker - 0x100
        if (high := marker & 0xF0) in (0x80, 0x90, 0xA0):
            return self._sized({0x80: "text", 0x90: "list", 0xA0: "map"}[high], marker & 0x0F)
        if high == 0xB0:
            tag = self._number(">B")
            return Structure(tag, [self.value() for _ in range(marker & 0x0F)])
        if marker in _PLAIN:
            return _PLAIN[marker]
        if marker in _NUMBERS:
            return self._number(_NUMBERS[marker])
        kind, width = _SIZED[marker]
        return self._sized(kind, self._number(width))

    def _sized(self, kind: str, size: int) -> Any:
        if kind == "text":
            return self._take(size).decode()
        if kind == "bytes":
            return self._take(size)
        if kind == "list":
            return [self.value() for _ in range(size)]
        return {self.value(): self.value() for _ in range(size)}

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]


_PLAIN = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {0xC1: ">d", 0xC8: ">b", 0xC9: ">h", 0xCA: ">i", 0xCB: ">q"}
_SIZED = {
    0xCC: ("bytes", ">B"), 0xCD: ("bytes", ">H"), 0xCE: ("bytes", ">I"), 0xD0: ("text", ">B"), 0xD1: ("text", ">H"),
    0xD2: ("text", ">I"), 0xD4: ("list", ">B"), 0xD5: ("list", ">H"), 0xD6: ("list", ">I"), 0xD8: ("map", ">B"),
    0xD9: ("map", ">H"), 0xDA: ("map", ">I"),
}  # fmt: skip
