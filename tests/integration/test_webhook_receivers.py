"""The receivers that docs/webhooks.md shows, run as they stand there: they verify, deduplicate and order."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.servers.local import ROOT, free_port, wait_until
from webhooks import signing

SECRET = signing.canonical("webhook-secret-key")
MODULES = ROOT / "tests" / "servers" / "standardwebhooks" / "node_modules"
SERVE = "from wsgiref.simple_server import make_server; import receiver; make_server('127.0.0.1', {port}, receiver.receive).serve_forever()"
COMPILE = """
const ts = require("typescript"), fs = require("fs");
const made = ts.transpileModule(fs.readFileSync("receiver.ts", "utf8"), {
  reportDiagnostics: true, compilerOptions: {module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022},
});
if (made.diagnostics.length) throw new Error(JSON.stringify(made.diagnostics.map(each => each.messageText)));
fs.writeFileSync("receiver.js", made.outputText);
"""


def shown(language: str) -> str:
    (text,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "webhooks.md").read_text(), re.DOTALL)
    return str(text)


class Receiver:
    """One that runs."""

    def __init__(self, url: str, log: Path) -> None:
        self._url, self._log = url, log

    def send(
        self,
        id: str,
        *,
        seq: int,
        job: str = "job_a",
        secrets: Sequence[str] = (SECRET,),
        age: int = 0,
        spoil: bool = False,
        signed_as: str = "",
    ) -> int:
        """An event of that job; the status of the answer."""
        payload = {"event": f"job.{id}", "job": {"id": job, "status": "completed", "seq": seq}}
        body, at = json.dumps(payload).encode(), int(time.time()) - age
        headers = {
            "webhook-id": id,
            "webhook-timestamp": str(at),
            "webhook-signature": signing.sign(secrets, signed_as or id, at, body),
        }
        sent = body.replace(b"completed", b"completeD") if spoil else body
        return requests.post(self._url, data=sent, headers=headers, timeout=10).status_code

    def took(self) -> list[str]:
        """What it said it took."""
        return [line.split()[0] for line in self._log.read_text().splitlines() if line.startswith("job.")]


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[Receiver]:
    env = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(port), "NODE_PATH": str(MODULES)}
    url = f"http://127.0.0.1:{port}/"
    log = folder / "receiver.log"
    with log.open("w") as out, subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=out) as process:
        try:
            wait_until(lambda: answers(url), "the receiver answers", 30)
            yield Receiver(url, log)
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        requests.post(url, data=b"{}", timeout=5)
    except requests.ConnectionError:
        return False
    return True


@pytest.fixture(params=["python", "typescript"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    port = free_port()
    if request.param == "python":
        (tmp_path / "receiver.py").write_text(shown("python"))
        command = [sys.executable, "-c", SERVE.format(port=port)]
    else:
        node = _node()
        (tmp_path / "receiver.ts").write_text(shown("typescript"))
        env = {**os.environ, "NODE_PATH": str(MODULES)}
        subprocess.run([node, "-e", COMPILE], cwd=tmp_path, env=env, check=True)
        command = [node, "receiver.js"]
    with running(command, tmp_path, port) as started:
        yield started


def _node() -> str:
    node = shutil.which("node")
    if node is not None and (MODULES / "standardwebhooks").is_dir():
        return node
    if "CI" in os.environ and shutil.which("npm"):
        pytest.fail(f"{MODULES} is missing: npm ci in tests/servers/standardwebhooks")
    pytest.skip("no Node, or no `npm ci` in tests/servers/standardwebhooks")


def test_it_takes_each_event_once_and_none_that_is_stale(receiver: Receiver) -> None:
    assert [receiver.send("one", seq=1), receiver.send("one", seq=1)] == [204, 204]
    assert receiver.send("three", seq=3) == 204
    assert receiver.send("two", seq=2) == 204  # overtaken: taken note of, and dropped
    assert receiver.send("other", seq=1, job="job_b") == 204
    assert receiver.took() == ["job.one", "job.three", "job.other"]


def test_it_refuses_what_is_not_signed_changed_or_old(receiver: Receiver) -> None:
    assert receiver.send("forged", seq=1, secrets=[signing.new_secret()]) == 400
    assert receiver.send("swapped", seq=1, signed_as="another") == 400
    assert receiver.send("changed", seq=1, spoil=True) == 400
    assert receiver.send("old", seq=1, age=301) == 400
    assert receiver.send("early", seq=1, age=-302) == 400
    assert receiver.send("fine", seq=1, age=290) == 204
    assert receiver.took() == ["job.fine"]


def test_it_takes_what_its_secret_signs_until_the_overlap_is_over(receiver: Receiver) -> None:
    """The receiver has the secret from before: it was replaced twice."""
    newer, newest = signing.new_secret(), signing.new_secret()
    assert receiver.send("within", seq=1, secrets=[newest, newer, SECRET]) == 204
    assert receiver.send("after", seq=2, secrets=[newest, newer]) == 400
    assert receiver.took() == ["job.within"]


@pytest.mark.parametrize("language", ["python", "typescript"])
def test_it_is_short(language: str) -> None:
    text = shown(language)
    code = [line for line in text.splitlines() if line.strip() and not line.startswith(("import ", "from "))]
    assert len(code) <= 17, len(code)
