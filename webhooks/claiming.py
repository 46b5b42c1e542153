"""Claim: pending → delivering, as many deliveries as a process has room for, fairly over the endpoints.

Each endpoint that has something due and does not rest gets its share of the room, the oldest first, so that neither
a backlog for one nor any number that rest keep another waiting. One whose circuit was open gets one request, as a probe, and rests again meanwhile: only what
becomes of the probe closes the circuit. On PostgreSQL one statement; on SQLite a few in one IMMEDIATE transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q

from core.clock import database_now, sql_now
from core.ids import encode
from core.times import to_ms
from jobs.models import Worker
from webhooks.models import DELIVERY_PREFIX, Delivery, Endpoint
from webhooks.states import DeliveryStatus

ALLOWED_SECONDS = 45.0  # an attempt takes 15 at most; past this the reaper takes the delivery back whoever beats
PROBE_SECONDS = 30.0  # how long a probe may be on its way before another one is allowed
ENDPOINTS_AT_ONCE = 200  # served by one claim; more get their turn in the next
ENDPOINTS_WALKED = 2_000  # looked at for that: those that rest, or have nothing due yet, are passed over

_FIRST = UUID(int=0)


class DeliveryClaim(NamedTuple):
    """A delivery that this worker now holds, with what is needed to make the attempt.

    The order of the fields is the order of the columns that the statement returns.
    """

    delivery_id: UUID
    fence: int
    attempt: int  # from 1, of this round
    endpoint_id: UUID
    message_id: UUID
    url: str
    secret: str  # sealed
    old_secret: str  # sealed; empty: none that signs
    body: str
    claimed_at: int  # ms, by the database's clock
    probe: bool = False  # the one request after a rest

    @property
    def key(self) -> UUID:
        return self.delivery_id

    def __str__(self) -> str:
        return f"delivery {encode(DELIVERY_PREFIX, self.delivery_id)}"


@dataclass(slots=True)
class EndpointCursor:
    """Where the next look at the endpoints begins, so that all get their turn."""

    after: UUID = _FIRST

    @property
    def at_start(self) -> bool:
        """The last look came to the end of the endpoints."""
        return self.after == _FIRST


def claim(
    worker_id: int, room: int, rooms: Mapping[UUID, int], cursor: EndpointCursor, *, share: int
) -> list[DeliveryClaim]:
    """Take up to `room` due deliveries for a worker: pending → delivering, fence raised.

    At most `rooms[endpoint]` for each endpoint, `share` for one that is not in it. At most one worker gets a
    delivery, however many ask at once; none waits for another. Raises django.db.OperationalError when the database
    is away.
    """
    if room <= 0:
        return []
    if connection.vendor == "postgresql":
        return _claim_on_postgresql(worker_id, room, rooms, cursor, share)
    return _claim_on_sqlite(worker_id, room, rooms, cursor, share)


# The queue lies to the planner, as that of the runs does (`jobs.lifecycle.sql.postgresql`).
_PLAN = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('jit', 'off', true);
"""

_CLAIM = """
WITH RECURSIVE k(id, due_at, place) AS (
  (SELECT endpoint_id, due_at, 1 FROM webhooks_delivery
   WHERE status = 'pending' AND endpoint_id > %(after)s ORDER BY endpoint_id, due_at, id LIMIT 1)
  UNION ALL
  SELECT n.endpoint_id, n.due_at, k.place + 1 FROM k CROSS JOIN LATERAL (
    SELECT endpoint_id, due_at FROM webhooks_delivery
    WHERE status = 'pending' AND endpoint_id > k.id ORDER BY endpoint_id, due_at, id LIMIT 1) n
  WHERE k.place < %(walked)s
),
seen AS MATERIALIZED (
  SELECT o.* FROM k CROSS JOIN LATERAL (
    SELECT e.id, e.rest_until IS NOT NULL AS resting,
           coalesce((%(rooms)s::jsonb ->> e.id::text)::int, %(share)s) AS room
    FROM webhooks_endpoint e
    WHERE e.id = k.id AND e.enabled AND (e.rest_until IS NULL OR e.rest_until <= {now})
    OFFSET 0) o  -- looked up one by one, in the order of the walk, which ends with the last that is needed
  WHERE k.due_at <= {now} AND o.room > 0 LIMIT %(most)s
),
open AS MATERIALIZED (
  SELECT id, resting, least(room, greatest(1, %(room)s / (SELECT count(*) FROM seen))) AS room FROM seen
),
probing AS MATERIALIZED (
  SELECT e.id FROM open o JOIN webhooks_endpoint e ON e.id = o.id
  WHERE o.resting AND e.rest_until <= {now} AND EXISTS (
    SELECT 1 FROM webhooks_delivery d WHERE d.endpoint_id = e.id AND d.status = 'pending' AND d.due_at <= {now})
  FOR NO KEY UPDATE OF e SKIP LOCKED
),
probed AS (
  UPDATE webhooks_endpoint e SET rest_until = {now} + %(probe)s * interval '1 second'
  FROM probing p WHERE e.id = p.id
  RETURNING e.id
),
c AS MATERIALIZED (
  SELECT d.id
  FROM (SELECT id, room FROM open WHERE NOT resting UNION ALL SELECT id, 1 FROM probed) o
  CROSS JOIN LATERAL (
    SELECT id FROM webhooks_delivery
    WHERE endpoint_id = o.id AND status = 'pending' AND due_at <= {now}
    ORDER BY due_at, id LIMIT o.room FOR NO KEY UPDATE SKIP LOCKED) d
  LIMIT %(room)s
),
x AS (
  UPDATE webhooks_delivery x
  SET status = 'delivering', fence = x.fence + 1, attempt = x.attempt + 1, owner_id = %(worker)s,
      deadline_at = {now} + %(allowed)s * interval '1 second'
  FROM c
  WHERE x.id = c.id AND x.status || '' = 'pending'
    AND EXISTS (SELECT 1 FROM jobs_worker w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
  RETURNING x.id, x.fence, x.attempt, x.endpoint_id, x.message_id
),
y AS (
  SELECT x.id, x.fence, x.attempt, x.endpoint_id, x.message_id, e.url, e.secret,
         CASE WHEN e.old_secret_until > {now} THEN e.old_secret ELSE '' END AS old_secret, m.body,
         floor(extract(epoch FROM {now}) * 1000)::bigint AS claimed_at, e.rest_until IS NOT NULL AS probe
  FROM x JOIN webhooks_endpoint e ON e.id = x.endpoint_id JOIN webhooks_message m ON m.id = x.message_id
)
SELECT CASE WHEN (SELECT count(*) FROM seen) = %(most)s THEN (SELECT id FROM seen ORDER BY id DESC LIMIT 1)
       ELSE (SELECT id FROM k WHERE place = %(walked)s) END, y.*
FROM (SELECT 1) AS one LEFT JOIN y ON true
"""  # - a row at least: where the next look begins, unless this one came to the end


