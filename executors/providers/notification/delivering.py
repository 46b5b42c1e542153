"""One channel of one attempt: to each recipient that has not got the message yet, each recorded as it is taken.

A recipient is recorded with the run right after the provider took the message, so that no later attempt sends it
again. Never decides whether the run failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from executors.base import AttemptFailed, Failed, Steps
from executors.providers.notification.asked import Asked
from executors.providers.notification.channels import PUSH, SENDERS, settings_of
from executors.providers.notification.delivery import Accepted, Message, Occasion, Refused, Sender

CALLS_AT_ONCE = 8  # to one provider, of one channel of one run


class Sent:
    """What earlier attempts of the run recorded, and what this one does. One at a time writes."""

    def __init__(self, steps: Steps | None, earlier: Mapping[str, Mapping[str, Any]]) -> None:
        self._steps, self._earlier, self._writing = steps, earlier, asyncio.Lock()

    @classmethod
    async def of(cls, steps: Steps | None) -> Sent:
        return cls(steps, await steps.all() if steps is not None else {})

    def before(self, name: str) -> Accepted | None:
        """What was taken by an earlier attempt under that name."""
        step = self._earlier.get(name)
        if step is None:
            return None
        return Accepted(step.get("messageId"), {key: step[key] for key in step if key == "status"})

    async def record(self, name: str, accepted: Accepted) -> None:
        if self._steps is not None:
            async with self._writing:
                value = {"messageId": accepted.message_id} if accepted.message_id is not None else {}
                await self._steps.record(name, {**value, **accepted.more})


class Delivery:
    """One channel. `outcomes` says of each recipient how it went."""

    def __init__(self, asked: Asked, connection: Mapping[str, Any], occasion: Occasion, sent: Sent) -> None:
        self._asked, self._occasion, self._sent = asked, occasion, sent
        self._connection = connection
        self.outcomes: dict[str, Accepted | Refused] = {}

    async def run(self, message: Message) -> None:
        """Send to those who have not got it. Raises Gone where the run was taken away."""
        for recipient in self._asked.recipients:
            if (before := self._sent.before(self._name(recipient))) is not None:
                self.outcomes[recipient] = before
        left = [recipient for recipient in self._asked.recipients if recipient not in self.outcomes]
        if not left:
            return
        try:
            sender = sender_of(self._asked, self._connection, self._occasion)
        except AttemptFailed as error:
            self._refuse(left, error.failed)
            return
        free = asyncio.Semaphore(CALLS_AT_ONCE)

        async def batch(recipients: Sequence[str]) -> None:
            async with free:
                try:
                    await sender.send(message, recipients, self._report)
                except AttemptFailed as error:
                    self._refuse(recipients, error.failed)

        async with asyncio.TaskGroup() as group:
            for recipients in _batches(left, sender.at_once):
                group.create_task(batch(recipients))

    @property
    def failures(self) -> list[Failed]:
        return [outcome.failed for outcome in self.outcomes.values() if isinstance(outcome, Refused)]

    def result(self) -> dict[str, Any]:
        """The channel as the run's result tells it."""
        entries = [_entry(self.outcomes[recipient]) for recipient in self._asked.recipients]
        first = next((entry for entry in entries if not entry["success"]), entries[0])
        told = {**first, "success": all(entry["success"] for entry in entries)}
        if not self._asked.channel.recipients:
            return told
        told["recipients"] = [
            {"recipient": recipient, **entry} for recipient, entry in zip(self._asked.recipients, entries, strict=True)
        ]
        if self._asked.channel is PUSH:
            gone = [token for token, each in self.outcomes.items() if isinstance(each, Refused) and each.gone]
            told |= {"invalidTokens": gone} if gone else {}
        return told

    async def _report(self, recipient: str, outcome: Accepted | Refused) -> None:
        if isinstance(outcome, Accepted):
            await self._sent.record(self._name(recipient), outcome)
        self.outcomes[recipient] = outcome

    def _refuse(self, recipients: Sequence[str], failed: Failed) -> None:
        for recipient in recipients:
            self.outcomes.setdefault(recipient, Refused(failed))

    def _name(self, recipient: str) -> str:
        """Of the step that says a recipient has got it: who that is stays untold, for it may be a secret."""
        channel = self._asked.channel
        return f"{channel.name}:{self._occasion.digest(recipient)}" if channel.recipients else channel.name


def sender_of(asked: Asked, connection: Mapping[str, Any], occasion: Occasion) -> Sender:
    """Who sends on a channel in an environment, loaded when first used."""
    found = settings_of(asked.channel, connection)
    assert found is not None
    who, settings = found
    sender: Sender = load(asked.channel.name, who)(settings, occasion)
    return sender


def load(channel: str, who: str) -> Any:
    """The class of a provider."""
    module, _, name = SENDERS[channel][who].rpartition(".")
    return getattr(import_module(module), name)


def _batches(recipients: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(recipients), size):
        yield recipients[begin : begin + size]


def _entry(outcome: Accepted | Refused) -> dict[str, Any]:
    if isinstance(outcome, Refused):
        return {"success": False, "error": outcome.failed.message, "code": outcome.failed.code}
    told: dict[str, Any] = {"success": True, **outcome.more}
    return told | ({"messageId": outcome.message_id} if outcome.message_id is not None else {})
