"""What a provider of storage is: one folder, bucket or container, whose files are named by texts.

Every method blocks, and is called in a thread (`calls`). Every one raises AttemptFailed: foreign errors
are wrapped by the provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

PART_BYTES = 5 * 1024 * 1024  # the smallest part that S3 takes; what one upload holds in memory twice at most
LARGEST_BYTES = 9_000 * PART_BYTES  # of one file: S3 takes 10,000 parts
PAGE = 1000  # files of one page, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file. `modified` is Unix time in ms, 0 where it is not known."""

    name: str
    size: int
    modified: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some files, in the order of their names, and the token of the next page if there is one."""

    entries: Sequence[Entry]
    token: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A whole file."""

    data: bytes = field(repr=False)
    mime_type: str | None


class Upload(Protocol):
    """A file that comes in parts of PART_BYTES, the last one being shorter. It is not there before `finish`."""

    def add(self, part: bytes) -> None:
        """Store the next part."""

    def finish(self) -> None:
        """Make the file of the parts, in place of one of its name."""

    def abort(self) -> None:
        """Throw the parts away. Raises nothing."""


class Store(Protocol):
    """One storage in one environment; safe from several threads."""

    @property
    def where(self) -> str:
        """What it is, for people, without secrets: "S3 bucket 'reports' at http://…"."""

    def put(self, name: str, data: bytes, mime_type: str) -> None:
        """Store a file, in place of one of its name, all of it or nothing."""

    def begin(self, name: str, mime_type: str) -> Upload:
        """Begin to store a file that is too long for one request."""

    def read(self, name: str, most: int) -> Content:
        """The file. NOT_FOUND; RESPONSE_TOO_LARGE past `most` bytes."""

    def remove(self, name: str) -> None:
        """Remove a file. One that is not there is as good as removed."""

    def page(self, prefix: str, limit: int, token: str | None) -> Page:
        """The files whose names begin with `prefix`, at most `limit` ≤ PAGE of them."""

    def walk(self, prefix: str) -> Iterator[Sequence[Entry]]:
        """All files whose names begin with `prefix`, some at a time, in any order."""

    def signed_url(self, name: str, *, write: bool, seconds: int, mime_type: str | None) -> str:
        """A URL under which whoever has it may read or write the file for that long. Asks nobody."""

    def url(self, name: str) -> str:
        """Where the file is, for those who may see it."""

    def close(self) -> None:
        """Let go of connections."""


def pages(store: Store, prefix: str) -> Iterator[Sequence[Entry]]:
    """`walk` for a provider that pages well."""
    token: str | None = None
    while True:
        page = store.page(prefix, PAGE, token)
        yield page.entries
        token = page.token
        if token is None:
            return
