"""Filters of the lists. Choices come from small tables and settings, never from a DISTINCT over jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from core.tenancy.models import Environment, Product
from executors import registry
from jobs.models import RARE_STATUSES, Execution, Worker
from jobs.queries import JobFilter
from jobs.states import JobStatus, RunStatus, Trigger

MOST_CHOICES = 200
FAILURES = (1, 2, 3, 5, 10, 100)  # in a row

Choices = Iterable[tuple[str, str]]


class _Filter(SimpleListFilter):
    """A filter whose parameter is a column, or a path to one."""

    column = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class StatusFilter(_Filter):
    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(status, status) for status in JobStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        # The same rows in each way; no index knows `status` itself (see `jobs.models`).
        if value in RARE_STATUSES:
            return queryset.filter(rare_status=value)
        if value in (JobStatus.QUEUED, JobStatus.RUNNING):
            return queryset.filter(status=value, pk__in=Execution.objects.filter(status=value).values("job_id"))
        return queryset.filter(status=value)


class ProductFilter(_Filter):
    title, parameter_name = "product", "product"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        rows = Product.objects.order_by("tag").values_list("pk", "tag")[:MOST_CHOICES]
        return [(str(pk), tag) for pk, tag in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            return queryset if not value else queryset.none()
        # Through the environments, which are what the indexes begin with.
        return queryset.filter(environment_id__in=Environment.objects.filter(product_id=int(value)).values("pk"))


class EnvironmentFilter(_Filter):
    """By slug: `prd` of every product, unless a product is chosen too."""

    title, parameter_name = "environment", "env"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        slugs = Environment.objects.order_by("slug").values_list("slug", flat=True).distinct()[:MOST_CHOICES]
        return [(slug, slug) for slug in slugs]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        return queryset.filter(environment_id__in=Environment.objects.filter(slug=self.value()).values("pk"))


class NamespaceFilter(_Filter):
    title, parameter_name, column = "namespace", "namespace", "namespace"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, name) for name in registry.known()]


class QueueFilter(_Filter):
    """The queues that this installation or a worker of it serves."""

    title, parameter_name, column = "queue", "queue", "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, name) for name in sorted({*known_queues(), *filter(None, [self.value()])})]


class RecurringFilter(_Filter):
    title, parameter_name = "schedule", "recurring"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("yes", "recurring"), ("no", "one-off")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(recurring=self.value() == "yes") if self.value() else queryset


class LastRunFilter(_Filter):
    title, parameter_name, column = "last run", "last_run", "last_run_status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(status, status) for status in (RunStatus.FAILED, RunStatus.COMPLETED, RunStatus.CANCELLED)]


class FailuresFilter(_Filter):
    """How many runs failed in a row, up to the last one."""

    title, parameter_name = "failures in a row", "failures"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(str(number), f"{number} or more") for number in FAILURES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value() or ""
        if value not in map(str, FAILURES):
            return queryset if not value else queryset.none()
        # Who completed last has none: the others stand in indexes.
        return queryset.exclude(status=JobStatus.COMPLETED).filter(consecutive_failures__gte=int(value))


class RetryingFilter(_Filter):
    """Jobs in a back-off: their run failed and has a next attempt."""

    title, parameter_name = "retrying", "retrying"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("yes", "waits for its next attempt")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(next_attempt_at__isnull=False) if self.value() else queryset


class RunStatusFilter(_Filter):
    title, parameter_name, column = "status", "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(status, status) for status in RunStatus]


class TriggerFilter(_Filter):
    title, parameter_name, column = "trigger", "trigger", "trigger"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(trigger, trigger) for trigger in Trigger]


_OF_THE_LIST = frozenset({"p", "o", "all", "_changelist_filters"})  # where one is in it, not what is in it
_NARROWING = frozenset(
    {"status", "last_run", "failures", "retrying", "recurring", "product", "env", "namespace", "queue", "q"}
)
JOB_FILTERS = (
    StatusFilter,
    LastRunFilter,
    FailuresFilter,
    RetryingFilter,
    RecurringFilter,
    ProductFilter,
    EnvironmentFilter,
    NamespaceFilter,
    QueueFilter,
)


def known_queues() -> set[str]:
    """The queues of the settings, and those that live workers serve."""
    served = Worker.objects.filter(settled=False).values_list("queues", flat=True)[:MOST_CHOICES]
    return {*settings.QUEUES, *settings.ISOLATED_QUEUES, *(queue for queues in served for queue in queues)}


class NoOperation(ValueError):
    """The list is not narrowed, or by a parameter that an operation does not know."""


def job_filter(parameters: Mapping[str, str]) -> JobFilter:
    """What the jobs' list is narrowed to, in the words of an operation. Raises NoOperation."""
    given = {name: value for name, value in parameters.items() if value.strip() and name not in _OF_THE_LIST}
    unknown = sorted(given.keys() - _NARROWING)
    if unknown:
        raise NoOperation(f"{', '.join(unknown)} in the address is none of the filters")
    if not given:
        raise NoOperation("no filter is set, and every job of every product is too many: set one, or search")
    status, failures = given.get("status"), given.get("failures")
    impossible = (status is not None and status not in set(JobStatus)) or (
        failures is not None and failures not in set(map(str, FAILURES))
    )
    return JobFilter(
        environment_ids=frozenset() if impossible else _environment_ids(given.get("product"), given.get("env")),
        statuses=frozenset({JobStatus(status)}) if status is not None and not impossible else frozenset(),
        recurring=given["recurring"] == "yes" if "recurring" in given else None,
        namespace=given.get("namespace"),
        queue=given.get("queue"),
        search=given["q"].strip() if "q" in given else None,
        last_run_status=given.get("last_run"),
        consecutive_failures=int(failures) if failures is not None and not impossible else None,
        retrying=True if "retrying" in given else None,
    )


def _environment_ids(product: str | None, slug: str | None) -> frozenset[int] | None:
    if product is None and slug is None:
        return None
    rows = Environment.objects.all()
    if product is not None:
        if not (product.isascii() and product.isdigit() and len(product) < 19):
            return frozenset()
        rows = rows.filter(product_id=int(product))
    return frozenset((rows if slug is None else rows.filter(slug=slug)).values_list("pk", flat=True))
