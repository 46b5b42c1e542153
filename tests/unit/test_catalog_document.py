"""The catalog document as it is read: what is accepted, and how each mistake is told."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Invalid
from executors.catalog.entries import Keep
from executors.catalog.schema import read_document


def app(**fields: Any) -> dict[str, Any]:
    return {"tag": "mail", "envs": {"prd": {"base_url": "https://mail.example"}}, **fields}


def session(**changes: Any) -> dict[str, Any]:
    written = {"tag": "user", "selector": "$Session{id}", "expiry": 7, "period": "days", **changes}
    return {name: value for name, value in written.items() if value is not None}


def event(**fields: Any) -> dict[str, Any]:
    return app(events=[{"tag": "send", "method": "POST", "resource": "/send", **fields}])


OAUTH = {
    "type": "oauth2_client_credentials",
    "token_url": "https://login.example/token",
    "client_id": "c",
    "client_secret": "$Secret{S}",
}


def problems(document: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        read_document(document, "shop")
    return {error.field: error.code for error in caught.value.errors}


def test_the_design_example_is_read() -> None:
    document = read_document(
        {
            "product": "shop",
            "name": "My application",
            "envs": [{"slug": "dev", "name": "Development"}, {"slug": "prd"}],
            "secrets": [{"key": "STRIPE_KEY", "envs": {"prd": "sk_live_x", "dev": "sk_test_x"}}],
            "apps": [
                {
                    "tag": "email-service",
                    "name": "E-mail service",
                    "envs": {
                        "prd": {"base_url": "https://mail.internal.example", "timeout": 10000},
                        "dev": {"base_url": "http://127.0.0.1:9000"},
                    },
                    "auth": {"type": "bearer", "token": "$Secret{STRIPE_KEY}"},
                    "events": [
                        {
                            "tag": "send_welcome_email",
                            "method": "POST",
                            "resource": "/users/:userId/welcome",
                            "request_type": "json",
                            "body": {
                                "type": "object",
                                "required": ["email"],
                                "properties": {"email": {"type": "string"}},
                            },
                            "headers": {"X-From": "my-app"},
                            "success": [200, 202],
                        }
                    ],
                }
            ],
        },
        "shop",
    )

    (mail,) = document.components["app"]
    assert mail.settings["auth"] == {"type": "bearer", "token": "$Secret{STRIPE_KEY}"}
    assert mail.secrets == {}
    assert [connection.env for connection in mail.connections] == ["prd", "dev"]
    assert [(entry.key, entry.env) for entry in document.secrets] == [("STRIPE_KEY", "prd"), ("STRIPE_KEY", "dev")]


def test_the_older_spellings_are_read_too() -> None:
    document = read_document(
        {
            "envs": [{"slug": "prd", "env_name": "Production"}],
            "apps": [
                {
                    "tag": "mail",
                    "app_name": "Mail",
                    "envs": [{"slug": "prd", "base_url": "https://mail.example"}],
                    "actions": [{"tag": "send", "method": "post", "resource": "send", "request_type": "JSON"}],
                }
            ],
        },
        "shop",
    )

    assert document.envs[0].name == "Production"
    assert document.components["app"][0].name == "Mail"
    assert document.components["app"][0].events[0].settings == {
        "method": "POST",
        "resource": "/send",
        "request_type": "json",
    }


def test_a_literal_credential_is_secret_and_a_marker_keeps_the_stored_one() -> None:
    document = read_document(
        {
            "apps": [
                app(auth={"type": "basic", "username": "u", "password": "pw"}),
                {"tag": "b", "auth": {"type": "bearer", "token": {"set": True}}},
            ]
        },
        "shop",
    )

    assert document.components["app"][0].settings["auth"] == {"type": "basic", "username": "u"}
    assert document.components["app"][0].secrets == {"auth.password": "pw"}
    assert document.components["app"][1].secrets == {"auth.token": Keep.KEEP}
    assert "pw" not in repr(document)


@pytest.mark.parametrize(
    ("document", "field", "code"),
    [
        ([], "", "invalid"),
        ({"aps": []}, "aps", "unknown_field"),
        ({"product": "other"}, "product", "invalid"),
        ({"caches": [{"tag": "n"}]}, "caches.0.expiry", "required"),
        ({"caches": [{"tag": "n", "expiry": 0}]}, "caches.0.expiry", "invalid"),
        ({"caches": [{"tag": "n", "expiry": 1, "type": "redis"}]}, "caches.0.type", "unknown_field"),
        ({"caches": [{"tag": "n", "expiry": 1}] * 2}, "caches", "duplicate"),
        ({"sessions": [{"expiry": 1, "period": "days", "selector": "$Session{id}"}]}, "sessions.0.tag", "required"),
        ({"sessions": [session(selector=None)]}, "sessions.0.selector", "required"),
        ({"sessions": [session(selector="id")]}, "sessions.0.selector", "invalid"),
        ({"sessions": [session(selector="$Session")]}, "sessions.0.selector", "invalid"),
        ({"sessions": [session(selector="$Secret{id}")]}, "sessions.0.selector", "invalid"),
        ({"sessions": [session(selector="$Session{id} ")]}, "sessions.0.selector", "invalid"),
        ({"sessions": [session(schema={"uid": 1})]}, "sessions.0.selector", "invalid"),
        ({"sessions": [session(schema=["id"])]}, "sessions.0.schema", "invalid"),
        ({"sessions": [session(expiry=None)]}, "sessions.0.expiry", "required"),
        ({"sessions": [session(expiry=0)]}, "sessions.0.expiry", "invalid"),
        ({"sessions": [session(expiry=1.5)]}, "sessions.0.expiry", "invalid"),
        ({"sessions": [session(expiry=367)]}, "sessions.0.expiry", "invalid"),
        ({"sessions": [session(period="weeks")]}, "sessions.0.period", "invalid"),
        ({"sessions": [session(), session()]}, "sessions", "duplicate"),
        ({"envs": {"prd": {}}}, "envs", "invalid"),
        ({"envs": [{"slug": "p r d"}]}, "envs.0.slug", "invalid"),
        ({"envs": [{"name": "x"}]}, "envs.0.slug", "required"),
        ({"envs": [{"slug": "prd"}, {"slug": "prd"}]}, "envs", "duplicate"),
        ({"secrets": [{"key": "A"}]}, "secrets.0.value", "required"),
        ({"secrets": [{"key": "A B", "value": "x"}]}, "secrets.0.key", "invalid"),
        ({"secrets": [{"key": "A", "value": 5}]}, "secrets.0.value", "invalid"),
        ({"apps": [app(), app()]}, "apps", "duplicate"),
        ({"apps": [{"envs": {}}]}, "apps.0.tag", "required"),
        ({"apps": [app(envs={"prd": {}})]}, "apps.0.envs.prd.base_url", "required"),
        ({"apps": [app(envs={"prd": {"base_url": "ftp://x"}})]}, "apps.0.envs.prd.base_url", "invalid"),
        ({"apps": [app(envs={"prd": {"base_url": "http://u:p@x"}})]}, "apps.0.envs.prd.base_url", "invalid"),
        ({"apps": [app(envs={"prd": {"base_url": "http://x/?a=1"}})]}, "apps.0.envs.prd.base_url", "invalid"),
        ({"apps": [app(envs={"prd": {"base_url": "http://x", "timeout": 0}})]}, "apps.0.envs.prd.timeout", "invalid"),
        ({"apps": [app(auth={"type": "bearer"})]}, "apps.0.auth.token", "required"),
        ({"apps": [app(auth={"type": "oauth2_client_credentials"})]}, "apps.0.auth.token_url", "required"),
        ({"apps": [app(auth=OAUTH | {"token_url": "ftp://x"})]}, "apps.0.auth.token_url", "invalid"),
        ({"apps": [app(auth=OAUTH | {"client_auth": "jwt"})]}, "apps.0.auth.client_auth", "invalid"),
        ({"apps": [app(auth=OAUTH | {"token": "x"})]}, "apps.0.auth.token", "invalid"),
        ({"apps": [app(constants={"A": None})]}, "apps.0.constants.A", "required"),
        ({"apps": [app(constants=[{"key": "A", "value": 1}, {"key": "A", "value": 2}])]}, "apps.0.constants.1", "duplicate"),
        ({"apps": [app(constants=[{"key": "A", "value": "x", "type": "number"}])]}, "apps.0.constants.0", "invalid"),
        ({"apps": [app(constants={"A": "$Variable{mail}{b}"})]}, "apps.0.constants.A", "expression_unsupported"),
        ({"apps": [app(variables=[{"key": "r", "requird": True}])]}, "apps.0.variables.0.requird", "unknown_field"),
        ({"apps": [app(variables=[{"key": "r", "required": True}])]}, "apps.0.envs.prd.variables.r", "required"),
        ({"apps": [app(envs={"prd": {"base_url": "http://x", "variables": {"r": 1}}})]}, "apps.0.envs.prd.variables.r", "invalid"),
        ({"apps": [app(variables=[{"key": "r", "type": "integer"}], envs={"prd": {"base_url": "http://x", "variables": {"r": "x"}}})]}, "apps.0.envs.prd.variables.r", "invalid"),
        ({"apps": [app(max_response_bytes=11_000_000)]}, "apps.0.max_response_bytes", "invalid"),
        ({"apps": [event(large_response="cut")]}, "apps.0.events.0.large_response", "invalid"),
        ({"apps": [app(auth={"type": "bearer", "token": "$Now()"})]}, "apps.0.auth.token", "expression_unsupported"),
        ({"apps": [app(auth={"type": "bearer", "token": "t", "username": "u"})]}, "apps.0.auth.username", "invalid"),
        ({"apps": [app(headers={"X-Api-Key": "abc"})]}, "apps.0.headers.X-Api-Key", "secret_in_clear"),
        ({"apps": [app(headers={"idempotency-key": "k"})]}, "apps.0.headers.idempotency-key", "invalid"),
        ({"apps": [app(envs={"prd": {"base_url": "http://x", "headers": {"X-Attempt": "1"}}})]}, "apps.0.envs.prd.headers.X-Attempt", "invalid"),
        ({"apps": [event(headers={"X-Job-ID": "1"})]}, "apps.0.events.0.headers.X-Job-ID", "invalid"),
        ({"apps": [app(auth={"type": "header", "name": "X-Scheduled-For", "value": "1"})]}, "apps.0.auth.name", "invalid"),
        ({"apps": [event(resource="http://evil/x")]}, "apps.0.events.0.resource", "invalid"),
        ({"apps": [event(resource="HTTPS://evil")]}, "apps.0.events.0.resource", "invalid"),
        ({"apps": [event(resource="//evil/x")]}, "apps.0.events.0.resource", "invalid"),
        ({"apps": [app(headers={"X-A": "1", "x-a": "2"})]}, "apps.0.headers.x-a", "duplicate"),
        ({"apps": [app(headers={"X-Api-Key": "$$Secret{A}"})]}, "apps.0.headers.X-Api-Key", "secret_in_clear"),
        ({"apps": [app(headers={"X-A": "a\r\nb"})]}, "apps.0.headers.X-A", "invalid"),
        ({"apps": [app(headers={"X-A": {"a": 1}})]}, "apps.0.headers.X-A", "invalid"),
        ({"apps": [event(method="BREW")]}, "apps.0.events.0.method", "invalid"),
        ({"apps": [event(resource=None)]}, "apps.0.events.0.resource", "required"),
        ({"apps": [event(resource="/a\r\nb")]}, "apps.0.events.0.resource", "invalid"),
        ({"apps": [event(request_type="graphql")]}, "apps.0.events.0.request_type", "invalid"),
        ({"apps": [event(success=["ok"])]}, "apps.0.events.0.success", "invalid"),
        ({"apps": [event(success=[True])]}, "apps.0.events.0.success", "invalid"),
        ({"apps": [event(timeout=1.5)]}, "apps.0.events.0.timeout", "invalid"),
        ({"apps": [event(body={"type": "objekt"})]}, "apps.0.events.0.body.type", "invalid"),
        ({"apps": [event(body={"properties": {"a": {"pattern": "(a+)+$"}}})]}, "apps.0.events.0.body.properties.a.pattern", "not_supported"),
        ({"apps": [event(body={"$ref": "http://x/y"})]}, "apps.0.events.0.body.$ref", "not_supported"),
        ({"apps": [event(sucess=[200])]}, "apps.0.events.0.sucess", "unknown_field"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_field(document: Any, field: str, code: str) -> None:
    assert problems(document)[field] == code


def test_variables_and_constants_are_read_in_every_spelling() -> None:
    document = read_document(
        {
            "apps": [
                app(
                    variables=[{"key": "region", "type": "string", "required": True, "maxlength": 5}],
                    constants={"limit": 5, "key": {"value": "$Secret{KEY}", "description": "d"}},
                    envs=[{"slug": "prd", "base_url": "http://x", "variables": [{"key": "region", "value": "eu"}]}],
                )
            ]
        },
        "shop",
    )

    (mail,) = document.components["app"]
    assert mail.settings == {
        "constants": {"limit": {"value": 5}, "key": {"value": "$Secret{KEY}", "description": "d"}},
        "variables": {"region": {"required": True, "type": "string", "maxlength": 5}},
    }
    assert mail.connections[0].settings["variables"] == {"region": "eu"}


def test_what_logs_in_by_oauth_keeps_its_secret_apart() -> None:
    document = read_document(
        {"apps": [app(auth=OAUTH | {"client_secret": "literal", "scopes": ["a", "b"], "client_auth": "body"})]}, "shop"
    )

    assert document.components["app"][0].secrets == {"auth.client_secret": "literal"}
    assert document.components["app"][0].settings["auth"] == {
        "type": "oauth2_client_credentials",
        "token_url": "https://login.example/token",
        "client_id": "c",
        "scope": "a b",
        "client_auth": "body",
    }


def test_a_property_may_be_called_like_a_keyword() -> None:
    read_document(
        {"apps": [event(body={"properties": {"pattern": {"type": "string"}}, "examples": [{"$ref": 1}]})]}, "shop"
    )


def test_a_typo_is_answered_with_the_nearest_known_name() -> None:
    with pytest.raises(Invalid, match="did you mean 'success'"):
        read_document({"apps": [event(sucess=[200])]}, "shop")


@pytest.mark.parametrize(("period", "read"), [("Days", "days"), ("mins", "minutes"), ("secs", "seconds")])
def test_a_period_may_be_written_short(period: str, read: str) -> None:
    (declared,) = read_document({"sessions": [session(period=period)]}, "shop").declared["sessions"]
    assert declared.columns["period"] == read


def test_a_selector_may_lie_deeper_and_a_plain_name_is_answered_with_the_reference() -> None:
    deep = session(selector="$Session{user}{id}", schema={"user": {"id": "u_1"}})
    (declared,) = read_document({"sessions": [deep]}, "shop").declared["sessions"]
    assert declared.columns["selector"] == "$Session{user}{id}"
    with pytest.raises(Invalid, match=r"'id' is no reference: write `\$Session\{id\}`"):
        read_document({"sessions": [session(selector="id")]}, "shop")


def test_every_mistake_is_told_at_once() -> None:
    assert len(problems({"envs": [{"slug": "-"}], "apps": [event(method="BREW", success=[])], "caches": [1]})) == 4
