"""Keys, scopes, bodies and problems, over the real URL configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO, StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client, override_settings
from django.urls import include, path
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import clock
from core.errors import Invalid, NotFound
from core.shortcache import forget_everything
from core.tenancy import keys, scopes
from core.tenancy.auth import ApiKeyAuthentication, principal_of, principal_of_key
from core.tenancy.models import ApiKey, Environment, Product
from core.tenancy.parsing import body_of
from core.tenancy.visibility import find_place, sees, visible_product

pytestmark = pytest.mark.django_db

OPERATOR = "operator-key-of-at-least-32-characters"
handler404 = "core.tenancy.problems.page_not_found"
handler500 = "core.tenancy.problems.server_error"


class EchoView(APIView):
    """Answers the body it was given."""

    required_scope = {"POST": scopes.JOBS_DISPATCH, "GET": scopes.JOBS_READ}

    def get(self, request: Request) -> Response:
        return Response({"name": principal_of(request).name})

    def post(self, request: Request) -> Response:
        return Response(body_of(request))


class SmallView(EchoView):
    body_limit = 100


class BrokenView(EchoView):
    def post(self, request: Request) -> Response:
        raise {"database": OperationalError("gone"), "bug": ZeroDivisionError("s3cret")}[body_of(request)["what"]]


urlpatterns = [
    path("v1/echo", EchoView.as_view()),
    path("v1/small", SmallView.as_view()),
    path("v1/broken", BrokenView.as_view()),
    path("v1/", include("executors.catalog.api.urls")),
]


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    yield
    forget_everything()


@pytest.fixture
def shop() -> Product:
    product = Product.objects.create(tag="shop", name="Shop")
    Environment.objects.create(product=product, slug="dev", name="dev")
    Environment.objects.create(product=product, slug="prd", name="prd")
    return product


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def get(key: str | None, url: str = "/v1/echo", **headers: str) -> Any:
    return Client().get(url, headers={**(bearer(key) if key else {}), **headers})


def post(body: bytes | str, url: str = "/v1/echo", content_type: str = "application/json", **extra: Any) -> Any:
    return Client(raise_request_exception=False).post(
        url, data=body, content_type=content_type, headers=bearer(OPERATOR), **extra
    )


def test_a_key_opens_what_its_scopes_say(shop: Product) -> None:
    reader = keys.create(name="reader", product=shop, scopes=[scopes.JOBS_READ])

    assert get(reader.text).json() == {"name": "reader"}
    refused = Client().post("/v1/echo", data="{}", content_type="application/json", headers=bearer(reader.text))
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert "'jobs:dispatch'" in refused.json()["detail"]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer nonsense",
        "Bearer jk_12345678_wrong",
        "Bearer \udcff",
        "Bearer " + "x" * 10_000,
    ],
)
def test_without_a_valid_key_it_is_401(shop: Product, header: str | None) -> None:
    response = Client().get("/v1/echo", headers={"Authorization": header} if header else {})

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"], body["errors"]) == (401, "unauthenticated", [])
    assert body["request_id"] == response["X-Request-Id"]


def test_a_known_prefix_with_another_secret_opens_nothing(shop: Product) -> None:
    made = keys.create(name="k", product=shop)

    assert get(made.text[:-1] + ("a" if made.text[-1] != "a" else "b")).status_code == 401


def test_a_revoked_and_an_expired_key_open_nothing(shop: Product) -> None:
    revoked = keys.create(name="r", product=shop)
    expired = keys.create(name="e", product=shop, expires_at=clock.database_now() - timedelta(seconds=1))
    assert get(revoked.text).status_code == 200

    keys.revoke(revoked.key)

    assert get(revoked.text).status_code == 401
    assert get(expired.text).status_code == 401


def test_a_key_that_expires_while_it_is_kept_stops_at_once(shop: Product) -> None:
    made = keys.create(name="k", product=shop, expires_at=clock.machine_now() + timedelta(minutes=1))
    assert get(made.text).status_code == 200

    with clock.shift(timedelta(minutes=2)):
        assert get(made.text).status_code == 401


def test_only_a_digest_of_a_key_is_stored(shop: Product) -> None:
    made = keys.create(name="k", product=shop)

    stored = ApiKey.objects.filter(pk=made.key.pk).values().get()
    assert made.text not in str(stored)
    assert made.text.startswith(stored["prefix"])


def test_a_busy_key_costs_no_query(shop: Product, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    made = keys.create(name="k", product=shop)
    principal = principal_of_key(made.text)
    find_place(principal, "shop", "prd")

    with django_assert_num_queries(0):
        assert principal_of_key(made.text) is principal
        assert find_place(principal, "shop", "prd").env == "prd"


def test_the_use_of_a_key_is_noted(shop: Product) -> None:
    made = keys.create(name="k", product=shop)
    get(made.text)

    made.key.refresh_from_db()
    assert made.key.last_used_at is not None


def test_the_operator_key_counts_while_it_is_set_and_long_enough(settings: Settings) -> None:
    assert get(OPERATOR).json() == {"name": "operator"}
    settings.OPERATOR_API_KEY = ""
    assert get(OPERATOR).status_code == 401
    settings.OPERATOR_API_KEY = "short"
    assert get("short").status_code == 401


def test_what_a_key_may_not_see_does_not_exist(shop: Product) -> None:
    other = Product.objects.create(tag="other", name="Other")
    Environment.objects.create(product=other, slug="prd", name="prd")
    prd = shop.environments.get(slug="prd")
    mine = principal_of_key(keys.create(name="k", product=shop).text)
    limited = principal_of_key(keys.create(name="l", product=shop, environments=[prd]).text)

    with pytest.raises(NotFound) as caught:
        find_place(mine, "other", "prd")
    assert caught.value.code == "product_not_found"
    assert "'other'" in caught.value.detail
    with pytest.raises(NotFound, match="'shop' has no environment 'dev'"):
        find_place(limited, "shop", "dev")
    assert sees(mine, product_id=shop.pk, environment_id=prd.pk)
    assert not sees(mine, product_id=other.pk)
    assert not sees(limited, product_id=shop.pk, environment_id=shop.environments.get(slug="dev").pk)
    assert visible_product(principal_of_key(OPERATOR), "other") == other


def test_what_the_key_leaves_no_choice_about_may_be_left_out(shop: Product) -> None:
    prd = shop.environments.get(slug="prd")
    limited = principal_of_key(keys.create(name="l", product=shop, environments=[prd]).text)

    assert find_place(limited, None, None).environment_id == prd.pk
    assert find_place(limited, "workspace:shop", "prd").product == "shop"
    with pytest.raises(Invalid, match="several environments"):
        find_place(principal_of_key(keys.create(name="k", product=shop).text), None, None)
    with pytest.raises(Invalid, match="name the product"):
        find_place(principal_of_key(OPERATOR), None, "prd")


def test_a_typo_is_answered_with_the_nearest_name(shop: Product) -> None:
    with pytest.raises(NotFound, match="did you mean 'shop'"):
        find_place(principal_of_key(OPERATOR), "shpo", "prd")
    with pytest.raises(NotFound, match="did you mean 'prd'"):
        find_place(principal_of_key(OPERATOR), "shop", "prod")


def test_a_key_cannot_have_a_foreign_environment_or_an_unknown_scope(shop: Product) -> None:
    other = Product.objects.create(tag="other", name="Other")
    with pytest.raises(Invalid, match="not one of the key's product"):
        keys.create(name="k", product=other, environments=[shop.environments.get(slug="prd")])
    with pytest.raises(Invalid, match="did you mean 'jobs:read'"):
        keys.create(name="k", product=shop, scopes=["jobs:raed"])


def test_the_command_prints_a_key_that_works(shop: Product) -> None:
    out = StringIO()
    call_command("create_api_key", "--name", "cli", "--product", "shop", "--env", "prd", stdout=out)

    assert get(out.getvalue().strip()).json() == {"name": "cli"}
    with pytest.raises(CommandError, match="no environment 'xyz'"):
        call_command("create_api_key", "--name", "cli", "--product", "shop", "--env", "xyz")


@pytest.mark.parametrize(
    "body",
    [
        "{", "nonsense", "[]", "1", '"text"', "null", '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', '{"a": 1e999}',
        '{"a": -1e999}', '{"a": "\\u0000"}', '{"\\u0000": 1}', '{"a": "\\ud800"}', '{"a": ["\\udfff"]}', '{"a": 1, "a": 2}',
        '{"a": ' + "9" * 5000 + "}", '{"a": ' + "[" * 64 + "]" * 64 + "}", "[" * 10_000, "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000, b'{"a": "\xff"}', b'\xff\xfe{\x00}\x00', '{"a": "\x00"}', "\ufeff{}",
    ],
    ids=lambda body: repr(body)[:24],
)  # fmt: skip
def test_a_bad_body_is_400_and_never_500(body: str | bytes) -> None:
    response = post(body)

    assert (response.status_code, response.json()["code"]) == (400, "malformed_body")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        '{"a": "\\\\u0000 \\\\ud800"}',
        '{"a": "\\ud83d\\ude00"}',
        '{"a": ' + "[" * 62 + "]" * 62 + "}",
        '{"ü": 1.5e3}',
    ],
    ids=lambda body: repr(body)[:24],
)
def test_a_good_body_arrives_as_it_was_sent(body: str) -> None:
    response = post(body)

    assert response.status_code == 200
    assert response.json() == (json.loads(body) if body else {})


def test_a_long_body_is_413(settings: Settings) -> None:
    assert post(json.dumps({"a": "x" * 200}), url="/v1/small").status_code == 413
    settings.BODY_LIMIT_BYTES = 100_000
    response = post(json.dumps({"a": "x" * 200_000}))
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(("size", "status"), [(10, 200), (200, 413)])
def test_a_body_in_chunks_is_read_within_the_same_limit(size: int, status: int) -> None:
    raw = json.dumps({"a": "x" * size}).encode()
    response = Client().generic(
        "POST",
        "/v1/small",
        content_type="application/json",
        headers={**bearer(OPERATOR), "Transfer-Encoding": "chunked"},
        CONTENT_LENGTH="",
        CONTENT_TYPE="application/json",
        **{"wsgi.input": BytesIO(raw), "wsgi.input_terminated": True},  # type: ignore[arg-type]  # of the environ
    )

    assert response.status_code == status
    assert status != 200 or response.json() == {"a": "x" * size}


def test_another_kind_of_body_is_415_with_the_way_out() -> None:
    response = post("a=1", content_type="application/x-www-form-urlencoded")

    assert response.status_code == 415
    assert "Content-Type: application/json" in response.json()["detail"]


def test_a_browser_that_accepts_html_gets_the_json() -> None:
    assert get(OPERATOR, Accept="text/html").json() == {"name": "operator"}


def test_an_unknown_method_and_an_unknown_path_are_problems() -> None:
    for method, url, status in (("DELETE", "/v1/echo", 405), ("GET", "/v1/nothing", 404)):
        response = Client().generic(method, url, headers=bearer(OPERATOR))
        assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
        assert response.json()["status"] == status


def test_a_lost_database_is_503_with_a_time_to_come_back() -> None:
    response = post('{"what": "database"}', url="/v1/broken")

    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response["Retry-After"] == "2"


def test_a_bug_is_500_without_its_text_and_is_logged_with_the_id(caplog: pytest.LogCaptureFixture) -> None:
    response = post('{"what": "bug"}', url="/v1/broken")

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert b"s3cret" not in response.content
    assert b"Traceback" not in response.content
    (record,) = [record for record in caplog.records if record.name == "core.tenancy.problems"]
    assert response["X-Request-Id"] in record.getMessage()
    assert record.exc_info is not None


def test_a_sane_request_id_is_kept_and_another_replaced() -> None:
    assert get(OPERATOR, **{"X-Request-Id": "abc-1"})["X-Request-Id"] == "abc-1"
    for bad in ("a b", "x" * 200, "a<script>", ""):
        assert len(get(OPERATOR, **{"X-Request-Id": bad})["X-Request-Id"]) == 32


def test_a_view_without_a_scope_answers_nobody() -> None:
    class Forgotten(APIView):
        authentication_classes = [ApiKeyAuthentication]

        def get(self, request: Request) -> Response:
            raise AssertionError("reached")

    with override_settings(ROOT_URLCONF=type("urls", (), {"urlpatterns": [path("x", Forgotten.as_view())]})):
        assert get(OPERATOR, "/x").status_code == 500
        assert get(None, "/x").status_code == 401
