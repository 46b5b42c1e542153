"""AWS Lambda: the request beside the one that AWS's own client makes, its documented answers, and moto's server."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from core.errors import Invalid
from executors.base import AttemptFailed, Done, Failed
from tests.integration.function_world import World
from tests.servers.local import free_port, wait_until
from tests.servers.receiver import Answer, Received, Receiver

pytestmark = pytest.mark.django_db

KEY, SECRET = "AKIAFORTESTSONLY0001", "lambda-secret-key-of-tests"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def world(endpoint: str, **connection: Any) -> World:
    given = {
        "region": "eu-west-1", "function_name": "resize", "access_key_id": KEY, "secret_access_key": SECRET,
        "endpoint_url": endpoint, **connection,
    }  # fmt: skip
    return World({"type": "lambda"}, **given)


def answer(receiver: Receiver, answer: Answer, name: str = "resize", query: str = "") -> None:
    receiver.answer(f"/2015-03-31/functions/{name}/invocations{query}", answer)


def test_a_payload_is_sent_and_the_answer_is_the_result(receiver: Receiver) -> None:
    answer(receiver, Answer(body={"ok": [1]}, headers={"X-Amz-Executed-Version": "$LATEST"}))
    over = world(receiver.url)
    over.check(payload={"n": 1})

    outcome = over.run(input={"payload": {"n": 1}})

    assert outcome == Done({"status": 200, "executed_version": "$LATEST", "payload": {"ok": [1]}})
    request = receiver.requests[-1]
    assert (request.method, request.json()) == ("POST", {"n": 1})
    assert request.headers["x-amz-invocation-type"] == "RequestResponse"


@pytest.mark.parametrize(
    "name", ["resize", "arn:aws:lambda:eu-west-1:123456789012:function:resize", "123456789012:resize"]
)
def test_the_request_is_the_one_that_the_makers_client_sends(receiver: Receiver, name: str) -> None:
    with_qualifier = world(receiver.url, function_name=name, qualifier="live", session_token="session-token-1")
    with_qualifier.run(input={"payload": {"n": 1}})
    ours = receiver.requests[-1]
    client = boto3.client(
        "lambda", region_name="eu-west-1", endpoint_url=receiver.url, aws_access_key_id=KEY,
        aws_secret_access_key=SECRET, aws_session_token="session-token-1", config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    try:
        client.invoke(
            FunctionName=name, Qualifier="live", Payload=b'{"n":1}', InvocationType="RequestResponse"
        )["Payload"].read()  # fmt: skip
    finally:
        client.close()
    theirs = receiver.requests[-1]

    assert (ours.method, ours.path, ours.body) == (theirs.method, theirs.path, theirs.body)
    assert ours.headers["x-amz-security-token"] == theirs.headers["x-amz-security-token"]
    for request in (ours, theirs):
        assert _signature_fits(request, receiver.url)


def _signature_fits(request: Received, url: str) -> bool:
    """Whether the signature is the one of the request as it arrived."""
    authorization = request.headers["authorization"]
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    signed = {name: request.headers[name] for name in names if name not in {"host", "x-amz-date"}}
    again = AWSRequest(method=request.method, url=url + request.path, data=request.body, headers=signed)
    again.context["timestamp"] = request.headers["x-amz-date"]
    again.headers["X-Amz-Date"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(KEY, SECRET), "lambda", "eu-west-1")
    signature = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    return authorization.endswith(f"Signature={signature}")


def test_what_a_function_raises_fails_the_run(receiver: Receiver) -> None:
    raised = {"errorMessage": f"no {SECRET} there", "errorType": "KeyError", "stackTrace": ["…"]}
    answer(receiver, Answer(body=raised, headers={"X-Amz-Function-Error": "Unhandled"}))

    outcome = world(receiver.url).run(input={"payload": {}})

    assert outcome == Failed(
        code="FUNCTION_FAILED", message="the function failed (Unhandled): KeyError: no *** there", retryable=True
    )


def test_an_event_is_done_when_lambda_took_it(receiver: Receiver) -> None:
    answer(receiver, Answer(status=202, body=b""))

    outcome = world(receiver.url, invocation_type="Event").run(input={})

    assert isinstance(outcome, Done)
    assert (outcome.result["status"], outcome.result["sent"]) == (202, True)
    assert receiver.requests[-1].headers["x-amz-invocation-type"] == "Event"
    assert receiver.requests[-1].body == b"null"


@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        (400, "InvalidRequestContentException", "VALIDATION_ERROR", False), (403, "AccessDeniedException", "FORBIDDEN", False),
        (404, "ResourceNotFoundException", "NOT_FOUND", False), (429, "TooManyRequestsException", "RATE_LIMITED", True),
        (500, "ServiceException", "SERVICE_UNAVAILABLE", True), (502, "EC2ThrottledException", "SERVICE_UNAVAILABLE", True),
    ],
)  # fmt: skip
def test_each_documented_error_has_its_code(
    receiver: Receiver, status: int, kind: str, code: str, retryable: bool
) -> None:
    answer(receiver, Answer(status=status, body={"Type": "User", "Message": kind}))

    outcome = world(receiver.url).run(input={})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == (code, retryable)
    assert kind in outcome.message


def test_a_function_that_hangs_ends_at_its_deadline(receiver: Receiver) -> None:
    answer(receiver, Answer(hang=True))

    outcome = world(receiver.url, timeout=300).run(input={})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("TIMEOUT", True)


def test_an_input_that_does_not_fit_is_told_at_dispatch(receiver: Receiver) -> None:
    with pytest.raises(Invalid) as caught:
        world(receiver.url).check(args=[1])
    assert [(error.field, error.code) for error in caught.value.errors] == [("input.args", "unknown_field")]


def test_a_private_endpoint_is_refused_before_a_socket_opens(settings: Any, receiver: Receiver) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    outcome = world(receiver.url).run(input={})

    assert isinstance(outcome, Failed)
    assert outcome.code == "FORBIDDEN"
    assert len(receiver.requests) == 0


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: _listens(port), "moto's server")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_the_servers_of_moto_take_the_calls(moto: str) -> None:
    _create_function(moto)
    over = world(moto)

    assert over.tried() == "connected: Lambda function resize (python3.11)"
    outcome = over.run(input={"payload": {"n": 1}})
    missing = world(moto, function_name="other")
    with pytest.raises(AttemptFailed) as caught:
        missing.tried()

    # Without docker moto cannot run the function, and says so in the way a function fails.
    assert isinstance(outcome, Failed)
    assert outcome.code == "FUNCTION_FAILED"
    assert outcome.message.startswith("the function failed (Handled)")
    assert caught.value.failed.code == "NOT_FOUND"


def _create_function(url: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("main.py", "def handler(event, context):\n    return event\n")
    made: dict[str, Any] = {
        "endpoint_url": url,
        "region_name": "eu-west-1",
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
    }
    iam, client = boto3.client("iam", **made), boto3.client("lambda", **made)
    try:
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = iam.create_role(RoleName="run", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        client.create_function(
            FunctionName="resize", Runtime="python3.11", Role=role, Handler="main.handler", Code={"ZipFile": packed.getvalue()}
        )  # fmt: skip
    finally:
        iam.close()
        client.close()
