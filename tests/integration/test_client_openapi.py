"""The Python client against the API's own description, so that they cannot drift: every operation is called, with a
request and an answer of its schema; every field is on its dataclass; every code has its class."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from functools import partial
from io import StringIO
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import httpx
import pytest
from django.core.management import call_command
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import ductape
from ductape import errors, filters, options
from ductape.namespaces import NAMESPACES
from ductape.reading import Result, wire_name
from ductape.results import event, product, service, stats
from jobs.operations.targets import TARGETS
from jobs.states import EventType
from tests.documented import ROOT
from tests.integration.client_calls import CALLS, KINDS, OF_PRODUCT, OF_WEBHOOKS, of_components

pytestmark = pytest.mark.remote  # alike whatever database there is

# Operations that no call of the list above reaches, and why.
ELSEWHERE = {
    "events_stream": "it has no end: tests/unit/test_client_stream.py",
}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    out = StringIO()
    call_command("spectacular", "--format", "openapi-json", stdout=out)
    description: dict[str, Any] = json.loads(out.getvalue())
    return description


class Described:
    """A server that knows the description alone: checks each request against it, answers what it says in full."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._description = description
        self._registry = Registry().with_resource(
            "", Resource.from_contents(dict(description), default_specification=DRAFT202012)
        )
        self.reached: set[str] = set()
        self._paths = sorted(
            ((re.compile(re.sub(r"{\w+}", "[^/]+", path)), item) for path, item in description["paths"].items()),
            key=lambda each: each[0].pattern.count("[^/]+"),
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        operation = next(
            item[request.method.lower()]
            for pattern, item in self._paths
            if pattern.fullmatch(path) and request.method.lower() in item
        )
        self.reached.add(operation["operationId"])
        named = {(each["in"], each["name"].lower()) for each in operation.get("parameters", ())}
        assert {("query", name) for name in request.url.params} <= named, (path, request.url.params)
        for header in ("if-match", "idempotency-key"):
            assert header not in request.headers or ("header", header) in named, (path, header)
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert body is not None or not request.content, path
        if body is not None:
            self.check(json.loads(request.content), body["schema"])
        status, answer = next((int(each), told) for each, told in operation["responses"].items() if each < "3")
        content = answer.get("content", {})
        if not content:
            return httpx.Response(status)
        (media, shape), *_ = content.items()
        if media != "application/json":
            return httpx.Response(status, text="text")
        return httpx.Response(status, json=self.sample(shape["schema"]))

    def check(self, value: Any, schema: Mapping[str, Any]) -> None:
        Draft202012Validator(self.rooted(schema), registry=self._registry).validate(value)

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def rooted(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {**schema, "components": self._description["components"]}

    def sample(self, schema: Mapping[str, Any]) -> Any:
        """A value of the schema with all its fields."""
        schema = self.resolved(schema)
        if "oneOf" in schema:
            return self.sample(schema["oneOf"][0])
        if "enum" in schema:
            return schema["enum"][0]
        kind = schema.get("type", "object")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            found = {name: self.sample(each) for name, each in schema.get("properties", {}).items()}
            more = schema.get("additionalProperties")
            return {**found, "one": self.sample(more)} if isinstance(more, dict) else found
        if kind == "array":
            return [self.sample(schema["items"])]
        return {
            "integer": 1_795_557_206_555 % schema.get("maximum", 10**13),
            "number": 1.5,
            "string": "text",
            "boolean": True,
        }[kind]


def test_every_operation_is_called_with_a_request_and_an_answer_of_its_schema(described: dict[str, Any]) -> None:
    server = Described(described)
    client = ductape.Ductape(
        "http://described.test", "key", product="shop", env="prd", retries=1,
        http=httpx.Client(transport=httpx.MockTransport(server)),
    )  # fmt: skip

    for call in CALLS.values():
        call(client)
    waited = client.processor.job.run
    with pytest.raises(errors.BrokenAnswer):  # the sample is the other one of its two answers
        waited(event="nightly", wait=1)
    one = client.product("shop")
    for ask in OF_PRODUCT.values():
        ask(one)
    for kind in KINDS:
        for go in of_components(one, kind).values():
            go()

    told = {operation["operationId"] for item in described["paths"].values() for operation in item.values()}
    for call in OF_WEBHOOKS.values():
        call(client)
    assert told - server.reached == set(ELSEWHERE)


# The schema's component, or the operation whose answer it is → the class that it is read as.
READ_AS: dict[str, type] = {
    "Job": ductape.Job, "JobPage": ductape.JobPage, "Execution": ductape.Execution, "JobHistory": ductape.JobHistory,
    "JobStats": stats.JobStats, "JobSeries": stats.JobSeries, "Hold": product.Hold, "Worker": service.Worker,
    "Scheduler": service.Scheduler, "Workers": service.Workers, "Queue": service.Queue, "Readiness": service.Readiness,
    "Operation": ductape.Operation, "DispatchResult": ductape.Dispatched, "MadeApiKey": service.ApiKey,
    "DefinitionChanged": product.Definition, "jobs_explain": ductape.Explanation, "schedule_preview": service.Preview,
    "sessions_start": product.StartedSession, "sessions_verify": product.VerifiedSession,
    "sessions_revoke": product.RevokedSession, "apps_check": product.ConnectionCheck, "catalog_store": product.CatalogDiff,
}  # fmt: skip
OF_WEBHOOKS_READ_AS: dict[str, type] = {
    "WebhookWithSecret": event.Webhook, "WebhookDelivery": event.Delivery, "WebhookDeliveries": event.DeliveryPage,
    "WebhookReplayed": event.Replayed, "WebhookStats": event.WebhookStats,
}  # fmt: skip
# A delivery in a list is read as the same class as a single one.
LEFT_OUT_OF_A_LIST = ["Delivery.payload is not in WebhookDeliveries.deliveries[]"]
# Fields that another answer of the same class does not have.
NOT_ALWAYS = {("MadeApiKey", "key"), ("DefinitionChanged", "rescheduled")}


@pytest.mark.parametrize("name", READ_AS)
def test_every_field_of_an_answer_is_on_its_class_in_a_type_that_fits(described: dict[str, Any], name: str) -> None:
    server = Described(described)

    assert list(_misfits(server, server.resolved(_schema(described, name)), READ_AS[name], name)) == []


def test_every_field_of_webhooks_is_on_its_class(described: dict[str, Any]) -> None:
    server = Described(described)
    found = [
        each
        for name, kind in OF_WEBHOOKS_READ_AS.items()
        for each in _misfits(server, _schema(described, name), kind, name)
    ]

    assert sorted(found) == LEFT_OUT_OF_A_LIST


def test_the_comparison_of_fields_sees_each_way_to_differ(described: dict[str, Any]) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Differs(Result):
        gone: str
        at: int
        count: str
        kind: Literal["a"]
        maybe: int
        given: int | None = None

    schema = {
        "properties": {
            "new": {"type": "string"}, "at": {"type": "integer", "description": "milliseconds since 1970, UTC"},
            "count": {"type": "integer"}, "kind": {"type": "string", "enum": ["a", "b"]},
            "maybe": {"oneOf": [{"type": "integer"}, {"type": "null"}]}, "given": {"type": "integer"},
        },
        "required": ["new", "at", "count", "kind", "maybe", "given"],
    }  # fmt: skip

    found = sorted(_misfits(Described(described), schema, Differs, "S"))

    assert found == [
        "Differs.gone is not in S",
        "S.at is integer, which is not read as <class 'int'>",
        "S.count is integer, which is not read as <class 'str'>",
        "S.given: required is True, and has a default is True",
        "S.kind is one of ['a', 'b'], not of ('a',)",
        "S.maybe may be null, which <class 'int'> does not say",
        "S.new is not on Differs",
    ]


def test_both_answers_of_the_many_calls_are_one_class(described: dict[str, Any]) -> None:
    done, begun = (described["components"]["schemas"][name]["properties"] for name in ("ManyDone", "ManyBegun"))

    assert {*done, *begun} == {each.name for each in fields(ductape.ManyResult)} - {"raw"}


def test_a_stream_and_a_webhook_know_every_event() -> None:
    assert set(get_args(event.EventName)) == set(map(str, EventType))


def test_the_namespaces_are_the_apis() -> None:
    assert {name: (names.target, dict(names.aliases), names.path) for name, names in NAMESPACES.items()} == {
        name: (names.fields, dict(names.aliases), f"/v1/{names.path}/dispatch") for name, names in TARGETS.items()
    }


def test_every_code_of_an_answer_has_its_class_with_its_status() -> None:
    page = (
        (ROOT / "docs/api-errors.md").read_text().partition("## Codes of answers")[2].partition("## Codes of fields")[0]
    )
    documented = {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", page, re.MULTILINE)}

    known = {code: kind.status for code, kind in errors.BY_CODE.items()}
    assert known == documented
    for kind in errors.BY_CODE.values():
        assert kind.__name__ == "".join(word.capitalize() for word in kind.code.split("_"))
        assert len(kind.advice) > 10


def test_options_have_the_names_bounds_and_choices_of_the_description(described: dict[str, Any]) -> None:
    server = Described(described)
    body = described["paths"]["/v1/databases/dispatch"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    target = set(NAMESPACES["databases"].target)
    asked = {name: each for name, each in server.resolved(body)["properties"].items() if name not in target}

    _held(server, asked, options.OPTIONS)
    _held(server, server.resolved({"$ref": "#/components/schemas/Schedule"})["properties"], options.SCHEDULE)
    _held(server, server.resolved({"$ref": "#/components/schemas/RetryConfig"})["properties"], options.RETRY_CONFIG)
    assert set(get_type_hints(options.Schedule)) == set(options.SCHEDULE)
    assert set(get_type_hints(options.DispatchOptions)) == {*options.OPTIONS, "retry_config"} - {"input"}
    assert set(get_type_hints(options.RetryConfig)) == {*options.RETRY_CONFIG, *options._PYTHON_SPELLING}


def test_filters_are_those_of_a_list_and_of_statistics(described: dict[str, Any]) -> None:
    def of(path: str) -> set[str]:
        return {each["name"] for each in described["paths"][path]["get"]["parameters"]}

    assert {*filters.FILTER} - {"from_"} == of("/v1/jobs") - {"limit", "offset", "cursor", "order"}
    assert {*filters.WINDOW} - {"from_"} == of("/v1/jobs/stats")
    assert set(get_type_hints(filters.Filter)) == {*filters.FILTER} - {"from"}


def _schema(described: dict[str, Any], name: str) -> Mapping[str, Any]:
    components: dict[str, Any] = described["components"]["schemas"]
    if name in components:
        found: Mapping[str, Any] = components[name]
        return found
    operation = next(
        each for item in described["paths"].values() for each in item.values() if each["operationId"] == name
    )
    answer = next(told for status, told in operation["responses"].items() if status < "3")
    schema: Mapping[str, Any] = answer["content"]["application/json"]["schema"]
    return schema


def _misfits(server: Described, schema: Mapping[str, Any], cls: type, name: str) -> Any:
    """What of the class does not fit the schema, as sentences."""
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    known = {wire_name(each): each for each in fields(cls) if each.name != "raw" and not each.name.startswith("_")}
    properties = schema["properties"]
    yield from (f"{name}.{each} is not on {cls.__name__}" for each in properties.keys() - known.keys())
    yield from (f"{cls.__name__}.{each} is not in {name}" for each in known.keys() - properties.keys())
    for key in properties.keys() & known.keys():
        field, inner = known[key], server.resolved(properties[key])
        required = key in schema.get("required", ()) and (name, key) not in NOT_ALWAYS
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if required is has_default and key != "next_cursor":
            yield f"{name}.{key}: required is {required}, and has a default is {has_default}"
        yield from _misfit(server, inner, hints[field.name], f"{name}.{key}")


def _misfit(server: Described, schema: Mapping[str, Any], hint: Any, name: str) -> Any:
    if hint is Any:
        return
    choices = [server.resolved(each) for each in schema.get("oneOf", ())]
    kinds = schema.get("type", [])
    nullable = "null" in kinds or any(each.get("type") == "null" for each in choices)
    if nullable and type(None) not in get_args(hint):
        yield f"{name} may be null, which {hint} does not say"
    schema = next((each for each in choices if each.get("type") != "null"), schema)
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    kind = next(
        (each for each in ([kinds] if isinstance(kinds, str) else kinds) if each != "null"), None
    ) or schema.get("type")
    origin = get_origin(hint)
    if kind == "array" and origin is tuple:
        yield from _misfit(server, server.resolved(schema["items"]), get_args(hint)[0], f"{name}[]")
    elif kind == "object" and is_dataclass(hint) and isinstance(hint, type):
        yield from _misfits(server, schema, hint, name)
    elif kind == "object" and origin is not None and issubclass(origin, Mapping):
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            yield from _misfit(server, server.resolved(more), get_args(hint)[1], f"{name}{{}}")
    elif kind == "string" and origin is Literal:
        if set(get_args(hint)) != set(schema.get("enum", ())):
            yield f"{name} is one of {schema.get('enum')}, not of {get_args(hint)}"
    else:
        python = {"integer": int, "string": str, "boolean": bool, "number": float}.get(str(kind))
        is_time = "since 1970" in schema.get("description", "") or name.endswith(("_at", ".at", ".since", ".until"))
        if (datetime if kind == "integer" and is_time else python) != hint and not (
            kind == "integer" and hint is datetime
        ):
            yield f"{name} is {kind}, which is not read as {hint}"


def _held(server: Described, schemas: Mapping[str, Any], checks: Mapping[str, Callable[[str, Any], Any]]) -> None:
    """The checks take the same names and values as the schemas."""
    assert set(checks) == set(schemas)
    for name, schema in schemas.items():
        inner = server.resolved(schema)
        inner = server.resolved(inner["oneOf"][0]) if "oneOf" in inner and "$ref" not in inner else inner
        check = checks[name]
        takes = partial(_takes, check, name)
        if "enum" in inner:
            assert all(map(takes, inner["enum"])), name
            assert not takes("none of them"), name
        for bound, beyond in (("minimum", -1), ("maximum", 1)):
            if bound in inner and "oneOf" not in inner:
                assert (takes(inner[bound]), takes(inner[bound] + beyond)) == (True, False), (name, bound)
        if "maxLength" in inner:
            assert (takes("x" * inner["maxLength"]), takes("x" * (inner["maxLength"] + 1))) == (True, False), name


def _takes(check: Callable[[str, Any], Any], name: str, value: Any) -> bool:
    try:
        check(name, value)
    except errors.InvalidArgument:
        return False
    return True
