"""Sessions: started, verified, revoked, and taken along by a job at its dispatch.

Nothing of a session that was started is stored but in the jobs that name it, sealed; only revocations are rows.
Each deed is noted (`core.tenancy.audit`), by the session's id. Never logs what a session holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from core import crypto
from core.clock import database_now
from core.errors import FieldError, Invalid, NotFound
from core.fields import nearest
from core.ids import encode, new_uuid
from core.tenancy import audit
from core.tenancy.visibility import Place
from core.times import from_ms, later, to_ms
from executors.catalog.declarations import LONGEST_SESSION_DAYS, selector_path
from executors.catalog.models import SessionConfig, SessionRevocation
from executors.sessions import tokens
from executors.sessions.counting import GONE, IDENTIFIERS, Ended, Expired, Held, Refused, must_count

LONGEST_IDENTIFIER = 500  # characters


def start(config: SessionConfig, place: Place, data: Mapping[str, Any], *, actor: str) -> tuple[Held, str]:
    """A new session and its token (`tag:jwt`). Raises Invalid where the data is none, or says not whose it is."""
    try:
        tokens.data_text(data)
    except ValueError as error:
        raise Invalid.field("data", str(error)) from None
    now = database_now()
    held = Held(
        tag=config.tag,
        config_id=config.pk,
        session_id=encode("ses", new_uuid()),
        identifier=_identifier(config, data),
        data=dict(data),
        started_at=from_ms(to_ms(now)),
        expires_at=from_ms(-(-to_ms(later(now, config.lifetime)) // 1000) * 1000),  # a jwt counts in whole seconds
    )
    audit.record(actor, "session.started", _object(config, place), {"session_id": held.session_id})
    return held, tokens.made(held, place)


def verified(config: SessionConfig, place: Place, text: str) -> Held:
    """The session of a token (`tag:jwt`, or the jwt alone) that counts now. Raises Refused, Ended."""
    _, token = tokens.parted(text, tag=config.tag)
    held = tokens.read(token, place)
    must_count(held, place.environment_id, config)
    return held


def revoke(config: SessionConfig, place: Place, *, session_id: str = "", identifier: str = "", actor: str) -> None:
    """From now on this session, or every one of this identifier that was started until now, counts no more."""
    _revoke(config, place, session_id, identifier, later(database_now(), timedelta(days=LONGEST_SESSION_DAYS)))
    told = {"session_id": session_id} if session_id else {"by": "identifier"}
    audit.record(actor, "session.revoked", _object(config, place), told)


def revoke_token(config: SessionConfig, place: Place, text: str, *, actor: str) -> Held:
    """From now on the session of this token counts no more. Raises Refused."""
    _, token = tokens.parted(text, tag=config.tag)
    held = tokens.read(token, place)
    if held.config_id != config.pk:
        raise Ended(GONE.format(tag=config.tag))
    _revoke(config, place, held.session_id, "", held.expires_at)
    audit.record(actor, "session.revoked", _object(config, place), {"session_id": held.session_id})
    return held


def accepted(given: object, place: Place) -> Held:
    """At dispatch: the session that a job is to run for. Raises Invalid, code `session_invalid`.

    One that has merely expired is taken: that is for the run to say, as when it expires the moment after.
    """
    try:
        tag, token = tokens.parted(given)
        config = _config(place.product_id, tag)
        if config is None:
            raise Refused(_no_config(tag, place.product_id, place.product))
        held = tokens.read(token, place)
        try:
            must_count(held, place.environment_id, config)
        except Expired:
            pass
    except Refused as error:
        raise Invalid.field("session", f"the session {error}", code="session_invalid") from None
    return held


def find(product_id: int, product: str, tag: str) -> SessionConfig:
    """The session configuration of that tag. Raises NotFound."""
    found = _config(product_id, tag)
    if found is None:
        raise NotFound(f"the session {_no_config(tag, product_id, product)}", code="session_not_found")
    return found


def newest_by_identifier() -> datetime | None:
    """When somebody's sessions were last revoked by identifier, of what still holds: their fingerprints cannot be made
    anew under another key."""
    holding = SessionRevocation.objects.exclude(identifier="").filter(expires_at__gt=database_now())
    return holding.order_by("-revoked_at").values_list("revoked_at", flat=True).first()


def identifier_text(value: object) -> str:
    """What says whose a session is, as text; empty where it cannot say that. 7 and "7" are the same."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    text = str(value)
    return text if len(text) <= LONGEST_IDENTIFIER else ""


def _identifier(config: SessionConfig, data: Mapping[str, Any]) -> str:
    value: Any = data
    for name in selector_path(config.selector):
        value = value.get(name) if isinstance(value, Mapping) else None
    text = identifier_text(value)
    if not text:
        field = ".".join(["data", *selector_path(config.selector)])
        raise Invalid.fields(
            [
                FieldError(
                    field,
                    "required" if value is None else "invalid",
                    f"must be text or a number, at most {LONGEST_IDENTIFIER} characters: "
                    f"the selector {config.selector} tells by it whose session it is",
                )
            ]
        )
    return text


def _revoke(config: SessionConfig, place: Place, session_id: str, identifier: str, until: datetime) -> None:
    row = SessionRevocation(
        config=config,
        environment_id=place.environment_id,
        session_id=session_id,
        identifier=crypto.fingerprint(identifier, IDENTIFIERS) if identifier else "",
        revoked_at=database_now(),
        expires_at=until,
    )
    SessionRevocation.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["config", "environment", "session_id", "identifier"],
        update_fields=["revoked_at", "expires_at"],
    )


def _object(config: SessionConfig, place: Place) -> str:
    return f"{place.product}/{place.env}/{config.tag}"


def _config(product_id: int, tag: str) -> SessionConfig | None:
    return SessionConfig.objects.filter(product_id=product_id, tag=tag).first() if "\x00" not in tag else None


def _no_config(tag: str, product_id: int, product: str) -> str:
    tags: Iterable[str] = SessionConfig.objects.filter(product_id=product_id).values_list("tag", flat=True)[:500]
    meant = nearest(tag, list(tags))
    way_out = f"did you mean {meant!r}?" if meant else f"add it with PUT /v1/products/{product}/catalog"
    return f"{tag[:120]!r} has no configuration in product {product!r}: {way_out}"
