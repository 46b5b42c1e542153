"""Session configurations over HTTP and in documents; sessions started, verified, revoked, and forged."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from pytest_django import Settings

from core import clock, crypto
from core.clock import database_now
from core.tenancy import scopes
from core.tenancy.models import AuditEntry, Product
from core.times import to_ms
from executors.catalog.models import SessionConfig, SessionRevocation
from executors.sessions import counting
from jobs.models import Job
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.dispatch_world import ACTIONS, BODY, catalog

pytestmark = pytest.mark.django_db

SESSIONS = "/v1/products/shop/sessions"
AT = f"{SESSIONS}/user-session"
CONFIG = {
    "tag": "user-session", "name": "Users", "description": "of the shop", "selector": "$Session{id}",
    "expiry": 7, "period": "days", "schema": {"id": "u_1", "email": "a@example.com"},
}  # fmt: skip
DATA = {"id": "u_1", "email": "a@example.com"}
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    catalog()
    assert Api().post(SESSIONS, CONFIG).json() == CONFIG


def start(env: str = "prd", **data: Any) -> dict[str, Any]:
    answer = Api().post(f"{AT}/start", {"env": env, "data": {**DATA, **data}})
    assert answer.status_code == 201, answer.content
    started: dict[str, Any] = answer.json()
    return started


def verify(token: str, key: Api | None = None) -> dict[str, Any]:
    answer = (key or Api()).post(f"{AT}/verify", {"token": token})
    assert answer.status_code == 200, answer.content
    verified: dict[str, Any] = answer.json()
    return verified


def dispatched(session: Any, **changes: Any) -> Any:
    return Api().post(ACTIONS, {**BODY, "session": session, **changes})


def test_a_configuration_is_made_read_changed_and_removed() -> None:
    assert Api().get(SESSIONS).json() == {"sessions": [CONFIG]}
    changed = Api()("PATCH", AT, {"expiry": 30, "period": "mins", "description": None}).json()
    assert changed == {**{k: v for k, v in CONFIG.items() if k != "description"}, "expiry": 30, "period": "minutes"}
    assert Api().get(AT).json() == changed
    assert told(Api().post(SESSIONS, CONFIG)) == (409, "exists")
    assert told(Api()("PATCH", AT, {"tag": "other"})) == (400, "invalid")
    assert told(Api()("PATCH", AT, {"selector": "id"})) == (400, "invalid")
    assert Api()("PATCH", AT, {"selector": "id"}).json()["errors"][0]["field"] == "selector"
    assert Api().delete(AT).status_code == 204
    assert told(Api().get(AT)) == (404, "session_not_found")
    assert not SessionConfig.objects.exists()


def test_a_change_of_what_somebody_else_changed_is_refused() -> None:
    read = Api().get(AT)["ETag"]
    changed = Api()("PATCH", AT, {"expiry": 8}, **{"If-Match": read})
    assert (changed.status_code, changed["ETag"] != read) == (200, True)
    assert told(Api()("PATCH", AT, {"expiry": 9}, **{"If-Match": read})) == (412, "changed_meanwhile")
    assert told(Api()("DELETE", AT, **{"If-Match": read})) == (412, "changed_meanwhile")
    assert SessionConfig.objects.get().expiry == 8
    assert Api()("DELETE", AT, **{"If-Match": changed["ETag"]}).status_code == 204


def test_a_document_stores_exports_and_prunes_them() -> None:
    exported = Api().get("/v1/products/shop/catalog").json()
    assert exported["sessions"] == [CONFIG]
    again = Api()("PUT", "/v1/products/shop/catalog", exported).json()
    assert (again["created"], again["updated"]) == ([], [])
    longer = {"sessions": [{**CONFIG, "expiry": 8}, {**CONFIG, "tag": "staff"}]}
    dry = Api()("PUT", "/v1/products/shop/catalog?dry_run=true", longer).json()
    assert (dry["created"], dry["updated"]) == (["sessions.staff"], ["sessions.user-session"])
    assert SessionConfig.objects.get().expiry == 7
    Api()("PUT", "/v1/products/shop/catalog", longer)
    del exported["sessions"]
    pruned = Api()("PUT", "/v1/products/shop/catalog?prune=true", exported).json()
    assert sorted(pruned["removed"]) == ["sessions.staff", "sessions.user-session"]


def test_one_that_unfinished_jobs_need_is_not_removed_but_by_force() -> None:
    token = start()["token"]
    assert dispatched(token).status_code == 201
    assert dispatched(None).status_code == 201
    Api().post(SESSIONS, {**CONFIG, "tag": "staff"})
    assert Api().delete(f"{SESSIONS}/staff").status_code == 204
    refused = Api().delete(AT)
    assert (told(refused), refused.json()["jobs"]) == ((409, "in_use"), 1)
    assert "an unfinished job needs session 'user-session'" in refused.json()["detail"]
    assert Api().delete(f"{AT}?force=true").status_code == 204


def test_a_session_is_started_verified_and_revoked() -> None:
    before = to_ms(database_now())
    started = start()
    assert set(started) == {"token", "session_id", "expires_at"}
    assert started["token"].startswith("user-session:ey")
    assert 0 <= started["expires_at"] - before - 7 * 86_400_000 < 60_000
    assert verify(started["token"]) == {
        "valid": True, "data": DATA, "session_id": started["session_id"], "expires_at": started["expires_at"],
    }  # fmt: skip
    assert verify(started["token"].partition(":")[2])["valid"] is True

    revoked = Api().post(f"{AT}/revoke", {"token": started["token"]})
    assert revoked.json() == {"revoked": True, "session_id": started["session_id"]}
    assert Api().post(f"{AT}/revoke", {"token": started["token"]}).status_code == 200
    assert verify(started["token"]) == {"valid": False, "detail": "the session was revoked: start a new one"}
    assert told(dispatched(started["token"])) == (400, "session_invalid")
    assert verify(start()["token"])["valid"] is True


def test_a_session_expires() -> None:
    token = start()["token"]
    with clock.shift(7 * DAY - timedelta(seconds=5)):
        assert verify(token)["valid"] is True
    with clock.shift(7 * DAY + timedelta(seconds=2)):
        refused = verify(token)
        assert (refused["valid"], refused["detail"].startswith("the session expired at 20")) == (False, True)
        assert dispatched(token).status_code == 201  # its run says so


def test_all_sessions_of_an_identifier_are_revoked_and_later_ones_are_not() -> None:
    first, second, other = start()["token"], start()["token"], start(id="u_2")["token"]
    elsewhere = start(env="dev")["token"]
    assert Api().post(f"{AT}/revoke", {"identifier": "u_1", "env": "prd"}).json() == {"revoked": True}
    assert [verify(token)["valid"] for token in (first, second, other, elsewhere)] == [False, False, True, True]
    with clock.shift(timedelta(seconds=1)):
        assert verify(start()["token"])["valid"] is True


def test_a_number_and_its_text_are_the_same_identifier() -> None:
    token = start(id=7)["token"]
    Api().post(f"{AT}/revoke", {"identifier": "7", "env": "prd"})
    assert verify(token)["valid"] is False


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"env": "prd"}, "data", "required"),
        ({"env": "prd", "data": ["id"]}, "data", "invalid"),
        ({"env": "prd", "data": {}}, "data.id", "required"),
        ({"env": "prd", "data": {"id": True}}, "data.id", "invalid"),
        ({"env": "prd", "data": {"id": {"a": 1}}}, "data.id", "invalid"),
        ({"env": "prd", "data": {"id": ""}}, "data.id", "invalid"),
        ({"env": "prd", "data": {"id": "x" * 501}}, "data.id", "invalid"),
        ({"env": "prd", "data": {"id": "x", "more": "x" * 16_384}}, "data", "invalid"),
        ({"env": "prd", "date": {"id": "x"}}, "date", "unknown_field"),
        ({"env": 5, "data": {"id": "x"}}, "env", "invalid"),
        ({"data": {"id": "x"}}, "env", "required"),
    ],
)
def test_what_cannot_be_started_is_told_at_its_field(body: Any, field: str, code: str) -> None:
    answer = Api().post(f"{AT}/start", body)
    assert answer.status_code == 400
    assert [(each["field"], each["code"]) for each in answer.json()["errors"]] == [(field, code)]
    assert not AuditEntry.objects.filter(action="session.started").exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "token"),
        ({"token": "x", "session_id": "ses_1"}, "token"),
        ({"session_id": "job_1", "env": "prd"}, "session_id"),
        ({"session_id": 5, "env": "prd"}, "session_id"),
        ({"identifier": True, "env": "prd"}, "identifier"),
        ({"identifier": "u_1"}, "env"),
        ({"token": "garbage"}, "token"),
        ({"tokn": "x"}, "tokn"),
    ],
)
def test_what_cannot_be_revoked_is_told_at_its_field(body: Any, field: str) -> None:
    answer = Api().post(f"{AT}/revoke", body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field
    assert not SessionRevocation.objects.exists()


def test_the_nearest_configuration_is_named() -> None:
    answer = Api().post(f"{SESSIONS}/usr-session/start", {"env": "prd", "data": DATA})
    assert told(answer) == (404, "session_not_found")
    assert "did you mean 'user-session'?" in answer.json()["detail"]
    refused = dispatched("usr-session:" + start()["token"].partition(":")[2])
    assert told(refused) == (400, "session_invalid")
    assert "did you mean 'user-session'?" in refused.json()["detail"]


def altered(token: str, part: int, change: Any) -> str:
    """The token with a part of its JWT changed, and its old signature."""
    tag, _, text = token.partition(":")
    parts = text.split(".")
    claims = json.loads(base64.urlsafe_b64decode(parts[part] + "=="))
    parts[part] = base64.urlsafe_b64encode(json.dumps(change(claims)).encode()).rstrip(b"=").decode()
    return f"{tag}:{'.'.join(parts)}"


def forged(**claims: Any) -> str:
    """A token signed with a key of the attacker's."""
    key = crypto.ring().key_ids[0]
    said = {"aud": "shop/prd", "sub": "user-session", "jti": "ses_1", "exp": 4e9, "config": 1, "data": "v1.x.y"}
    return "user-session:" + jwt.encode({**said, **claims}, "x" * 32, "HS256", headers={"kid": key})


