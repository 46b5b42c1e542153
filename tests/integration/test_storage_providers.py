"""What every provider of storage does: the same operations, results and failures, on real servers and folders."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from executors.providers.storage.store import PART_BYTES
from tests.integration.storage_world import World
from tests.servers.objects import S3Server, azurite, gcs_emulator
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db

PROVIDERS = ["local", "s3", "azure", "gcs"]


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Servers that were started, by type."""
    from contextlib import ExitStack

    with ExitStack() as running:
        started: dict[str, Any] = {}

        def connection(type: str) -> dict[str, Any]:
            if type not in started:
                folder = tmp_path_factory.mktemp(type)
                if type == "local":
                    started[type] = {"path": str(folder)}
                elif type == "s3":
                    started[type] = running.enter_context(S3Server()).connection
                else:
                    started[type] = running.enter_context((azurite if type == "azure" else gcs_emulator)(folder))
            found: dict[str, Any] = started[type]
            return found

        yield {"of": connection}


@pytest.fixture(params=PROVIDERS)
def world(request: pytest.FixtureRequest, connections: dict[str, Any]) -> World:
    return World(request.param, connections["of"](request.param))


@pytest.fixture
def folder() -> str:
    """A folder of the storage that no other test uses."""
    return uuid.uuid4().hex[:8]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.mark.parametrize(
    ("given", "stored", "mime_type"),
    [
        ({"buffer": base64.b64encode(b"\x00\xff pdf").decode()}, b"\x00\xff pdf", "application/octet-stream"),
        ({"buffer": {"type": "Buffer", "data": [1, 2, 255]}}, b"\x01\x02\xff", "application/octet-stream"),
        ({"content": "grüße"}, "grüße".encode(), "text/plain; charset=utf-8"),
        ({"content": {"day": "ü", "n": [1, None]}}, '{"day": "ü", "n": [1, null]}'.encode(), "application/json"),
        ({"content": "aGk=", "encoding": "base64"}, b"hi", "application/octet-stream"),
        ({"content": "", "mimeType": "text/csv"}, b"", "text/csv"),
    ],
    ids=["base64", "a Buffer", "text", "JSON", "content in base64", "empty"],
)
def test_what_is_uploaded_can_be_downloaded(
    world: World, folder: str, given: dict[str, Any], stored: bytes, mime_type: str
) -> None:
    name = f"{folder}/a b&ü"

    result = world.done("upload", fileName=name, **given)
    downloaded = world.done("download", fileName=name)

    assert result.pop("url").startswith(("http://", "file://"))
    assert result == {"success": True, "fileName": name, "mimeType": mime_type, "size": len(stored)}
    assert base64.b64decode(downloaded["data"]) == stored
    assert (downloaded["size"], downloaded["encoding"], downloaded["fileName"]) == (len(stored), "base64", name)


def test_a_type_is_kept_or_told_by_the_name(world: World, folder: str) -> None:
    world.done("upload", fileName=f"{folder}/a.png", content="x")

    assert world.done("download", fileName=f"{folder}/a.png")["mimeType"] == "image/png"


def test_text_can_be_downloaded_as_text(world: World, folder: str) -> None:
    world.done("upload", fileName=f"{folder}/t", content="grüße")
    world.done("upload", fileName=f"{folder}/b", buffer="/w==")

    assert world.done("download", fileName=f"{folder}/t", encoding="utf8")["data"] == "grüße"
    failed = world.failed("download", fileName=f"{folder}/b", encoding="text")
    assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)
    assert "is not text in UTF-8" in failed.message


def test_an_upload_that_is_repeated_leaves_one_file(world: World, folder: str) -> None:
    for content in ("first", "second", "second"):
        world.done("upload", fileName=f"{folder}/same.txt", content=content)

    files = world.done("listFiles", prefix=f"{folder}/")["files"]
    assert [(file["fileName"], file["size"]) for file in files] == [(f"{folder}/same.txt", 6)]


