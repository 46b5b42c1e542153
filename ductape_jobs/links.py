"""Which operation leads to which: what an answer names, and who takes it. Data, and the way into the description.

An answer's links are of OpenAPI's: the operation to call next, and where in the request or the answer its
parameters stand. A list leads on by its first item. `tests/integration/test_links.py` holds them to real answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from executors.catalog import kinds
from executors.catalog.kinds import Kind
from jobs.operations.targets import TARGETS

Parameters = Mapping[str, str]
Source = tuple[str, tuple[int, ...], Parameters]  # an operation, the statuses whose answers name something, and where

_OF_PATH = {name: f"$request.path.{name}" for name in ("product", "tag", "env", "job_id", "webhook_id")}
_PRODUCT = {"product": _OF_PATH["product"]}
_TAG = {**_PRODUCT, "tag": _OF_PATH["tag"]}
_JOB = {"job_id": _OF_PATH["job_id"]}
_WEBHOOK = {"webhook_id": _OF_PATH["webhook_id"]}


def _told(pointer: str) -> str:
    return f"$response.body#/{pointer}"


@dataclass(frozen=True, kw_only=True)
class Links:
    """What some answers name, and the operations that take it: as parameters, or also in a body."""

    told_by: tuple[Source, ...]
    taken_by: tuple[str, ...]
    body: Parameters = field(default_factory=dict)


_DISPATCHES = tuple(f"{name.replace('.', '_')}_dispatch" for name in TARGETS)
_VERBS = ("cancel", "pause", "resume", "reschedule", "retry", "trigger")
_MANY = ("cancel", "pause", "resume", "reschedule", "retry", "delete")

JOBS = (
    Links(
        told_by=(
            *((dispatch, (200, 201), {"job_id": _told("job_id")}) for dispatch in _DISPATCHES),
            ("jobs_dispatch_many", (200, 201), {"job_id": _told("jobs/0/job_id")}),
            ("processor_job_schedule", (200, 201), {"job_id": _told("job_id")}),
            ("jobs_list", (200,), {"job_id": _told("jobs/0/id")}),
        ),
        taken_by=("jobs_get", "jobs_history", "jobs_explain", "jobs_delete", *(f"jobs_{verb}" for verb in _VERBS)),
    ),
    Links(told_by=(("jobs_list", (200,), {"cursor": _told("next_cursor")}),), taken_by=("jobs_list",)),
    Links(
        told_by=(("jobs_history", (200,), {**_JOB, "at": _told("executions/0/scheduled_at")}),),
        taken_by=("jobs_explain",),
    ),
    Links(told_by=(("jobs_pause", (200,), _JOB),), taken_by=("jobs_resume", "jobs_explain")),
    Links(told_by=(("jobs_cancel", (200,), _JOB),), taken_by=("jobs_retry", "jobs_delete")),
    Links(
        told_by=tuple((f"jobs_{verb}", (200,), _JOB) for verb in ("resume", "reschedule", "retry", "trigger")),
        taken_by=("jobs_get",),
    ),
    Links(
        told_by=tuple((f"jobs_{verb}_many", (202,), {"operation_id": _told("operation_id")}) for verb in _MANY),
        taken_by=("operations_get", "operations_abort"),
    ),
    Links(
        told_by=(("jobs_pause_many", (200, 202), {}),),
        taken_by=("jobs_resume_many",),
        body={"pause_id": _told("pause_id")},
    ),
)

OTHERS = (
    Links(
        told_by=(("keys_create", (201,), {"key_id": _told("id")}), ("keys_list", (200,), {"key_id": _told("keys/0/id")})),
        taken_by=("keys_revoke",),
    ),
    Links(
        told_by=(
            ("products_create", (201,), {"product": _told("tag")}),
            ("products_list", (200,), {"product": _told("products/0/tag")}),
        ),
        taken_by=(
            "products_get", "products_update", "products_delete", "catalog_export", "catalog_store", "hold", "holds_list",
            "release", "secrets_list", "secrets_store",
            *(
                f"{plural}_{verb}"
                for plural in ("environments", "sessions", "caches", "definitions")
                for verb in ("list", "create")
            ),
            *(f"{kind.plural}_{verb}" for kind in kinds.all_kinds() for verb in ("list", "create")),
        ),
    ),
    Links(told_by=(("hold", (200,), _PRODUCT),), taken_by=("release", "holds_list")),
    Links(
        told_by=(
            ("environments_create", (201,), {**_PRODUCT, "env": _told("slug")}),
            ("environments_list", (200,), {**_PRODUCT, "env": _told("envs/0/slug")}),
        ),
        taken_by=("environments_get", "environments_update", "environments_delete"),
    ),
    Links(
        told_by=(
            ("secrets_store", (200,), {**_PRODUCT, "secret": _told("key")}),
            ("secrets_list", (200,), {**_PRODUCT, "secret": _told("secrets/0/key")}),
        ),
        taken_by=("secrets_get", "secrets_delete"),
    ),
    Links(
        told_by=(
            ("sessions_create", (201,), {**_PRODUCT, "tag": _told("tag")}),
            ("sessions_list", (200,), {**_PRODUCT, "tag": _told("sessions/0/tag")}),
        ),
        taken_by=tuple(f"sessions_{verb}" for verb in ("get", "update", "delete", "start", "verify", "revoke")),
    ),
    Links(
        told_by=(("sessions_start", (201,), _TAG),),
        taken_by=("sessions_verify", "sessions_revoke"),
        body={"token": _told("token")},
    ),
    Links(
        told_by=(
            ("caches_create", (201,), {**_PRODUCT, "tag": _told("tag")}),
            ("caches_list", (200,), {**_PRODUCT, "tag": _told("caches/0/tag")}),
        ),
        taken_by=("caches_get", "caches_update", "caches_delete", "cache_entries_list", "cache_entries_clear"),
    ),
    Links(
        told_by=(("cache_entries_list", (200,), {**_TAG, "key": _told("entries/0/key")}),),
        taken_by=("cache_entries_clear",),
    ),
    Links(
        told_by=(
            ("definitions_create", (201,), {**_PRODUCT, "tag": _told("tag")}),
            ("definitions_list", (200,), {**_PRODUCT, "tag": _told("jobs/0/tag")}),
        ),
        taken_by=("definitions_get", "definitions_update", "definitions_delete"),
    ),
    Links(
        told_by=(("definitions_create", (201,), {}),),
        taken_by=("processor_job_schedule",),
        body={"product_tag": _OF_PATH["product"], "event": _told("tag")},
    ),
)  # fmt: skip


WEBHOOKS = (
    Links(
        told_by=(
            ("webhooks_create", (201,), {"webhook_id": _told("id")}),
            ("jobs_set_webhook", (200, 201), {"webhook_id": _told("id")}),
            ("webhooks_list", (200,), {"webhook_id": _told("webhooks/0/id")}),
        ),
        taken_by=tuple(
            f"webhooks_{verb}"
            for verb in ("get", "update", "delete", "rotate_secret", "test", "stats", "deliveries", "replay")
        ),
    ),
    Links(
        told_by=(
            ("webhooks_test", (202,), {**_WEBHOOK, "delivery_id": _told("id")}),
            ("webhooks_deliveries", (200,), {**_WEBHOOK, "delivery_id": _told("deliveries/0/id")}),
        ),
        taken_by=("webhooks_delivery", "webhooks_replay_delivery"),
    ),
    Links(
        told_by=(("webhooks_deliveries", (200,), {**_WEBHOOK, "cursor": _told("next_cursor")}),),
        taken_by=("webhooks_deliveries",),
    ),
)


def _of_kind(kind: Kind) -> Iterator[Links]:
    """A component, its connections, its events, and what dispatches them."""
    plural, name = kind.plural, kind.name
    dispatched = tuple(f"{namespace.replace('.', '_')}_dispatch" for namespace in kind.namespaces)
    yield Links(
        told_by=(
            (f"{plural}_create", (201,), {**_PRODUCT, "tag": _told("tag")}),
            (f"{plural}_list", (200,), {**_PRODUCT, "tag": _told(f"{plural}/0/tag")}),
        ),
        taken_by=(
            *(f"{plural}_{verb}" for verb in ("get", "update", "delete")),
            *((f"{plural}_connect", f"{plural}_check") if kind.connected else ()),
            *((f"{name}_events_list", f"{name}_events_create") if kind.has_events else ()),
        ),
    )
    yield Links(
        told_by=((f"{plural}_create", (201,), {}),),
        taken_by=tuple(each for each in dispatched if not (kind.has_events and _names_an_event(each))),
        body={"product": _OF_PATH["product"], kind.target: _told("tag")},
    )
    if kind.connected:
        yield Links(
            told_by=((f"{plural}_connect", (200,), {**_TAG, "env": _OF_PATH["env"]}),),
            taken_by=(f"{plural}_check", f"{plural}_disconnect"),
        )
    if kind.has_events:
        yield Links(
            told_by=(
                (f"{name}_events_create", (201,), {**_TAG, "event": _told("tag")}),
                (f"{name}_events_list", (200,), {**_TAG, "event": _told("events/0/tag")}),
            ),
            taken_by=tuple(f"{name}_events_{verb}" for verb in ("get", "store", "delete")),
        )
        yield Links(
            told_by=((f"{name}_events_create", (201,), {}),),
            taken_by=tuple(each for each in dispatched if _names_an_event(each)),
            body={"product": _OF_PATH["product"], kind.target: _OF_PATH["tag"], "event": _told("tag")},
        )


def _names_an_event(dispatch: str) -> bool:
    names = next(names for name, names in TARGETS.items() if f"{name.replace('.', '_')}_dispatch" == dispatch)
    return "event" in names.fields


def add_links(description: dict[str, Any]) -> None:
    """Put every link whose two ends are described into a description: `components.links`, and a reference in each answer."""
    operations = {
        operation["operationId"]: operation
        for item in description["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    }
    named: dict[str, Any] = description.setdefault("components", {}).setdefault("links", {})
    for links in (*JOBS, *OTHERS, *WEBHOOKS, *(each for kind in kinds.all_kinds() for each in _of_kind(kind))):
        _add(operations, named, links)


def _add(operations: Mapping[str, Any], named: dict[str, Any], links: Links) -> None:
    for source, statuses, parameters in links.told_by:
        for target in links.taken_by:
            if source not in operations or target not in operations:  # a dispatch whose executor is not installed
                continue
            link: dict[str, Any] = {"operationId": target}
            if parameters:
                link["parameters"] = {
                    f"{_place(operations[target], name)}.{name}": at for name, at in parameters.items()
                }
            if links.body:
                link["requestBody"] = dict(links.body)
            name = _name(named, target, link)
            for status in statuses:
                operations[source]["responses"][str(status)].setdefault("links", {})[target] = {
                    "$ref": f"#/components/links/{name}"
                }


def _place(operation: Mapping[str, Any], name: str) -> str:
    """Where an operation takes a parameter: `path`, `query`. KeyError where it takes none of that name."""
    places = {parameter["name"]: parameter["in"] for parameter in operation.get("parameters", ())}
    return str(places[name])


def _name(named: dict[str, Any], target: str, link: Mapping[str, Any]) -> str:
    """The name of a link, the same for those that say the same."""
    number = 1
    while named.setdefault(name := target if number == 1 else f"{target}_{number}", link) != link:
        number += 1
    return name


def linked(description: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Each link of a description: the operation it begins at, the status of the answer, and the link itself."""
    named = description["components"]["links"]
    for item in description["paths"].values():
        for method, operation in item.items():
            if method == "parameters":
                continue
            for status, response in operation["responses"].items():
                for reference in response.get("links", {}).values():
                    yield operation["operationId"], status, named[reference["$ref"].rpartition("/")[2]]
