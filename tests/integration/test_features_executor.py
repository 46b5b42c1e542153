"""Features on a real receiver: order and parallelism, conditions, failures, and what an earlier attempt has done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from core import http
from core.errors import ApiError, Invalid
from core.shortcache import forget_everything
from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Done, Failed, Outcome, Session
from executors.catalog import document
from executors.catalog.models import Component
from executors.catalog.schema import read_document
from executors.namespaces.features import InMemory
from jobs.operations.dispatch import dispatch
from jobs.operations.request import DispatchRequest
from tests.integration.action_world import SCHEDULED
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db


def step(tag: str, **changes: Any) -> dict[str, Any]:
    return {"tag": tag, "type": "action", "app": "mail", "event": tag, **changes}


class World:
    """A product with an app of four events, and features over it."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.executor = registry.get("features")

    def store(self, *features: dict[str, Any], **app: Any) -> None:
        events: list[dict[str, Any]] = [
            {"tag": tag, "method": "POST", "resource": f"/{tag}"} for tag in ("a", "b", "c", "d")
        ]
        events.append({"tag": "typed", "method": "POST", "resource": "/a", "body": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}, "day": {"type": "string", "format": "date"}}}})  # fmt: skip
        written = {
            "envs": [{"slug": "prd"}],
            "secrets": [{"key": "TOKEN", "value": "tok-very-secret"}],
            "apps": [{"tag": "mail", "envs": {"prd": {"base_url": self.receiver.url}}, "events": events, **app}],
            "features": list(features),
        }
        document.store("shop", read_document(written, "shop"), prune=True)
        forget_everything()

    def where(self, tag: str) -> dict[str, Any]:
        product = Product.objects.get(tag="shop")
        env = Environment.objects.get(product=product, slug="prd")
        return {"product_id": product.pk, "environment_id": env.pk, "target": {"tag": tag}}

    def check(self, tag: str = "f", **input: Any) -> None:
        self.executor.check(**self.where(tag), input=input, recurring=False)

    def call(self, tag: str, input: Mapping[str, Any], steps: InMemory, session: Session | None) -> Call:
        return Call(
            job_id="job_1", run_key="job_1:7", attempt=1, namespace="features", product="shop", env="prd",
            target={"tag": tag}, resolved=self.executor.resolve(**self.where(tag)), input=input,
            scheduled_at=SCHEDULED, timeout=10.0, steps=steps, session=session,
        )  # fmt: skip

    def run(
        self,
        tag: str = "f",
        *,
        steps: InMemory | None = None,
        session: Session | None = None,
        attempt: int = 1,
        **input: Any,
    ) -> Outcome:
        call = replace(self.call(tag, input, steps or InMemory(), session), attempt=attempt)

        async def then_close() -> Outcome:
            try:
                return await self.executor.execute(call)
            finally:
                await http.close()

        return asyncio.run(then_close())

    def paths(self) -> list[str]:
        return [request.path for request in self.receiver.requests]


@pytest.fixture
def world() -> Iterator[World]:
    forget_everything()
    with Receiver() as receiver:
        yield World(receiver)
    forget_everything()


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed)
    return outcome


def done(outcome: Outcome) -> Mapping[str, Any]:
    assert isinstance(outcome, Done), outcome
    return outcome.result


def test_steps_hand_their_outputs_on_and_the_output_is_mapped(world: World) -> None:
    world.receiver.answer("/a", Answer(body={"id": 41, "tags": ["x", "y"]}))
    world.store(
        {
            "tag": "f",
            "input": {"day": {"type": "string", "required": True}, "limit": {"type": "integer", "default": 3}},
            "steps": [
                step("b", input={"body": {"of": "$Step{a}{body}{id}", "second": "$Sequence{main}{a}{body}{tags}{1}", "day": "on $Input{day}"}}),
                step("a", input={"body": {"limit": "$Input{limit}"}}),
            ],
            "output": {"id": "$Add($Step{a}{body}{id}, 1)", "sent": "$Step{b}{status}"},
        }
    )  # fmt: skip
    world.check(day="monday")
    assert done(world.run(day="monday")) == {"id": 42, "sent": 200}
    assert [(request.path, request.json()) for request in world.receiver.requests] == [
        ("/a", {"limit": 3}),
        ("/b", {"of": 41, "second": "y", "day": "on monday"}),
    ]
    assert [request.headers["idempotency-key"] for request in world.receiver.requests] == ["job_1:7:a", "job_1:7:b"]


