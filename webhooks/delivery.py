"""One attempt: the request is signed and sent, and what comes back is told. Every way it ends is an answer.

Never follows a redirect, never sends twice, and keeps no more than RESPONSE_BYTES of what comes back.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from core import crypto, http
from core.ids import encode
from executors.exchange.answers import retry_after
from jobs.lifecycle.settle import storable
from webhooks import signing
from webhooks.claiming import DeliveryClaim
from webhooks.models import MESSAGE_PREFIX
from webhooks.outcome import Answer
from webhooks.secrets import signing_secrets

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 15.0  # for all of it: resolving, connecting, sending, reading
RESPONSE_BYTES = 4_096
USER_AGENT = "Ductape-Jobs-Webhooks/1"
UNOPENED = "the secret of this webhook cannot be opened: it was sealed under a key that is gone"


async def attempt(claim: DeliveryClaim, at: datetime) -> Answer:
    """Send it, at that time by the database's clock. Raises CancelledError alone."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    def answer(**of: object) -> Answer:
        return Answer(at=at, duration_ms=round((loop.time() - began) * 1000), **of)  # type: ignore[arg-type]

    try:
        response = await http.send(_request(claim, at))
    except http.HttpError as error:
        return answer(error=storable(str(error)), address=error.address)
    except crypto.CannotOpen as error:
        logger.error("%s: %s", claim, error)
        return answer(error=UNOPENED)
    except Exception as error:  # a bug must not end the loop, and with it every other delivery
        logger.exception("%s: the attempt raised", claim)
        return answer(error=f"the attempt raised {type(error).__name__}")
    succeeded = 200 <= response.status < 300
    return answer(
        status=response.status,
        body=storable(response.body.decode("utf-8", "replace")),
        retry_after=None if succeeded else retry_after(response, now=at),
        error="" if succeeded else _said(response),
        address=response.address,
    )


def _request(claim: DeliveryClaim, at: datetime) -> http.HttpRequest:
    """Signed for this attempt. Raises crypto.CannotOpen."""
    id, seconds, body = encode(MESSAGE_PREFIX, claim.message_id), int(at.timestamp()), claim.body.encode()
    secrets = signing_secrets(claim.secret, claim.old_secret, claim.endpoint_id, at=at)
    return http.HttpRequest(
        method="POST",
        url=claim.url,
        headers={
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": signing.sign(secrets, id, seconds, body),
        },
        body=body,
        timeout=TIMEOUT_SECONDS,
        max_response_bytes=RESPONSE_BYTES,
        truncate=True,
    )


def _said(response: http.HttpResponse) -> str:
    if 300 <= response.status < 400:
        return f"the endpoint answered {response.status}: redirects are not followed"
    return f"the endpoint answered {response.status}"
