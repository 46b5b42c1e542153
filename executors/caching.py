"""Results kept under a cache tag, and given again to runs of the same call: `cache` of a dispatch.

Owns the entries: what makes two calls the same, how long and how large a result may be kept, and their end. Never
decides whether a run may be answered from one: that is the run loop's (`jobs.runner.caching`).
"""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from core import crypto
from core.clock import database_now
from core.errors import FieldError, NotFound
from core.fields import nearest
from core.shortcache import ShortCache
from core.tenancy import audit
from core.times import later
from executors.base import Session
from executors.catalog.models import Cache, CacheEntry

logger = logging.getLogger(__name__)

LONGEST_RESULT = 1024 * 1024  # characters of JSON; a longer one is not kept
MOST_CLEARED = 10_000  # entries in one call
KEPT_SECONDS = 1.0  # that a tag exists
BATCH = 500
BREATH_SECONDS = 0.02  # between two batches, so that other writers get their turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A result that was kept: JSON, and when its run ended."""

    result: str
    created_at: datetime


def key_of(
    *,
    environment_id: int,
    namespace: str,
    target: Mapping[str, Any],
    input: Mapping[str, Any],
    session: Session | None,
    catalog_version: int,
) -> str:
    """The same for the same call: the resolved `input` to the same target, for the same session, by the same catalog.

    A fingerprint, so that nothing of the input, nor of a secret that was put into it, can be told from it.
    """
    whose = None if session is None else [session.tag, session.data]
    call = [environment_id, namespace, target, input, whose, catalog_version]
    return crypto.fingerprint(json.dumps(call, sort_keys=True, separators=(",", ":"), default=str), "cache keys")


def find(product_id: int, tag: str, key: str) -> Kept | None:
    """What is kept for a call, while it holds. One indexed read."""
    found = CacheEntry.objects.filter(
        cache__product_id=product_id, cache__tag=tag, key=key, expires_at__gt=database_now()
    ).values_list("result", "created_at")
    row = found.first()
    return None if row is None else Kept(result=row[0], created_at=row[1])


def keep(
    product_id: int,
    tag: str,
    key: str,
    *,
    environment_id: int,
    namespace: str,
    target: Mapping[str, Any],
    result: str,
) -> bool:
    """Keep a result (JSON) in place of an older one of the same call. False: it is too long, or the cache is gone."""
    if len(result) > LONGEST_RESULT:
        logger.info("a result of %d characters is not kept in cache %r: %d are", len(result), tag, LONGEST_RESULT)
        return False
    cache = Cache.objects.filter(product_id=product_id, tag=tag).first()
    if cache is None:
        return False
    now = database_now()
    entry = CacheEntry(
        cache=cache,
        environment_id=environment_id,
        key=key,
        namespace=namespace,
        target=dict(target),
        result=result,
        created_at=now,
        expires_at=later(now, timedelta(milliseconds=cache.expiry)),
    )
    CacheEntry.objects.bulk_create(
        [entry],
        update_conflicts=True,
        unique_fields=["cache", "key"],
        update_fields=["result", "created_at", "expires_at"],
    )
    return True


def check_tag(product_id: int, product: str, tag: str) -> None:
    """At dispatch: raise NotFound where the product has no such cache."""
    _tags.get((product_id, tag), lambda: _find_tag(product_id, product, tag))


def forget_tags() -> None:
    """Ask the database again, in this process: after a catalog changed."""
    _tags.forget()


def clear(entries: QuerySet[CacheEntry], place: str, *, actor: str) -> int:
    """Remove what is kept, the oldest MOST_CLEARED in one call; how many went. `place` names the cache in the audit."""
    with transaction.atomic():
        ids = list(entries.order_by("created_at").values_list("pk", flat=True)[:MOST_CLEARED])
        cleared = entries.filter(pk__in=ids).delete()[0]
        if cleared:
            audit.record(actor, "cache.cleared", place, {"entries": cleared})
    return cleared


def prune(*, now: datetime | None = None, batches: int | None = 100) -> int:
    """Delete entries that hold no more, at most that many batches (None: all); how many went."""
    before = now or database_now()
    deleted = 0
    for number in itertools.count():
        if number == batches:
            break
        if number:
            time.sleep(BREATH_SECONDS)
        ids = list(
            CacheEntry.objects.filter(expires_at__lte=before)
            .order_by("expires_at")
            .values_list("pk", flat=True)[:BATCH]
        )
        # Asked again for its end: one that was kept anew in between stays.
        deleted += CacheEntry.objects.filter(pk__in=ids, expires_at__lte=before).delete()[0]
        if len(ids) < BATCH:
            break
    return deleted


def find_cache(product_id: int, product: str, tag: str) -> Cache:
    """The cache of that tag. Raises NotFound, with the nearest name."""
    found = Cache.objects.filter(product_id=product_id, tag=tag).first() if "\x00" not in tag else None
    if found is None:
        meant = nearest(tag, list(Cache.objects.filter(product_id=product_id).values_list("tag", flat=True)[:500]))
        way_out = f"did you mean {meant!r}?" if meant else f"add it with PUT /v1/products/{product}/catalog"
        detail = f"no cache {tag[:120]!r} in product {product!r}: {way_out}"
        raise NotFound(detail, code="cache_not_found", errors=[FieldError("cache", "not_found", detail)])
    return found


def _find_tag(product_id: int, product: str, tag: str) -> bool:
    find_cache(product_id, product, tag)
    return True


_tags: ShortCache[tuple[int, str], bool] = ShortCache(seconds=KEPT_SECONDS)