def test_without_an_output_every_steps_is_told(world: World) -> None:
    world.store({"tag": "f", "steps": [step("a"), {"tag": "nap", "type": "sleep", "duration": 10}]})
    result = done(world.run())
    assert (result["a"]["status"], result["nap"]) == (200, None)


def test_steps_that_wait_for_nothing_run_beside_each_other(world: World) -> None:
    for path in ("/a", "/b", "/c"):
        world.receiver.answer(path, Answer(delay=0.5))
    world.store({"tag": "f", "steps": [step("a"), step("b"), step("c")]})
    began = time.monotonic()
    done(world.run())
    assert time.monotonic() - began < 1.2

    world.store({"tag": "f", "options": {"parallel": 1}, "steps": [step("a"), step("b"), step("c")]})
    began = time.monotonic()
    done(world.run())
    assert time.monotonic() - began > 1.4


def test_a_step_whose_condition_does_not_hold_is_skipped_and_others_go_on(world: World) -> None:
    steps = [step("a"), step("b", condition="$Step{a}{status} > 200"), step("c", dependsOn=["b"])]
    world.store({"tag": "f", "steps": steps})
    kept = InMemory()
    assert done(world.run(steps=kept))["b"] is None
    assert world.paths() == ["/a", "/c"]
    assert {name: entry["status"] for name, entry in asyncio.run(kept.all()).items()} == {
        "a": "completed", "b": "skipped", "c": "completed",
    }  # fmt: skip


def test_a_step_is_tried_again_as_often_as_it_says(world: World) -> None:
    world.receiver.answer("/a", Answer(status=503), Answer(status=503), Answer())
    world.store({"tag": "f", "steps": [step("a", options={"retries": 2, "retryConfig": {"initialDelay": 1}})]})
    kept = InMemory()
    done(world.run(steps=kept))
    assert asyncio.run(kept.all())["a"]["attempts"] == 3
    assert {request.headers["idempotency-key"] for request in world.receiver.requests} == {"job_1:7:a"}


def test_a_step_that_may_fail_is_told_and_the_others_go_on(world: World) -> None:
    world.receiver.answer("/a", Answer(status=404, body={"why": "gone"}))
    world.store(
        {
            "tag": "f",
            "steps": [step("a", options={"allow_fail": True}), step("b", input={"body": {"code": "$Step{a}{code}"}})],
        }
    )
    assert done(world.run())["a"]["code"] == "NOT_FOUND"
    assert world.receiver.requests[-1].json() == {"code": "NOT_FOUND"}


def test_a_step_that_fails_ends_the_run_and_nothing_new_begins(world: World) -> None:
    world.receiver.answer("/a", Answer(status=503))
    world.receiver.answer("/b", Answer(delay=0.3))
    world.store({"tag": "f", "steps": [step("a"), step("b"), step("c", dependsOn=["b"])]})
    kept = InMemory()
    outcome = failed(world.run(steps=kept))
    assert (outcome.code, outcome.retryable) == ("SERVICE_UNAVAILABLE", True)
    assert outcome.message.startswith("step 'a': ")
    assert outcome.result == {"failed_step": "a", "steps": {"a": "failed", "b": "completed"}}
    assert sorted(world.paths()) == ["/a", "/b"]


