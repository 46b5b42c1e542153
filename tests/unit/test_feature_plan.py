"""A feature as a plan: both spellings, what waits for what, and every plan that can never run."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Invalid
from executors.catalog.schema import read_document
from executors.expressions import ExpressionError
from executors.providers.feature.conditions import holds, read_condition
from executors.providers.feature.plan import plan_of


def action(tag: str, **changes: Any) -> dict[str, Any]:
    return {"tag": tag, "type": "action", "app": "mail", "event": "send", **changes}


def read(**feature: Any) -> dict[str, Any]:
    document = read_document({"features": [{"tag": "f", **feature}]}, "shop")
    (entry,) = document.components["feature"]
    return dict(entry.settings)


def wrong(**feature: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as refused:
        read(**feature)
    return refused.value.errors[0].field, refused.value.errors[0].detail


def test_a_step_waits_for_what_it_depends_on_and_for_what_it_refers_to() -> None:
    plan = plan_of(
        read(
            steps=[
                action("tell", dependsOn=["store"], condition="$Step{fetch}{ok} == true"),
                {"tag": "store", "type": "STORAGE", "storage": "r", "operation": "upload", "input": {"content": "$Sequence{main}{fetch}"}},
                action("fetch", action="get", event=None),
                {"tag": "pause", "type": "sleep", "duration": 1500, "depends_on": "fetch"},
            ]
        )
    )  # fmt: skip
    assert {step.tag: step.after for step in plan} == {
        "fetch": frozenset(), "store": {"fetch"}, "tell": {"store", "fetch"}, "pause": {"fetch"},
    }  # fmt: skip
    assert [step.tag for step in plan] == ["fetch", "store", "pause", "tell"]
    told = {step.tag: (step.namespace, step.target, step.seconds) for step in plan}
    assert told["store"] == ("storage", {"storage": "r", "event": "upload"}, 0.0)
    assert told["fetch"] == ("actions", {"app": "mail", "event": "get"}, 0.0)
    assert told["pause"] == ("", {}, 1.5)


@pytest.mark.parametrize(
    ("step", "namespace", "target"),
    [
        ({"type": "database", "database": "d", "event": "e"}, "databases.action", {"database": "d", "event": "e"}),
        ({"type": "database_action", "database": "d", "event": "e"}, "databases.action", {"database": "d", "event": "e"}),
        ({"type": "database", "database": "d", "operation": "insert"}, "databases", {"database": "d", "operation": "insert"}),
        ({"type": "graph", "graph": "g", "operation": "createNode"}, "graphs", {"graph": "g", "operation": "createNode"}),
        ({"type": "publish", "broker": "b", "event": "t"}, "events", {"broker": "b", "event": "t"}),
        ({"type": "publish", "broker": "b", "topic": "t"}, "events", {"broker": "b", "event": "t"}),
        ({"type": "function", "function": "f"}, "functions", {"function": "f"}),
        ({"type": "feature", "feature": "other"}, "features", {"tag": "other"}),
        ({"type": "notification", "notification": "n", "event": "m"}, "notifications", {"notification": "n", "event": "m"}),
    ],
)  # fmt: skip
def test_a_step_is_of_a_namespace(step: dict[str, Any], namespace: str, target: dict[str, Any]) -> None:
    (only,) = plan_of(read(steps=[{"tag": "one", **step}]))
    assert (only.namespace, only.target) == (namespace, target)


def test_the_events_of_an_older_sequence_follow_each_other_and_those_of_its_parents() -> None:
    plan = plan_of(
        read(
            sequence=[
                {"sequence_tag": "first", "events": [action("a"), action("b")]},
                {"sequence_tag": "second", "parents": ["first"], "events": [action("c", input={"body": {"x": "$Sequence{first}{a}{id}"}})]},
            ]
        )
    )  # fmt: skip
    assert {step.tag: (step.sequence, step.after) for step in plan} == {
        "a": ("first", frozenset()), "b": ("first", {"a"}), "c": ("second", {"a", "b"}),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("feature", "field", "detail"),
    [
        ({}, "steps", "at least one step"),
        ({"steps": [action("a"), action("a")]}, "steps.1.tag", "named twice"),
        ({"steps": [action("a", dependsOn=["b"]), action("b", dependsOn=["a"])]}, "steps.0", "in a circle: a, b"),
        ({"steps": [action("a", dependsOn=["a"])]}, "steps.0", "waits for itself"),
        ({"steps": [action("a", dependsOn=["nope"])]}, "steps.0.dependsOn", "no step 'nope'"),
        ({"steps": [action("a", input={"body": "$Step{nope}{x}"})]}, "steps.0.input.body", "'nope'"),
        ({"steps": [action("a", input={"body": "$Nonsense{x}"})]}, "steps.0.input.body", "$Nonsense"),
        ({"steps": [action("a", app=None)]}, "steps.0.app", "is required"),
        ({"steps": [action("a", broker="b")]}, "steps.0.broker", "does not belong"),
        ({"steps": [{"tag": "a", "type": "sleep"}]}, "steps.0.duration", "is required"),
        ({"steps": [{"tag": "a", "type": "wait_signal"}]}, "steps.0.type", "is not one of"),
        ({"steps": [action("a", condition="> 5")]}, "steps.0.condition", "nothing"),
        ({"steps": [action("a", options={"retries": 101})]}, "steps.0.options.retries", "between 0 and 100"),
        ({"steps": [action("a")], "output": "$Step{b}{x}"}, "output", "'b'"),
        ({"steps": [action("a")], "input": {"x": {"type": "sting"}}}, "input.x.type", "must be one of"),
        ({"steps": [action("a")], "input": {"x": {"typ": "string"}}}, "input.x.typ", "no such field"),
        ({"sequence": [{"sequence_tag": "s", "parents": ["t"], "events": [action("a")]}]}, "sequence.0.parents", "'t'"),
        ({"steps": [action("a")], "envs": {"prd": {}}}, "envs", "no such field"),
    ],
)  # fmt: skip
def test_a_plan_that_can_never_run_is_refused_where_it_is_wrong(feature: Any, field: str, detail: str) -> None:
    at, told = wrong(**feature)
    assert at == f"features.0.{field}"
    assert detail in told


def retrying(**config: Any) -> dict[str, Any]:
    return {"steps": [action("fetch", options={"retries": 1, "retryConfig": config})]}


COUNT = {"tag": "count", "type": "database", "database": "d"}
DRAW = {"tag": "draw", "type": "graph", "graph": "g"}


@pytest.mark.parametrize(
    ("feature", "field", "detail"),
    [
        ({"steps": [{**COUNT, "operation": "cuont"}]}, "steps.0.operation", "step 'count': 'cuont' is not one of"),
        ({"steps": [{**COUNT, "operation": "cuont"}]}, "steps.0.operation", "did you mean 'count'?"),
        ({"steps": [action("a"), {**DRAW, "operation": "creatNode"}]}, "steps.1.operation", "step 'draw': 'creatNode' is not one of"),
        ({"sequence": [{"tag": "s", "events": [{**DRAW, "operation": "commit"}]}]}, "sequence.0.events.0.operation", "use transaction"),
        (retrying(retryableErrors=["TIMEOTU"]), "steps.0.options.retryConfig.retryableErrors.0", "step 'fetch': there is no code 'TIMEOTU': did you mean 'TIMEOUT'?"),
        (retrying(retryableErrors="TIMEOUT"), "steps.0.options.retryConfig.retryableErrors", "step 'fetch': must be a list"),
        (retrying(nonRetryableErrors=["TIMEOTU"]), "steps.0.options.retryConfig.nonRetryableErrors.0", "'TIMEOUT'?"),
        (retrying(initialDelay=5000, maxDelay=10), "steps.0.options.retryConfig.initialDelay", "longer than maxDelay"),
        (retrying(initialDely=5000), "steps.0.options.retryConfig.initialDely", "did you mean 'initialDelay'?"),
        (retrying(backoffMultiplier=0.5), "steps.0.options.retryConfig.backoffMultiplier", "from 1 to 100"),
        ({"steps": [{"tag": "a", "type": "sleep", "duration": 5, "options": {"retryConfig": {"retryableErrors": ["NO"]}}}]}, "steps.0.options.retryConfig.retryableErrors.0", "step 'a': there is no code 'NO'"),
    ],
)  # fmt: skip
def test_an_operation_or_a_retry_config_that_is_none_is_told_when_the_feature_is_stored(
    feature: Any, field: str, detail: str
) -> None:
    at, told = wrong(**feature)
    assert at == f"features.0.{field}"
    assert detail in told


def test_a_step_takes_every_operation_and_the_retry_config_of_a_job() -> None:
    config = {
        "initialDelay": 0.5,
        "backoffMultiplier": 1.5,
        "jitterPercent": 0.1,
        "maxDelay": None,
        "retryableErrors": ["TASK_FAILED"],
    }
    steps = [
        {"tag": "task", "type": "function", "function": "f", "options": {"retryConfig": config}},
        {**COUNT, "operation": "FIND_ONE"},
        {**DRAW, "operation": "create_node"},
    ]  # fmt: skip
    (task, *_) = plan_of(read(steps=steps))
    assert task.retry_config == {name: value for name, value in config.items() if value is not None}


VALUES = {"$Input{n}": 5, "$Input{text}": "abc", "$Input{none}": None, "$Input{list}": [1, 2]}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("$Input{n} > 4", True), ("$Input{n} >= 5", True), ("$Input{n} < 5", False), ("$Input{n} <= 4", False),
        ("$Input{n} == 5", True), ("$Input{n} != 5", False), ("$Input{text} == abc", True), ('$Input{text} == "abc"', True),
        ("$Input{text} == 'abc'", True), ("1 in $Input{list}", True), ("$Input{list} contains 3", False), ("$Input{none}", False),
        ("$Input{none} == null", True), ("$Input{list}", True), (True, True), (False, False), ({"not": "$Input{none}"}, True),
        ({"all": ["$Input{n}", "$Input{none}"]}, False), ({"any": ["$Input{none}", {"not": False}]}, True),
        ('$Input{text} == "a > b"', False), ("1 == true", False), ("$Input{text} contains b", True),
    ],
)  # fmt: skip
def test_a_condition_holds_or_not(condition: Any, expected: bool) -> None:
    decided = holds(
        read_condition(condition), lambda value: VALUES.get(value, value) if isinstance(value, str) else value
    )
    assert decided is expected


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("$Input{n} = 1", "'=' is no operator: equality is written =="),
        ("$Input{n}=1", "'=' is no operator"),
        ("$Input{n} === 1", "'===' is no operator"),
        ("$Input{n} <> 1", "'<>' is no operator"),
        ("$Input{url} == http://shop.example/?a=1", "a text with such a sign or word stands in quotes"),
        ("$Input{n} == 1 && $Input{m} == 2", "'&&' is no operator"),
        ("$Input{n} == 1 and $Input{m}", "'and' is no operator"),
        ("$Input{n} == 1 == true", "compares once, by '==': '==' is one too many"),
        ("made in China == $Input{text}", "compares once, by 'in': '==' is one too many"),
        ("$Input{n} is 1", "compares nothing, and is not one expression, true or false"),
        ("not $Input{n}", "compares nothing"),
        ("$$Input{n}", "compares nothing"),
        ("yes", "compares nothing"),
        ("'no'", "compares nothing"),
        ("0", "compares nothing"),
    ],
)
def test_a_text_that_would_always_or_never_hold_is_refused_with_the_way_out(condition: str, told: str) -> None:
    at, detail = wrong(steps=[action("a", condition={"all": [True, condition]})])
    assert at == "features.0.steps.0.condition"
    assert told in detail


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("$Input{n} == 5", True), ("true", True), ("false", False), ("$Input{text} == 'a = b && c'", False),
        ("$Input{text} != \"made in China\"", True), ("$Input{n}==5", True), ("$Input{text} == R&D!", False),
    ],
)  # fmt: skip
def test_a_text_in_quotes_may_hold_what_looks_like_an_operator(condition: str, expected: bool) -> None:
    assert (
        holds(read_condition(condition), lambda value: VALUES.get(value, value) if isinstance(value, str) else value)
        is expected
    )


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "  ",
        {},
        {"xor": []},
        {"all": []},
        {"all": "x"},
        5,
        ["a"],
        "a ==",
        "$Input{",
        {"not": {"not": {"not": {"not": {"not": {"not": True}}}}}},
    ],
)
def test_what_is_no_condition_is_refused(condition: Any) -> None:
    with pytest.raises(ExpressionError):
        read_condition(condition)


def test_sides_that_cannot_be_compared_are_told() -> None:
    with pytest.raises(ExpressionError, match="a str and a int cannot be compared by >"):
        holds(read_condition("abc > 5"), lambda value: value)


def test_a_step_or_sequence_may_depend_on_nothing() -> None:
    plan = plan_of(read(steps=[action("one", dependsOn=[]), action("two")]))
    older = plan_of(read(sequence=[{"tag": "main", "parents": [], "events": [action("one")]}]))
    assert [sorted(step.after) for step in (*plan, *older)] == [[], [], []]
