"""The demo product, and the first job: what a new user sees before the first own dispatch.

Everything here goes through the REST API with the operator key, as a user's own program would.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from typing import Any

from core.http import HttpError, HttpRequest, send

PRODUCT = "demo"
FIRST_INPUT = {"text": "hello"}
API_SECONDS = 30.0
WAIT_MS = 20_000


class DemoFailed(Exception):
    """The API did not come up, or did not answer as it should."""


def catalog(echo_url: str) -> dict[str, Any]:
    """The catalog document: one app, whose address is the echo receiver."""
    return {
        "product": PRODUCT,
        "name": "Demo",
        "envs": [{"slug": "dev", "name": "Development"}],
        "apps": [
            {
                "tag": "echo",
                "name": "Echo receiver of 'make up'",
                "envs": {"dev": {"base_url": echo_url}},
                "events": [
                    {"tag": name, "method": "POST", "resource": f"/{name}"} for name in ("say", "slow", "flaky")
                ],
            }
        ],
    }


def dispatch_body() -> dict[str, Any]:
    return {"product": PRODUCT, "env": "dev", "app": "echo", "event": "say", "input": {"body": FIRST_INPUT}}


class Api:
    """The REST API of this installation, as far as the demo needs it."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._key = key

    def wait(self, still: Any) -> None:
        """Return when it answers; `still` is called meanwhile, and may raise. DemoFailed when it takes too long."""
        deadline = time.monotonic() + API_SECONDS
        while True:
            still()
            try:
                if self._send("GET", "/healthz", None, seconds=2).status == 200:
                    return
            except HttpError:
                pass
            if time.monotonic() > deadline:
                raise DemoFailed(f"the API did not answer on {self.url} within {API_SECONDS:.0f} s")
            time.sleep(0.05)

    def load_demo(self, echo_url: str) -> None:
        """Make the demo product, or point it at the receiver's address of today."""
        self._call("PUT", f"/v1/products/{PRODUCT}/catalog", catalog(echo_url))

    def run_first_job(self) -> dict[str, Any]:
        """Dispatch the first job and wait for its end: the job, as the API tells it."""
        job_id = self._call("POST", "/v1/actions/dispatch", dispatch_body())["job_id"]
        return self._call("GET", f"/v1/jobs/{job_id}?wait={WAIT_MS}", None)

    def _call(self, method: str, path: str, body: Any) -> dict[str, Any]:
        try:
            answer = self._send(method, path, body, seconds=API_SECONDS + WAIT_MS / 1000)
        except HttpError as error:
            raise DemoFailed(f"{method} {path}: {error}") from error
        told: dict[str, Any] = json.loads(answer.body)
        if not 200 <= answer.status < 300:
            raise DemoFailed(f"{method} {path} was answered {answer.status}: {told.get('detail', told)}")
        return told

    def _send(self, method: str, path: str, body: Any, *, seconds: float) -> Any:
        request = HttpRequest(
            method=method,
            url=self.url + path,
            headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
            body=None if body is None else json.dumps(body).encode(),
            timeout=seconds,
        )
        return asyncio.run(send(request))


def curl_line(url: str, key: str) -> str:
    """A dispatch as a command for the shell. `key` is put in as it is: a key, or `$(cat …)`."""
    return (
        f'curl -s {url}/v1/actions/dispatch -H "Authorization: Bearer {key}"'
        f" -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(dispatch_body()))}"
    )
