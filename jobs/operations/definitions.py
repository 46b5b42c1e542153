"""Definitions of jobs, as the older calls keep them: made, changed, removed (api.md §3).

A definition is a template without an environment and an input. Its jobs carry its tag; a change of it is a
change of its unfinished recurring jobs, and it does not go while any is unfinished. Whoever makes a job of a
definition holds its row (`lock_definition`), so that none slips by either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from core.clock import database_now
from core.errors import ApiError, Conflict, FieldError, Invalid, NotFound
from core.fields import nearest, not_one_of
from core.ids import encode
from core.tenancy import audit
from core.tenancy.models import Product
from executors import registry
from executors.catalog.reading import Problems, Reader
from jobs.lifecycle.errors import IllegalTransition
from jobs.lifecycle.redefine import Redefined, redefine
from jobs.models import Job, JobDefinition
from jobs.operations import interventions
from jobs.operations.event_types import EVENT_TYPES, SPELLED, EventType
from jobs.operations.named_events import NamedEvent, find_event, in_message
from jobs.schedule.parsing import LONGEST_DURATION, MOST_RUNS, SHORTEST_EVERY

FIELDS = ("name", "tag", "event_type", "event_tag", "executions", "intervals")
ALIASES = {"type": "event_type", "event": "event_tag"}  # contracts §3.2
LONGEST_EVENT_TAG = 250
_OF_THE_EVENT = ("event_type", "event_tag")


def create(product: Product, body: Mapping[str, Any], *, actor: str) -> JobDefinition:
    """Make one. Raises Invalid, NotFound (its event), Conflict (`exists`)."""
    problems = Problems()
    reader = Reader(dict(body), "", problems, {*FIELDS, *ALIASES})
    reader.named("tag")
    given = _given(reader)
    for name in FIELDS:
        optional = name == "intervals" and given.get("executions") == 1
        if name not in given and not optional and not any(_is_of(error.field, name) for error in problems.errors):
            reader.problem(name, "is required", "required")
    given.setdefault("intervals", 0)
    problems.raise_if_any()
    _check_pace(given["executions"], given["intervals"])
    event = _event(product, given["event_type"], given["event_tag"])
    now = database_now()
    with transaction.atomic():
        fields = {**given, "target": event.target, "created_at": now, "updated_at": now}
        made, is_new = JobDefinition.objects.get_or_create(product=product, tag=given["tag"], defaults=fields)
        if not is_new:
            detail = f"product {product.tag!r} has a definition {made.tag!r} already: change it with PATCH"
            raise Conflict(detail, code="exists", errors=[FieldError("tag", "exists", detail)])
        audit.record(actor, "definition.made", f"{product.tag} / {made.tag}")
    return made


def update(product: Product, tag: str, body: Mapping[str, Any], *, actor: str) -> tuple[JobDefinition, int]:
    """Change one, and its unfinished recurring jobs with it: the definition, and how many these were.

    All or nothing: where the input of one does not fit the new event, Invalid.
    """
    problems = Problems()
    reader = Reader(dict(body), "", problems, {*FIELDS, *ALIASES})
    given = _given(reader)
    if given.pop("tag", tag) != tag:
        reader.problem("tag", "a definition keeps its tag: make another one")
    problems.raise_if_any()
    if not given:
        raise Invalid("give a new name, event_type, event_tag, executions or intervals", code="nothing_to_change")
    with transaction.atomic():
        definition = lock_definition(product, tag)
        changed = {name for name, value in given.items() if getattr(definition, name) != value}
        for name in changed:
            setattr(definition, name, given[name])
        _check_pace(definition.executions, definition.intervals)
        if changed.intersection(_OF_THE_EVENT):
            definition.target = _event(product, definition.event_type, definition.event_tag).target
        definition.updated_at = database_now()
        definition.save()
        count = _redefine_jobs(definition, changed, actor=actor)
        audit.record(actor, "definition.changed", f"{product.tag} / {tag}", {"fields": sorted(changed)})
    return definition, count


def delete(product: Product, tag: str, *, force: bool, actor: str) -> int:
    """Remove one. While it has unfinished jobs Conflict (`in_use`), unless `force`, which cancels them: how many."""
    with transaction.atomic():
        definition = lock_definition(product, tag)
        jobs = list(unfinished_jobs(definition).values_list("pk", flat=True))
        if jobs and not force:
            having = "an unfinished job" if len(jobs) == 1 else f"{len(jobs)} unfinished jobs"
            detail = f"definition {tag!r} has {having}: cancel what is not to run any more, or all with force=true"
            raise Conflict(detail, code="in_use", extra={"jobs": len(jobs)})
        cancelled = sum(_cancelled(job_id, tag, actor) for job_id in jobs)
        definition.delete()
        audit.record(actor, "definition.removed", f"{product.tag} / {tag}", {"cancelled": cancelled})
    return cancelled


def find_definition(product: Product, tag: str) -> JobDefinition:
    """Raises NotFound."""
    return _one(JobDefinition.objects, product, tag)


def lock_definition(product: Product, tag: str) -> JobDefinition:
    """The definition, its row locked until the transaction ends. Raises NotFound."""
    return _one(JobDefinition.objects.select_for_update(no_key=True), product, tag)


def unfinished_jobs(definition: JobDefinition) -> QuerySet[Job]:
    """Those that it made, in the order in which others lock them."""
    return Job.objects.filter(product_id=definition.product_id, open_definition=definition.tag).order_by("pk")


def event_of(definition: JobDefinition, input: Any) -> NamedEvent:
    """What a job of the definition runs with that input."""
    return in_message(NamedEvent.of(EVENT_TYPES[definition.event_type], definition.target), input)


def schedule_of(definition: JobDefinition) -> dict[str, Any]:
    """The schedule that it gives to a job, in a dispatch's words; one execution makes a one-off."""
    if definition.executions == 1:
        return {}
    return {"every": definition.intervals, **({"limit": definition.executions} if definition.executions else {})}


