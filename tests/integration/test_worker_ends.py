"""A worker that ends closes what its runs have connected to, before its loop is gone."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from pytest_django import Settings

from core import http
from core.http import pool
from executors.base import Call, Done, Outcome
from executors.catalog import document
from executors.catalog.schema import read_document
from executors.reach import clients as reach
from executors.reach.clients import Clients
from jobs import wakeup
from jobs.models import Job
from jobs.operations.dispatch import dispatch
from jobs.operations.request import DispatchRequest
from tests.integration.run_world import Probe, ended, running
from tests.servers.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)


class Keeps(Probe):
    """Uses a client that is kept, and a connection of the HTTP client's."""

    closed: ClassVar[list[str]] = []
    hangs: ClassVar[bool] = False
    url: ClassVar[str] = ""
    loop: ClassVar[asyncio.AbstractEventLoop]

    async def execute(self, call: Call) -> Outcome:
        async def made() -> str:
            return "client"

        async with clients.use("target", made):
            Keeps.loop = asyncio.get_running_loop()
            await http.send(http.HttpRequest(method="GET", url=Keeps.url, timeout=5.0))
        return Done({})


async def close(client: str) -> None:
    Keeps.closed.append(client)
    if Keeps.hangs:
        await asyncio.Event().wait()


clients: Clients[str] = Clients(close)


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EXTRA_EXECUTORS = {"keeps": "tests.integration.test_worker_ends.Keeps"}
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    monkeypatch.setattr(Keeps, "closed", [])
    document.store("shop", read_document({"envs": [{"slug": "prd"}]}, "shop"))


@pytest.mark.parametrize("hangs", [False, True])
def test_connections_are_closed_with_the_worker_also_where_one_hangs(
    monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    monkeypatch.setattr(Keeps, "hangs", hangs)
    monkeypatch.setattr(reach, "CLOSE_SECONDS", 0.2)
    with Receiver() as receiver:
        Keeps.url = f"{receiver.url}/"
        with running() as runner:
            fields: dict[str, Any] = {"target": {"event": "e"}, "product": "shop", "env": "prd"}
            dispatched = dispatch(DispatchRequest(namespace="keeps", input={}, **fields))
            run = ended(runner, Job.objects.get(pk=dispatched.job_id))
            assert (run.status, Keeps.closed) == ("completed", [])

        assert Keeps.closed == ["client"]
        assert Keeps.loop not in pool._pools
