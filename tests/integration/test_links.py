"""The links of the description: they lead to every operation that names a thing, and each is true of real answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from ductape_jobs.links import linked
from jobs import wakeup
from jobs.operations.targets import TARGETS
from tests.integration.api import OPERATOR, Api
from tests.integration.tour import Tour, go_everywhere

pytestmark = pytest.mark.django_db

# Answers that the tour does not come by: (operation, status) → why.
NOT_ON_THE_TOUR = {
    ("jobs_dispatch_many", "200"): "an idempotency key was used before: actions_dispatch stands for all",
    ("processor_job_schedule", "200"): "the same",
    **{(f"{name.replace('.', '_')}_dispatch", "200"): "the same" for name in TARGETS if name != "actions"},
    **{
        (f"jobs_{verb}_many", "202"): "more than 10 000 jobs: cancel-many stands for all"
        for verb in ("pause", "resume", "reschedule", "retry", "delete")
    },
}
EXPRESSION = re.compile(r"\$(?:request\.path\.(?P<path>[a-z_]+)|response\.body#/(?P<body>[a-z_0-9/]+))")


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    yield
    forget_everything()


def operations_of(described: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method, path, operation)
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def test_every_operation_that_names_a_thing_in_its_path_is_led_to(described: dict[str, Any]) -> None:
    led_to = {link["operationId"]: set[str]() for _, _, link in linked(described)}
    for _, _, link in linked(described):
        led_to[link["operationId"]] |= {name.removeprefix("path.") for name in link.get("parameters", {})}

    for name, (_, path, _) in operations_of(described).items():
        # An environment is the caller's choice: a connection in it is made, not found.
        wanted = set(re.findall(r"\{([a-z_]+)\}", path)) - ({"env"} if name.endswith("_connect") else set())
        assert wanted <= led_to.get(name, set()), (name, path)


def test_links_name_operations_answers_and_parameters_that_are_there(described: dict[str, Any]) -> None:
    operations = operations_of(described)
    seen = 0
    for source, status, link in linked(described):
        _, _, target = operations[link["operationId"]]
        assert int(status) < 400
        taken = {f"{each['in']}.{each['name']}" for each in target.get("parameters", ())}
        assert set(link.get("parameters", {})) <= taken, (source, link)
        body = target.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if "$ref" in body:
            body = described["components"]["schemas"][body["$ref"].rpartition("/")[2]]
        assert set(link.get("requestBody", {})) <= set(body.get("properties", {})), (source, link)
        in_path = set(re.findall(r"\{([a-z_]+)\}", operations[source][1]))
        for expression in (*link.get("parameters", {}).values(), *link.get("requestBody", {}).values()):
            found = EXPRESSION.fullmatch(expression)
            assert found is not None, expression
            assert found["path"] is None or found["path"] in in_path, (source, link)
        seen += 1
    assert seen > 400


class Following(Tour):
    """Reads each link of each answer, and goes where it leads if that changes nothing."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__(described)
        self._operations = operations_of(described)
        self._links: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for source, status, link in linked(described):
            self._links.setdefault((source, status), []).append(link)
        self.true: set[tuple[str, str, str]] = set()  # source, status, and the link as JSON
        self.followed: set[str] = set()

    def heard(self, operation: dict[str, Any], status: int, ids: dict[str, Any], told: Any) -> None:
        source = operation["operationId"]
        for link in self._links.get((source, str(status)), ()):
            values = {name: _value(at, ids, told) for name, at in link.get("parameters", {}).items()}
            body = {name: _value(at, ids, told) for name, at in link.get("requestBody", {}).items()}
            if None in (*values.values(), *body.values()):  # an empty list, the last page
                continue
            self.true.add((source, str(status), json.dumps(link)))
            self._follow(link["operationId"], values)

    def _follow(self, name: str, values: dict[str, Any]) -> None:
        method, path, operation = self._operations[name]
        required = {each["name"] for each in operation.get("parameters", ()) if each.get("required")}
        if method != "get" or not required <= {value.partition(".")[2] for value in values}:
            return
        query = "&".join(
            f"{each.removeprefix('query.')}={quote(str(value), safe='')}"
            for each, value in values.items()
            if each.startswith("query.")
        )
        in_path = {each.removeprefix("path."): quote(str(value), safe="") for each, value in values.items()}
        answer = Api()("GET", path.format(**in_path) + (f"?{query}" if query else ""))
        assert answer.status_code == 200, (name, values, answer.content)
        self.followed.add(name)


def _value(expression: str, ids: dict[str, Any], told: Any) -> Any:
    """What a link's expression is in a request and its answer; None where it is not there."""
    found = EXPRESSION.fullmatch(expression)
    assert found is not None
    if found["path"] is not None:
        return ids[found["path"]]
    for step in found["body"].split("/"):
        if isinstance(told, list):
            told = told[int(step)] if int(step) < len(told) else None
        else:
            told = None if told is None else told.get(step)
    return told


def test_links_lead_from_real_answers_to_what_is_there(
    described: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    go = Following(described)

    go_everywhere(go)

    never = {
        (source, status, link["operationId"])
        for source, status, link in linked(described)
        if (source, status, json.dumps(link)) not in go.true and (source, status) not in NOT_ON_THE_TOUR
    }
    assert never == set()
    assert {"jobs_get", "jobs_history", "jobs_explain", "jobs_list", "operations_get", "apps_get"} <= go.followed
