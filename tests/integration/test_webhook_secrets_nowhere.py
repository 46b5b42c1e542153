"""The secrets of a webhook, given and made: nothing that the system wrote has one in it, but the answer that made it."""

from __future__ import annotations

import asyncio
import logging

import pytest
from pytest_django import Settings

from core.clock import database_now
from jobs.lifecycle.lease import register_worker
from tests.conformance.webhook_world import claim_some, owed
from tests.integration import everything_written
from tests.integration.api import OPERATOR, Api
from tests.integration.everything_written import found
from tests.integration.webhook_world import HOOKS, hook, row
from tests.servers.receiver import Receiver
from webhooks.delivery import attempt
from webhooks.outcome import decide
from webhooks.settling import settle

pytestmark = pytest.mark.django_db(transaction=True)
PLANTED = "a-secret-planted-to-be-found"


def test_no_secret_of_a_webhook_is_in_anything_the_system_wrote(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    caplog.set_level(logging.DEBUG)
    with Receiver() as receiver:
        made = hook(Api(), url=f"{receiver.url}/hook", secret=PLANTED, events=["*"])
        rotated = Api().post(f"{HOOKS}/{made['id']}/rotate-secret").json()["secret"]
        owner = register_worker(host="test", pid=1, queues=["webhooks"], concurrency=5)
        owed(row(made))
        (claim,) = claim_some(owner)
        answer = asyncio.run(attempt(claim, database_now()))
        settle(owner, [decide(claim, answer, random=0.0)])
        (request,) = receiver.requests
        assert len(request.headers["webhook-signature"].split()) == 2
    assert answer.status == 200

    secrets = [PLANTED, made["secret"].removeprefix("whsec_"), rotated.removeprefix("whsec_")]
    texts = [*everything_written.tables(), *everything_written.redis_keys(), *everything_written.files()]
    texts += [*everything_written.pages(), ("log", caplog.text)]
    for path in ("", f"/{made['id']}", f"/{made['id']}/deliveries", f"/{made['id']}/stats"):
        texts.append((f"GET {path}", Api().get(HOOKS + path).content.decode()))
    assert len(texts) > 50
    assert found(secrets, texts) == []
    assert found([str(row(made).pk)], texts) != []  # the hunt finds what is there
