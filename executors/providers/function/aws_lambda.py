"""A function in AWS Lambda, through its Invoke API.

Owns the request (signed by botocore, with Signature Version 4) and what its answer means. It is sent by the one
guarded HTTP client, so that a run takes no thread, ends at its deadline, and reaches no address that it may not.
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from core import clock, http, strictjson
from core.errors import FieldError, Invalid
from core.fields import reject_unknown
from executors import inputs
from executors.base import INTERNAL_ERROR, VALIDATION_ERROR, AttemptFailed, Call
from executors.catalog.actions import DEFAULT_RESPONSE_BYTES
from executors.catalog.components import Found, Opened
from executors.exchange.answers import failed_answer, failed_exchange, plain_text
from executors.providers.function.provider import FUNCTION_FAILED
from executors.reach.threads import Threads

CHECK_SECONDS: Final = 10.0
MOST_PAYLOAD_BYTES: Final = 6 * 1024 * 1024  # what the API takes of a synchronous call
_API: Final = "2015-03-31"
_MESSAGE_CHARACTERS: Final = 1000
_THREADS: Final = Threads("lambda", 4)  # for loading and signing alone: sending takes none


def check_input(found: Found, input: Mapping[str, Any], *, recurring: bool) -> None:
    """Raise Invalid for what is no input of a Lambda function, NotFound for a reference to nothing."""
    reject_unknown(input, {"payload", "body"}, "input")
    if input.get("payload") is not None and input.get("body") is not None:
        raise Invalid.fields([FieldError("input.payload", "duplicate", "is given twice: also as input.body")])
    inputs.known_at_dispatch(found, input)


async def run(call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
    """Invoke the function once. Raises AttemptFailed."""
    payload = input.get("payload")
    try:
        body = strictjson.dumps(input.get("body") if payload is None else payload)
    except ValueError as error:
        raise AttemptFailed(VALIDATION_ERROR, f"the payload cannot be sent as JSON: {error}") from None
    if len(body) > MOST_PAYLOAD_BYTES:
        told = f"the payload has {len(body)} bytes, and the Lambda API takes {MOST_PAYLOAD_BYTES}"
        raise AttemptFailed(VALIDATION_ERROR, told)
    timeout = call.timeout
    if "timeout" in opened.connection:
        timeout = min(timeout, opened.connection["timeout"] / 1000)
    response = await _sent(await _THREADS.run(_request, opened, "POST", body, timeout), opened)
    return _result(response, opened)


async def check(opened: Opened) -> str:
    """Whether the function is there and these keys may see it: its configuration is read. Raises AttemptFailed."""
    response = await _sent(await _THREADS.run(_request, opened, "GET", None, CHECK_SECONDS), opened)
    try:
        found = strictjson.loads(response.body)
    except strictjson.NotJSON:
        raise AttemptFailed(INTERNAL_ERROR, "what answered is not the Lambda API: it sent no JSON") from None
    runtime = found.get("Runtime", "a container") if isinstance(found, dict) else "?"
    return f"connected: Lambda function {opened.connection['function_name']} ({runtime})"


async def _sent(request: http.HttpRequest, opened: Opened) -> http.HttpResponse:
    try:
        response = await http.send(request)
    except http.HttpError as error:
        failed = failed_exchange(error, redact=opened.redact)
        raise AttemptFailed(failed.code, failed.message, retryable=failed.retryable) from None
    if not 200 <= response.status < 300:
        failed = failed_answer("AWS Lambda", response, now=clock.machine_now(), redact=opened.redact)
        raise AttemptFailed(failed.code, failed.message, retryable=failed.retryable, retry_after=failed.retry_after)
    return response


def _request(opened: Opened, method: str, body: bytes | None, timeout: float) -> http.HttpRequest:
    """The signed request: invoke (POST), or read the configuration (GET)."""
    connection = opened.connection
    region = connection["region"]
    base = connection.get("endpoint_url") or _endpoint(region)
    what = "invocations" if method == "POST" else "configuration"
    url = f"{base.rstrip('/')}/{_API}/functions/{quote(connection['function_name'], safe='')}/{what}"
    if "qualifier" in connection:
        url += f"?Qualifier={quote(connection['qualifier'], safe='')}"
    headers = {}
    if method == "POST":
        headers = {
            "content-type": "application/json",
            "x-amz-invocation-type": connection.get("invocation_type", "RequestResponse"),
        }
    return http.HttpRequest(
        method=method,
        url=url,
        headers=_signed(connection, method, http.check_url(url), headers, body, region),
        body=body,
        timeout=timeout,
        max_response_bytes=connection.get("max_response_bytes", DEFAULT_RESPONSE_BYTES),
    )


@lru_cache(maxsize=64)
def _endpoint(region: str) -> str:
    """Where the API of a region is, as botocore's list of partitions says: China's and others' have a name of their own."""
    from botocore.session import Session  # heavy: loaded when the first function is called

    session = Session()
    partition = session.get_partition_for_region(region)
    data = session.get_component("endpoint_resolver").construct_endpoint("lambda", region, partition)
    return f"https://{data['hostname']}"


def _signed(
    connection: Mapping[str, Any], method: str, url: str, headers: dict[str, str], body: bytes | None, region: str
) -> dict[str, str]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method=method, url=url, headers=headers, data=body or b"")
    keys = Credentials(
        connection["access_key_id"], connection["secret_access_key"], connection.get("session_token") or None
    )
    SigV4Auth(keys, "lambda", region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items() if name.lower() != "host"}


def _result(response: http.HttpResponse, opened: Opened) -> Mapping[str, Any]:
    headers = response.headers
    result: dict[str, Any] = {"status": response.status}
    if "x-amz-executed-version" in headers:
        result["executed_version"] = headers["x-amz-executed-version"]
    if response.status == 202:
        result |= {"sent": True, "note": "Lambda took the event; how the function ends is not waited for"}
        return result
    text = opened.redact(plain_text(response.body))
    try:
        result["payload"] = strictjson.loads(text.encode()) if text else None
    except strictjson.NotJSON:
        result["payload"] = text
    if (kind := headers.get("x-amz-function-error")) is not None:
        raise AttemptFailed(FUNCTION_FAILED, _told(kind, result["payload"]), retryable=True)
    return result


def _told(kind: str, payload: Any) -> str:
    """`Unhandled` and what the function raised, in a sentence."""
    if isinstance(payload, dict) and ("errorMessage" in payload or "errorType" in payload):
        told = f"{payload.get('errorType', 'error')}: {payload.get('errorMessage', '')}"
    else:
        told = str(payload)
    return f"the function failed ({kind[:40]}): {told[:_MESSAGE_CHARACTERS]}"
