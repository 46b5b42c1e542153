"""Dispatch: a request is resolved and checked now, stored in one transaction, and run by whoever claims it.

The one way in, for REST, the older calls, the admin and Python code in the same process:

    dispatch(DispatchRequest(product="shop", env="prd", namespace="actions",
                             target={"app": "mail", "event": "welcome"}, input={"body": {"user": 7}}))

Everything that can be wrong is told here (core.errors); a job that is stored can be run. Queues and
schedulers are woken after the commit, best effort: losing that costs latency, never a job.

No `job.scheduled` is written to the outbox here: no endpoint can listen yet (`lifecycle.create`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from core import failpoints, strictjson
from core.clock import database_now
from core.errors import ApiError, FieldError, Invalid, TooLarge
from core.ids import decode, encode
from core.tenancy import scopes
from core.tenancy.auth import Principal, require
from core.tenancy.visibility import Place, find_place
from core.times import from_ms, to_ms
from executors import caching, inputs, registry
from executors.sessions import lifecycle as sessions
from jobs import notices, wakeup
from jobs.lifecycle.create import Draft, NewJob, draft, store_many
from jobs.operations import idempotency, unique
from jobs.operations.gathering import Gathering
from jobs.operations.idempotency import Asked
from jobs.operations.request import DispatchRequest
from jobs.schedule import Schedule, parse_schedule

MOST_JOBS = 1_000  # in one dispatch_many
LONGEST_INPUT = 1024 * 1024  # bytes of JSON
MOST_TOLD = 50  # problems in one answer
NOTICE_WITHIN = timedelta(seconds=2)  # schedulers look every second: what is due later needs no notice

IN_PROCESS = Principal(
    key_id=None, name="", is_operator=True, product_id=None, environment_ids=None, scopes=scopes.ALL
)  # whoever runs code in this process
_NOW = Schedule()


@dataclass(frozen=True, kw_only=True, slots=True)
class Dispatched:
    """The answer to a dispatch. `status` is scheduled or queued, of an earlier job whatever it is now."""

    job_id: UUID
    status: str
    scheduled_at: datetime
    recurring: bool
    next_run_at: datetime | None  # of recurring jobs
    created: bool = True  # False: a job was there already, by its unique or idempotency key
    replayed: bool = False  # the first answer to this idempotency key

    @property
    def id(self) -> str:
        """The job's id as the API writes it: `job_…`."""
        return encode("job", self.job_id)

    def as_dict(self) -> dict[str, Any]:
        """The contract's dispatch result."""
        result: dict[str, Any] = {
            "job_id": self.id,
            "status": self.status,
            "scheduled_at": to_ms(self.scheduled_at),
            "recurring": self.recurring,
        }
        if self.next_run_at is not None:
            result["next_run_at"] = to_ms(self.next_run_at)
        return result


