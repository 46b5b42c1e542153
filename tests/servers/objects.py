"""Object storage for tests, on free loopback ports: S3's protocol by moto; Azure's and Google's by their emulators.

The emulators are programs that may be missing: `azurite-blob` (AZURITE_BLOB names it, or `npm ci` in azurite/ has
installed it, as CI does), and `gcp-storage-emulator`, named by GCS_EMULATOR (pip install gcp-storage-emulator). Without
one its tests are skipped; in CI a missing Azurite is a failure.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
AZURE_ACCOUNT = "devaccount"
AZURE_KEY = base64.b64encode(b"the-azure-key-of-these-tests").decode()


class S3Server:
    """A server and one bucket of its own in it. `client` sees what is really there."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        self.url = ""
        self.client: Any = None

    def __enter__(self) -> S3Server:
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self.client = boto3.client(
            "s3", endpoint_url=self.url, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="s"
        )
        self.client.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.close()
        self._server.stop()

    @property
    def connection(self) -> dict[str, Any]:
        return {
            "bucket": self.bucket, "region": REGION, "endpoint_url": self.url,
            "access_key_id": "AKIDTEST", "secret_access_key": "the-s3-secret",
        }  # fmt: skip

    def get(self, name: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()
        return data


@contextmanager
def azurite(folder: Path) -> Iterator[dict[str, Any]]:
    """A container in Azurite: the connection of a storage to it."""
    from azure.storage.blob import BlobServiceClient

    port = _free_port()
    command = [
        _azurite_program(), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder),
        "--silent", "--skipApiVersionCheck", "--disableTelemetry",
    ]  # fmt: skip
    with _running(command, port, {"AZURITE_ACCOUNTS": f"{AZURE_ACCOUNT}:{AZURE_KEY}"}):
        text = (
            f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/{AZURE_ACCOUNT};"
        )
        container = f"container-{uuid.uuid4().hex[:12]}"
        with BlobServiceClient.from_connection_string(text) as service:
            service.create_container(container)
        yield {"container": container, "connection_string": text}


@contextmanager
def gcs_emulator(folder: Path) -> Iterator[dict[str, Any]]:
    """A bucket in an emulator of Google's: the connection of a storage to it."""
    port, bucket = _free_port(), f"bucket-{uuid.uuid4().hex[:12]}"
    command = [
        _program("GCS_EMULATOR"), "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory",
        "--default-bucket", bucket,
    ]  # fmt: skip
    with _running(command, port, {}):
        yield {"bucket": bucket, "endpoint_url": f"http://127.0.0.1:{port}", "project_id": "test"}


def _azurite_program() -> str:
    installed = Path(__file__).parent / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    if "AZURITE_BLOB" not in os.environ and installed.exists():
        return str(installed)
    if "AZURITE_BLOB" not in os.environ and "CI" in os.environ and shutil.which("npm"):
        pytest.fail(f"{installed} is missing: npm ci in tests/servers/azurite")
    return _program("AZURITE_BLOB")


def _program(variable: str) -> str:
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} names no emulator")
    return path


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def _running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until = time.monotonic() + 20
            while not _answers(port):
                if time.monotonic() > until or process.poll() is not None:
                    raise RuntimeError(f"{command[0]} does not answer")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0
