"""What is handed to a provider, and what it answers: messages, the run they belong to, and the Sender protocol.

Values only; who implements Sender is in `channels.SENDERS`.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from executors.base import Failed

_NAMES = uuid.UUID("5b1f6a1c-0c5e-4f0a-9c0e-6c5f0d0c8a31")  # of this system's messages, for ids of version 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Email:
    subject: str  # one line
    html: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sms:
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Push:
    title: str
    body: str
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    body: Any  # None: nothing is sent
    params: Mapping[str, Any]
    query: Mapping[str, Any]
    headers: Mapping[str, Any]


Message = Email | Sms | Push | Callback


@dataclass(frozen=True, kw_only=True, slots=True)
class Occasion:
    """The attempt that a message is sent in."""

    run_key: str
    job_id: str
    attempt: int
    scheduled_at: datetime
    until: float  # monotonic seconds: when the attempt ends
    redact: Callable[[str], str] = field(repr=False)

    def left(self, at_most: float) -> float:
        """Seconds for one exchange: a little less than the attempt has, so that this tells what took so long."""
        return max(0.001, min(at_most, (self.until - time.monotonic()) * 0.95))

    def digest(self, recipient: str) -> str:
        """The same for one recipient on every attempt of the run; says nothing of who that is."""
        return hashlib.sha256(f"{self.run_key}\n{recipient}".encode()).hexdigest()[:16]

    def key(self, channel: str, recipient: str) -> str:
        """A UUID, the same for one message to one recipient on every attempt of the run."""
        return str(uuid.uuid5(_NAMES, f"{self.run_key}\n{channel}\n{recipient}"))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message for a recipient."""

    message_id: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)  # what else a result tells of it


@dataclass(frozen=True, slots=True)
class Refused:
    """It did not. `gone`: nobody is reached under that token ever again."""

    failed: Failed
    gone: bool = False


Report = Callable[[str, Accepted | Refused], Awaitable[None]]


class Sender(Protocol):
    """One provider, as one environment reaches it, for one attempt. Made anew for each: `(settings, occasion)`."""

    at_once: int  # recipients that one `send` takes

    async def send(self, message: Any, recipients: Sequence[str], report: Report) -> None:
        """Send to each, and tell of each as soon as it is known.

        Raises AttemptFailed where that holds for all that nothing was told of.
        """

    async def check(self) -> str:
        """Try the connection without sending anything; a sentence on what was reached. Raises AttemptFailed."""


class OneByOne(ABC):
    """A Sender that makes one call for each recipient: it writes `send_one`, and gets `send`."""

    at_once = 1

    async def send(self, message: Any, recipients: Sequence[str], report: Report) -> None:
        for recipient in recipients:
            await report(recipient, await self.send_one(message, recipient))

    @abstractmethod
    async def send_one(self, message: Any, recipient: str) -> Accepted | Refused:
        """One message to one recipient. Raises AttemptFailed."""
