"""Streams on the real server: they leave threads to other requests, tell at once, and end when their process does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.integration.test_processes import environment
from tests.servers.local import ROOT, process, wait_until

pytestmark = [pytest.mark.timeout(120), pytest.mark.remote]

KEY = "operator-key-of-at-least-32-characters"
SENT = {"product": "shop", "env": "prd", "app": "mail", "event": "send", "input": {}}
CATALOG = {
    "product": "shop",
    "envs": [{"slug": "prd", "name": "Production"}],
    "apps": [
        {
            "tag": "mail",
            "envs": {"prd": {"base_url": "http://127.0.0.1:9"}},
            "events": [{"tag": "send", "resource": "/"}],
        }
    ],
}


def test_streams_are_told_beside_other_requests_and_end_with_their_process(tmp_path: Path) -> None:
    env = environment(tmp_path, OPERATOR_API_KEY=KEY, API_PROCESSES="1", API_THREADS="4", MOST_STREAMS="2")
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity=0"], cwd=ROOT, env=env, check=True)
    base = f"http://127.0.0.1:{env['PORT']}"
    with process([*manage, "api"], log=tmp_path / "api.log", env=env, cwd=ROOT) as api, requests.Session() as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        wait_until(lambda: _answers(base), "the API answers", 60)
        client.put(f"{base}/v1/products/shop/catalog", json=CATALOG, timeout=30).raise_for_status()

        opened = [client.get(f"{base}/v1/events/stream", stream=True, timeout=30) for _ in range(2)]
        refused = client.get(f"{base}/v1/events/stream", timeout=30)
        assert ([each.status_code for each in opened], refused.status_code) == ([200, 200], 429)

        job = client.post(f"{base}/v1/actions/dispatch", json=SENT, timeout=30).json()["job_id"]
        client.post(f"{base}/v1/jobs/{job}/cancel", json={}, timeout=30).raise_for_status()
        streams = [each.iter_lines(chunk_size=1, decode_unicode=True) for each in opened]
        for lines in streams:
            assert "event: job.cancelled" in lines
            assert f'"job_id":"{job}"' in next(lines)

        api.send_signal(signal.SIGTERM)
        for lines in streams:
            assert [line for line in lines if line.startswith("event")] == []  # and it ends
        assert api.wait(30) == 0


def _answers(base: str) -> bool:
    try:
        return requests.get(f"{base}/healthz", timeout=5).ok
    except requests.ConnectionError:
        return False