def _claim_on_postgresql(
    worker_id: int, room: int, rooms: Mapping[UUID, int], cursor: EndpointCursor, share: int
) -> list[DeliveryClaim]:
    most = min(ENDPOINTS_AT_ONCE, room)
    values: dict[str, Any] = {
        "worker": worker_id,
        "room": room,
        "share": share,
        "rooms": json.dumps({str(endpoint): places for endpoint, places in rooms.items()}),
        "after": cursor.after,
        "most": most,
        "walked": ENDPOINTS_WALKED,
        "probe": PROBE_SECONDS,
        "allowed": ALLOWED_SECONDS,
    }
    with connection.cursor() as sql:
        sql.execute(f"{_PLAN} {_CLAIM.format(now=sql_now('postgresql'))}", values)
        sql.nextset()
        rows = sql.fetchall()
    cursor.after = rows[0][0] or _FIRST
    return [DeliveryClaim._make(row[1:]) for row in rows if row[1] is not None]


def _claim_on_sqlite(
    worker_id: int, room: int, rooms: Mapping[UUID, int], cursor: EndpointCursor, share: int
) -> list[DeliveryClaim]:
    most = min(ENDPOINTS_AT_ONCE, room)
    due = Delivery.objects.filter(status=DeliveryStatus.PENDING, due_at__lte=database_now())
    if not due.exists():  # a look without a write lock: an idle worker's poll must not queue up behind writers
        cursor.after = _FIRST
        return []
    with transaction.atomic():
        now = database_now()
        if not Worker.objects.filter(pk=worker_id, stopped_at__isnull=True).exists():
            return []
        due = Delivery.objects.filter(status=DeliveryStatus.PENDING, due_at__lte=now)
        waits = Endpoint.objects.filter(
            Q(rest_until__isnull=True) | Q(rest_until__lte=now),
            Exists(due.filter(endpoint_id=OuterRef("pk"))),
            enabled=True,
            pk__gt=cursor.after,
        ).exclude(pk__in=[endpoint for endpoint, places in rooms.items() if places <= 0])
        endpoints = list(waits.order_by("pk")[:most])
        cursor.after = endpoints[-1].pk if len(endpoints) == most else _FIRST
        even = max(1, room // max(1, len(endpoints)))
        taken: list[UUID] = []
        for endpoint in endpoints:
            places = min(rooms.get(endpoint.pk, share), even, room - len(taken))
            if places <= 0:
                break
            if endpoint.rest_until is not None:
                places = 1
                rests = now + timedelta(seconds=PROBE_SECONDS)
                Endpoint.objects.filter(pk=endpoint.pk).update(rest_until=rests)
            oldest = due.filter(endpoint_id=endpoint.pk).order_by("due_at", "pk")
            taken += oldest.values_list("pk", flat=True)[:places]
        Delivery.objects.filter(pk__in=taken).update(
            status=DeliveryStatus.DELIVERING,
            fence=F("fence") + 1,
            attempt=F("attempt") + 1,
            owner_id=worker_id,
            deadline_at=now + timedelta(seconds=ALLOWED_SECONDS),
        )
        claimed = Delivery.objects.filter(pk__in=taken).select_related("endpoint", "message").order_by("due_at", "pk")
        return [_claim_of(delivery, to_ms(now)) for delivery in claimed]


def _claim_of(delivery: Delivery, now_ms: int) -> DeliveryClaim:
    endpoint = delivery.endpoint
    old_signs = endpoint.old_secret_until is not None and to_ms(endpoint.old_secret_until) > now_ms
    return DeliveryClaim(
        delivery.pk,
        delivery.fence,
        delivery.attempt,
        endpoint.pk,
        delivery.message_id,
        endpoint.url,
        endpoint.secret,
        endpoint.old_secret if old_signs else "",
        delivery.message.body,
        now_ms,
        endpoint.rest_until is not None,
    )


def owned_deliveries(worker_id: int) -> dict[UUID, int]:
    """The deliveries that are this worker's: id → fence."""
    mine = Delivery.objects.filter(owner_id=worker_id, status=DeliveryStatus.DELIVERING)
    return dict(mine.values_list("id", "fence"))
