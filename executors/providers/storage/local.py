"""A folder of the worker's machine as a storage.

A name is walked folder by folder without following a link, so none leads out of the folder. A file is written
beside the others, and takes its name when it is complete.
"""

from __future__ import annotations

import heapq
import os
import stat
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from executors.base import CANCELLED, FORBIDDEN, NOT_FOUND, VALIDATION_ERROR, AttemptFailed
from executors.providers.storage import calls, failures
from executors.providers.storage.names import UNFINISHED, guessed_type, wrong_name
from executors.providers.storage.store import PAGE, Content, Entry, Page
from executors.reach.paths import wrong_path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe is not waited for
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LEFT_OVER_SECONDS = 86_400  # what is unfinished for longer belongs to a worker that died


class LocalStore:
    def __init__(self, connection: Any) -> None:
        self._path = str(connection["path"])

    @property
    def where(self) -> str:
        return f"folder {self._path!r}"

    def put(self, name: str, data: bytes, mime_type: str) -> None:
        upload = self.begin(name, mime_type)
        try:
            upload.add(data)
            upload.finish()
        finally:
            upload.abort()

    def begin(self, name: str, mime_type: str) -> LocalUpload:
        with self._told():
            root = self._root()
            try:
                return LocalUpload(self.where, root, name)
            except BaseException:
                os.close(root)
                raise

    def read(self, name: str, most: int) -> Content:
        with self._told(name), self._opened_root() as root, _parent(root, name) as (folder, leaf):
            opened = os.open(leaf, _READ, dir_fd=folder)
            try:
                found = os.fstat(opened)
                if not stat.S_ISREG(found.st_mode):
                    raise AttemptFailed(VALIDATION_ERROR, f"{name!r} in {self.where} is not a file")
                if found.st_size > most:
                    raise failures.too_large(self.where, name, found.st_size, most)
                with os.fdopen(opened, "rb", closefd=False) as file:
                    data = file.read(most + 1)
            finally:
                os.close(opened)
        if len(data) > most:
            raise failures.too_large(self.where, name, None, most)
        return Content(data=data, mime_type=guessed_type(name))

    def remove(self, name: str) -> None:
        with self._told(name), self._opened_root() as root:
            try:
                with _parent(root, name) as (folder, leaf):
                    os.unlink(leaf, dir_fd=folder)  # a link, not what it leads to
            except FileNotFoundError:
                pass  # it is gone, as is wanted

    def page(self, prefix: str, limit: int, token: str | None) -> Page:
        after = token or ""
        found = (entry for entry in self._entries(prefix) if entry.name > after)
        entries = heapq.nsmallest(limit + 1, found, key=lambda entry: entry.name)
        more = len(entries) > limit
        return Page(entries=entries[:limit], token=entries[limit - 1].name if more else None)

    def walk(self, prefix: str) -> Iterator[Sequence[Entry]]:
        entries = self._entries(prefix)
        while some := list(islice(entries, PAGE)):
            yield some

    def signed_url(self, name: str, *, write: bool, seconds: int, mime_type: str | None) -> str:
        raise AttemptFailed(VALIDATION_ERROR, f"{self.where} has no signed URLs: those need a cloud's storage")

    def url(self, name: str) -> str:
        return f"file://{quote(str(Path(self._path) / name))}"

    def close(self) -> None:
        """Nothing is kept open."""

    def _entries(self, prefix: str) -> Iterator[Entry]:
        with self._told(), self._opened_root() as root:
            for path, folders, files, folder in os.fwalk(".", dir_fd=root, onerror=_raise):
                calls.go_on()
                within = "" if path == "." else f"{path.removeprefix('./')}/"
                folders[:] = [each for each in folders if _may_hold(f"{within}{each}/", prefix)]
                for each in files:
                    name = f"{within}{each}"
                    if not name.startswith(prefix) or wrong_name(name) is not None:
                        continue
                    found = _looked_at(each, folder)
                    if found is not None and stat.S_ISREG(found.st_mode):
                        yield Entry(name=name, size=found.st_size, modified=found.st_mtime_ns // 1_000_000)

    def _root(self) -> int:
        wrong = wrong_path(self._path)
        if wrong is not None:
            raise AttemptFailed(FORBIDDEN, wrong)
        try:
            return os.open(Path(self._path).resolve(), _FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            raise AttemptFailed(NOT_FOUND, f"{self.where} does not exist: make it, where the workers run") from None

    @contextmanager
    def _opened_root(self) -> Iterator[int]:
        root = self._root()
        try:
            yield root
        finally:
            os.close(root)

    @contextmanager
    def _told(self, name: str | None = None) -> Iterator[None]:
        where = self.where if name is None else f"{name!r} in {self.where}"
        try:
            yield
        except OSError as error:
            raise failures.refused_by_system(where, error) from None


class LocalUpload:
    """A file that takes its name when it is complete. `root` is closed with it. Safe from several threads: one
    that goes on after its call was given up must not meet files that were closed under it."""

    def __init__(self, where: str, root: int, name: str) -> None:
        self._where, self._root, self._name = where, root, name
        self._written = uuid.uuid4().hex
        self._unfinished = _inner(root, UNFINISHED, make=True)
        try:
            _clear(self._unfinished)
            self._file = os.fdopen(os.open(self._written, _WRITE, 0o666, dir_fd=self._unfinished), "wb")
        except BaseException:
            os.close(self._unfinished)
            raise
        self._done = False
        self._lock = threading.Lock()

    def add(self, part: bytes) -> None:
        with self._lock, self._told():
            self._must_go_on()
            self._file.write(part)

    def finish(self) -> None:
        with self._lock, self._told():
            self._must_go_on()
            self._file.flush()
            os.fsync(self._file.fileno())
            with _parent(self._root, self._name, make=True) as (folder, leaf):
                os.rename(self._written, leaf, src_dir_fd=self._unfinished, dst_dir_fd=folder)
                os.fsync(folder)
        self.abort()

    def abort(self) -> None:
        with self._lock:
            if not self._done:
                self._done = True
                self._release()

    def _must_go_on(self) -> None:
        if self._done:
            raise AttemptFailed(CANCELLED, "the upload was given up")

    def _release(self) -> None:
        try:
            self._file.close()
        except OSError:
            pass  # what could not be written is thrown away
        try:
            os.unlink(self._written, dir_fd=self._unfinished)
        except OSError:
            pass  # it has its name
        os.close(self._unfinished)
        os.close(self._root)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise failures.refused_by_system(f"{self._name!r} in {self._where}", error) from None


@contextmanager
def _parent(root: int, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """The folder that a file is in, and its name there."""
    *folders, leaf = name.split("/")
    at = os.dup(root)
    try:
        for each in folders:
            inner = _inner(at, each, make=make)
            os.close(at)
            at = inner
        yield at, leaf
    finally:
        os.close(at)


def _inner(at: int, name: str, *, make: bool) -> int:
    if make:
        try:
            os.mkdir(name, dir_fd=at)
        except FileExistsError:
            pass
    try:
        return os.open(name, _FOLDER, dir_fd=at)
    except NotADirectoryError:
        found = _looked_at(name, at)
        if found is not None and stat.S_ISLNK(found.st_mode):
            raise AttemptFailed(FORBIDDEN, f"{name!r} is a link, which is not followed") from None
        raise


def _clear(unfinished: int) -> None:
    """Remove what was left over."""
    before = time.time() - _LEFT_OVER_SECONDS
    with os.scandir(unfinished) as entries:
        for entry in entries:
            found = _looked_at(entry.name, unfinished)
            if found is not None and found.st_mtime < before:
                os.unlink(entry.name, dir_fd=unfinished)


def _looked_at(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None  # removed meanwhile


def _may_hold(folder: str, prefix: str) -> bool:
    if folder == f"{UNFINISHED}/":
        return False
    return folder.startswith(prefix) or prefix.startswith(folder)


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # removed meanwhile
        raise error