def _one(rows: Any, product: Product, tag: str) -> JobDefinition:
    found: JobDefinition | None = rows.filter(product=product, tag=tag).first() if "\x00" not in tag else None
    if found is None:
        tags = JobDefinition.objects.filter(product=product).values_list("tag", flat=True)
        meant = nearest(tag, list(tags[:200]))
        way_out = f"did you mean {meant!r}?" if meant else f"make it with POST /v1/products/{product.tag}/jobs"
        detail = f"product {product.tag!r} has no definition {tag[:120]!r}: {way_out}"
        raise NotFound(detail, code="definition_not_found")
    return found


def _given(reader: Reader) -> dict[str, Any]:
    """The fields that are there and right. What is wrong is in the reader's problems."""
    for alias, name in ALIASES.items():
        if reader.data.get(alias) is not None and reader.data.get(name) is not None:
            reader.problem(alias, f"is another name for {name!r}: leave one out")
    type = reader.value("event_type", str, "type")
    if type is not None and (type := SPELLED.get(named := type.upper())) is None:
        reader.problem("event_type", not_one_of(named, list(SPELLED)))
    event = reader.text("event_tag", "event", limit=LONGEST_EVENT_TAG)
    fields = {
        "name": reader.text("name"),
        "tag": reader.value("tag", str),
        "event_type": type,
        "event_tag": event,
        "executions": reader.number("executions", low=0, high=MOST_RUNS),
        "intervals": reader.number("intervals", low=0, high=LONGEST_DURATION),
    }
    for name in ("name", "event_tag"):
        if fields[name] == "":
            reader.problem(name, "must not be empty")
    return {name: value for name, value in fields.items() if value is not None}


def _is_of(field: str, name: str) -> bool:
    return ALIASES.get(field, field) == name


def _check_pace(executions: int, intervals: int) -> None:
    if executions != 1 and intervals < SHORTEST_EVERY:
        detail = f"must be at least {SHORTEST_EVERY} milliseconds, unless `executions` is 1"
        raise Invalid.field("intervals", detail)


def _event(product: Product, type: str, event_tag: str) -> NamedEvent:
    return find_event(product, event_tag, types=(EVENT_TYPES[type],), field="event_tag")


def _redefine_jobs(definition: JobDefinition, changed: set[str], *, actor: str) -> int:
    """Bring the unfinished recurring jobs to what has changed; how many."""
    if changed <= {"name"}:
        return 0
    type: EventType = EVENT_TYPES[definition.event_type]
    other_event = bool(changed.intersection(_OF_THE_EVENT))
    other_pace = "intervals" in changed and definition.intervals >= SHORTEST_EVERY
    count = 0
    for job in list(unfinished_jobs(definition).filter(recurring=True)):
        target = event_of(definition, job.input).target if other_event else None
        if target is not None:
            _check_fits(job, type.namespace, target)
        new = Redefined(
            every=definition.intervals if other_pace else None,
            executions=definition.executions if "executions" in changed else None,
            namespace=type.namespace if other_event else None,
            target=target,
        )
        moved = redefine(job.pk, new, actor=actor) if new != Redefined() else None
        if moved is not None:
            interventions.told(moved)
            count += 1
    return count


def _check_fits(job: Job, namespace: str, target: Mapping[str, Any]) -> None:
    """As a dispatch would: what cannot run is told now. Raises Invalid, NotFound."""
    try:
        registry.get(namespace).check(
            product_id=job.product_id,
            environment_id=job.environment_id,
            target=target,
            input=job.input,
            recurring=True,
        )
    except ApiError as error:
        detail = f"{encode('job', job.pk)}, which it has made, could not run it: {error.detail}"
        raise Invalid.field("event_tag", detail) from None


def _cancelled(job_id: UUID, tag: str, actor: str) -> bool:
    try:
        interventions.cancel(job_id, reason=f"its definition {tag} was deleted", actor=actor)
    except (IllegalTransition, NotFound):
        return False  # it ended, or is gone, a moment ago
    return True
