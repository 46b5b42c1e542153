"""The API under load: started, given a catalog, and a body that dispatches its one action."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.inside import BODY, ENV, PRODUCT
from benchmarks.ours import System
from tests.servers.local import free_port, wait_until

KEY = "benchmark-operator-key-of-this-run-only"
APP, ACTION = "echo", "noop"
DISPATCH = {"product": PRODUCT, "env": ENV, "app": APP, "event": ACTION, "input": BODY}
NOWHERE = "http://127.0.0.1:9"  # where nothing listens: for jobs that are never run


@contextmanager
def api(system: System, upstream: str = NOWHERE) -> Iterator[str]:
    """The API's processes, with a product whose action calls `upstream`; the address of /v1."""
    port = free_port()
    system.environment |= {"PORT": str(port), "OPERATOR_API_KEY": KEY}
    with system.start("api"):
        wait_until(lambda: up(f"http://127.0.0.1:{port}/healthz"), "the API answers")
        put(f"http://127.0.0.1:{port}/v1/products/{PRODUCT}/catalog", catalog(upstream))
        yield f"http://127.0.0.1:{port}/v1"


def catalog(upstream: str) -> dict[str, Any]:
    return {
        "product": PRODUCT,
        "envs": [{"slug": ENV, "name": ENV}],
        "apps": [
            {
                "tag": APP,
                "envs": {ENV: {"base_url": upstream}},
                "events": [{"tag": ACTION, "method": "POST", "resource": "/"}],
            }
        ],
    }


def up(url: str) -> bool:
    """Whether something answers there."""
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True


def put(url: str, document: Mapping[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(document).encode(), headers, method="PUT")
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"PUT {url}: {error.code} {error.read().decode()[:500]}") from error
