"""What the log may hold: of the libraries that know logins, nothing below INFO."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ductape_jobs import logs
from tests.servers.local import ROOT

SAID = """
import django; django.setup()
import boto3, logging
logging.getLogger("jobs.runner").debug("ours is told")
for name in {names!r}:
    logging.getLogger(name + ".deep").debug("a driver tells")
    logging.getLogger(name).info("{name} is told".format(name=name))
boto3.client("sqs", region_name="eu-west-1", aws_access_key_id="key-of-a-test", aws_secret_access_key="hush").close()
""".format(names=logs.DRIVERS, name="{name}")


def test_drivers_tell_nothing_of_their_calls_at_debug(tmp_path: Path) -> None:
    env = {
        **os.environ, "LOG_LEVEL": "debug", "LOG_FORMAT": "text", "DATA_DIR": str(tmp_path), "DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "ductape_jobs.settings",
    }  # fmt: skip
    said = subprocess.run([sys.executable, "-c", SAID], env=env, cwd=ROOT, capture_output=True, text=True, check=True)

    assert "ours is told" in said.stderr
    assert [name for name in logs.DRIVERS if f"{name} is told" not in said.stderr] == []
    assert "a driver tells" not in said.stderr
    assert "botocore.hooks" not in said.stderr  # which tells each request with its signature


@pytest.mark.parametrize("level", ["INFO", "WARNING"])
def test_a_quieter_log_is_not_made_louder(level: str) -> None:
    assert logs.driver_levels(level) == {}