def test_what_an_earlier_attempt_has_done_is_not_done_again(world: World) -> None:
    world.receiver.answer("/a", Answer(body={"id": 7}))
    world.receiver.answer("/b", Answer(status=503), Answer())
    world.store({"tag": "f", "steps": [step("a"), step("b", input={"body": {"id": "$Step{a}{body}{id}"}}), step("c", dependsOn=["b"])]})  # fmt: skip
    kept = InMemory()
    failed(world.run(steps=kept))
    done(world.run(steps=kept))
    assert world.paths() == ["/a", "/b", "/b", "/c"]
    assert world.receiver.requests[2].json() == {"id": 7}


def test_no_two_attempts_of_a_step_have_one_number_whichever_attempt_of_the_run_they_are_in(world: World) -> None:
    world.receiver.answer("/a", *[Answer(status=503)] * 3, Answer())
    kept = InMemory()
    for attempt, retries in ((1, 2), (2, 0)):  # the second one after the catalog was changed
        config = {"retries": retries, "retryConfig": {"initialDelay": 1}}
        world.store({"tag": "f", "steps": [step("a", options=config)]})
        world.run(steps=kept, attempt=attempt)
    assert [request.headers["x-attempt"] for request in world.receiver.requests] == ["1", "2", "3", "102"]
    assert {request.headers["idempotency-key"] for request in world.receiver.requests} == {"job_1:7:a"}


def test_the_input_by_which_a_cache_knows_a_feature_is_the_resolved_one(world: World) -> None:
    world.store({"tag": "f", "steps": [step("a")]})
    call = world.call("f", {"day": "$Concat(['mon', 'day'])"}, InMemory(), None)
    resolved_input = getattr(world.executor, "resolved_input")  # noqa: B009 - not every executor has one
    assert resolved_input(call) == {"day": "monday"}


def test_a_feature_may_fail_with_the_codes_of_a_function() -> None:
    assert {"TASK_FAILED", "FUNCTION_FAILED", "TASK_FORGOTTEN"} <= registry.codes("features")


def test_a_sleep_goes_on_where_it_was(world: World) -> None:
    world.store({"tag": "f", "steps": [{"tag": "nap", "type": "sleep", "duration": 60_000}]})
    kept = InMemory()
    call = world.call("f", {}, kept, None)

    async def killed() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await world.executor.execute(call)

    asyncio.run(killed())
    slept = dict(asyncio.run(kept.all())["nap"])
    assert slept["status"] == "running"
    asyncio.run(kept.record("nap", {**slept, "started_at": slept["started_at"] - 60_000}))
    began = time.monotonic()
    done(world.run(steps=kept))
    assert time.monotonic() - began < 5


def test_a_feature_runs_features(world: World) -> None:
    world.store(
        {"tag": "inner", "steps": [step("a", input={"body": {"x": "$Input{x}"}})], "output": {"status": "$Step{a}{status}"}},
        {"tag": "f", "steps": [{"tag": "sub", "type": "feature", "feature": "inner", "input": {"x": 5}}]},
    )  # fmt: skip
    kept = InMemory()
    assert done(world.run(steps=kept)) == {"sub": {"status": 200}}
    assert list(asyncio.run(kept.all())) == ["sub/a", "sub"]
    assert world.receiver.requests[0].json() == {"x": 5}


def test_features_that_run_each_other_in_a_circle_are_refused_at_dispatch(world: World) -> None:
    world.store(
        {"tag": "f", "steps": [{"tag": "one", "type": "feature", "feature": "g"}]},
        {"tag": "g", "steps": [{"tag": "two", "type": "feature", "feature": "f"}]},
    )
    with pytest.raises(Invalid, match="in a circle: f → g → f"):
        world.check()


def test_what_a_value_looks_like_is_data_and_never_read_again(world: World) -> None:
    world.receiver.answer("/a", Answer(body={"text": "$Secret{TOKEN} $Step{x}{y}"}))
    world.store({"tag": "f", "steps": [step("a", input={"body": {"given": "$Input{text}"}}), step("b", input={"body": {"x": "$Step{a}{body}{text}"}})]})  # fmt: skip
    world.check(text="$$Secret{TOKEN}")
    done(world.run(text="$$Secret{TOKEN}"))
    assert world.receiver.requests[0].json() == {"given": "$Secret{TOKEN}"}
    assert world.receiver.requests[1].json() == {"x": "$Secret{TOKEN} $Step{x}{y}"}