def unsigned(token: str) -> str:
    claims = jwt.decode(token.partition(":")[2], options={"verify_signature": False})
    return "user-session:" + jwt.encode(claims, "", "none", headers={"kid": crypto.ring().key_ids[0]})


FORGERIES = {
    "a later end": lambda token: altered(token, 1, lambda claims: {**claims, "exp": claims["exp"] + 1}),
    "another environment": lambda token: altered(token, 1, lambda claims: {**claims, "aud": "shop/dev"}),
    "another key": lambda token: altered(token, 0, lambda header: {**header, "kid": "00000000"}),
    "a key that is no text": lambda token: altered(token, 0, lambda header: {**header, "kid": 7}),
    "no signature": unsigned,
    "an empty signature": lambda token: token.rpartition(".")[0] + ".",
    "a signature of somebody else's": lambda token: forged(),
    "no jwt": lambda token: "user-session:abc",
    "three parts of nothing": lambda token: "user-session:a.b.c",
    "text without a tag": lambda token: token.partition(":")[2],
    "another tag in front": lambda token: "staff:" + token.partition(":")[2],
    "an object whose tag differs": lambda token: {"tag": "staff", "token": token},
    "a control character": lambda token: {"tag": "user-session\u0001", "token": token},
}


@pytest.mark.parametrize("how", FORGERIES)
def test_a_token_that_start_did_not_return_is_refused(how: str) -> None:
    Api().post(SESSIONS, {**CONFIG, "tag": "staff"})
    token = start()["token"]
    bad = FORGERIES[how](token)  # type: ignore[no-untyped-call]  # a lambda
    answer = dispatched(bad)
    assert told(answer) == (400, "session_invalid")
    assert answer.json()["errors"][0]["field"] == "session"
    assert answer.json()["detail"].startswith("session: the session ")
    assert token.rpartition(".")[2] not in answer.content.decode()
    assert not Job.objects.exists()
    if isinstance(bad, str) and ":" in bad:
        assert verify(bad)["valid"] is False


