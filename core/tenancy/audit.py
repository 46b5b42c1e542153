"""The audit trail of everything but jobs: one row for each thing that somebody did.

Owns the writing of `AuditEntry`. Call it in the transaction of the deed, so that neither is there
without the other. Never takes a secret: `detail` names what changed, not to what.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.clock import database_now
from core.tenancy.models import AuditEntry


def record(actor: str, action: str, object: str, detail: Mapping[str, Any] | None = None) -> None:
    """Note a deed. `action` is `<thing>.<done>`, such as `key.revoked`."""
    AuditEntry.objects.create(
        actor=actor[:200], action=action, object=object[:300], detail=dict(detail or {}), at=database_now()
    )