def test_a_secret_in_a_steps_input_is_in_no_result_and_no_record(world: World) -> None:
    world.receiver.answer("/a", Answer(echo=True))
    world.receiver.answer("/b", Answer(status=400, echo=True))
    world.store({"tag": "f", "steps": [step("a", input={"body": {"t": "$Secret{TOKEN}"}}), step("b", input={"body": {"t": "$Secret{TOKEN}"}}, dependsOn=["a"])]})  # fmt: skip
    kept = InMemory()
    outcome = failed(world.run(steps=kept))
    assert world.receiver.requests[0].json() == {"t": "tok-very-secret"}
    assert "tok-very-secret" not in repr((outcome, asyncio.run(kept.all())))
    assert "***" in repr(asyncio.run(kept.all())["a"])


def test_a_session_reaches_the_steps(world: World) -> None:
    world.store({"tag": "f", "steps": [step("a", input={"body": {"who": "$Session{user}{id}"}})]})
    done(world.run(session=Session("user", {"id": "u_1"})))
    assert world.receiver.requests[0].json() == {"who": "u_1"}


def test_a_feature_that_uses_a_session_is_dispatched_with_one(world: World) -> None:
    world.store(
        {"tag": "inner", "steps": [step("a", input={"body": "$Session{user}{id}"})]},
        {
            "tag": "f",
            "steps": [
                {"tag": "sub", "type": "feature", "feature": "inner"},
                step("b", condition={"not": "$Session{user}{blocked}"}),
                step("c", input={"body": {"who": "for $Session{user}{id}", "$$Session": "$$Session{user}"}}),
            ],
            "output": ["$Session{user}{id}"],
        },
    )
    request = DispatchRequest(product="shop", env="prd", namespace="features", target={"tag": "f"}, input={})
    with pytest.raises(Invalid) as refused:
        dispatch(request)
    assert {error.code for error in refused.value.errors} == {"session_required"}
    assert {error.field for error in refused.value.errors} == {
        "steps.sub.steps.a.input.body", "steps.b.condition.not", "steps.c.input.body.who", "output.0",
    }  # fmt: skip
    assert "$Session{user}{id} has no value without a session" in refused.value.errors[-1].detail


def test_a_condition_and_an_output_may_name_no_secret_that_there_is_none_of(world: World) -> None:
    for part in ({"steps": [step("a", condition="$Secret{NOPE}")]}, {"steps": [step("a")], "output": "$Secret{NOPE}"}):
        world.store({"tag": "f", **part})
        with pytest.raises(ApiError, match="the secret 'NOPE' has no value"):
            world.check()


def test_a_feature_that_was_stored_before_its_condition_was_refused_is_told_and_not_a_crash(world: World) -> None:
    world.store({"tag": "f", "steps": [step("a", condition=True)]})
    stored = Component.objects.get(kind="feature", tag="f")
    stored.settings["steps"][0]["condition"] = "$Input{n} = 1"
    stored.save()
    forget_everything()
    for told in (world.check, lambda: world.executor.resolve(**world.where("f"))):
        with pytest.raises(Invalid, match=r"feature 'f' cannot be run: .*'=' is no operator"):
            told()


def test_a_time_is_written_as_the_schema_of_the_step_wants_it(world: World) -> None:
    world.store({"tag": "f", "steps": [step("a", event="typed", input={"body": {"n": "$Input{n}", "day": "$DateAdd(0, 1, 'days')"}})]})  # fmt: skip
    done(world.run(n=1))
    assert world.receiver.requests[0].json() == {"n": 1, "day": "1970-01-02"}


