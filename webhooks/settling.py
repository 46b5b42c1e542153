"""Settle: how attempts ended, written under the fence they were claimed with, each with its line in the log.

delivering → delivered | failed, or → pending with the time of the next attempt. What was taken back, replayed or
removed meanwhile matches no row and is dropped. In the same transaction the endpoints' health: one that fails again
and again rests, and one that has failed for FAILING_TOO_LONG, or says that it is gone, is disabled.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import F, Q

from core import failpoints
from core.clock import database_now, sql_now
from webhooks import listening
from webhooks.disabling import disable
from webhooks.models import Attempt, AttemptTally, Delivery, Endpoint
from webhooks.outcome import GONE_REASON, Ended
from webhooks.states import AttemptOutcome, DeliveryStatus

logger = logging.getLogger(__name__)

REST_AFTER = 5  # failures in a row: then the circuit opens
FIRST_REST_SECONDS = 10.0  # doubled with each probe that fails, up to LONGEST_REST_SECONDS
LONGEST_REST_SECONDS = 300.0
FAILING_TOO_LONG = timedelta(days=5)
FAILING_REASON = "every attempt of five days has failed"

_OUTCOMES: Mapping[DeliveryStatus, AttemptOutcome] = {
    DeliveryStatus.DELIVERED: AttemptOutcome.DELIVERED,
    DeliveryStatus.PENDING: AttemptOutcome.RETRIED,
    DeliveryStatus.FAILED: AttemptOutcome.FAILED,
}


def settle(worker_id: int, outcomes: Sequence[Ended]) -> set[UUID]:
    """Record a batch; the ids of the deliveries that were still held under their fence.

    Safe to repeat when a commit's answer was lost: a second time matches no row. Raises
    django.db.OperationalError when the database is away; nothing is recorded then.
    """
    failpoints.reach("webhooks:before_settle")
    with transaction.atomic():
        write = _write_on_postgresql if connection.vendor == "postgresql" else _write_on_sqlite
        matched = write(outcomes)
        held = [outcome for outcome in outcomes if outcome.delivery_id in matched]
        some_disabled = _note_health(held)
        _count(worker_id, held)
    if some_disabled:
        _listen_less()
    return matched


def _listen_less() -> None:
    """The batch is recorded, and must not be tried again for this: the next prune says it at the latest."""
    try:
        listening.follow()
    except DatabaseError as error:
        logger.warning("a disabled webhook is still said to listen: %s", str(error).strip())


_WRITE = """
WITH d AS MATERIALIZED (
  SELECT (o ->> 0)::uuid AS id, (o ->> 1)::bigint AS fence, o ->> 2 AS status, (o ->> 3)::float8 AS delay,
         o ->> 4 AS reason, (o ->> 5)::timestamptz AS at, (o ->> 6)::int AS duration_ms,
         (o ->> 7)::smallint AS response_status, o ->> 8 AS response_body, o ->> 9 AS error, o ->> 10 AS address
  FROM json_array_elements(%(outcomes)s::json) AS o
),
x AS (
  UPDATE webhooks_delivery x
  SET status = d.status, reason = d.reason, owner_id = NULL, deadline_at = NULL,
      due_at = CASE WHEN d.status = 'pending' THEN {now} + d.delay * interval '1 second' ELSE x.due_at END,
      finished_at = CASE WHEN d.status = 'pending' THEN NULL ELSE {now} END
  FROM d
  WHERE x.id = d.id AND x.fence = d.fence AND x.status || '' = 'delivering'
  RETURNING x.id
),
a AS (
  INSERT INTO webhooks_attempt (delivery_id, at, duration_ms, response_status, response_body, error, address)
  SELECT d.id, d.at, d.duration_ms, d.response_status, d.response_body, d.error, d.address FROM d JOIN x ON x.id = d.id
)
SELECT id FROM x
"""


def _write_on_postgresql(outcomes: Sequence[Ended]) -> set[UUID]:
    with connection.cursor() as sql:
        sql.execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
            + _WRITE.format(now=sql_now("postgresql")),
            {"outcomes": json.dumps([_row(outcome) for outcome in outcomes])},
        )
        for _ in range(3):
            sql.nextset()
        return {row[0] for row in sql.fetchall()}


def _row(outcome: Ended) -> list[object]:
    answer = outcome.answer
    return [
        outcome.delivery_id.hex, outcome.fence, outcome.status, outcome.delay, outcome.reason, answer.at.isoformat(),
        answer.duration_ms, answer.status, answer.body, answer.error, answer.address,
    ]  # fmt: skip


def _write_on_sqlite(outcomes: Sequence[Ended]) -> set[UUID]:
    fences = {outcome.delivery_id: outcome.fence for outcome in outcomes}
    now = database_now()
    mine = Delivery.objects.filter(pk__in=fences, status=DeliveryStatus.DELIVERING)
    matched = {id for id, fence in mine.values_list("id", "fence") if fences[id] == fence}
    held = [outcome for outcome in outcomes if outcome.delivery_id in matched]
    for outcome in held:
        again = outcome.status is DeliveryStatus.PENDING
        Delivery.objects.filter(pk=outcome.delivery_id).update(
            status=outcome.status,
            reason=outcome.reason,
            owner_id=None,
            deadline_at=None,
            due_at=now + timedelta(seconds=outcome.delay) if again else F("due_at"),
            finished_at=None if again else now,
        )
    Attempt.objects.bulk_create(_attempt(outcome) for outcome in held)
    return matched


def _attempt(outcome: Ended) -> Attempt:
    answer = outcome.answer
    return Attempt(
        delivery_id=outcome.delivery_id,
        at=answer.at,
        duration_ms=answer.duration_ms,
        response_status=answer.status,
        response_body=answer.body,
        error=answer.error,
        address=answer.address,
    )


def _note_health(outcomes: Sequence[Ended]) -> bool:
    """Write what these outcomes say of their endpoints; whether one is disabled now.

    The rows are locked in the order of their ids, those alone that change: a healthy endpoint costs nothing.
    """
    by_endpoint: dict[UUID, list[Ended]] = {}
    for outcome in outcomes:
        by_endpoint.setdefault(outcome.endpoint_id, []).append(outcome)
    failed = [id for id, some in by_endpoint.items() if not all(outcome.succeeded for outcome in some)]
    ailing = Q(consecutive_failures__gt=0) | Q(failing_since__isnull=False) | Q(rest_until__isnull=False)
    changes = Endpoint.objects.filter(Q(pk__in=failed) | Q(ailing, pk__in=list(by_endpoint)))
    now = database_now()
    some_disabled = False
    for endpoint in changes.order_by("pk").select_for_update(no_key=True):
        of_this_url = [outcome for outcome in by_endpoint[endpoint.pk] if outcome.url == endpoint.url]
        for outcome in sorted(of_this_url, key=lambda one: one.answer.at):
            if outcome.succeeded:
                _recovered(endpoint)
            else:
                _failed(endpoint, outcome, now)
        endpoint.save(update_fields=["consecutive_failures", "failing_since", "rest_until", "rests"])
        if endpoint.enabled and (reason := _why_disable(endpoint, of_this_url, now)):
            disable(endpoint, reason, now=now)
            some_disabled = True
    return some_disabled


def _why_disable(endpoint: Endpoint, outcomes: Sequence[Ended], now: datetime) -> str:
    """Empty: there is no reason to."""
    if any(outcome.gone for outcome in outcomes):
        return GONE_REASON
    failing_long = endpoint.failing_since is not None and now - endpoint.failing_since >= FAILING_TOO_LONG
    # Not for two failures that a quiet week lies between.
    return FAILING_REASON if failing_long and endpoint.consecutive_failures >= REST_AFTER else ""


def _recovered(endpoint: Endpoint) -> None:
    endpoint.consecutive_failures, endpoint.rests = 0, 0
    endpoint.failing_since = endpoint.rest_until = None


def _failed(endpoint: Endpoint, outcome: Ended, now: datetime) -> None:
    """What was on its way already when the circuit opened does not make the rest longer; a probe does, and an answer
    that asks for it."""
    endpoint.consecutive_failures += 1
    endpoint.failing_since = endpoint.failing_since or outcome.answer.at
    opens = outcome.probe or (endpoint.consecutive_failures >= REST_AFTER and endpoint.rest_until is None)
    if opens:
        endpoint.rests = min(endpoint.rests + 1, 10) if outcome.probe else 0
    seconds = max(FIRST_REST_SECONDS * 2.0**endpoint.rests if opens else 0.0, outcome.asks_for_rest)
    if seconds:
        ends = now + timedelta(seconds=min(LONGEST_REST_SECONDS, seconds))
        endpoint.rest_until = max(ends, endpoint.rest_until or ends) if not outcome.probe else ends


def _count(worker_id: int, outcomes: Sequence[Ended]) -> None:
    """Add to the counters: this worker's own rows, for which nobody else waits."""
    for outcome, attempts in Counter(_OUTCOMES[each.status] for each in outcomes).items():
        add_to_tally(worker_id, outcome, attempts)


def add_to_tally(worker_id: int, outcome: AttemptOutcome, attempts: int) -> None:
    """Count attempts of a worker."""
    tally = AttemptTally.objects.filter(worker_id=worker_id, outcome=outcome)
    if not tally.update(attempts=F("attempts") + attempts):
        AttemptTally.objects.bulk_create(
            [AttemptTally(worker_id=worker_id, outcome=outcome, attempts=0)], ignore_conflicts=True
        )
        tally.update(attempts=F("attempts") + attempts)
