"""`python -m tests.fuzz [--seconds 120] [--seed 1]`: schemathesis drives every operation of the API's description.

A real API over a small world of its own, asked with what its description allows and with what it does not: no server
error, no answer that is not described, and nothing taken that the description forbids. Exits with schemathesis's
status; its report is what it prints. Needs the package `schemathesis`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests

from tests.servers.local import ROOT, free_port, process, wait_until

KEY = "operator-key-of-at-least-32-characters"
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection",
)  # fmt: skip
REFUSALS = ["400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "429"]
LEFT_OUT = (
    "/check$",  # goes out to whatever address was made up for a component
    "/readyz$",  # says 503, as it should: no worker and no scheduler run here
)
CATALOG = {
    "product": "shop",
    "envs": [{"slug": "prd", "name": "Production"}],
    "apps": [
        {
            "tag": "mail",
            "envs": {"prd": {"base_url": "http://127.0.0.1:9"}},
            "events": [{"tag": "send", "method": "POST", "resource": "/send"}],
        }
    ],
}
YEARLY = {"start_at": 4_102_444_800_000, "every": 31_536_000_000}  # so late that it is in every state but running


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=120, help="the time that it may take")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        port = free_port()
        # A stream and a wait would hold the one who asks: no place for them is an answer, too.
        own = {"DATA_DIR": name, "DATABASE_URL": "", "REDIS_URL": "redis://127.0.0.1:1/0", "PORT": str(port)}
        limits = {"MOST_STREAMS": "0", "MOST_WAITING": "0", "API_PROCESSES": "1", "OPERATOR_API_KEY": KEY}
        env = {**os.environ, **own, **limits, "ENVIRONMENT": "local"}
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "--verbosity=0"], cwd=ROOT, env=env, check=True)
        with process([*manage, "api"], log=folder / "api.log", env=env, cwd=ROOT):
            base = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(base), "the API answers", 60)
            settings = _settings(folder, _job(base))
            return _drive(base, settings, seconds=options.seconds, seed=options.seed)


def _drive(base: str, settings: Path, *, seconds: int, seed: int) -> int:
    left_out = [f"--exclude-path-regex={'|'.join(LEFT_OUT)}"]
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", f"{base}/v1/openapi.json",
        f"--header=Authorization: Bearer {KEY}", f"--checks={','.join(CHECKS)}", f"--max-time={seconds}", f"--seed={seed}",
        "--phases=examples,coverage,fuzzing", "--max-examples=5", "--continue-on-failure",
        "--suppress-health-check=all", "--no-color", *left_out,
    ]  # fmt: skip
    return subprocess.run(command, cwd=settings.parent, check=False).returncode


def _settings(folder: Path, job_id: str) -> Path:
    """What stands in the paths: things that are there, so that calls get past `not found`; only deleting finds none."""
    there = {"product": "shop", "env": "prd", "tag": "mail", "event": "send", "job_id": job_id}
    lines = ["[parameters]", *(f'"path.{name}" = {json.dumps(value)}' for name, value in there.items())]
    gone = ", ".join(f'"path.{name}" = "gone"' for name in there)
    lines += ["[[operations]]", 'include-method = "DELETE"', f"parameters = {{ {gone} }}"]
    lines += ["[checks.negative_data_rejection]", f"expected-statuses = {json.dumps(REFUSALS)}"]
    path = folder / "schemathesis.toml"
    path.write_text("\n".join(lines))
    return path


def _job(base: str) -> str:
    """A recurring job in a catalog that has what it calls: its id."""
    _call("PUT", f"{base}/v1/products/shop/catalog", CATALOG)
    body = {"product": "shop", "env": "prd", "app": "mail", "event": "send", "input": {}, "schedule": YEARLY}
    return str(_call("POST", f"{base}/v1/actions/dispatch", body)["job_id"])


def _call(method: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = requests.request(method, url, json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    answer.raise_for_status()
    told: dict[str, Any] = answer.json()
    return told


def _answers(base: str) -> bool:
    try:
        return requests.get(f"{base}/healthz", timeout=5).ok
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    sys.exit(main())
