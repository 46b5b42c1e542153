"""Inserts of messages and deliveries, per dialect with the same effect: what is there already is not made again.

Django's own insert names each column of each row, and costs a fan-out more than everything else it does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from webhooks.models import Delivery, Message

_MESSAGES = """
INSERT INTO webhooks_message (id, job_id, seq, type, product_id, environment_id, body, at, created_at)
SELECT (m ->> 0)::uuid, (m ->> 1)::uuid, (m ->> 2)::bigint, m ->> 3, (m ->> 4)::bigint, (m ->> 5)::bigint, m ->> 6,
       (m ->> 7)::timestamptz, %(now)s
FROM json_array_elements(%(rows)s::json) AS m
ON CONFLICT DO NOTHING
RETURNING id
"""

_DELIVERIES = """
INSERT INTO webhooks_delivery (id, message_id, endpoint_id, type, status, due_at, attempt, fence, created_at, reason)
SELECT (d ->> 0)::uuid, (d ->> 1)::uuid, (d ->> 2)::uuid, d ->> 3, 'pending', %(now)s, 0, 0, %(now)s, ''
FROM json_array_elements(%(rows)s::json) AS d JOIN webhooks_endpoint e ON e.id = (d ->> 2)::uuid
FOR KEY SHARE OF e
ON CONFLICT DO NOTHING
"""  # - who removes an endpoint waits for the commit, and what it has removed gets nothing


class NewMessage(NamedTuple):
    """The message of an event of a job. The order of the fields is that of the columns."""

    id: UUID
    job_id: UUID
    seq: int
    type: str
    product_id: int
    environment_id: int
    body: str
    at: datetime  # of the transition


class NewDelivery(NamedTuple):
    """One message for one endpoint, due at once."""

    id: UUID
    message_id: UUID
    endpoint_id: UUID
    type: str


def insert_messages(messages: Sequence[NewMessage], now: datetime) -> set[UUID]:
    """Store them; the ids of those that were not there yet by their job and `seq`."""
    if connection.vendor != "postgresql":
        Message.objects.bulk_create(
            [Message(**one._asdict(), created_at=now) for one in messages], ignore_conflicts=True
        )
        return set(Message.objects.filter(pk__in=[one.id for one in messages]).values_list("pk", flat=True))
    rows = [(one.id.hex, one.job_id.hex, *one[2:-1], one.at.isoformat()) for one in messages]
    with connection.cursor() as sql:
        sql.execute(_MESSAGES, {"rows": json.dumps(rows), "now": now})
        return {row[0] for row in sql.fetchall()}


def insert_deliveries(deliveries: Sequence[NewDelivery], now: datetime) -> int:
    """Store them, but for endpoints that are gone; how many were not there yet by their message and endpoint."""
    if connection.vendor != "postgresql":
        Delivery.objects.bulk_create(
            [Delivery(**one._asdict(), due_at=now, created_at=now) for one in deliveries], ignore_conflicts=True
        )
        return Delivery.objects.filter(pk__in=[one.id for one in deliveries]).count()
    rows = [(one.id.hex, one.message_id.hex, one.endpoint_id.hex, one.type) for one in deliveries]
    with connection.cursor() as sql:
        sql.execute(_DELIVERIES, {"rows": json.dumps(rows), "now": now})
        inserted: int = sql.rowcount
        return inserted