def test_a_token_counts_in_its_product_and_environment_alone() -> None:
    token = start()["token"]
    assert dispatched(token).status_code == 201
    refused = dispatched(token, env="dev")
    assert told(refused) == (400, "session_invalid")
    assert refused.json()["detail"] == "session: the session was started for 'shop/prd', not for 'shop/dev'"
    catalog("other")
    Api().post("/v1/products/other/sessions", CONFIG)
    refused = dispatched(token, product="other")
    assert told(refused) == (400, "session_invalid")
    assert "was not started for product 'other'" in refused.json()["detail"]
    assert Api().post("/v1/products/other/sessions/user-session/verify", {"token": token}).json()["valid"] is False


def test_the_bearer_of_a_token_cannot_read_what_it_holds() -> None:
    _, _, text = start(email="planted@example.com")["token"].partition(":")
    decoded = b"".join(base64.urlsafe_b64decode(part + "==") for part in text.split(".")[:2])
    assert b"planted" not in decoded
    assert b"u_1" not in decoded
    assert {"aud", "sub", "jti", "iat", "exp", "config", "data"} == set(
        jwt.decode(text, options={"verify_signature": False})
    )


def test_the_data_of_one_token_does_not_open_in_another() -> None:
    mine, yours = start()["token"], start(id="u_2")["token"]
    place = Product.objects.get(tag="shop")
    key_id, key = next(
        iter(crypto.ring().derived(crypto.context("session tokens", "product", place.pk)).items())
    )  # as if the signing key had leaked
    claims = jwt.decode(mine.partition(":")[2], options={"verify_signature": False})
    claims["data"] = jwt.decode(yours.partition(":")[2], options={"verify_signature": False})["data"]
    mixed = "user-session:" + jwt.encode(claims, key, "HS256", headers={"kid": key_id})
    assert verify(mixed)["valid"] is False


