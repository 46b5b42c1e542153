"""The input of a component's job: known as far as it is at dispatch, whole at its run, its secrets gathered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import Invalid
from executors import inputs
from executors.base import AttemptFailed, Call, Session
from executors.catalog.values import Values
from executors.expressions import Moment

VALUES = Values(
    sealed={"KEY": ("", ""), "OTHER": ("", "")},
    variables={("mail", "url"): "https://$Secret{KEY}/"},
    constants={("mail", "limit"): 5},
    _opened={"KEY": "s3cret-key", "OTHER": "0ther"},
)


def call(input: dict[str, Any], session: Session | None = None) -> Call:
    return Call(
        job_id="job_1", run_key="job_1:12", attempt=3, namespace="databases", product="shop", env="prd", target={},
        resolved=None, input=input, scheduled_at=datetime(2026, 1, 2, tzinfo=UTC), timeout=5, session=session,
    )  # fmt: skip


def test_an_input_is_resolved_with_all_that_a_job_may_refer_to() -> None:
    found = inputs.resolved(
        call(
            {
                "url": "$Variable{mail}{url}$Constant{mail}{limit}",
                "key": "$Lowercase($Uppercase($Secret{KEY}))",
                "who": ["$Session{user}{id}", "$Session{s}"],
                "run": "$Var(execution_count).$Var(attempt)",
                "at": "$Var(scheduled_at)",
            },
            Session("s", {"user": {"id": 7}}),
        ),
        VALUES,
    )

    assert found.value == {
        "url": "https://s3cret-key/5",
        "key": "s3cret-key",
        "who": [7, {"user": {"id": 7}}],
        "run": "12.3",
        "at": 1767312000000,
    }
    assert isinstance(found.value["at"], Moment)
    assert "s3cret-key" in found.secrets
    assert "0ther" not in found.secrets


def test_what_is_made_of_a_secret_is_a_secret() -> None:
    found = inputs.resolved(
        call(
            {"a": "$Replace($Variable{mail}{url}, 'https', 'ftps')", "b": "$Concat(['limit ', $Constant{mail}{limit}])"}
        ),
        VALUES,
    )
    assert {"ftps://s3cret-key/", "s3cret-key"} <= set(found.secrets)
    assert "limit 5" not in found.secrets


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$Session{user}", "input.where.id: at offset 0: $Session{user} has no value here"),
        ("$Add($Secret{KEY}, 1)", "input.where.id: at offset 0: $Add: argument 1 is a text that is no number"),
        ("$Secret{NOPE}", "input.where.id: at offset 0: the secret 'NOPE' has no value here"),
    ],
)
def test_what_stands_for_nothing_fails_the_attempt_with_its_path(text: str, told: str) -> None:
    with pytest.raises(AttemptFailed) as raised:
        inputs.resolved(call({"where": {"id": text}}), VALUES)

    failed = raised.value.failed
    assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)
    assert failed.message == f"the input cannot be resolved: {told}"


def test_an_input_without_expressions_is_taken_as_it_is() -> None:
    inputs.require_session({"a": ["no $Session here"]})
    assert inputs.resolved(call({"a": {"$lt": 1}}), VALUES).value == {"a": {"$lt": 1}}


def test_a_session_is_asked_for_at_each_field_that_needs_one() -> None:
    with pytest.raises(Invalid) as raised:
        inputs.require_session({"a": "$$Session{a}", "b": "$Trim($Session{a})", "c": ["$Session{a}{b}"]})
    assert sorted((error.field, error.code) for error in raised.value.errors) == [
        ("input.b", "session_required"),
        ("input.c.0", "session_required"),
    ]
