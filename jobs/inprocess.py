"""Dispatch for code in the same process: the fields of REST's bodies as keywords, in the caller's transaction.

    from jobs import dispatch

    with transaction.atomic():
        order = Order.objects.create(…)
        dispatch("actions", product="shop", env="prd", app="mail", event="receipt", input={"body": {"order": order.pk}})

Owns spelling and which transaction a job goes with. What a job is, and what is wrong with one, is
`jobs.operations.dispatch`'s business, which REST asks as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack, cast

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from core.errors import Invalid
from core.fields import dotted, reject_unknown
from executors import registry
from jobs.operations import dispatch as operation
from jobs.operations.dispatch import MOST_JOBS, Dispatched, DispatchedMany
from jobs.operations.request import DispatchRequest
from jobs.operations.targets import TARGETS, read_target, target_names

__all__ = [
    "DispatchFields",
    "Dispatched",
    "DispatchedMany",
    "JobFields",
    "OtherTransaction",
    "ScheduleFields",
    "dispatch",
    "dispatch_many",
]

_MILLISECOND = timedelta(milliseconds=1)


class ScheduleFields(TypedDict, total=False):
    """When a job runs: the contract's own names (docs/jobs.md). Times: a datetime, which if naive is taken in `tz`,
    else UTC; ISO 8601; milliseconds. Durations: a timedelta, or milliseconds."""

    start_at: datetime | str | int
    cron: str
    every: timedelta | int
    limit: int
    endDate: datetime | str | int
    end_date: datetime | str | int
    tz: str
    timezone: str
    overlap: str
    misfire: str
    misfire_grace: timedelta | int
    dst_gap: str
    dst_overlap: str
    jitter: timedelta | int


class DispatchFields(TypedDict, total=False):
    """What a dispatch may say. None is the same as left out. The first names say what runs: those of its namespace."""

    app: str | None
    event: str | None
    action: str | None
    tag: str | None
    feature: str | None
    notification: str | None
    storage: str | None
    operation: str | None
    broker: str | None
    topic: str | None
    function: str | None
    database: str | None
    graph: str | None

    product: str | None
    env: str | None
    input: Mapping[str, Any] | None
    schedule: ScheduleFields | Mapping[str, Any] | None
    retries: int | None
    retry_config: Mapping[str, Any] | None  # the contract's names in it: {"initialDelay": 1000}
    on_lost: str | None
    timeout: timedelta | int | None  # of one attempt; a number is milliseconds
    priority: int | None
    queue: str | None
    concurrency_key: str | None
    concurrency_limit: int | None
    unique_key: str | None
    on_conflict: str | None
    idempotency_key: str | None
    labels: Mapping[str, str] | None
    session: Any
    cache: str | None


class JobFields(DispatchFields, total=False):
    """One job of `dispatch_many`."""

    namespace: str  # "actions" where it is left out


_OPTIONS = frozenset(
    {
        "product", "env", "input", "schedule", "retries", "retry_config", "on_lost", "timeout", "priority", "queue",
        "concurrency_key", "concurrency_limit", "unique_key", "on_conflict", "idempotency_key", "labels", "session",
        "cache",
    }
)  # fmt: skip


class OtherTransaction(TransactionManagementError):
    """The caller is in a transaction of another database, with which the job could not be rolled back."""


def dispatch(
    namespace: str = "actions", *, allow_other_transaction: bool = False, **fields: Unpack[DispatchFields]
) -> Dispatched:
    """Make a job, in the transaction that the caller is in: it is there when that is committed, and gone when that,
    or the savepoint it was made in, is rolled back. Outside of a transaction it is committed at once. Workers are
    woken after the commit; without Redis they find it by themselves.

    Raises what REST would answer, as core.errors: Invalid, NotFound, TooLarge, Conflict …, each with `code` and
    `errors`, the fields that are wrong. OtherTransaction inside a transaction of another database alone:
    `allow_other_transaction` dispatches all the same, whatever becomes of that one.
    """
    if not allow_other_transaction:
        _refuse_other_transaction()
    return operation.dispatch(_request(namespace, fields))


def dispatch_many(
    jobs: Sequence[JobFields], *, idempotency_key: str | None = None, allow_other_transaction: bool = False
) -> DispatchedMany:
    """Make up to MOST_JOBS jobs, all or none; as `dispatch`. What is wrong with one is told as `jobs.<index>.<field>`."""
    if not allow_other_transaction:
        _refuse_other_transaction()
    if len(jobs) > MOST_JOBS:
        raise Invalid.field("jobs", f"must hold 1 to {MOST_JOBS} jobs: this has {len(jobs)}")
    requests = []
    for index, each in enumerate(jobs):
        at = f"jobs.{index}"
        if not isinstance(each, Mapping):
            raise Invalid.field(at, 'must be a mapping such as {"app": "mail", "event": "welcome"}')
        rest: Mapping[str, Any] = {name: value for name, value in each.items() if name != "namespace"}
        requests.append(_request(each.get("namespace", "actions"), rest, at))
    return operation.dispatch_many(requests, idempotency_key=idempotency_key)


def _request(namespace: str, fields: Mapping[str, Any], path: str = "") -> DispatchRequest:
    if not isinstance(namespace, str):
        raise Invalid.field(dotted(path, "namespace"), "must be the name of a namespace, such as 'actions'")
    if namespace not in TARGETS:
        try:
            registry.get(namespace)
        except Invalid as error:  # told alone: which fields it would take, nobody knows
            raise Invalid.field(dotted(path, "namespace"), error.errors[0].detail, code=error.code) from None
    names = target_names(namespace)
    reject_unknown(fields, _OPTIONS.union(names.spelled), path)
    options: dict[str, Any] = {name: value for name, value in fields.items() if value is not None and name in _OPTIONS}
    schedule = options.get("schedule")
    if isinstance(schedule, Mapping):
        options["schedule"] = {name: _plain(value) for name, value in schedule.items()}
    if "timeout" in options:
        options["timeout"] = _plain(options["timeout"])
    return DispatchRequest(namespace=namespace, target=cast("Any", read_target(fields, names, path)), **options)


def _plain(value: Any) -> Any:
    """A moment or a duration as the contract spells it; anything else as it is."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        whole, rest = divmod(value, _MILLISECOND)
        return value / _MILLISECOND if rest else whole
    return value


def _refuse_other_transaction() -> None:
    """Raise where the caller's transaction is not one that the job would be rolled back with."""
    if len(connections.settings) < 2 or _in_transaction(connection):
        return
    for other in connections.all(initialized_only=True):
        if other.alias != DEFAULT_DB_ALIAS and _in_transaction(other):
            raise OtherTransaction(
                f"this is inside a transaction of the database {other.alias!r}, and jobs are kept in "
                f"{DEFAULT_DB_ALIAS!r}: the job would stay where that is rolled back. Dispatch after its commit, "
                f"transaction.on_commit(…, using={other.alias!r}); or in a transaction of {DEFAULT_DB_ALIAS!r} around it; "
                "or pass allow_other_transaction=True where the job is right whatever becomes of it"
            )


def _in_transaction(of: BaseDatabaseWrapper) -> bool:
    """Whether the caller began a transaction there. The one that a test case puts around each test is none: else
    what is refused in production would pass its tests."""
    if not of.in_atomic_block:
        return False
    blocks: Sequence[Any] = getattr(of, "atomic_blocks", ())
    return not blocks or any(not getattr(block, "_from_testcase", False) for block in blocks)
