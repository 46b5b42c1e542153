"""A job that runs for a session: what its executor is given, and what becomes of it when the session counts no more."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from pytest_django import Settings

from core import clock, crypto
from core.tenancy.models import AuditEntry
from executors.base import SESSION_EXPIRED, Session
from executors.catalog import document
from executors.catalog.models import SessionConfig, SessionRevocation
from executors.catalog.schema import read_document
from jobs import wakeup
from jobs.models import Job
from jobs.operations.dispatch import dispatch
from jobs.operations.request import DispatchRequest
from tests.integration.api import OPERATOR, Api
from tests.integration.run_world import Probe, ended, running

pytestmark = pytest.mark.django_db(transaction=True)

AT = "/v1/products/shop/sessions/user"
DATA = {"id": "u_planted-identifier", "email": "planted@example.com", "n": {"deep": [1, "zwölf"]}}


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.EXTRA_EXECUTORS = {"probe": "tests.integration.run_world.Probe"}
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    written = {
        "envs": [{"slug": "prd"}, {"slug": "dev"}],
        "sessions": [{"tag": "user", "selector": "$Session{id}", "expiry": 1, "period": "hours"}],
    }
    document.store("shop", read_document(written, "shop"))


def start(**data: Any) -> dict[str, Any]:
    answer = Api().post(f"{AT}/start", {"env": "prd", "data": data or DATA})
    assert answer.status_code == 201, answer.content
    started: dict[str, Any] = answer.json()
    return started


def new_job(session: Any, **options: Any) -> Job:
    request = DispatchRequest(
        namespace="probe", target={"event": "e"}, product="shop", env="prd", session=session, **options
    )
    return Job.objects.get(pk=dispatch(request).job_id)


def test_the_executor_is_given_the_session_and_a_job_without_one_none() -> None:
    token = start()["token"]
    with running() as runner:
        assert ended(runner, new_job(token)).status == "completed"
        assert ended(runner, new_job({"tag": "user", "token": token})).status == "completed"
        assert ended(runner, new_job({"tag": "user", "token": token.partition(":")[2]})).status == "completed"
        assert ended(runner, new_job(None)).status == "completed"
    assert [call.session for call in Probe.calls] == [*[Session("user", DATA)] * 3, None]


@pytest.mark.parametrize("how", ["expires", "is revoked", "is revoked by its identifier", "loses its configuration"])
def test_a_run_whose_session_counts_no_more_fails_before_anything_is_done(how: str) -> None:
    started = start()
    job = new_job(started["token"], retries=5)
    moved = timedelta(hours=2) if how == "expires" else timedelta(0)
    if how == "is revoked":
        Api().post(f"{AT}/revoke", {"session_id": started["session_id"], "env": "prd"})
    if how == "is revoked by its identifier":
        Api().post(f"{AT}/revoke", {"identifier": DATA["id"], "env": "prd"})
    if how == "loses its configuration":
        assert Api().delete(AT).status_code == 409
        assert Api().delete(f"{AT}?force=true").status_code == 204
    with clock.shift(moved), running() as runner:
        run = ended(runner, job)
    assert (run.status, run.code, run.retryable, run.attempt) == ("failed", SESSION_EXPIRED, False, 1)
    assert run.error.startswith("the session of this job ")
    assert run.error.endswith("start a new one: nothing was sent")
    assert Probe.calls == []


def test_a_session_that_has_expired_already_is_for_the_run_to_tell() -> None:
    token = start()["token"]
    with clock.shift(timedelta(hours=2)), running() as runner:
        assert ended(runner, new_job(token)).code == SESSION_EXPIRED


def test_a_job_with_a_session_of_another_does_not_open_it() -> None:
    mine, yours = new_job(start()["token"]), new_job(start(id="other")["token"])
    Job.objects.filter(pk=mine.pk).update(session=yours.session)
    with running() as runner:
        run = ended(runner, mine)
        assert ended(runner, yours).status == "completed"
    assert (run.code, len(Probe.calls)) == (SESSION_EXPIRED, 1)
    assert "cannot be read" in run.error


def test_a_configuration_of_the_same_tag_does_not_bring_old_sessions_back() -> None:
    token = start()["token"]
    assert Api().delete(AT).status_code == 204
    Api().post("/v1/products/shop/sessions", {"tag": "user", "selector": "$Session{id}", "expiry": 1, "period": "days"})
    answer = Api().post(f"{AT}/verify", {"token": token}).json()
    assert answer["valid"] is False
    assert "is not in the catalog any more" in answer["detail"]


def test_the_sessions_of_jobs_outlive_their_key_when_keys_are_rotated(settings: Settings) -> None:
    old = settings.FIELD_ENCRYPTION_KEYS
    token = start()["token"]
    job = new_job(token)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *old]
    assert Api().post(f"{AT}/verify", {"token": token}).json()["valid"] is True
    call_command("rotate_keys")
    settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS[:1]
    with running() as runner:
        assert ended(runner, job).status == "completed"
    assert Probe.calls[0].session == Session("user", DATA)
    refused = Api().post(f"{AT}/verify", {"token": token}).json()
    assert (refused["valid"], "signed under a key" in refused["detail"]) == (False, True)


def test_a_revocation_by_identifier_holds_when_keys_are_rotated(settings: Settings) -> None:
    token = start()["token"]
    Api().post(f"{AT}/revoke", {"identifier": DATA["id"], "env": "prd"})
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_ENCRYPTION_KEYS]
    assert Api().post(f"{AT}/verify", {"token": token}).json()["valid"] is False


def rotate() -> str:
    said = StringIO()
    call_command("rotate_keys", stdout=said)
    return said.getvalue()


def test_a_key_by_which_somebody_is_revoked_is_not_told_to_be_needed_no_more(settings: Settings) -> None:
    old = crypto.key_id(settings.FIELD_ENCRYPTION_KEYS[0])
    start()
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_ENCRYPTION_KEYS]
    assert f"no secret needs these any more: {old}" in rotate()

    Api().post(f"{AT}/revoke", {"identifier": DATA["id"], "env": "prd"})
    assert f"keep these as long as such a session would live: {old}" in rotate()

    SessionRevocation.objects.update(expires_at=F("revoked_at"))
    assert f"no secret needs these any more: {old}" in rotate()


def everything_stored() -> str:
    """Every column of every row, as text."""
    texts = []
    for model in apps.get_models():
        if model._meta.managed and not model._meta.proxy:
            with connection.cursor() as sql:
                sql.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")
                texts += [str(value) for row in sql.fetchall() for value in row]
    return "\n".join(texts)


def test_nothing_that_the_system_writes_holds_a_token_or_what_a_session_holds(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        started = start()
        token = started["token"]
        many = {"jobs": [{"namespace": "probe", "event": "e", "product": "shop", "env": "prd", "session": token}]}
        assert Api().post("/v1/jobs/dispatch-many", many).status_code == 201
        with running() as runner:
            job = new_job(token, idempotency_key="k", labels={"a": "b"})
            assert ended(runner, job).status == "completed"
            assert ended(runner, new_job(token, input={"fail": "VALIDATION_ERROR"})).status == "failed"
        job_id = Api().get("/v1/jobs").json()["jobs"][0]["id"]
        shown = [
            Api().get(path).content
            for path in ("/v1/jobs", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}/history", "/v1/products/shop/catalog")
        ]
        Api().post(f"{AT}/verify", {"token": token})
        Api().post(
            "/v1/actions/dispatch", {"product": "shop", "env": "dev", "app": "a", "event": "e", "session": token}
        )
        for body in ({"identifier": DATA["id"], "env": "prd"}, {"token": token}):
            assert Api().post(f"{AT}/revoke", body).json()["revoked"] is True
        refused = new_job_refused(token)
    assert SessionRevocation.objects.count() == 2
    written = capfd.readouterr()
    haystack = "\n".join(
        [everything_stored(), caplog.text, written.out, written.err, refused, *(text.decode() for text in shown)]
    )
    assert started["session_id"] in haystack  # it looks where things are written
    jwt = token.partition(":")[2]
    for needle in (
        jwt,
        jwt.partition(".")[2],
        *jwt.split(".")[1:],
        "u_planted-identifier",
        "planted@example.com",
        "zwölf",
    ):
        assert needle not in haystack
        assert json.dumps(needle)[1:-1] not in haystack


def new_job_refused(token: str) -> str:
    answer = Api().post(
        "/v1/jobs/dispatch-many",
        {"jobs": [{"namespace": "probe", "event": "e", "product": "shop", "env": "prd", "session": token}]},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "session_invalid")
    assert answer.json()["errors"][0]["field"] == "jobs.0.session"
    return str(answer.content.decode())


def test_the_deeds_are_noted_by_the_sessions_id() -> None:
    started = start()
    Api().post(f"{AT}/revoke", {"token": started["token"]})
    noted = AuditEntry.objects.filter(action__startswith="session.").order_by("pk")
    assert [(entry.action, entry.object, entry.detail) for entry in noted] == [
        ("session.started", "shop/prd/user", {"session_id": started["session_id"]}),
        ("session.revoked", "shop/prd/user", {"session_id": started["session_id"]}),
    ]


def test_what_is_sealed_into_a_job_is_bound_to_it() -> None:
    job = new_job(start()["token"])
    assert job.session.startswith("v1.")
    with pytest.raises(crypto.CannotOpen):
        crypto.unseal(job.session, crypto.context("product", job.product_id, "env", job.environment_id))
    assert SessionConfig.objects.get().lifetime == timedelta(hours=1)
