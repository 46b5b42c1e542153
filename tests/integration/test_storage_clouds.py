"""Azure's and Google's drivers where no emulator is needed, TLS, and Azurite where there is one."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.storage_world import World
from tests.servers.certificates import Authority
from tests.servers.objects import AZURE_ACCOUNT, AZURE_KEY, azurite
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def azure(url: str, **fields: Any) -> World:
    text = f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};BlobEndpoint={url}/acc"
    return World("azure", {"container": "files", "connection_string": text, **fields})


def google(url: str, private_key: str | None = None) -> World:
    connection: dict[str, Any] = {"bucket": "files", "endpoint_url": url}
    if private_key is not None:
        connection["credentials"] = {
            "type": "service_account", "client_email": "jobs@shop.example", "private_key": private_key,
            "private_key_id": "k1", "token_uri": f"{url}/token", "project_id": "shop",
        }  # fmt: skip
    return World("gcs", connection)


@pytest.mark.parametrize("make", [azure, google], ids=["azure", "gcs"])
def test_a_server_that_is_away_may_be_tried_again(make: Any) -> None:
    with Receiver() as gone:
        url = gone.url

    failed = make(url).failed("upload", fileName="a", content="x")

    assert (failed.code, failed.retryable) == ("CONNECTION_ERROR", True)


@pytest.mark.parametrize(("make", "path"), [(azure, "/acc/files/a"), (google, "/upload/storage/v1/b/files/o")])
@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(403, "FORBIDDEN", False), (401, "UNAUTHORIZED", False), (429, "RATE_LIMITED", True), (503, "SERVICE_UNAVAILABLE", True)],
)  # fmt: skip
def test_a_failure_is_told_and_nothing_is_sent_twice(
    receiver: Receiver, make: Any, path: str, status: int, code: str, retryable: bool
) -> None:
    receiver.answer(path, Answer(status=status, body={"error": {"message": "so"}}, headers={"Retry-After": "9"}))

    failed = make(receiver.url).failed("upload", fileName="a", content="x")

    assert (failed.code, failed.retryable, failed.retry_after) == (code, retryable, 9.0)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("make", [azure, google], ids=["azure", "gcs"])
def test_a_private_address_opens_no_socket(receiver: Receiver, make: Any, settings: Any) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    assert make(receiver.url).failed("listFiles").code == "FORBIDDEN"
    assert receiver.connections == 0


def test_azures_key_is_in_no_error_and_no_result(receiver: Receiver) -> None:
    receiver.answer("/acc/files/a", Answer(status=403, headers={"x-ms-error-code": "AuthenticationFailed"}))
    world = azure(receiver.url)

    failed = world.failed("upload", fileName="a", content="x")
    broken = World("azure", {"container": "files", "connection_string": f"AccountKey={AZURE_KEY};Nonsense"})
    told = broken.failed("listFiles")

    assert (failed.code, told.code) == ("UNAUTHORIZED", "VALIDATION_ERROR")
    assert AZURE_KEY not in str((failed, told, repr(world.call("stats", {}))))


def test_azure_signs_for_who_has_its_key(tmp_path: Path) -> None:
    with azurite(tmp_path) as connection:
        world = World("azure", connection)
        world.done("upload", fileName="a/ü.txt", content="hello")

        reading = world.done("getSignedUrl", fileName="a/ü.txt")
        writing = world.done("getSignedUrl", fileName="a/new", action="write")
        with urllib.request.urlopen(reading["url"]) as answer:
            assert answer.read() == b"hello"
        headers = {"x-ms-blob-type": "BlockBlob"}
        urllib.request.urlopen(urllib.request.Request(writing["url"], data=b"n", method="PUT", headers=headers)).close()
        assert world.done("download", fileName="a/new", encoding="text")["data"] == "n"
        wrong = connection["connection_string"].replace(AZURE_KEY, "d3Jvbmcta2V5")
        refused = World("azure", {**connection, "connection_string": wrong}).failed("listFiles")
        assert (refused.code, refused.retryable) in {("UNAUTHORIZED", False), ("FORBIDDEN", False)}
        missing = World("azure", {**connection, "container": "not-there"}).failed("remove", fileName="a")
        assert missing.code == "NOT_FOUND"


def test_a_service_account_gets_a_token_and_uses_it(receiver: Receiver, private_key: str) -> None:
    receiver.answer("/token", Answer(body={"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"}))
    receiver.answer(
        "/storage/v1/b/files/o",
        Answer(body={"items": [{"name": "a", "size": "3", "updated": "2026-01-02T03:04:05Z"}], "nextPageToken": "n"}),
    )

    page = google(receiver.url, private_key).done("listFiles", limit=1)

    assert page["files"] == [{"fileName": "a", "size": 3, "lastModified": 1767323045000}]
    assert (page["nextToken"], page["hasMore"]) == ("n", True)
    asked, listed = list(receiver.requests)
    assert parse_qs(asked.body.decode())["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert listed.headers["authorization"] == "Bearer ya29.token"
    assert "maxResults=1" in listed.path


def test_an_emulator_of_the_worker_is_asked_in_googles_place_and_nobody_logs_in(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer(
        "/storage/v1/b/files/o", Answer(body={"items": [{"name": "a", "size": "3", "updated": "2026-01-02T03:04:05Z"}]})
    )
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", receiver.url)

    page = World("gcs", {"bucket": "files"}).done("listFiles")

    assert [file["fileName"] for file in page["files"]] == ["a"]
    assert [request.headers.get("authorization") for request in receiver.requests] == [None]


def test_a_service_account_that_is_refused_is_told_without_its_key(receiver: Receiver, private_key: str) -> None:
    receiver.answer("/token", Answer(status=400, body={"error": "invalid_grant", "error_description": private_key}))

    failed = google(receiver.url, private_key).failed("listFiles")
    broken = google(receiver.url, "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n").failed("stats")

    assert (failed.code, failed.retryable) == ("UNAUTHORIZED", False)
    assert (broken.code, broken.retryable) == ("VALIDATION_ERROR", False)
    assert "PRIVATE" not in str((failed, broken))


def test_google_signs_with_the_service_accounts_key_and_asks_nobody(receiver: Receiver, private_key: str) -> None:
    signed = google(receiver.url, private_key).done("getSignedUrl", fileName="a b", expiresIn=60, action="PUT")
    unsigned = google(receiver.url).failed("getSignedUrl", fileName="a")

    query = parse_qs(urlsplit(signed["url"]).query)
    assert urlsplit(signed["url"]).path == "/files/a%20b"
    assert (query["X-Goog-Expires"], query["X-Goog-Algorithm"]) == (["60"], ["GOOG4-RSA-SHA256"])
    assert query["X-Goog-Credential"][0].startswith("jobs@shop.example/")
    assert len(receiver.requests) == 0
    assert "signed with a service account's key, and there is none" in unsigned.message


def test_a_key_file_is_read_where_it_may_be(receiver: Receiver, private_key: str, tmp_path: Path) -> None:
    account = {"client_email": "a@b.example", "private_key": private_key, "token_uri": f"{receiver.url}/token"}
    (tmp_path / "key.json").write_text(json.dumps(account))
    receiver.answer("/token", Answer(body={"access_token": "ya29.token", "expires_in": 3600}))
    receiver.answer("/storage/v1/b/files/o", Answer(body={}))
    connection = {"bucket": "files", "endpoint_url": receiver.url, "key_filename": str(tmp_path / "key.json")}

    assert World("gcs", connection).done("listFiles")["files"] == []
    (tmp_path / "key.json").write_text("no JSON")
    assert World("gcs", connection).failed("listFiles").code == "VALIDATION_ERROR"
    (tmp_path / "key.json").unlink()
    (tmp_path / "key.json").symlink_to("/etc/passwd")
    connection["key_filename"] = "$Secret{PATH}"  # which only a worker can look at
    world = World("gcs", connection, secrets=[{"key": "PATH", "value": str(tmp_path / "key.json")}])
    assert world.failed("listFiles").code == "FORBIDDEN"


@pytest.mark.parametrize(("names", "accepted"), [(("localhost",), True), (("other.example",), False)])
def test_tls_is_checked_against_the_name_and_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], accepted: bool
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    with Receiver(tls=authority.server(*names)) as receiver:
        receiver.answer("/files/a", Answer(status=204))
        connection = {
            "bucket": "files", "endpoint_url": receiver.url.replace("127.0.0.1", "localhost"),
            "access_key_id": "a", "secret_access_key": "the-s3-secret",
        }  # fmt: skip
        outcome = World("s3", connection).run("remove", fileName="a")

    assert (getattr(outcome, "code", None) is None) == accepted, outcome
    if not accepted:
        assert outcome.code == "CONNECTION_ERROR"


def test_a_call_over_tls_is_cut_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from executors.providers.storage import stores

    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    with Receiver(tls=authority.server("localhost")) as receiver:
        receiver.answer("/files/a", Answer(hang=True))
        connection = {
            "bucket": "files", "endpoint_url": receiver.url.replace("127.0.0.1", "localhost"),
            "access_key_id": "a", "secret_access_key": "the-s3-secret",
        }  # fmt: skip
        world = World("s3", connection)
        call = world.call("download", {"fileName": "a"})

        async def late() -> None:
            running = asyncio.create_task(world.executor.execute(call))
            while not receiver.requests:
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            deadline = time.monotonic() + 3
            while receiver.open_connections and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            await stores.close()

        asyncio.run(late())
        assert not receiver.open_connections
