"""Moving files into a store: in one request where they are short, else in parts, of which one is in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

from executors.providers.storage.calls import call
from executors.providers.storage.store import PART_BYTES, Store, Upload

MOST_AT_ONCE = 32  # transfers in parts of one process; more wait with their first part, within their own deadline
_TIDY_SECONDS = 2.0  # how long a cancelled attempt waits for its parts to be thrown away


async def move(store: Store, name: str, pieces: AsyncIterator[bytes], mime_type: str) -> int:
    """Store what comes as one file, all of it or nothing; its size in bytes. Raises what either side raises."""
    left = bytearray()
    first = await _part(pieces, left)
    if len(first) < PART_BYTES:
        await call(store.put, name, first, mime_type)
        return len(first)
    async with _turn():
        begun = _Begun()
        try:
            upload = await call(begun.begin, store, name, mime_type)
            size = await _in_parts(upload, first, pieces, left)
            await call(upload.finish)
        except BaseException:
            await _throw_away(begun)
            raise
        return size


class _Begun:
    """An upload that may be given up before the thread that begins it has it."""

    def __init__(self) -> None:
        self._upload: Upload | None = None
        self._given_up = False
        self._lock = threading.Lock()

    def begin(self, store: Store, name: str, mime_type: str) -> Upload:
        upload = store.begin(name, mime_type)
        with self._lock:
            self._upload = upload
            given_up = self._given_up
        if given_up:
            upload.abort()
        return upload

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            upload = self._upload
        if upload is not None:
            upload.abort()


async def _in_parts(upload: Upload, part: bytes, pieces: AsyncIterator[bytes], left: bytearray) -> int:
    size = 0
    while part:
        await call(upload.add, part)
        size += len(part)
        part = await _part(pieces, left) if len(part) == PART_BYTES else b""
    return size


async def _part(pieces: AsyncIterator[bytes], left: bytearray) -> bytes:
    """The next PART_BYTES, less at the end. What came beyond them is kept in `left`."""
    while len(left) < PART_BYTES:
        try:
            left += await anext(pieces)
        except StopAsyncIteration:
            break
    part = bytes(memoryview(left)[:PART_BYTES])
    del left[:PART_BYTES]
    return part


async def _throw_away(begun: _Begun) -> None:
    """Also when this attempt is over: it goes on by itself where it takes long."""
    tidying = asyncio.ensure_future(call(begun.give_up))
    _tidying.add(tidying)
    tidying.add_done_callback(_tidying.discard)
    await asyncio.wait({tidying}, timeout=_TIDY_SECONDS)


def _turn() -> asyncio.Semaphore:
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MOST_AT_ONCE))


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
_tidying: set[asyncio.Future[None]] = set()
