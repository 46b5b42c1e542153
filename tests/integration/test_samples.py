"""`$Default` in an input: the sample's value at its field, at dispatch and in the run; refused where there is none."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django import Settings

from core.tenancy.models import Environment
from executors import registry
from executors.base import Call, Done
from executors.catalog import document
from executors.catalog.schema import read_document
from executors.reach.clients import close_every
from executors.samples import of_schema, put_in
from tests.integration.api import OPERATOR, Api
from tests.servers.receiver import Receiver

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {"size": {"type": "integer", "default": 5}, "name": {"type": "string"}, "in": {"properties": {"a": {"default": "x"}}}},
}  # fmt: skip
# path, target, an input, what it is with the sample, and the field of one that the sample says nothing of
CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ("actions", {"app": "shop", "event": "order"}, {"body": {"size": "$Default", "in": {"a": "$Default"}, "name": "n"}},
     {"body": {"size": 5, "in": {"a": "x"}, "name": "n"}}, {"body": {"name": "$Default"}}, "input.body.name"),
    ("events", {"broker": "bus", "event": "made"}, {"message": {"id": "$Default", "by": "me"}},
     {"message": {"id": 7, "by": "me"}}, {"message": {"other": "$Default"}}, "input.message.other"),
    ("functions", {"function": "resize"}, {"body": {"widths": ["$Default", 2]}},
     {"body": {"widths": [1, 2]}}, {"body": {"widths": [3, "$Default"]}}, "input.body.widths.1"),
    ("features", {"tag": "flow"}, {"day": "$Default"}, {"day": "monday"}, {"who": "$Default"}, "input.who"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def receiver(settings: Settings) -> Any:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    with Receiver() as running:
        written = {
            "envs": [{"slug": "prd"}],
            "apps": [
                {
                    "tag": "shop",
                    "envs": {"prd": {"base_url": running.url}},
                    "events": [{"tag": "order", "method": "POST", "resource": "/order", "body": SCHEMA}],
                }
            ],
            "brokers": [
                {
                    "tag": "bus",
                    "type": "redis",
                    "envs": {"prd": {"host": "127.0.0.1"}},
                    "events": [{"tag": "made", "topic": "made", "sample": {"id": 7, "by": "us"}}],
                }
            ],
            "functions": [
                {"tag": "resize", "envs": {"prd": {"url": running.url}}, "sample": {"body": {"widths": [1]}}},
            ],
            "features": [
                {
                    "tag": "flow",
                    "input": {"day": {"type": "string", "default": "monday"}, "who": {"type": "string"}},
                    "steps": [{"tag": "one", "type": "sleep", "duration": 1}],
                    "output": {"day": "$Input{day}"},
                }
            ],
        }
        document.store("shop", read_document(written, "shop"))
        yield running


def call_of(namespace: str, resolved: Any, target: dict[str, Any], input: dict[str, Any]) -> Call:
    return Call(
        job_id="job_1", run_key="job_1:1", attempt=1, namespace=namespace, product="shop", env="prd", target=target,
        resolved=resolved, input=input, scheduled_at=datetime(2026, 1, 1, tzinfo=UTC), timeout=5.0,
    )  # fmt: skip


@pytest.mark.parametrize(("path", "target", "input", "meant", "_wrong", "_at"), CASES)
def test_a_default_is_the_samples_value_in_every_run(
    path: str, target: dict[str, Any], input: dict[str, Any], meant: dict[str, Any], _wrong: Any, _at: str
) -> None:
    answer = Api().post(f"/v1/{path}/dispatch", {"product": "shop", "env": "prd", **target, "input": input})

    assert answer.status_code == 201, answer.json()
    executor = registry.get(path)
    environment = Environment.objects.get(slug="prd")
    resolved = executor.resolve(product_id=environment.product_id, environment_id=environment.pk, target=target)
    call = call_of(path, resolved, target, input)
    assert executor.resolved_input(call) == meant  # type: ignore[attr-defined]  # of these four


@pytest.mark.parametrize(("path", "target", "_input", "_meant", "wrong", "at"), CASES)
def test_a_default_without_a_sample_is_refused_at_its_field(
    path: str, target: dict[str, Any], _input: Any, _meant: Any, wrong: dict[str, Any], at: str
) -> None:
    answer = Api().post(f"/v1/{path}/dispatch", {"product": "shop", "env": "prd", **target, "input": wrong})

    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert (error["field"], error["code"]) == (at, "expression_unsupported")
    assert error["detail"].startswith("has no default:")


async def _run(call: Call) -> Any:
    try:
        return await registry.get(call.namespace).execute(call)
    finally:
        await close_every()


@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[3]], ids=["actions", "functions", "features"])
def test_a_run_uses_it(receiver: Receiver, case: Any) -> None:
    path, target, input, meant, _, _ = case
    environment = Environment.objects.get(slug="prd")
    resolved = registry.get(path).resolve(
        product_id=environment.product_id, environment_id=environment.pk, target=target
    )

    outcome = asyncio.run(_run(call_of(path, resolved, target, input)))

    assert isinstance(outcome, Done), outcome
    if path == "features":
        assert outcome.result == meant
    else:
        assert receiver.requests[-1].json() == meant["body"]


def test_only_the_whole_value_is_a_default() -> None:
    sample = of_schema(SCHEMA)
    assert put_in({"body": {"name": "a $$Default", "size": 1}}, sample) == {"body": {"name": "a $$Default", "size": 1}}
    assert put_in({"body": {"in": "$Default"}}, sample) == {"body": {"in": {"a": "x"}}}