@pytest.mark.parametrize(
    ("input", "field", "detail"),
    [
        ({}, "input.n", "is required by the feature"),
        ({"n": "x"}, "input.n", "must be of type integer"),
        ({"n": 1, "name": "ab"}, "input.name", "at least 3"),
        ({"n": "$Nope{x}"}, "input.n", "$Nope"),
    ],
)
def test_an_input_that_does_not_fit_is_told_at_dispatch(world: World, input: Any, field: str, detail: str) -> None:
    declared = {"n": {"type": "integer", "required": True}, "name": {"type": "string", "minlength": 3}}
    world.store(
        {"tag": "f", "input": declared, "steps": [step("a", event="typed", input={"body": {"n": "$Input{n}"}})]}
    )
    with pytest.raises(Invalid) as refused:
        world.check(**input)
    assert refused.value.errors[0].field == field
    assert detail in refused.value.errors[0].detail


def test_a_step_that_cannot_run_is_told_at_dispatch_with_the_steps_name(world: World) -> None:
    world.store({"tag": "f", "steps": [step("one", event="nope")]}, {"tag": "g", "steps": [step("one", event="typed", input={"body": {"n": "$Input{n}"}})]}, {"tag": "h", "steps": [step("a", input={"body": "$Secret{NOPE}"})]})  # fmt: skip
    with pytest.raises(ApiError, match="step 'one' of the feature: app 'mail' of product 'shop' has no event 'nope'"):
        world.check("f")
    with pytest.raises(Invalid) as refused:
        world.check("g", n="text")
    assert refused.value.errors[0].field == "steps.one.input.body.n"
    with pytest.raises(ApiError, match="the secret 'NOPE' has no value"):
        world.check("h")
    with pytest.raises(ApiError, match="no feature 'ff' in product 'shop': did you mean 'f'"):
        world.check("ff")


@pytest.mark.parametrize(
    ("target", "field", "detail"),
    [
        (
            {"type": "action", "app": "mial", "event": "a"},
            "app",
            "no app 'mial' in product 'shop': did you mean 'mail'?",
        ),
        (
            {"type": "feature", "feature": "innner"},
            "tag",
            "no feature 'innner' in product 'shop': did you mean 'inner'?",
        ),
    ],
)
def test_a_step_that_names_what_there_is_none_of_is_told_with_the_nearest_tag_however_deep(
    world: World, target: dict[str, Any], field: str, detail: str
) -> None:
    world.store(
        {"tag": "inner", "steps": [{"tag": "one", **target}]},
        {"tag": "f", "steps": [{"tag": "sub", "type": "feature", "feature": "inner"}]},
    )
    with pytest.raises(ApiError) as refused:
        world.check("f")
    (error,) = refused.value.errors
    assert error.field == f"steps.sub.steps.one.{field}"
    assert detail in error.detail
    assert refused.value.detail.startswith("step 'sub' of the feature: step 'one' of the feature: no ")


def test_a_value_that_is_not_there_at_run_time_fails_the_run_with_its_path(world: World) -> None:
    world.store({"tag": "f", "steps": [step("a"), step("b", input={"body": {"x": "$Step{a}{body}{nope}{deep}"}})]})
    outcome = failed(world.run())
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert "$Step{a}{body}{nope}{deep} has no value: there is no 'nope' in {a}{body}" in outcome.message


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        ({"steps": [step("s", input={"body": {"deep": [{"n": "$Input{zzz}"}]}})]},
         "step 's': input.body.deep.0.n: at offset 0: $Input{zzz} has no value: there is no 'zzz'"),
        ({"steps": [step("s", condition="$Input{zzz} > 1")]},
         "step 's': condition: at offset 0: $Input{zzz} has no value: there is no 'zzz'"),
        ({"steps": [step("s")], "output": {"rows": [{"n": "$Input{zzz}"}]}},
         "the feature's output.rows.0.n: at offset 0: $Input{zzz} has no value: there is no 'zzz'"),
    ],
)  # fmt: skip
def test_what_has_no_value_in_a_run_is_told_at_the_field_it_was_written_in(
    world: World, feature: dict[str, Any], told: str
) -> None:
    for each in feature["steps"]:
        each["event"] = "a"
    world.store({"tag": "f", **feature})
    outcome = failed(world.run())
    assert (outcome.code, outcome.message, outcome.retryable) == ("VALIDATION_ERROR", told, False)


