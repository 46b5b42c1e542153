"""S3's protocol: how it fails, how it is cut, what it never does; against moto, and a receiver that breaks."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from urllib3 import PoolManager

from executors.base import AttemptFailed, Done, Failed, Outcome
from executors.catalog.components import Opened
from executors.providers.storage import calls, stores, transfer, wire
from executors.providers.storage.check import check
from executors.providers.storage.s3 import S3Store
from executors.providers.storage.store import PART_BYTES, Store
from tests.integration.storage_world import World
from tests.servers.local import wait_until
from tests.servers.objects import S3Server
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


TAKEN = Answer(status=204)


def at(receiver: Receiver, **fields: Any) -> World:
    return World(
        "s3",
        {
            "bucket": "files", "region": "eu-west-1", "endpoint_url": receiver.url, "access_key_id": "AKIDTEST",
            "secret_access_key": "the-s3-secret", **fields,
        },
    )  # fmt: skip


def error(status: int, code: str, **fields: Any) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said so</Message></Error>"
    return Answer(status=status, body=body, headers={"Content-Type": "application/xml", **fields})


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (error(403, "AccessDenied"), "FORBIDDEN", False), (error(403, "SignatureDoesNotMatch"), "UNAUTHORIZED", False),
        (error(403, "InvalidAccessKeyId"), "UNAUTHORIZED", False), (error(404, "NoSuchBucket"), "NOT_FOUND", False),
        (error(503, "SlowDown"), "RATE_LIMITED", True), (error(503, "ServiceUnavailable"), "SERVICE_UNAVAILABLE", True),
        (error(500, "InternalError"), "SERVICE_UNAVAILABLE", True), (Answer(reset=True), "CONNECTION_ERROR", True),
        (Answer(garbage=True), "CONNECTION_ERROR", True), (Answer(status=502, body="<html>bad</html>"), "SERVICE_UNAVAILABLE", True),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_failure_is_told_and_nothing_is_sent_twice(
    receiver: Receiver, answer: Answer, code: str, retryable: bool
) -> None:
    receiver.answer("/files/a", answer)

    failed = at(receiver).failed("upload", fileName="a", content="x")

    assert (failed.code, failed.retryable) == (code, retryable)
    assert failed.message.startswith("'a' in S3 bucket 'files' at http://127.0.0.1:")
    assert len(receiver.requests) == 1


def test_how_long_to_wait_is_handed_on(receiver: Receiver) -> None:
    receiver.answer("/files/a", error(503, "SlowDown", **{"Retry-After": "17"}))

    assert at(receiver).failed("download", fileName="a").retry_after == 17.0


def test_what_is_sent_is_signed_and_holds_no_secret(receiver: Receiver) -> None:
    receiver.answer("/files/a%20b/%C3%BC", TAKEN)

    at(receiver).done("upload", fileName="a b/ü", content="x", mimeType="text/csv")

    sent = receiver.requests[0]
    assert (sent.method, sent.path, sent.body) == ("PUT", "/files/a%20b/%C3%BC", b"x")
    assert sent.headers["content-type"] == "text/csv"
    assert sent.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDTEST/")
    assert "the-s3-secret" not in str(sent.as_dict())


def test_keys_and_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDWORKER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-worker")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-worker")
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    receiver.answer("/files/a", TAKEN)

    at(receiver).done("upload", fileName="a", content="x")

    sent = receiver.requests[0]
    assert "Credential=AKIDTEST/" in sent.headers["authorization"]
    assert "x-amz-security-token" not in sent.headers


def test_a_name_that_leads_to_a_private_address_opens_no_socket(receiver: Receiver, settings: Any) -> None:
    settings.EGRESS_ALLOW_CIDRS = []
    port = receiver.url.rpartition(":")[2]

    failed = at(receiver, endpoint_url=f"http://localhost:{port}").failed("listFiles")

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
    assert receiver.connections == 0


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/"])
def test_no_file_is_fetched_from_a_forbidden_address(server: S3Server, url: str) -> None:
    failed = World("s3", server.connection).failed("upload", fileName="stolen", url=url)

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (Answer(status=404), "NOT_FOUND", False), (Answer(status=503), "SERVICE_UNAVAILABLE", True),
        (Answer(status=302, headers={"Location": "http://169.254.169.254/"}), "VALIDATION_ERROR", False),
        (Answer(status=429, headers={"Retry-After": "3"}), "RATE_LIMITED", True), (Answer(reset=True), "CONNECTION_ERROR", True),
    ],
    ids=["missing", "unavailable", "redirect", "limited", "reset"],
)  # fmt: skip
def test_what_cannot_be_fetched_is_not_stored(
    server: S3Server, receiver: Receiver, answer: Answer, code: str, retryable: bool
) -> None:
    receiver.answer("/f", answer)
    world = World("s3", server.connection)

    failed = world.failed("upload", fileName="fetched-not", url=f"{receiver.url}/f?token=hush")

    assert (failed.code, failed.retryable) == (code, retryable)
    assert "hush" not in failed.message
    assert world.done("listFiles", prefix="fetched-not")["files"] == []


def test_parts_of_an_upload_that_fails_are_thrown_away(server: S3Server, receiver: Receiver) -> None:
    receiver.answer("/f", Answer(size=4 * PART_BYTES, cut=True))

    World("s3", server.connection).failed("upload", fileName="half", url=f"{receiver.url}/f")

    assert server.client.list_multipart_uploads(Bucket=server.bucket).get("Uploads", []) == []


def test_a_signed_url_reads_and_another_writes(server: S3Server) -> None:
    world = World("s3", server.connection)
    world.done("upload", fileName="signed/ü.txt", content="hello")

    reading = world.done("getSignedUrl", fileName="signed/ü.txt", expiresIn=60)
    writing = world.done("getSignedUrl", fileName="signed/new.txt", action="write", mimeType="text/csv")
    with urllib.request.urlopen(reading["url"]) as answer:
        assert answer.read() == b"hello"
    put = urllib.request.Request(writing["url"], data=b"new", method="PUT", headers={"Content-Type": "text/csv"})
    urllib.request.urlopen(put).close()

    assert server.get("signed/new.txt") == b"new"
    assert (reading["action"], reading["expiresIn"], writing["action"]) == ("read", 60, "write")
    assert 0 < reading["expiresAt"] - time.time() * 1000 <= 60_000
    assert "X-Amz-Expires=3600" in writing["url"]


def test_a_signed_url_that_would_show_a_secret_is_not_handed_out_broken(server: S3Server) -> None:
    connection = {**server.connection, "access_key_id": "$Secret{KEY_ID}"}
    world = World("s3", connection, secrets=[{"key": "KEY_ID", "value": "AKIDSECRET"}])

    failed = world.failed("getSignedUrl", fileName="a")

    assert failed.code == "VALIDATION_ERROR"
    assert "AKIDSECRET" not in failed.message
    assert "write the name of the account or key" in failed.message


def test_no_secret_is_in_a_result_or_an_error(server: S3Server) -> None:
    world = World("s3", server.connection, secrets=[{"key": "TOKEN", "value": "tok-hush"}])

    echoed = world.done("upload", fileName="of-$Secret{TOKEN}", content="x")
    failed = world.failed("download", fileName="of-$Secret{TOKEN}-2")

    assert echoed["fileName"] == "of-***"
    assert "tok-hush" not in str((echoed, failed))
    assert "the-s3-secret" not in repr(world.call("stats", {}))


def test_a_server_that_is_away_may_be_tried_again_and_is_found_again() -> None:
    with Receiver() as first:
        port = int(first.url.rpartition(":")[2])
        first.answer("/files/a", TAKEN)
        world = at(first)
        world.done("remove", fileName="a")

    away = world.failed("remove", fileName="a")

    assert (away.code, away.retryable) == ("CONNECTION_ERROR", True)
    assert "Connection refused" in away.message
    with Receiver(port=port) as again:
        again.answer("/files/a", TAKEN)
        world.done("remove", fileName="a")


def test_a_call_is_cut_at_its_deadline_and_its_thread_is_free(receiver: Receiver) -> None:
    receiver.answer("/files/a", Answer(hang=True))
    world = at(receiver)
    call = world.call("download", {"fileName": "a"})
    began = time.monotonic()

    async def late() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await world.executor.execute(call)
        deadline = time.monotonic() + 3
        while receiver.open_connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await stores.close()

    asyncio.run(late())

    assert not receiver.open_connections
    assert time.monotonic() - began < 3


def test_an_upload_that_is_cancelled_throws_its_parts_away(server: S3Server) -> None:
    store = S3Store(server.connection)
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * PART_BYTES
        while True:
            yield b"x" * PART_BYTES
            begun.set()  # a part is stored

    async def cancelled() -> None:
        moving = asyncio.create_task(transfer.move(store, "endless", endless(), "text/plain"))
        await begun.wait()
        assert server.client.list_multipart_uploads(Bucket=server.bucket)["Uploads"]
        moving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moving

    asyncio.run(cancelled())
    store.close()

    deadline = time.monotonic() + 5
    while server.client.list_multipart_uploads(Bucket=server.bucket).get("Uploads") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.client.list_multipart_uploads(Bucket=server.bucket).get("Uploads", []) == []
    with pytest.raises(AttemptFailed, match="NoSuchKey"):
        S3Store(server.connection).read("endless", 1)


def test_one_client_serves_many_runs_and_is_closed_in_the_end(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    closed: list[Any] = []
    make, close = stores.make, S3Store.close

    def noted(opened: Opened) -> Store:
        made.append(make(opened))
        store: Store = made[-1]
        return store

    def ended(store: S3Store) -> None:
        closed.append(store)
        close(store)

    monkeypatch.setattr(stores, "make", noted)
    monkeypatch.setattr(S3Store, "close", ended)
    receiver.answer("/files/a", TAKEN)
    world = at(receiver)
    attempts = [world.call("remove", {"fileName": "a"}) for _ in range(30)]

    async def together() -> list[Outcome]:
        outcomes = await asyncio.gather(*(world.executor.execute(call) for call in attempts))
        await stores.close()
        return outcomes

    outcomes = asyncio.run(together())

    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert len(receiver.requests) == 30
    assert (len(made), closed) == (1, made)


def test_slow_storages_do_not_stall_the_loop(receiver: Receiver) -> None:
    receiver.answer("/files/a", Answer(status=204, delay=0.5))
    world = at(receiver)
    attempts = [world.call("remove", {"fileName": "a"}) for _ in range(20)]

    async def lateness() -> float:
        running = asyncio.gather(*(world.executor.execute(call) for call in attempts))
        worst = 0.0
        while not running.done():
            began = time.monotonic()
            await asyncio.sleep(0.01)
            if len(receiver.requests) == 20:  # after a client was made and its driver imported
                worst = max(worst, time.monotonic() - began)
        await running
        await stores.close()
        return worst

    assert asyncio.run(lateness()) < 0.3


def test_a_check_says_what_was_reached_or_what_failed(server: S3Server, receiver: Receiver) -> None:
    world = World("s3", server.connection)
    opened = world.call("stats", {}).resolved

    assert asyncio.run(check(opened)).startswith(f"connected: S3 bucket '{server.bucket}' at http://127.0.0.1:")
    receiver.answer("/files", error(403, "InvalidAccessKeyId"))
    with pytest.raises(AttemptFailed, match="answered 403 InvalidAccessKeyId: said so") as caught:
        asyncio.run(check(at(receiver).call("stats", {}).resolved))
    assert caught.value.failed.code == "UNAUTHORIZED"


def test_a_call_that_was_cut_opens_no_other_socket() -> None:
    running = calls._Running()
    running.cut()
    failures: list[BaseException] = []

    def use() -> None:
        try:
            running.run(calls.go_on)
        except AttemptFailed as failed:
            failures.append(failed)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()

    assert len(failures) == 1


def test_a_saved_event_runs_its_operation(server: S3Server) -> None:
    events = [
        {"tag": "dump", "operation": "upload", "template": {"fileName": "dump-{{day}}.json", "content": "{{rows}}"}},
        {"tag": "newest", "operation": "listFiles", "template": {"prefix": "dump-", "limit": "{{most}}"}},
        {"tag": "all", "operation": "stats"},
    ]
    world = World("s3", server.connection, events=events)

    result = world.done("dump", day="mon", rows=[{"a": 1}])
    listed = world.done("files:newest", most=1)

    assert (result["fileName"], result["mimeType"]) == ("dump-mon.json", "application/json")
    assert server.get("dump-mon.json") == b'[{"a": 1}]'
    assert [file["fileName"] for file in listed["files"]] == ["dump-mon.json"]
    assert world.done("all")["totalFiles"] >= 1
    failed = world.run("newest", most=5000)
    assert isinstance(failed, Failed)
    assert failed.message == "input.limit: must be a whole number between 1 and 1000"


def test_a_call_that_is_cut_while_it_connects_leaves_no_socket(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = PoolManager()
    wire.guard(manager)
    running = calls._Running()

    def cut_meanwhile(host: str, port: int) -> str:
        running.cut()
        return host

    monkeypatch.setattr(wire, "checked", cut_meanwhile)

    with pytest.raises(AttemptFailed, match="taken away"):
        copy_context().run(running.run, lambda: manager.request("GET", receiver.url, retries=False))

    gc.collect()  # a socket that nobody has closed warns here
    wait_until(lambda: receiver.connections == 1 and not receiver.open_connections, "it is closed", seconds=5)
