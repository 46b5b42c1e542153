"""Packed bodies, unpacked within bounds.

Owns which content encodings are understood. Never holds more than it was asked for: a bomb
costs its limit, whatever it claims to unpack to.
"""

from __future__ import annotations

import zlib
from typing import Any

from core.http.messages import BadResponse

ACCEPTED = "gzip, deflate"


def unpacker(encoding: str) -> Unpacker | None:
    """For a Content-Encoding; None where nothing is packed. Raises BadResponse for what was not asked for."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return Unpacker(deflate=name == "deflate")
    raise BadResponse(f"answered in an encoding that was not asked for: {name[:40]}")


class Unpacker:
    """gzip (of one member or several), and deflate with its header or, as many servers send it, without."""

    def __init__(self, *, deflate: bool) -> None:
        self._deflate = deflate
        self._begun = False
        self._stream = self._new_stream()

    @property
    def complete(self) -> bool:
        """Whether the packed body has ended where it says so itself; nothing at all is complete, too."""
        return bool(self._stream.eof) or not self._begun

    def feed(self, packed: bytes, at_most: int) -> bytes:
        """What `packed` adds to the body, `at_most` bytes of it. Raises BadResponse."""
        plain = b""
        try:
            while packed and len(plain) < at_most:
                if self._stream.eof:
                    if self._deflate or not packed.strip(b"\0"):
                        break  # padding, as some servers send it
                    self._stream = self._new_stream()
                plain += self._piece(packed, at_most - len(plain))
                packed = self._stream.unused_data
        except zlib.error:
            raise BadResponse("answered a packed body that cannot be unpacked") from None
        return plain

    def _piece(self, packed: bytes, at_most: int) -> bytes:
        begun, self._begun = self._begun, True
        try:
            plain: bytes = self._stream.decompress(packed, at_most)
        except zlib.error:
            if not self._deflate or begun:
                raise
            self._stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
            plain = self._stream.decompress(packed, at_most)
        return plain

    def _new_stream(self) -> Any:  # zlib's own type has no public name
        return zlib.decompressobj(wbits=zlib.MAX_WBITS if self._deflate else 16 + zlib.MAX_WBITS)