def test_the_attempt_that_a_feature_within_a_feature_names_is_the_runs(world: World) -> None:
    world.receiver.answer("/a", Answer(status=503), Answer())
    world.store(
        {"tag": "inner", "steps": [step("a", input={"body": {"n": "$Var(attempt)"}})]},
        {"tag": "f", "steps": [{"tag": "sub", "type": "feature", "feature": "inner"}]},
    )
    kept = InMemory()
    for attempt in (1, 2):
        world.run(steps=kept, attempt=attempt)
    assert [request.json() for request in world.receiver.requests] == [{"n": 1}, {"n": 2}]


AUTHS: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"type": "bearer", "token": "$Secret{TOKEN}"}, {"token": "tok-very-secret"}),
    ({"type": "basic", "username": "bob-the-user", "password": "pw-very-secret"},
     {"username": "bob-the-user", "password": "pw-very-secret"}),
    ({"type": "header", "name": "X-Key", "value": "key-very-secret"}, {"value": "key-very-secret"}),
]  # fmt: skip


NO_AUTH = (
    "at offset 0: $Auth{token} can have no value in this part of a feature: "
    "only in the input of a feature's step of type action"
)


@pytest.mark.parametrize(("auth", "sent"), AUTHS)
def test_a_step_sends_what_its_app_logs_in_with_and_nothing_keeps_it(
    world: World, auth: dict[str, str], sent: dict[str, str]
) -> None:
    world.receiver.answer("/a", Answer(echo=True))
    body = {name: f"$Auth{{{name}}}" for name in sent}
    body["parts"] = f"$Split($Auth{{{next(iter(sent))}}}, '-')"
    world.store({"tag": "f", "steps": [step("a", input={"body": body})]}, auth=auth)
    world.check()

    kept = InMemory()
    result = done(world.run(steps=kept))

    assert world.receiver.requests[0].json() == {**sent, "parts": next(iter(sent.values())).split("-")}
    told = f"{result} {asyncio.run(kept.all())}"
    assert [secret for secret in sent.values() if secret in told] == []
    assert "***" in told


def test_a_field_that_the_app_does_not_log_in_with_fails_the_run_at_its_place(world: World) -> None:
    world.store({"tag": "f", "steps": [step("a", input={"body": {"x": "$Auth{pass}"}})]}, auth=AUTHS[0][0])
    outcome = failed(world.run())
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert outcome.message == "step 'a': input.body.x: at offset 0: $Auth{pass} has no value: there is no 'pass'"


@pytest.mark.parametrize(
    ("feature", "field", "told"),
    [
        ({"steps": [step("a", input={"body": {"x": "$Default"}})]}, "steps.0.input.body.x",
         "at offset 0: $Default can have no value in the input of a step: write the value itself"),
        ({"steps": [step("a", condition="$Auth{token} == 'x'")]}, "steps.0.condition",
         NO_AUTH),
        ({"steps": [step("a")], "output": {"x": "$Auth{token}"}}, "output.x",
         NO_AUTH),
        ({"steps": [{"tag": "a", "type": "function", "function": "fn", "input": {"payload": "$Auth{token}"}}]},
         "steps.0.input.payload", NO_AUTH),
    ],
)  # fmt: skip
def test_what_can_never_have_a_value_is_refused_when_the_feature_is_stored(
    world: World, feature: dict[str, Any], field: str, told: str
) -> None:
    with pytest.raises(Invalid) as refused:
        world.store({"tag": "f", **feature}, auth=AUTHS[0][0])
    assert [(error.field, error.detail) for error in refused.value.errors] == [(f"features.0.{field}", told)]
