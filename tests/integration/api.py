"""A caller of the API in tests: keys, and the answers as JSON."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from django.test import Client
from django.urls import include, path

from core.tenancy import keys, scopes
from core.tenancy.models import Environment, Product
from jobs.api.urls import service_patterns
from tests.documented import check_problem

OPERATOR = "operator-key-of-at-least-32-characters"

# The API without the admin, which takes seconds to load.
urlpatterns = [
    path("v1/", include("core.tenancy.api.urls")),
    path("v1/", include("executors.catalog.api.urls")),
    path("v1/", include("webhooks.api.urls")),
    path("v1/", include("jobs.api.urls")),
    *service_patterns,
]
handler404 = "core.tenancy.problems.page_not_found"
handler500 = "core.tenancy.problems.server_error"


class Api:
    """Calls with one key (None: without)."""

    def __init__(self, key: str | None = OPERATOR) -> None:
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = b"" if body is None else body if isinstance(body, (bytes, str)) else json.dumps(body)
        answer = self._client.generic(
            method, path, data=data, content_type="application/json", headers={**self._headers, **headers}
        )
        if answer.status_code >= 400 and answer["Content-Type"] == "application/problem+json":
            check_problem(answer.json())
        return answer

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, body, **headers)

    def delete(self, path: str) -> Any:
        return self("DELETE", path)


def key_of(
    product: str = "shop",
    *,
    envs: tuple[str, ...] = (),
    scopes_: frozenset[str] | set[str] = scopes.ALL,
    name: str = "k",
) -> Api:
    """A caller with a key of that product (made if missing, with its environments)."""
    found, _ = Product.objects.get_or_create(tag=product, defaults={"name": product})
    environments = [
        Environment.objects.get_or_create(product=found, slug=slug, defaults={"name": slug})[0] for slug in envs
    ]
    return Api(keys.create(name=name, product=found, environments=environments, scopes=scopes_).text)


def told(response: Any) -> tuple[int, str]:
    """Status and code of a problem."""
    assert response["Content-Type"] == "application/problem+json", response.content
    return response.status_code, response.json()["code"]


def hang_up(answer: Any) -> None:
    """What the server does when a client is gone; the test's own connection to the database stays."""
    for close in [*answer._resource_closers]:
        with suppress(ValueError):  # of the test client's own, which closes what is closed
            close()
