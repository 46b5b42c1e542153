"""A local folder as a storage: nothing leads out of it, and a file is there as a whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from executors.base import AttemptFailed
from executors.providers.storage import transfer
from executors.providers.storage.local import LocalStore
from executors.providers.storage.names import UNFINISHED
from executors.providers.storage.store import PART_BYTES
from tests.integration.storage_world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made


@pytest.fixture
def world(folder: Path) -> World:
    return World("local", {"path": str(folder)})


def test_a_file_lies_where_its_url_says(world: World, folder: Path) -> None:
    result = world.done("upload", fileName="a/b c.txt", content="x")

    assert result["url"] == f"file://{folder}/a/b%20c.txt"
    assert (folder / "a" / "b c.txt").read_text() == "x"


@pytest.mark.parametrize("event", ["upload", "download", "remove"])
@pytest.mark.parametrize("name", ["link/secret.txt", "a/link/secret.txt"])
def test_a_link_to_a_folder_is_not_followed(world: World, folder: Path, tmp_path: Path, event: str, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (folder / "a").mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "a" / "link").symlink_to("../../outside")

    failed = world.failed(event, fileName=name, **({"content": "x"} if event == "upload" else {}))

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
    assert failed.message == "'link' is a link, which is not followed"
    assert (outside / "secret.txt").read_text() == "secret"


def test_a_link_to_a_file_is_not_read_and_an_upload_takes_its_place(world: World, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")

    failed = world.failed("download", fileName="link.txt")
    listed = world.done("listFiles")
    world.done("upload", fileName="link.txt", content="mine")

    assert failed.code == "FORBIDDEN"
    assert listed["files"] == []
    assert (tmp_path / "secret.txt").read_text() == "secret"
    assert not (folder / "link.txt").is_symlink()


def test_a_pipe_and_a_folder_are_no_files(world: World, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "inner").mkdir()

    assert "is not a file" in world.failed("download", fileName="pipe").message
    assert "is not a file" in world.failed("download", fileName="inner").message
    assert world.failed("remove", fileName="inner").code == "VALIDATION_ERROR"
    assert world.failed("upload", fileName="inner", content="x").code == "VALIDATION_ERROR"
    assert world.failed("upload", fileName="pipe/x", content="x").code == "VALIDATION_ERROR"
    assert world.done("stats")["totalFiles"] == 0


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt"])
def test_a_name_that_leads_out_is_refused_in_the_worker_as_well(world: World, folder: Path, name: str) -> None:
    failed = world.failed("upload", fileName=name, content="x")

    assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)
    assert failed.message.startswith("input.fileName: ")
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_is_not_allowed_any_more_is_not_used(world: World, settings: Settings) -> None:
    settings.LOCAL_PATHS_ALLOW = []

    failed = world.failed("upload", fileName="a", content="x")

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
    assert "LOCAL_PATHS_ALLOW" in failed.message


def test_a_folder_that_became_a_link_to_the_systems_own_is_not_used(
    world: World, folder: Path, tmp_path: Path, settings: Settings
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    settings.DATA_DIR = own
    folder.rmdir()
    folder.symlink_to(own)

    assert world.failed("upload", fileName="a", content="x").code == "FORBIDDEN"
    assert list(own.iterdir()) == []


def test_a_folder_that_is_missing_is_told(world: World, folder: Path) -> None:
    folder.rmdir()

    failed = world.failed("listFiles")

    assert (failed.code, failed.retryable) == ("NOT_FOUND", False)
    assert failed.message == f"folder '{folder}' does not exist: make it, where the workers run"


def test_a_file_is_not_seen_before_it_is_complete(folder: Path) -> None:
    (folder / "a").write_text("old")
    upload = LocalStore({"path": str(folder)}).begin("a", "text/plain")
    upload.add(b"new")

    assert (folder / "a").read_text() == "old"
    assert LocalStore({"path": str(folder)}).page("", 10, None).entries[0].size == 3
    upload.finish()
    upload.abort()
    assert (folder / "a").read_text() == "new"
    assert list((folder / UNFINISHED).iterdir()) == []


def test_an_upload_that_is_given_up_leaves_nothing(folder: Path) -> None:
    upload = LocalStore({"path": str(folder)}).begin("a", "text/plain")
    upload.add(b"x")
    upload.abort()
    upload.abort()

    assert [path.name for path in folder.rglob("*")] == [UNFINISHED]
    with pytest.raises(AttemptFailed):
        upload.add(b"x")


def test_what_a_worker_that_died_left_is_removed_after_a_day(folder: Path) -> None:
    (folder / UNFINISHED).mkdir()
    for name, hours in (("old", 25), ("young", 23)):
        (folder / UNFINISHED / name).write_text("x")
        os.utime(folder / UNFINISHED / name, (time.time() - hours * 3600,) * 2)

    LocalStore({"path": str(folder)}).put("a", b"x", "text/plain")

    assert [path.name for path in (folder / UNFINISHED).iterdir()] == ["young"]


def test_no_file_is_left_open(folder: Path) -> None:
    store = LocalStore({"path": str(folder)})
    before = len(os.listdir("/proc/self/fd"))

    store.put("a/b", b"x", "text/plain")
    store.read("a/b", 10)
    store.page("", 10, None)
    for name in ("a", "b/c"):
        with pytest.raises(AttemptFailed):
            store.read(name, 10)
    with pytest.raises(AttemptFailed):
        store.put("a", b"x", "text/plain")
    store.remove("a/b")

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_may_be_tried_again_and_leaves_nothing(
    world: World, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    failed = world.failed("upload", fileName="a", content="x")

    assert (failed.code, failed.retryable) == ("SERVICE_UNAVAILABLE", True)
    assert failed.message == f"'a' in folder '{folder}': the disk is full"
    assert [path.name for path in folder.rglob("*")] == [UNFINISHED]


def test_an_upload_that_is_cancelled_leaves_nothing(folder: Path) -> None:
    store = LocalStore({"path": str(folder)})
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * PART_BYTES
        while True:
            yield b"x" * PART_BYTES
            begun.set()  # a part is stored

    async def cancelled() -> None:
        moving = asyncio.create_task(transfer.move(store, "a", endless(), "text/plain"))
        await begun.wait()
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving

    asyncio.run(cancelled())

    deadline = time.monotonic() + 5
    while any((folder / UNFINISHED).iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [path.name for path in folder.rglob("*")] == [UNFINISHED]


def test_uploads_of_one_name_at_once_leave_one_whole_file(folder: Path) -> None:
    store = LocalStore({"path": str(folder)})

    async def pieces(byte: bytes) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield byte * PART_BYTES

    async def together() -> None:
        await asyncio.gather(*(transfer.move(store, "a", pieces(byte), "text/plain") for byte in (b"a", b"b", b"c")))

    asyncio.run(together())

    data = (folder / "a").read_bytes()
    assert (len(data), len(set(data))) == (3 * PART_BYTES, 1)


def test_many_files_are_counted_and_paged_in_the_order_of_their_names(folder: Path) -> None:
    for number in range(2500):
        path = folder / str(number % 7) / f"{number:04}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("ab")
    store = LocalStore({"path": str(folder)})

    names: list[str] = []
    token: str | None = None
    while True:
        page: Any = store.page("", 1000, token)
        names += [entry.name for entry in page.entries]
        token = page.token
        if token is None:
            break

    assert names == sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.txt"))
    assert sum(len(some) for some in store.walk("")) == 2500
