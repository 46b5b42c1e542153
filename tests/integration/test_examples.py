"""The examples in the description: those of the documents, right by the schema that they stand in; and every error a problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from jobs.api import examples
from jobs.operations.targets import TARGETS
from tests.acceptance.test_s3_examples import EXAMPLES, NOW_MS

PAST = 2_000_000_000_000  # ms: a time of the documents' is before, one that stands in its place after


def bodies(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body with examples: the operation's name, and the schema."""
    for item in described["paths"].values():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}) if method != "parameters" else {}
            schema = content.get("application/json", {}).get("schema", {})
            if "examples" in schema:
                yield operation["operationId"], schema


def test_every_example_is_right_by_its_schema(described: dict[str, Any]) -> None:
    known: Registry[Any] = Registry().with_resource(
        "urn:api", Resource.from_contents(described, default_specification=DRAFT202012)
    )

    seen = set()
    for name, schema in bodies(described):
        validator = Draft202012Validator(_absolute(schema), registry=known)
        for example in schema["examples"]:
            assert list(validator.iter_errors(example)) == [], (name, example)
        seen.add(name)

    assert seen >= {f"{names.replace('.', '_')}_dispatch" for names in examples.DISPATCH}
    assert seen >= {f"jobs_{verb}" for verb in examples.VERBS} | {f"jobs_{verb}_many" for verb in examples.MANY}
    assert seen >= {"processor_job_schedule", "definitions_create", "definitions_update"}


def _absolute(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: f"urn:api{value}" if key == "$ref" else _absolute(value) for key, value in schema.items()}
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema


def test_the_examples_of_dispatching_are_those_of_the_documents_but_for_times(described: dict[str, Any]) -> None:
    shown = {name: schema["examples"] for name, schema in bodies(described)}
    namespaces = {names.path: namespace for namespace, names in TARGETS.items()}
    documents: dict[str, list[Any]] = {}
    for example in EXAMPLES.values():
        body = {key: value for key, value in example.body.items() if key != "input" or value is not None}
        documents.setdefault(f"{namespaces[example.path].replace('.', '_')}_dispatch", []).append(_timeless(body))

    assert {name: [_timeless(each) for each in shown[name]] for name in documents} == documents


def _timeless(body: dict[str, Any]) -> dict[str, Any]:
    """Without the values that had to be replaced: moments, and the token that the page cuts off."""
    assert NOW_MS < PAST
    schedule = dict(body.get("schedule", {}))
    for name in ("start_at", "endDate"):
        if name in schedule:
            schedule[name] = "later"
    session = {**body["session"], "token": "cut off"} if "session" in body else None
    return {**body, **({"schedule": schedule} if schedule else {}), **({"session": session} if session else {})}


def test_every_error_is_described_as_a_problem(described: dict[str, Any]) -> None:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert response == {"$ref": f"#/components/responses/Problem{status}"}, (method, path, status)
    for name, response in described["components"]["responses"].items():
        assert list(response["content"]) == ["application/problem+json"], name
        assert response["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
