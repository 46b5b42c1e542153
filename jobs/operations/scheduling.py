"""`processor.job.schedule`, the older way to make a job: read, brought to a dispatch, and dispatched.

Owns what that call's fields mean: an `event` that names a definition or an event of the catalog, a `start_at`
that may be in seconds, `repeat`. All else is `dispatch`'s: there is no second way in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from core.errors import ApiError, FieldError, Invalid
from core.fields import reject_unknown
from core.tenancy.auth import Principal
from core.tenancy.models import Product
from core.tenancy.visibility import visible_product
from executors.catalog.models import Component
from jobs.models import JobDefinition
from jobs.operations.definitions import event_of, lock_definition, schedule_of
from jobs.operations.dispatch import Dispatched, dispatch
from jobs.operations.event_types import EVENT_TYPES
from jobs.operations.named_events import NamedEvent, find_event, in_message
from jobs.operations.request import LONGEST_NAME, DispatchRequest

FIELDS = frozenset(
    {"env", "product_tag", "product", "event", "app", "input", "start_at", "retries", "cache", "session", "repeat",
     "idempotency_key"}
)  # fmt: skip
REPEAT = ("cron", "every", "limit", "endDate", "end_date", "tz", "timezone")
SECONDS_BELOW = 1e11  # a smaller number is seconds: as milliseconds it would be before March 1973
_PASSED_ON = ("env", "retries", "cache", "session", "idempotency_key")


def schedule(body: Mapping[str, Any], *, principal: Principal) -> Dispatched:
    """Make the job. Raises what `dispatch` does, told of this call's fields."""
    reject_unknown(body, FIELDS)
    given = {name: value for name, value in body.items() if value is not None}
    product = _product(given, principal)
    event, app = _text(given, "event"), _text(given, "app")
    if event is None:
        raise Invalid.field("event", "is required: the tag of a definition, or of an event", code="required")
    repeat = _repeat(given)
    input = given.get("input", {})
    common = {name: given[name] for name in _PASSED_ON if name in given}
    common |= {"product": product.tag, "input": input}
    start = _start(given.get("start_at"))
    try:
        if JobDefinition.objects.filter(product=product, tag=event).exists():
            return _by_definition(product, event, app, repeat, start, common, principal)
        named = _named(product, event, app, input)
        return dispatch(_request(named, {**repeat, **start}, common), principal=principal)
    except ApiError as error:
        raise _told(error, given) from None


def _by_definition(
    product: Product,
    tag: str,
    app: str | None,
    repeat: Mapping[str, Any],
    start: Mapping[str, Any],
    common: Mapping[str, Any],
    principal: Principal,
) -> Dispatched:
    """Under the lock of the definition: it is not changed, and does not go, until the job is stored."""
    if repeat:
        raise Invalid.field("repeat", f"the definition {tag!r} says how often: leave it out, or change the definition")
    with transaction.atomic():
        definition = lock_definition(product, tag)
        named = event_of(definition, common["input"])
        if app not in {None, named.component}:
            detail = f"the definition {tag!r} runs {named}: leave it out, or name the event as {app}:{tag}"
            raise Invalid.field("app", detail)
        request = _request(named, {**schedule_of(definition), **start}, common, definition=definition.tag)
        return dispatch(request, principal=principal)


def _request(named: NamedEvent, schedule: Mapping[str, Any], common: Mapping[str, Any], **more: Any) -> DispatchRequest:
    return DispatchRequest(
        namespace=named.type.namespace, target=named.target, schedule=dict(schedule) or None, **common, **more
    )


def _product(given: Mapping[str, Any], principal: Principal) -> Product:
    tag, other = _text(given, "product_tag"), _text(given, "product")
    if tag is not None and other not in {None, tag}:
        raise Invalid.field("product", "differs from 'product_tag', which it is another name for")
    try:
        return visible_product(principal, tag if tag is not None else other)
    except ApiError as error:
        raise _told(error, given) from None


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME):
        raise Invalid.field(name, f"must be text of 1 to {LONGEST_NAME} characters")
    return value


def _repeat(given: Mapping[str, Any]) -> dict[str, Any]:
    repeat = given.get("repeat", {})
    if not isinstance(repeat, Mapping):
        raise Invalid.field("repeat", 'must be an object such as {"every": 60000, "limit": 5}')
    reject_unknown(repeat, REPEAT, "repeat")
    repeat = {name: value for name, value in repeat.items() if value is not None}
    if "repeat" in given and not {"cron", "every"} & repeat.keys():
        raise Invalid.field("repeat", "has neither `cron` nor `every`: say how often")
    return repeat


def _start(value: Any) -> dict[str, Any]:
    """`start_at` as a schedule has it. 0 is now; a number below SECONDS_BELOW is seconds."""
    if value is None or (value == 0 and not isinstance(value, bool)):
        return {}
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < SECONDS_BELOW:
        value = round(value * 1000)
    return {"start_at": value}


def _named(product: Product, event: str, app: str | None, input: Any) -> NamedEvent:
    """An event of the catalog. With a `slug`, which names the message, a notification itself will do."""
    slug = input.get("slug") if isinstance(input, Mapping) and app in {None, event} else None
    whole = Component.objects.filter(product=product, kind="notification", tag=event)
    if isinstance(slug, str) and slug and whole.exists():
        return find_event(product, f"{event}:{slug}", types=(EVENT_TYPES["NOTIFICATION"],), field="input.slug")
    return in_message(find_event(product, event, component=app, field="event"), input)


def _told(error: ApiError, given: Mapping[str, Any]) -> ApiError:
    """The same error, told of this call's own fields."""
    names = {"product": "product_tag" if "product" not in given else "product", "schedule.start_at": "start_at"}

    def own(field: str) -> str:
        if field in names:
            return names[field]
        return f"repeat.{field.removeprefix('schedule.')}" if field.startswith("schedule.") else field

    first = error.errors[0].field if error.errors else ""
    if first and error.detail.startswith(f"{first}: "):
        error.detail = f"{own(first)}: {error.detail.removeprefix(f'{first}: ')}"
    error.errors = tuple(FieldError(own(each.field), each.code, each.detail) for each in error.errors)
    return error