def test_a_stranger_and_a_limited_key_see_what_is_theirs() -> None:
    token, elsewhere = start()["token"], start(env="dev")["token"]
    stranger = key_of("other", envs=("prd",))
    for method, path in (
        ("GET", SESSIONS),
        ("GET", AT),
        ("DELETE", AT),
        ("POST", f"{AT}/start"),
        ("POST", f"{AT}/verify"),
    ):
        body = (
            {"env": "prd", "data": DATA} if path.endswith("start") else {"token": token} if method == "POST" else None
        )
        assert stranger(method, path, body).status_code == 404
    limited = key_of(envs=("prd",), name="limited")
    assert limited.post(f"{AT}/start", {"data": DATA}).status_code == 201
    assert told(limited.post(f"{AT}/start", {"env": "dev", "data": DATA})) == (404, "env_not_found")
    assert verify(token, limited)["valid"] is True
    assert verify(elsewhere, limited)["valid"] is False
    assert told(limited.post(f"{AT}/revoke", {"token": elsewhere})) == (400, "session_invalid")
    assert verify(elsewhere)["valid"] is True


def test_each_call_needs_its_scope() -> None:
    token = start()["token"]
    reader = key_of(scopes_={scopes.CATALOG_READ}, name="reader")
    assert reader.get(AT).status_code == 200
    assert verify(token, reader)["valid"] is True
    for path, body in (
        (f"{AT}/start", {"env": "prd", "data": DATA}),
        (f"{AT}/revoke", {"token": token}),
        (SESSIONS, CONFIG),
    ):
        assert told(reader.post(path, body)) == (403, "scope_missing")
    nobody = key_of(scopes_={scopes.JOBS_READ}, name="nobody")
    assert told(nobody.post(f"{AT}/verify", {"token": token})) == (403, "scope_missing")


def test_a_selector_may_lie_deeper() -> None:
    deep = {**CONFIG, "tag": "deep", "selector": "$Session{user}{id}", "schema": {"user": {"id": 1}}}
    Api().post(SESSIONS, deep)
    at = f"{SESSIONS}/deep"
    token = Api().post(f"{at}/start", {"env": "prd", "data": {"user": {"id": 9}}}).json()["token"]
    wrong = Api().post(f"{at}/start", {"env": "prd", "data": {"user": 9}}).json()
    assert wrong["errors"][0]["field"] == "data.user.id"
    Api().post(f"{at}/revoke", {"identifier": 9, "env": "prd"})
    assert Api().post(f"{at}/verify", {"token": token}).json()["valid"] is False


def test_revocations_are_pruned_when_what_they_revoke_has_expired() -> None:
    Api().post(f"{AT}/revoke", {"token": start()["token"]})
    Api().post(f"{AT}/revoke", {"identifier": "u_1", "env": "prd"})
    Api().post(f"{AT}/revoke", {"identifier": "u_1", "env": "prd"})
    assert SessionRevocation.objects.count() == 2
    assert counting.prune() == 0
    assert counting.prune(now=database_now() + 8 * DAY) == 1
    assert counting.prune(now=database_now() + 367 * DAY) == 1
    assert "u_1" not in str(list(SessionRevocation.objects.values()))
