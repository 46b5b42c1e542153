"""A long file from a URL to a storage: how much memory the process that moves it takes, and how long.

    python -m benchmarks.storage_transfer --to s3 --mib 1024      # against moto's server
    python -m benchmarks.storage_transfer --to local --mib 1024

Source and store run in processes of their own. Prints one line of JSON; `extra_mib` is the highest resident memory
during the transfer over what it was before, the driver's code, imported when it is first used, included.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_MIB = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage_transfer")
    parser.add_argument("--to", choices=["s3", "local"], default="s3")
    parser.add_argument("--mib", type=int, default=1024)
    options = parser.parse_args()
    url, stop_source = _started(_serve_bytes, options.mib)
    with tempfile.TemporaryDirectory() as folder:
        if options.to == "s3":
            endpoint, stop_store = _started(_serve_s3, 0)
            connection = {
                "bucket": "big", "region": "us-east-1", "endpoint_url": endpoint,
                "access_key_id": "a", "secret_access_key": "s",
            }  # fmt: skip
        else:
            connection, stop_store = {"path": folder}, lambda: None
        try:
            told = asyncio.run(_moved(options.to, connection, url))
            digest = _stored(options.to, connection, folder)
        finally:
            stop_store()
            stop_source()
    assert told.pop("size") == options.mib * _MIB
    assert digest == _expected(options.mib), "what was stored is not what was sent"
    sys.stdout.write(json.dumps({"to": options.to, "mib": options.mib, **told}) + "\n")


async def _moved(type: str, connection: dict[str, Any], url: str) -> dict[str, Any]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ductape_jobs.settings")
    import django

    django.setup()
    from core import http
    from executors.providers.storage import transfer

    Path("/proc/self/clear_refs").write_text("5")  # the highest resident memory is counted from here
    before, began = _kib("VmRSS"), time.monotonic()
    if type == "s3":
        from executors.providers.storage.s3 import S3Store

        store: Any = S3Store(connection)
    else:
        from executors.providers.storage.local import LocalStore

        store = LocalStore(connection)
    request = http.HttpRequest(method="GET", url=url, timeout=600, max_response_bytes=1 << 40)
    async with http.stream(request) as coming:
        size = await transfer.move(store, "big.bin", coming.pieces(), "application/octet-stream")
    await http.close()
    seconds = time.monotonic() - began
    extra = (_kib("VmHWM") - before) / 1024
    return {"size": size, "extra_mib": round(extra, 1), "seconds": round(seconds, 1)}


def _kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def _piece(number: int) -> bytes:
    """A MiB that is like no other, so that a part in a wrong place is told."""
    return number.to_bytes(8, "big") * (_MIB // 8)


def _expected(mib: int) -> str:
    digest = hashlib.sha256()
    for number in range(mib):
        digest.update(_piece(number))
    return digest.hexdigest()


def _stored(type: str, connection: dict[str, Any], folder: str) -> str:
    digest = hashlib.sha256()
    if type == "local":
        with (Path(folder) / "big.bin").open("rb") as file:
            while piece := file.read(_MIB):
                digest.update(piece)
        return digest.hexdigest()
    import boto3

    client = boto3.client(
        "s3", endpoint_url=connection["endpoint_url"], region_name="us-east-1",
        aws_access_key_id="a", aws_secret_access_key="s",
    )  # fmt: skip
    for piece in client.get_object(Bucket="big", Key="big.bin")["Body"].iter_chunks(_MIB):
        digest.update(piece)
    return digest.hexdigest()


def _started(serve: Any, mib: int) -> tuple[str, Any]:
    """A server in a process of its own: its URL, and how to end it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, mib), daemon=True)
    process.start()
    if not here.poll(60):
        raise RuntimeError("a server did not start")
    url: str = here.recv()

    def stop() -> None:
        process.kill()
        process.join()

    return url, stop


def _serve_bytes(told: Connection, mib: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {mib * _MIB}\r\n\r\n".encode())
        for number in range(mib):
            writer.write(_piece(number))
            await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        told.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/big.bin")
        await server.serve_forever()

    asyncio.run(serve())


def _serve_s3(told: Connection, mib: int) -> None:
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.disable()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="s"
    )
    client.create_bucket(Bucket="big")
    told.send(url)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
