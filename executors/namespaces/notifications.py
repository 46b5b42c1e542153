"""The `notifications` namespace: one message over every channel that it has and its input names somebody for.

Checks an input against the message and its environment at dispatch; in the worker fills the message, sends it on all
channels at once, and tells of each. A run that is tried again sends to those alone who have not got it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

from core.errors import FieldError
from executors.base import VALIDATION_ERROR, AttemptFailed, Call, Failed, Gone
from executors.catalog.components import Found, Opened
from executors.namespaces.component import ComponentExecutor
from executors.providers.notification import asked
from executors.providers.notification.delivering import Delivery, Sent
from executors.providers.notification.delivery import Occasion
from executors.providers.notification.rendering import rendered


class NotificationsExecutor(ComponentExecutor):
    """Runs `{"notification": …, "event": …}`."""

    kind = "notification"

    def wrong_input(self, found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Iterable[FieldError]:
        return asked.wrong(input, found.event_settings, found.connection)

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        event = opened.found.event_settings
        if (wrong := next(iter(asked.wrong(input, event, opened.connection)), None)) is not None:
            raise AttemptFailed(VALIDATION_ERROR, f"{wrong.field}: {wrong.detail}")
        occasion = Occasion(
            run_key=call.run_key, job_id=call.job_id, attempt=call.attempt, scheduled_at=call.scheduled_at,
            until=time.monotonic() + call.timeout, redact=opened.redact,
        )  # fmt: skip
        sent = await Sent.of(call.steps)
        wanted = asked.asked(input, event, opened.connection)
        deliveries = {
            each.channel.name: Delivery(each, opened.connection, occasion, sent) for each in wanted if not each.skipped
        }
        try:
            async with asyncio.TaskGroup() as group:
                for each in wanted:
                    if not each.skipped:
                        group.create_task(deliveries[each.channel.name].run(rendered(each, event)))
        except ExceptionGroup as errors:
            raise _only(errors) from None
        channels = {
            each.channel.name: {"success": False, "skipped": True, "reason": each.skipped}
            if each.skipped
            else deliveries[each.channel.name].result()
            for each in wanted
        }
        failures = {name: delivery.failures for name, delivery in deliveries.items() if delivery.failures}
        if failures:
            raise _failed(failures, len(deliveries), {"success": False, "channels": channels})
        return {"success": True, "channels": channels}


def _failed(failures: Mapping[str, list[Failed]], of: int, result: Mapping[str, Any]) -> AttemptFailed:
    """Worth another attempt if any failure is; told by the first one that is, else by the first."""
    every = [failed for channel in failures.values() for failed in channel]
    worst = next((failed for failed in every if failed.retryable), every[0])
    waits = [failed.retry_after for failed in every if failed.retry_after is not None]
    told = "; ".join(
        f"{name}: {channel[0].message}" + (f" (and {len(channel) - 1} more)" if len(channel) > 1 else "")
        for name, channel in failures.items()
    )
    return AttemptFailed(
        worst.code,
        f"{len(failures)} of {of} channels failed: {told}",
        retryable=worst.retryable,
        retry_after=max(waits, default=None),
        result=result,
    )


def _only(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """That the run was taken away counts before anything else; else the first error, which nobody expected."""
    gone, _ = errors.split(Gone)
    first: BaseException = gone if gone is not None else errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
