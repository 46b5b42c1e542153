"""Who answers must be who was asked: certificates of outgoing calls are verified, and nothing is sent before that."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop

from core import http
from core.http import HttpConnectionError, HttpRequest
from executors.base import Failed
from tests.integration.action_world import World
from tests.servers.certificates import Authority, self_signed
from tests.servers.local import ROOT
from tests.servers.receiver import Receiver

# A process of its own, since OpenSSL's variables count from its start: it calls each address, on the worker's
# loop, and prints the status or the error's name and text.
CALLS = """
import asyncio, json, os, sys
import uvloop
os.environ["DJANGO_SETTINGS_MODULE"] = "ductape_jobs.settings"
from core import http

async def call(url):
    try:
        return (await http.send(http.HttpRequest(method="POST", url=url, body=b"{}", timeout=10))).status
    except http.HttpError as error:
        return [type(error).__name__, str(error)]

async def calls():
    answers = [await call(url) for url in sys.argv[1:]]
    await http.close()
    return answers

print(json.dumps(uvloop.run(calls())))
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def unknown(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver whose certificate nobody vouches for."""
    with Receiver(tls=self_signed(tmp_path, "localhost", "127.0.0.1")) as receiver:
        yield receiver


def by_name(receiver: Receiver) -> str:
    return receiver.url.replace("127.0.0.1", "localhost")


def answers_with_trust(authority: Authority, *urls: str) -> list[int | list[str]]:
    """What a process hears that trusts this authority through SSL_CERT_FILE."""
    done = subprocess.run(
        [sys.executable, "-c", CALLS, *urls], cwd=ROOT, env={**os.environ, "SSL_CERT_FILE": str(authority.path)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    answers: list[int | list[str]] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_a_certificate_that_nobody_vouches_for_is_refused(
    unknown: Receiver, address: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    url = unknown.url.replace("127.0.0.1", address)

    async def call() -> None:
        try:
            await http.send(HttpRequest(method="POST", url=f"{url}/?token=s3cret", body=b"{}", timeout=5))
        finally:
            await http.close()

    with asyncio.Runner(loop_factory=loop) as runner, pytest.raises(HttpConnectionError) as caught:
        runner.run(call())

    assert str(caught.value).startswith(f"{url}: its certificate is not valid: ")
    assert "self-signed certificate" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert not unknown.requests


@pytest.mark.django_db(transaction=True)
def test_the_run_of_an_action_fails_with_that_as_a_connection_error(unknown: Receiver) -> None:
    outcome = World(unknown).run("list")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("CONNECTION_ERROR", True)
    assert "its certificate is not valid" in outcome.message
    assert "self-signed certificate" in outcome.message
    assert not unknown.requests


def test_an_authority_named_by_ssl_cert_file_is_trusted_for_the_names_it_signed(
    authority: Authority, unknown: Receiver
) -> None:
    with Receiver(tls=authority.server("localhost", "127.0.0.1")) as known:
        told = answers_with_trust(authority, by_name(known), known.url, unknown.url)
        assert told[:2] == [200, 200]
        assert [request.method for request in known.requests] == ["POST", "POST"]

    name, text = _refusal(told[2])
    assert name == "HttpConnectionError"
    assert "self-signed certificate" in text
    assert not unknown.requests


@pytest.mark.parametrize(
    ("names", "expires", "reason"),
    [
        (["other.example"], timedelta(days=1), "certificate is not valid for 'localhost'"),
        (["127.0.0.1"], timedelta(days=1), "certificate is not valid for 'localhost'"),
        (["localhost"], timedelta(days=-1), "certificate has expired"),
    ],
    ids=["of another name", "of the address alone", "expired"],
)
def test_a_certificate_of_a_trusted_authority_must_be_for_that_name_and_of_today(
    authority: Authority, names: list[str], expires: timedelta, reason: str
) -> None:
    with Receiver(tls=authority.server(*names, expires=expires)) as receiver:
        (told,) = answers_with_trust(authority, by_name(receiver))
        assert not receiver.requests

    name, text = _refusal(told)
    assert name == "HttpConnectionError"
    assert text.startswith(f"{by_name(receiver)}: its certificate is not valid: ")
    assert reason in text


def test_a_certificate_of_a_name_is_not_one_of_its_address(authority: Authority) -> None:
    with Receiver(tls=authority.server("localhost")) as receiver:
        (told,) = answers_with_trust(authority, receiver.url)
        assert not receiver.requests

    assert "certificate is not valid for '127.0.0.1'" in _refusal(told)[1]


def _refusal(told: int | list[str]) -> tuple[str, str]:
    assert isinstance(told, list), f"it was answered {told}"
    return told[0], told[1]
