"""Bodies of the dispatch calls → `DispatchRequest`: names, aliases, and nothing that is not known.

Types and ranges are the request's own business (`jobs.operations.request`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from core.errors import FieldError, Invalid
from core.fields import dotted, reject_unknown
from executors import registry
from jobs.operations.dispatch import MOST_JOBS, MOST_TOLD
from jobs.operations.request import LONGEST_IDEMPOTENCY_KEY, DispatchRequest
from jobs.operations.targets import TARGETS, TargetNames, read_target, target_names

_FIELDS = {
    "product": "product",
    "env": "env",
    "input": "input",
    "schedule": "schedule",
    "retries": "retries",
    "retryConfig": "retry_config",
    "on_lost": "on_lost",
    "timeout": "timeout",
    "priority": "priority",
    "queue": "queue",
    "concurrency_key": "concurrency_key",
    "concurrency_limit": "concurrency_limit",
    "unique_key": "unique_key",
    "on_conflict": "on_conflict",
    "idempotency_key": "idempotency_key",
    "labels": "labels",
    "session": "session",
    "cache": "cache",
}  # the API's name → the request's


def read_dispatch(body: Mapping[str, Any], names: TargetNames, *, path: str = "") -> DispatchRequest:
    """The request that a body describes; `null` is the same as left out. Raises Invalid."""
    reject_unknown(body, _known(names.namespace), path)
    given = {_FIELDS[name]: value for name, value in body.items() if value is not None and name in _FIELDS}
    return DispatchRequest(namespace=names.namespace, target=read_target(body, names, path), **given)


def read_many(body: Mapping[str, Any]) -> list[DispatchRequest]:
    """The requests of dispatch-many. Raises Invalid, naming what is wrong as `jobs.<index>.<field>`."""
    reject_unknown(body, frozenset({"jobs", "idempotency_key"}))
    jobs = body.get("jobs")
    if not isinstance(jobs, list) or not 1 <= len(jobs) <= MOST_JOBS:
        code = "required" if jobs is None else "invalid"
        raise Invalid.field("jobs", f"must be a list of 1 to {MOST_JOBS} jobs", code=code)
    requests: list[DispatchRequest] = []
    wrong: list[FieldError] = []
    for index, job in enumerate(jobs):
        try:
            requests.append(_read_one(job, f"jobs.{index}"))
        except Invalid as error:
            wrong += error.errors
            if len(wrong) >= MOST_TOLD:
                break
    if wrong:
        raise Invalid.fields(wrong[:MOST_TOLD])
    return requests


def idempotency_key(header: str | None, body: Mapping[str, Any]) -> str | None:
    """The key of a call: the header's or the body's, which must not differ. Raises Invalid."""
    in_body = body.get("idempotency_key")
    if header is None:
        _check_key(in_body, "idempotency_key")
        return in_body
    header = header.strip()
    if len(header) > 1 and header[0] == header[-1] == '"':  # as the header's draft standard writes it
        header = header[1:-1]
    _check_key(header, "Idempotency-Key")
    if in_body is not None and in_body != header:
        raise Invalid.field("idempotency_key", "differs from the header Idempotency-Key: send one of them, or the same")
    return header


def _check_key(key: Any, name: str) -> None:
    if key is None:
        return
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_IDEMPOTENCY_KEY or not key.isprintable():
        raise Invalid.field(name, f"must be text of 1 to {LONGEST_IDEMPOTENCY_KEY} printable characters")


def _read_one(job: Any, path: str) -> DispatchRequest:
    if not isinstance(job, dict):
        raise Invalid.field(path, "must be an object with a `namespace` and what its dispatch takes")
    namespace = job.get("namespace")
    if not isinstance(namespace, str) or not namespace:
        detail = "is required: where the job is dispatched, such as 'actions'"
        raise Invalid.field(dotted(path, "namespace"), detail, code="required" if namespace is None else "invalid")
    if namespace not in TARGETS:
        try:
            registry.get(namespace)
        except Invalid as error:  # told alone: which fields it would take, nobody knows
            raise Invalid.field(dotted(path, "namespace"), error.detail, code=error.code) from None
    rest = {name: value for name, value in job.items() if name != "namespace"}
    return read_dispatch(rest, target_names(namespace), path=path)


@lru_cache(maxsize=64)
def _known(namespace: str) -> frozenset[str]:
    """The fields of a namespace's dispatch."""
    return target_names(namespace).spelled.union(_FIELDS)
