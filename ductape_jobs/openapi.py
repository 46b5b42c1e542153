"""The description of the API at /v1/openapi.json and its page at /v1/docs.

Puts together what the views say of themselves (drf-spectacular) and the named schemas that each
app keeps, and adds what is true of every operation: its problems, its key, its request id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny

from core.openapi import PROBLEM, Schema, null_left_out, ref
from ductape_jobs.links import add_links
from executors import registry
from jobs.operations.targets import TargetNames

# Modules with COMPONENTS: the schemas that views name by `ref`. One that is missing has none.
SCHEMAS = ("core.tenancy.api.schemas", "executors.catalog.api.schemas", "jobs.api.schemas", "webhooks.api.schemas")

PROBLEMS = {
    "400": "The request cannot be understood: each wrong field is named",
    "401": "No valid API key",
    "403": "The key may not do that: it lacks a scope, or is not of the whole product or installation",
    "404": "It does not exist, at least not for this key",
    "409": "The state does not allow it, or somebody else was first",
    "412": "It was changed after it was read (If-Match)",
    "413": "The body is too long",
    "414": "The address is longer than 8 KiB",
    "415": "The body is not JSON",
    "422": "The idempotency key was used for another request",
    "429": "Too much at once: Retry-After says when to come back",
    "431": "There are too many headers, or one is too long",
    "500": "Something went wrong here: the log knows it by its request id",
    "503": "The database is away or busy: Retry-After says when to come back",
}
_OF_EVERY = ("400", "414", "431", "500", "503")
_WITH_KEY = ("401", "403", "404")
_WITH_BODY = ("413", "415")
_METHODS = ("get", "post", "put", "patch", "delete")
_HEADERS = {"X-Request-Id": {"schema": {"type": "string"}, "description": "the one that was sent, or a new one"}}


def only_api(endpoints: Iterable[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """drf-spectacular's hook before: the description itself is left out, and dispatches that no executor is there for."""
    return [endpoint for endpoint in endpoints if _can_succeed(*endpoint)]


def _can_succeed(path: str, _: str, method: str, callback: Any) -> bool:
    if path.startswith(("/v1/openapi.json", "/v1/docs")):
        return False
    names = getattr(getattr(callback, "cls", None), "names", None)  # of a dispatch
    return not isinstance(names, TargetNames) or names.namespace in registry.known()


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's hook after: components, problems, headers, links."""
    components = result.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(_components())
    components["responses"] = {
        f"Problem{status}": {
            "description": description,
            "headers": _problem_headers(status),
            "content": {"application/problem+json": {"schema": ref("Problem")}},
        }
        for status, description in PROBLEMS.items()
    }
    for operations in result["paths"].values():
        for method in _METHODS:
            if method in operations:
                _complete_operation(method, operations[method])
                if method != "patch":  # there null takes a field away, and the operation says which may go
                    _complete_body(operations[method], schemas)
    add_links(result)
    return result


def _complete_operation(method: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    statuses = [*_OF_EVERY, *(_WITH_KEY if operation.get("security") else ())]
    if "requestBody" in operation or method == "delete":  # whose body is read to be refused
        statuses += _WITH_BODY
    if any(parameter["name"] == "wait" for parameter in operation.get("parameters", ())):
        statuses.append("429")
    statuses += [status for status in responses if int(status) >= 400]
    for status, response in responses.items():
        if int(status) < 400:
            response.setdefault("headers", {}).update(_HEADERS)
    for status in statuses:
        responses[status] = {"$ref": f"#/components/responses/Problem{status}"}
    operation["responses"] = dict(sorted(responses.items()))


def _complete_body(operation: dict[str, Any], schemas: dict[str, Schema]) -> None:
    """What holds of every body: null is as good as nothing, where a field may be left out (tests/integration/test_nulls.py)."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    if name:
        schemas[name] = null_left_out(schemas[name])
    else:
        content["schema"] = null_left_out(content["schema"])


def _problem_headers(status: str) -> dict[str, Any]:
    retry = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return {**_HEADERS, **(retry if status in {"409", "429", "503"} else {})}


def _components() -> Mapping[str, Any]:
    found: dict[str, Any] = {"Problem": PROBLEM}
    for name in SCHEMAS:
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            continue
        found.update(getattr(module, "COMPONENTS", {}))
    return found


class BearerKey(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # it registers its subclasses
    """How `core.tenancy.auth` is told to drf-spectacular."""

    target_class = "core.tenancy.auth.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "an API key: `Authorization: Bearer <key>`"}


class SchemaView(SpectacularJSONAPIView):
    """`/v1/openapi.json`: for everybody, it holds no secret."""

    authentication_classes: list[type] = []
    permission_classes = [AllowAny]


class DocsView(SpectacularSwaggerView):
    """`/v1/docs`: Swagger's page with bundled assets; nothing is loaded from elsewhere."""

    authentication_classes: list[type] = []
    permission_classes = [AllowAny]
    url_name = "openapi"
