"""Tries every channel of an environment without sending anything, and says what answered."""

from __future__ import annotations

import time
import uuid

from core import clock
from executors.base import VALIDATION_ERROR, AttemptFailed
from executors.catalog.components import Opened
from executors.providers.notification.channels import CHANNELS, settings_of
from executors.providers.notification.delivering import load
from executors.providers.notification.delivery import Occasion, Sender

CHECK_SECONDS = 10.0


async def check(opened: Opened) -> str:
    """A sentence for each channel. Raises AttemptFailed for the first that fails, naming it."""
    told = []
    occasion = Occasion(
        run_key=f"check:{uuid.uuid4()}", job_id="check", attempt=1, scheduled_at=clock.machine_now(),
        until=time.monotonic() + CHECK_SECONDS, redact=opened.redact,
    )  # fmt: skip
    for channel in CHANNELS:
        found = settings_of(channel, opened.connection)
        if found is None:
            continue
        sender: Sender = load(channel.name, found[0])(found[1], occasion)
        try:
            told.append(await sender.check())
        except AttemptFailed as error:
            failed = error.failed
            raise AttemptFailed(failed.code, f"{channel.name}: {failed.message}", retryable=failed.retryable) from None
    if not told:
        raise AttemptFailed(VALIDATION_ERROR, "the environment has no channel")
    return "; ".join(told)
