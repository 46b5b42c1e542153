"""An executor that raises what it should not have: told without a secret, in the log and in what is stored."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from core import http
from executors.catalog import document
from executors.catalog.schema import read_document
from executors.namespaces.functions import FunctionsExecutor
from executors.providers.feature.engine import Engine
from jobs import wakeup
from jobs.models import Execution, Job
from jobs.operations.dispatch import dispatch
from jobs.operations.request import DispatchRequest
from tests.integration.run_world import ended, running

pytestmark = pytest.mark.django_db(transaction=True)

OF_THE_CONNECTION, OF_THE_INPUT = "planted-in-the-connection", "planted-in-the-input"
INPUT = {"body": {"token": "$Secret{INPUT}"}}
CALL = {"tag": "call", "type": "function", "function": "resize", "input": INPUT}


@pytest.fixture(autouse=True)
def _catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    to = {"type": "bearer", "token": "$Secret{CONNECTION}"}
    written = {
        "envs": [{"slug": "prd"}],
        "secrets": [{"key": "CONNECTION", "value": OF_THE_CONNECTION}, {"key": "INPUT", "value": OF_THE_INPUT}],
        "apps": [{"tag": "mail", "envs": {"prd": {"base_url": "http://127.0.0.1:1", "auth": to}}, "events": [{"tag": "send", "method": "POST", "resource": "/"}]}],
        "functions": [{"tag": "resize", "envs": {"prd": {"url": "http://127.0.0.1:1", "auth": to}}}],
        "features": [{"tag": "f", "steps": [{**CALL, "options": {"allow_fail": True}}, {"tag": "nap", "type": "sleep", "duration": 1, "dependsOn": ["call"]}]}],
    }  # fmt: skip
    document.store("shop", read_document(written, "shop"))


async def fails(*_: Any, **__: Any) -> Any:
    """A provider with a bug, whose error says all that it knows, and so does the one before it."""
    try:
        raise KeyError(OF_THE_INPUT)
    except KeyError as error:
        raise RuntimeError(f"Authorization: Bearer {OF_THE_CONNECTION}") from error


def ran(namespace: str, target: dict[str, str], input: dict[str, Any]) -> Execution:
    request = DispatchRequest(namespace=namespace, target=target, product="shop", env="prd", input=input)
    with running() as runner:
        return ended(runner, Job.objects.get(pk=dispatch(request).job_id))


def stored(run: Execution) -> str:
    return repr(Execution.objects.filter(pk=run.pk).values_list().get())


@pytest.mark.parametrize(
    ("namespace", "target"), [("functions", {"function": "resize"}), ("actions", {"app": "mail", "event": "send"})]
)
def test_neither_the_log_nor_the_history_of_a_bug_holds_a_secret(
    namespace: str, target: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FunctionsExecutor, "run", fails)
    monkeypatch.setattr(http, "send", fails)
    with caplog.at_level(logging.DEBUG):
        run = ran(namespace, target, INPUT)

    assert (run.status, run.code, run.error) == ("failed", "INTERNAL_ERROR", "the executor raised RuntimeError")
    assert "RuntimeError: Authorization: Bearer ***" in caplog.text
    assert "KeyError: '***'" in caplog.text
    assert "in fails" in caplog.text  # a traceback
    for told in (caplog.text, stored(run)):
        assert OF_THE_CONNECTION not in told
        assert OF_THE_INPUT not in told


def test_a_bug_in_a_steps_provider_is_that_steps_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FunctionsExecutor, "run", fails)

    run = ran("features", {"tag": "f"}, {})

    assert run.status == "completed"
    assert run.steps is not None
    assert {entry["step"]: entry["status"] for entry in run.steps} == {"call": "failed", "nap": "completed"}
    assert "Authorization: Bearer ***" in caplog.text
    for secret in (OF_THE_CONNECTION, OF_THE_INPUT):
        assert secret not in caplog.text + stored(run)


def test_a_bug_in_the_engine_of_features_tells_no_secret_of_the_input(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Engine, "run", fails)

    run = ran("features", {"tag": "f"}, {"given": "$Secret{INPUT}"})

    assert (run.code, run.error) == ("INTERNAL_ERROR", "the executor raised RuntimeError")
    assert "KeyError: '***'" in caplog.text
    assert OF_THE_INPUT not in caplog.text + stored(run)