@pytest.mark.parametrize("more", [-1, 0, 1, PART_BYTES, PART_BYTES + 1])
def test_what_a_url_answers_is_stored_whole_in_parts_or_not(
    world: World, folder: str, receiver: Receiver, more: int
) -> None:
    body = (b"0123456789abcde" * (2 * PART_BYTES // 15 + 2))[: PART_BYTES + more]
    receiver.answer("/file", Answer(body=body, headers={"Content-Type": "image/webp"}))

    result = world.done(
        "upload", fileName=f"{folder}/fetched", url=f"{receiver.url}/file?a=b", headers={"Authorization": "Bearer x"}
    )

    assert (result["size"], result["mimeType"]) == (len(body), "image/webp")
    assert receiver.requests[0].headers["authorization"] == "Bearer x"
    world = World(world_type(world), {**world_connection(world), "max_download_bytes": 16 * 1024 * 1024})
    assert base64.b64decode(world.done("download", fileName=f"{folder}/fetched")["data"]) == body


def test_a_file_that_comes_only_in_half_is_not_stored(world: World, folder: str, receiver: Receiver) -> None:
    receiver.answer("/file", Answer(size=3 * PART_BYTES, cut=True))

    failed = world.failed("upload", fileName=f"{folder}/half", url=f"{receiver.url}/file")

    assert (failed.code, failed.retryable) == ("CONNECTION_ERROR", True)
    assert world.done("listFiles", prefix=folder)["files"] == []


def test_files_are_listed_page_by_page(world: World, folder: str) -> None:
    if world_type(world) == "gcs":
        pytest.skip("the emulator gives all files as one page")
    names = [f"{folder}/{name}" for name in ("a", "b/c", "b/d", "e", "ü")]
    for name in [*names, f"{folder}-other"]:
        world.done("upload", fileName=name, content="1234")

    seen: list[str] = []
    page = world.done("listFiles", prefix=f"{folder}/", limit=2)
    while True:
        assert len(page["files"]) <= 2
        seen += [file["fileName"] for file in page["files"]]
        if not page["hasMore"]:
            break
        page = world.done("listFiles", prefix=f"{folder}/", limit=2, continuationToken=page["nextToken"])

    assert seen == names
    assert "nextToken" not in page
    assert world.done("listFiles", prefix=f"{folder}/b/")["files"][0]["lastModified"] > 1_700_000_000_000
    assert world.done("listFiles", prefix=f"{folder}/nothing") == {
        "success": True, "files": [], "limit": 100, "hasMore": False,
    }  # fmt: skip


def test_statistics_count_files_bytes_and_kinds(world: World, folder: str) -> None:
    for name in ("a.png", "b.jpeg", "c.mp4", "d.mp3", "e.pdf", "f.csv", "g.tar.gz", "h.zip", "i"):
        world.done("upload", fileName=f"{folder}/{name}", content="12")

    assert world.done("stats", prefix=f"{folder}/") == {
        "success": True, "totalFiles": 9, "totalSize": 18,
        "byType": {"image": 2, "video": 1, "audio": 1, "document": 2, "archive": 2, "other": 1},
    }  # fmt: skip


def test_a_removed_file_is_gone_and_may_be_removed_again(world: World, folder: str) -> None:
    name = f"{folder}/x/y.txt"
    world.done("upload", fileName=name, content="x")

    for _ in range(2):
        assert world.done("remove", fileName=name) == {"success": True, "fileName": name}
    failed = world.failed("download", fileName=name)

    assert (failed.code, failed.retryable) == ("NOT_FOUND", False)
    assert repr(name) in failed.message


def test_a_file_longer_than_a_result_may_be_is_told(world: World, folder: str) -> None:
    world.done("upload", fileName=f"{folder}/big", content="x" * 2_000_000)

    failed = world.failed("download", fileName=f"{folder}/big")

    assert (failed.code, failed.retryable) == ("RESPONSE_TOO_LARGE", False)
    assert "has 2000000 bytes, a result takes 1048576: raise max_download_bytes" in failed.message


def test_an_attempt_after_its_address_was_closed_to_jobs_opens_no_socket(
    world: World, folder: str, settings: Settings
) -> None:
    if world_type(world) == "local":
        pytest.skip("a folder has no address")
    settings.EGRESS_ALLOW_CIDRS = []

    failed = world.failed("upload", fileName=f"{folder}/x", content="x")

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
    assert "127.0.0.1 is not public" in failed.message


def test_the_connection_is_checked_for_real(world: World) -> None:
    import asyncio

    from executors.providers.storage.check import check

    opened = world.call("stats", {}).resolved

    assert asyncio.run(check(opened)).startswith("connected: ")


def world_type(world: World) -> str:
    return str(world.call("stats", {}).resolved.type)


def world_connection(world: World) -> dict[str, Any]:
    return dict(json.loads(json.dumps(world.call("stats", {}).resolved.connection, default=str)))
