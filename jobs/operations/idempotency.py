"""Idempotency keys: the same dispatch sent twice is carried out once, and answered twice alike.

The key is taken in the transaction that stores the job, so that there is never one without the
other: a dispatch that is refused leaves its key free. Two first calls at once: on PostgreSQL the
second hears at once that the first is in progress (an advisory lock, held as long as the first's
transaction; nobody waits for a row that may never be committed); on SQLite, where writers queue
up anyway, it waits its turn and hears the first one's answer.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from core import strictjson
from core.clock import database_now
from core.errors import ApiError, Conflict
from jobs.models import IdempotencyKey

KEPT = timedelta(hours=24)
RETRY_AFTER_SECONDS = 1  # a dispatch takes milliseconds
BATCH = 1_000
WRITTEN_OUT = 1e21  # RFC 8785 writes larger numbers with an exponent; a digest is no longer than its request
BREATH_SECONDS = 0.02  # between two batches, so that other writers get their turn


class KeyReused(ApiError):
    """The key was used for another request: nothing was done."""

    status, code, title = 422, "idempotency_key_reused", "The idempotency key was used for another request"


class InProgress(Conflict):
    """The first call with this key has not been answered yet."""

    code = "idempotency_in_progress"


@dataclass(frozen=True, slots=True)
class Asked:
    """A key, where it holds, and the digest of what was asked with it."""

    scope: int  # the product; 0: of an operator's call over several
    key: str
    digest: str


def digest_of(request: Mapping[str, Any]) -> str:
    """SHA-256 of a request as canonical JSON: the order of its fields and its spaces do not count, nor
    whether a whole number is written 1, 1.0 or 1e0 (RFC 8785, 3.2.2.3; up to WRITTEN_OUT)."""
    text = _CANONICAL.encode(request)
    # Few requests hold a whole float: only these are read again, after a look that costs next to nothing.
    if any(end in text for end in _WHOLE) or ("e+" in text and _EXPONENT.search(text)):
        text = _CANONICAL.encode(json.loads(text, parse_float=_number))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if abs(value) < WRITTEN_OUT and value.is_integer() else value


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
_WHOLE = (".0,", ".0]", ".0}")  # as Python writes a whole float; a string may hold that too
_EXPONENT = re.compile(r"e\+\d+[,\]}]")


def find(asked: Asked) -> Any | None:
    """The first answer, or None where the key is free. Raises KeyReused."""
    row = IdempotencyKey.objects.filter(scope=asked.scope, key=asked.key, created_at__gt=database_now() - KEPT).first()
    return None if row is None else _answer(row, asked)


def take(asked: Asked, result: Any, *, now: datetime) -> Any | None:
    """Take the key with the answer it will stand for: None. The first answer where it is taken.

    Inside the transaction that does what was asked. Raises KeyReused, InProgress.
    """
    with connection.cursor() as sql:
        sql.execute(
            _TAKE[connection.vendor == "postgresql"],
            {
                "scope": asked.scope,
                "key": asked.key,
                "digest": asked.digest,
                "result": strictjson.dumps(result).decode(),
                "now": _moment(now),
                "expired": _moment(now - KEPT),
                "lock": f"idempotency:{asked.scope}:{asked.key}",
            },
        )
        if sql.fetchone() is not None:
            return None
    row = IdempotencyKey.objects.filter(scope=asked.scope, key=asked.key).first()
    if row is None or row.created_at <= now - KEPT:
        raise InProgress(
            f"the first call with the idempotency key {asked.key!r} is still in progress: try again",
            retry_after=RETRY_AFTER_SECONDS,
        )
    return _answer(row, asked)


def amend(asked: Asked, result: Any) -> None:
    """Set the answer of a key that this transaction took."""
    IdempotencyKey.objects.filter(scope=asked.scope, key=asked.key).update(result=result)


def prune(*, now: datetime | None = None, batches: int | None = 100) -> int:
    """Delete keys that have expired, oldest first, at most that many batches (None: all); how many went."""
    before = (now or database_now()) - KEPT
    deleted = 0
    for number in itertools.count():
        if number == batches:
            break
        if number:
            time.sleep(BREATH_SECONDS)
        oldest = (
            IdempotencyKey.objects.filter(created_at__lte=before).order_by("created_at").values_list("pk", flat=True)
        )
        ids = list(oldest[:BATCH])
        # Asked again for its age: a key that was taken anew in between stays.
        deleted += IdempotencyKey.objects.filter(pk__in=ids, created_at__lte=before).delete()[0]
        if len(ids) < BATCH:
            break
    return deleted


def _answer(row: IdempotencyKey, asked: Asked) -> Any:
    if row.digest != asked.digest:
        raise KeyReused(
            f"the idempotency key {asked.key!r} was used for another request within 24 h: "
            "send the same body again, or use a new key"
        )
    return row.result


def _moment(value: datetime) -> Any:
    return value if connection.vendor == "postgresql" else connection.ops.adapt_datetimefield_value(value)


def _statement(guard: str) -> str:
    """Insert the key, or take over one that has expired; a row comes back if either was done."""
    return f"""
    INSERT INTO jobs_idempotencykey (scope, key, digest, result, created_at)
    SELECT %(scope)s, %(key)s, %(digest)s, %(result)s, %(now)s WHERE {guard}
    ON CONFLICT (scope, key) DO UPDATE
    SET digest = excluded.digest, result = excluded.result, created_at = excluded.created_at
    WHERE jobs_idempotencykey.created_at <= %(expired)s
    RETURNING id
    """  # noqa: S608 - two texts of this module


_TAKE = {True: _statement("pg_try_advisory_xact_lock(hashtextextended(%(lock)s, 0))"), False: _statement("true")}
