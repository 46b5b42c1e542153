"""What the fuzzer finds: an API in a process of its own, and things in it that its calls can name.

The API runs on PostgreSQL where that is installed, else on SQLite. Neither worker nor scheduler nor broker runs:
no job begins, and nothing is sent to anybody.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.samples import SAMPLES, dispatched
from tests.servers.local import (
    FAST_POSTGRES,
    ROOT,
    free_port,
    new_database,
    postgres_binaries,
    postgres_server,
    process,
    wait_until,
)

KEY = "operator-key-of-at-least-32-characters"
PRODUCT, ENV, TAG, EVENT, SECRET = "shop", "prd", "main", "one", "KEY"
STILL = "still"  # of each kind one that no other call names: it stays as it is, so `check` goes where we say
YEARLY = {"start_at": 4_102_444_800_000, "every": 31_536_000_000}  # so late that it is in every state but running
SESSION = {"selector": "$Session{id}", "expiry": 7, "period": "days", "schema": {"id": "u_1"}}
CACHE = {"expiry": 60_000}
WEBHOOK = {"url": "https://example.com/fuzz", "events": ["*"]}  # nobody delivers here
DEFINITION = {
    "name": "n", "event_type": "ACTION", "event_tag": f"{TAG}:{EVENT}", "executions": 0, "intervals": 86_400_000,
}  # fmt: skip


@contextmanager
def api(folder: Path) -> Iterator[str]:
    """Its address. The database is empty, and goes with the folder."""
    with ExitStack() as stack:
        port = free_port()
        # A stream and a wait would hold the one who asks: no place for them is an answer, too.
        own = {"DATA_DIR": str(folder), "DATABASE_URL": _database(stack, folder), "PORT": str(port)}
        own |= {"REDIS_URL": "redis://127.0.0.1:1/0", "ENVIRONMENT": "local", "OPERATOR_API_KEY": KEY}
        limits = {"MOST_STREAMS": "0", "MOST_WAITING": "0", "API_PROCESSES": "1", "WEBHOOKS_PER_PRODUCT": "1000000"}
        env = {**os.environ, **own, **limits}
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "--verbosity=0"], cwd=ROOT, env=env, check=True)
        stack.enter_context(process([*manage, "api"], log=folder / "api.log", env=env, cwd=ROOT))
        base = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(base), "the API answers", 120)
        yield base


def _database(stack: ExitStack, folder: Path) -> str:
    """The URL of an empty database, "" for SQLite."""
    try:
        postgres_binaries()
    except FileNotFoundError:
        return ""
    own = folder / "postgresql"
    own.mkdir()
    folder.chmod(0o755)  # PostgreSQL, which is not root, has to reach its own folder
    address = new_database(stack.enter_context(postgres_server(own, FAST_POSTGRES)), "fuzz")
    return address.replace("postgresql://", "postgres://")


def furnish(base: str) -> dict[str, str]:
    """Put into place what calls can name, also where earlier calls have changed it. The ids of a job and a webhook of it,
    by the names that paths give them."""
    catalog: dict[str, Any] = {
        plural: [sample.entry(tag, ENV, EVENT) for tag in (TAG, STILL)] for plural, sample in SAMPLES.items()
    }
    secrets = [{"key": SECRET, "value": "not a secret"}]
    document = {"product": PRODUCT, "envs": [{"slug": ENV}], "secrets": secrets, **catalog}
    _call("PUT", f"{base}/v1/products/{PRODUCT}/catalog?force=true", document)
    for noun, written in (("sessions", SESSION), ("caches", CACHE), ("jobs", DEFINITION)):
        _call("POST", f"{base}/v1/products/{PRODUCT}/{noun}", {"tag": TAG, **written}, also=409)
    target = dispatched("/v1/actions/dispatch", TAG, EVENT)
    body = {"product": PRODUCT, "env": ENV, **target, "schedule": YEARLY}
    job_id = str(_call("POST", f"{base}/v1/actions/dispatch", body)["job_id"])
    webhook_id = _call("PUT", f"{base}/v1/jobs/webhook", WEBHOOK)["id"]
    _call("PATCH", f"{base}/v1/webhooks/{webhook_id}", {"enabled": True})
    delivery_id = _call("POST", f"{base}/v1/webhooks/{webhook_id}/test", {})["id"]
    return {"job_id": job_id, "webhook_id": webhook_id, "delivery_id": delivery_id}


def operations(base: str) -> dict[str, str]:
    """The operations of the description, as `GET /v1/jobs` → the operation's name."""
    paths = requests.get(f"{base}/v1/openapi.json", timeout=60).json()["paths"]
    return {
        f"{method.upper()} {path}": operation["operationId"]
        for path, item in paths.items()
        for method, operation in item.items()
        if method != "parameters"
    }


def _call(method: str, url: str, body: dict[str, Any], *, also: int | None = None) -> dict[str, Any]:
    """The answer. Raises where it is an error other than `also`."""
    answer = requests.request(method, url, json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60)
    if not answer.ok and answer.status_code != also:
        raise RuntimeError(f"{method} {url}: {answer.status_code} {answer.text}")
    told: dict[str, Any] = answer.json()
    return told


def _answers(base: str) -> bool:
    try:
        return requests.get(f"{base}/healthz", timeout=5).ok
    except requests.RequestException:
        return False
