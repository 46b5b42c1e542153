"""Secrets planted in the connections and inputs of every namespace: nothing that the system wrote has one in it.

Real runs in a worker's loop: one that goes well and fills a cache, one that the system refuses, one of a system that is
away. Then everything is searched: tables, Redis, the log at DEBUG, the API, the admin, files.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.urls import reverse
from pytest_django import Settings

from ductape_jobs.logs import DRIVERS
from jobs.models import Job
from jobs.runner.loop import Runner
from tests.integration import everything_written
from tests.integration.api import OPERATOR, Api
from tests.integration.called_providers import CALLED
from tests.integration.conformance_world import LOGIN, PLANTED, REST, TAG, Provider, World
from tests.integration.dispatch_world import job_of
from tests.integration.everything_written import found
from tests.integration.kept_providers import KEPT
from tests.integration.run_world import ended, running
from tests.integration.saved_providers import SAVED
from tests.servers.local import free_port
from tests.servers.receiver import ECHOES

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),  # of the mail server
]

PROVIDERS = {**CALLED, **KEPT, **SAVED}
# One of each namespace at least.
RUNS = [
    "action", "smtp", "twilio", "firebase", "callback", "postgresql", "postgresql-action", "mariadb", "neo4j",
    "neo4j-action", "s3", "azure", "sqs", "rabbitmq", "http", "lambda", "feature",
]  # fmt: skip
SERVERS = {"mail.log", "werkzeug", "aiohttp.access"}  # of these tests


@pytest.fixture(params=RUNS)
def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with PROVIDERS[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """All of the log, as LOG_LEVEL=DEBUG has it."""
    caplog.set_level(logging.DEBUG)
    for name in (*DRIVERS, *SERVERS):
        level = logging.INFO if name in DRIVERS else logging.CRITICAL
        monkeypatch.setattr(logging.getLogger(name), "level", level)
    logging.getLogger().manager._clear_cache()  # type: ignore[attr-defined]
    return caplog


def run(runner: Runner, world: World, input: Any, target: dict[str, Any], **options: Any) -> str:
    """Dispatch it over the API; how its run ended."""
    body = {"product": "shop", "env": "prd", **world.target(**target), "input": input, **options}
    answer = Api().post(reverse(f"dispatch-{world.provider.namespace}"), body)
    assert answer.status_code in (200, 201, 202), answer.content
    return ended(runner, job_of(answer)).status


def test_no_secret_is_in_anything_the_system_wrote(
    provider: Provider, settings: Settings, log: pytest.LogCaptureFixture
) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    provider = replace(provider, more={**provider.more, "caches": [{"tag": "kept", "expiry": 60_000}]})
    world = World(provider)
    before = provider.seen()
    with running() as runner:
        outcomes = [run(runner, world, dict(provider.input), {}, cache="kept")]
        refusal = provider.refusal
        assert refusal is not None
        refusal.arrange()
        world.store(refusal.connection or provider.connection)
        outcomes.append(run(runner, world, dict(refusal.input), dict(refusal.target)))
        if provider.port is not None:
            world.store(provider.at(free_port()))
            outcomes.append(run(runner, world, dict(provider.input), {}))

    assert outcomes == ["completed", "failed", "failed"]
    assert provider.seen() > before, "the secret is where it should be"
    records = [(f"log {record.name}", logging.Formatter().format(record)) for record in log.records]
    assert len(records) > 5
    world.store(provider.connection)
    texts = [
        *records, *everything_written.tables(), *everything_written.redis_keys(), *everything_written.files(),
        *everything_written.answers(world.kind.plural, TAG), *everything_written.pages(),
    ]  # fmt: skip
    assert Job.objects.count() == 3
    assert found({PLANTED, LOGIN, REST, *provider.secrets}, texts) == []


SIGNS = "wJalrXUtnFEMI/K7MDENG/bPx RfiCY&KEY"  # a secret that is written otherwise by each that has to escape it


@pytest.mark.parametrize("name", ["action", "http", "feature"])
def test_no_secret_comes_back_in_an_answer_however_that_writes_it(
    name: str, tmp_path: Path, settings: Settings
) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    secrets = [{"key": "PLANTED", "value": SIGNS}, {"key": "LOGIN", "value": LOGIN}]
    with PROVIDERS[name](tmp_path) as made, running() as runner:
        provider = replace(made, more={**made.more, "secrets": secrets})
        world, input = World(provider), json.dumps(provider.input)
        ends = {
            f"{how}-{written}": run(runner, world, json.loads(input.replace("good", f"{how}-{written}")), {})
            for written in ECHOES
            for how in ("good", "bad")
        }

    assert ends == {how: "completed" if how.startswith("good") else "failed" for how in ends}
    texts = [*everything_written.tables(), *everything_written.redis_keys()]
    assert found({SIGNS, "/K7MDENG/", "RfiCY&KEY"}, texts) == []


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str, "cut off": lambda secret: f"it said {secret}"[:16], "percent-encoded": lambda secret: quote(secret, safe=""),
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64, after a name": lambda secret: base64.b64encode(f"bob:{secret}".encode()).decode(),
    "in base64, after another name": lambda secret: base64.urlsafe_b64encode(f"jill:{secret}".encode()).decode(),
    "as PHP has it": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "in hexadecimal": lambda secret: secret.encode().hex(),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [PLANTED, LOGIN, "Tr0ub4dor-and-3", "?>~~?>~~ both alphabets of base64"])
def test_the_search_finds_a_secret_in_each_form(form: str, secret: str) -> None:
    assert found([secret], [("somewhere", f"a {FORMS[form](secret)}, b")]) != []
    assert found([secret], [("somewhere", f"a {FORMS[form]('something else')}, b")]) == []
