"""Which session counts: one of a configuration that is there, not expired, not revoked.

What a worker needs of sessions, and no more: it opens what a dispatch has sealed into a job, and reads no token.
Never logs what a session holds.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core import crypto
from core.clock import database_now
from core.times import from_ms, to_ms
from executors.base import SESSION_EXPIRED, AttemptFailed, Session
from executors.catalog.models import SessionConfig, SessionRevocation

BATCH = 1_000
BREATH_SECONDS = 0.02  # between two batches, so that other writers get their turn
IDENTIFIERS = "session identifiers"  # what their fingerprints are for
GONE = "was started by a configuration {tag!r} that is not in the catalog any more: start a new one"


class Refused(Exception):
    """The token is none of ours, or of another place. The text is a sentence, and holds nothing of the session."""


class Ended(Refused):
    """The session was one, and counts no more: it has expired, was revoked, or its configuration is gone."""


class Expired(Ended):
    """Its time is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A session, opened. Its repr shows nothing of whose it is."""

    tag: str
    config_id: int  # of the configuration it was started by: one of the same tag that was made later is another
    session_id: str
    identifier: str = field(repr=False)  # what the selector found in its data
    data: Mapping[str, Any] = field(repr=False)
    started_at: datetime
    expires_at: datetime

    def dumps(self) -> str:
        """The session as text, to be sealed."""
        return json.dumps(
            {
                "tag": self.tag, "config": self.config_id, "id": self.session_id, "identifier": self.identifier,
                "data": self.data, "started_at": to_ms(self.started_at), "expires_at": to_ms(self.expires_at),
            }
        )  # fmt: skip

    @classmethod
    def loads(cls, text: str) -> Held:
        """The session that `dumps` wrote."""
        held = json.loads(text)
        return cls(
            tag=held["tag"],
            config_id=held["config"],
            session_id=held["id"],
            identifier=held["identifier"],
            data=held["data"],
            started_at=from_ms(held["started_at"]),
            expires_at=from_ms(held["expires_at"]),
        )


def opened(text: str, environment_id: int) -> Session:
    """In the worker, for each attempt: the session that `Held.dumps` wrote. May query.

    Raises AttemptFailed, code SESSION_EXPIRED, where it counts no more.
    """
    held = Held.loads(text)
    config = SessionConfig.objects.filter(pk=held.config_id).first()
    try:
        if config is None:
            raise Ended(GONE.format(tag=held.tag))
        must_count(held, environment_id, config)
    except Ended as error:
        raise AttemptFailed(SESSION_EXPIRED, f"the session of this job {error}: nothing was sent") from None
    return Session(held.tag, held.data)


def must_count(held: Held, environment_id: int, config: SessionConfig) -> None:
    """Raise Ended unless the session counts now. May query."""
    if held.config_id != config.pk or held.tag != config.tag:
        raise Ended(GONE.format(tag=held.tag))
    prints = crypto.fingerprints(held.identifier, IDENTIFIERS)
    revoked = SessionRevocation.objects.filter(
        config=config, environment_id=environment_id, session_id__in=["", held.session_id], identifier__in=["", *prints]
    )
    if any(row.session_id or row.revoked_at >= held.started_at for row in revoked):
        raise Ended("was revoked: start a new one")
    if held.expires_at <= database_now():
        raise Expired(f"expired at {held.expires_at.isoformat().replace('+00:00', 'Z')}: start a new one")


def prune(*, now: datetime | None = None, batches: int | None = 100) -> int:
    """Delete revocations of what has expired by itself, at most that many batches (None: all); how many went."""
    before = now or database_now()
    deleted = 0
    for number in itertools.count():
        if number == batches:
            break
        if number:
            time.sleep(BREATH_SECONDS)
        old = SessionRevocation.objects.filter(expires_at__lte=before).order_by("expires_at")
        ids = list(old.values_list("pk", flat=True)[:BATCH])
        deleted += SessionRevocation.objects.filter(pk__in=ids, expires_at__lte=before).delete()[0]
        if len(ids) < BATCH:
            break
    return deleted