@dataclass(frozen=True, slots=True)
class DispatchedMany:
    """The answers to the requests, in their order."""

    jobs: tuple[Dispatched, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Ready:
    """A request that may be stored: its job, and the idempotency key to take with it."""

    request: DispatchRequest
    draft: Draft
    asked: Asked | None


def dispatch(request: DispatchRequest, *, principal: Principal = IN_PROCESS) -> Dispatched:
    """Make the job. (nothing) → scheduled | queued.

    Raises Invalid, NotFound, TooLarge; Forbidden (`replace`, which may cancel a job, without `jobs:manage`);
    Conflict (`unique_conflict`); KeyReused, InProgress.
    With a key that was used before nothing is made, and the first answer comes again, also when
    the catalog has changed since.
    """
    now = database_now()
    try:
        ready = _prepare(request, principal, now)
    except _Replay as replay:
        return replay.answer
    alone = not connection.in_atomic_block and connection.get_autocommit()
    if alone and ready.asked is None and request.unique_key is None:
        _together.put(ready.draft)
        return _of(ready.draft)
    with transaction.atomic():
        return _store(ready, now=now, actor=principal.name)


def dispatch_many(
    requests: Sequence[DispatchRequest], *, principal: Principal = IN_PROCESS, idempotency_key: str | None = None
) -> DispatchedMany:
    """Make all these jobs in one transaction, or none. At most MOST_JOBS.

    What is wrong with one is told under `jobs.<index>`. The key stands for the call as a whole;
    each request may have its own besides.
    """
    if not 1 <= len(requests) <= MOST_JOBS:
        raise Invalid.field("jobs", f"must hold 1 to {MOST_JOBS} jobs: this has {len(requests)}")
    now = database_now()
    asked = None
    if idempotency_key is not None:
        digest = idempotency.digest_of({"jobs": [_fields(request) for request in requests]})
        asked = Asked(principal.product_id or 0, idempotency_key, digest)
        if (first := idempotency.find(asked)) is not None:
            return DispatchedMany(tuple(_of_result(result) for result in first), replayed=True)
    prepared = _prepare_all(requests, principal, now)
    with transaction.atomic():
        if asked is not None and (first := idempotency.take(asked, [], now=now)) is not None:
            return DispatchedMany(tuple(_of_result(result) for result in first), replayed=True)
        answers = _store_all(prepared, now=now, actor=principal.name)
        if asked is not None:
            idempotency.amend(asked, [answer.as_dict() for answer in answers])
    return DispatchedMany(tuple(answers))


def _store(ready: _Ready, *, now: datetime, actor: str) -> Dispatched:
    """Take the keys and store the job, inside the caller's transaction; tell of it after its commit."""
    answer = _of(ready.draft)
    if ready.asked is not None:
        first = idempotency.take(ready.asked, answer.as_dict(), now=now)
        if first is not None:
            return _of_result(first)
    holder = unique.claim(ready.draft, ready.request, actor=actor)
    if holder is None:
        transaction.on_commit(partial(_tell, [ready.draft]))
        return answer
    answer = _of_holder(holder)
    if ready.asked is not None:
        idempotency.amend(ready.asked, answer.as_dict())
    return answer


def _store_all(prepared: Sequence[_Ready | Dispatched], *, now: datetime, actor: str) -> list[Dispatched]:
    """The answers in order. What takes a unique or an idempotency key goes first, in the order of the
    keys: two calls that share several never wait for each other in a circle."""
    answers: list[Dispatched | None] = [each if isinstance(each, Dispatched) else None for each in prepared]
    plain: list[Draft] = []
    keyed: list[tuple[int, int, str, str, int, _Ready]] = []
    for index, each in enumerate(prepared):
        if isinstance(each, Dispatched):
            continue
        if each.asked is None and each.request.unique_key is None:
            plain.append(each.draft)
            answers[index] = _of(each.draft)
        else:
            place = (each.draft.product_id, each.draft.environment_id)
            keys = (each.request.unique_key or "", each.asked.key if each.asked is not None else "")
            keyed.append((*place, *keys, index, each))
    for *_, index, ready in sorted(keyed, key=lambda entry: entry[:5]):
        try:
            answers[index] = _store(ready, now=now, actor=actor)
        except ApiError as error:
            raise _within(error, index) from None
    store_many(plain)
    transaction.on_commit(partial(_tell, plain))
    return [answer for answer in answers if answer is not None]


class _Replay(Exception):
    """The request was answered before."""

    def __init__(self, answer: Dispatched) -> None:
        super().__init__()
        self.answer = answer


def _prepare(request: DispatchRequest, principal: Principal, now: datetime) -> _Ready:
    """Everything that can be wrong, before anything is written. Raises _Replay for a key that was used."""
    request.check()
    if request.on_conflict == "replace":
        require(principal, scopes.JOBS_MANAGE)  # as for a cancel, whether or not there is a job to cancel
    registry.get(request.namespace)  # an unknown one is told before a missing product
    if request.retry_config:
        request.check_codes(registry.codes(request.namespace))
    place = find_place(principal, request.product, request.env)
    asked = None
    if request.idempotency_key is not None:
        digest = idempotency.digest_of({**_fields(request), "product": place.product, "env": place.env})
        asked = Asked(place.product_id, request.idempotency_key, digest)
    try:
        return _Ready(request, draft(_new_job(request, place, now), now=now), asked)
    except ApiError:
        # What was right the first time may not be any more: an end date passed, an app was removed.
        if asked is not None and (first := idempotency.find(asked)) is not None:
            raise _Replay(_of_result(first)) from None
        raise


def _prepare_all(requests: Iterable[DispatchRequest], principal: Principal, now: datetime) -> list[_Ready | Dispatched]:
    prepared: list[_Ready | Dispatched] = []
    wrong: list[ApiError] = []
    for index, request in enumerate(requests):
        try:
            prepared.append(_prepare(request, principal, now))
        except _Replay as replay:
            prepared.append(replay.answer)
        except ApiError as error:
            wrong.append(_within(error, index))
            if len(wrong) == MOST_TOLD:
                break
    if wrong:
        first = wrong[0]
        first.errors = tuple(each for error in wrong for each in error.errors)[:MOST_TOLD]
        raise first
    return prepared


def _within(error: ApiError, index: int) -> ApiError:
    """The same error, told of item `index`."""
    at = f"jobs.{index}"
    names_its_field = error.errors and error.detail.startswith(f"{error.errors[0].field}: ")
    error.errors = tuple(
        FieldError(f"{at}.{each.field}", each.code, each.detail) for each in error.errors
    ) or (FieldError(at, error.code, error.detail),)  # fmt: skip
    error.detail = f"{at}.{error.detail}" if names_its_field else f"{at}: {error.detail}"
    return error


def _new_job(request: DispatchRequest, place: Place, now: datetime) -> NewJob:
    schedule = parse_schedule(request.schedule, now=now) if request.schedule else _NOW
    text = _input_text(request)
    executor = registry.get(request.namespace)
    executor.check(
        product_id=place.product_id,
        environment_id=place.environment_id,
        target=request.target,
        input=request.input,
        recurring=schedule.recurring,
    )
    if request.session is None:
        of_target = registry.references(
            request.namespace,
            product_id=place.product_id,
            environment_id=place.environment_id,
            target=request.target,
        )
        inputs.require_session(request.input, of_target)
    if request.cache is not None:
        caching.check_tag(place.product_id, place.product, request.cache)
    session = "" if request.session is None else sessions.accepted(request.session, place).dumps()
    return NewJob(
        product_id=place.product_id,
        environment_id=place.environment_id,
        namespace=request.namespace,
        target=request.target,
        input=request.input,
        input_text=text,
        schedule=schedule,
        schedule_as_given=request.schedule or {},
        session=session,
        cache=request.cache or "",
        labels=request.labels or {},
        retries=request.retries,
        retry_config={name: value for name, value in (request.retry_config or {}).items() if value is not None},
        on_lost=request.on_lost,
        timeout=request.timeout,
        priority=request.priority,
        queue=_queue(request, isolated=executor.isolated),
        concurrency_key=request.concurrency_key or "",
        concurrency_limit=request.concurrency_limit or 1,
        unique_key=request.unique_key,
        definition=request.definition,
    )


def _queue(request: DispatchRequest, *, isolated: bool) -> str:
    """The queue to run in; what may crash its process runs in one that gives each run its own."""
    if not isolated:
        return request.queue or "default"
    allowed: list[str] = settings.ISOLATED_QUEUES
    if request.queue is None:
        return allowed[0]
    if request.queue not in allowed:
        raise Invalid.field(
            "queue", f"a run of {request.namespace!r} needs a process of its own: {' or '.join(allowed)}"
        )
    return request.queue


def _input_text(request: DispatchRequest) -> str:
    """The input as JSON that a database takes. Raises Invalid, TooLarge."""
    if not request.input:
        return "{}"
    try:
        raw = strictjson.dumps(request.input)
        text = raw.decode("utf-8")
        if "\\u0000" in text:
            strictjson.check_strings(request.input)
    except UnicodeDecodeError:
        raise Invalid.field("input", "a string holds half of a surrogate pair") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid.field("input", f"is not JSON: {error}") from None
    if len(raw) > LONGEST_INPUT:
        detail = f"is longer than {LONGEST_INPUT} bytes of JSON: store it elsewhere, and give its address"
        raise TooLarge(f"input: {detail}", code="input_too_large", errors=[FieldError("input", "too_large", detail)])
    return text


def _fields(request: DispatchRequest) -> dict[str, Any]:
    """What was asked, without what was left out; the idempotency key is no part of it."""
    given = {}
    for name, default in _DEFAULTS:
        value = getattr(request, name)
        if value != default and value is not None:
            given[name] = dict(value) if name in {"target", "input"} else value
    return given


_DEFAULTS = [(each.name, each.default) for each in fields(DispatchRequest) if each.name != "idempotency_key"]


def _tell(drafts: Sequence[Draft]) -> None:
    """Wake whoever has something to do; after the commit."""
    queues = {new.queue for new in drafts if new.run is not None}
    soon = min((new.next_due_at for new in drafts if new.next_due_at is not None), default=None)
    if queues:
        failpoints.reach("dispatch:committed")
        wakeup.wake(queues)
    if soon is not None and soon < database_now() + NOTICE_WITHIN:
        notices.tell_due()


_together = Gathering(store_many, _tell)


def _of(new: Draft) -> Dispatched:
    return Dispatched(
        job_id=new.job_id,
        status=str(new.status),
        scheduled_at=new.scheduled_at,
        recurring=new.recurring,
        next_run_at=new.next_run_at if new.recurring else None,
    )


def _of_holder(holder: unique.Holder) -> Dispatched:
    return Dispatched(
        job_id=holder.job_id,
        status=holder.status,
        scheduled_at=holder.scheduled_at,
        recurring=holder.recurring,
        next_run_at=holder.next_run_at if holder.recurring else None,
        created=False,
    )


def _of_result(result: dict[str, Any]) -> Dispatched:
    """A stored answer as a value again."""
    job_id = decode("job", result["job_id"])
    assert job_id is not None
    upcoming = result.get("next_run_at")
    return Dispatched(
        job_id=job_id,
        status=result["status"],
        scheduled_at=from_ms(result["scheduled_at"]),
        recurring=result["recurring"],
        next_run_at=None if upcoming is None else from_ms(upcoming),
        created=False,
        replayed=True,
    )
