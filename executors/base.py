"""The executor interface: what the run loop hands over and what it gets back.

An executor never writes to the database of jobs, never retries and never decides a state:
it makes one attempt and says how it ended.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

LEAST_CUT_OFF = 8  # characters of a secret's beginning that tell something of it

# Codes of the documents, and ours for what they do not name.
TIMEOUT = "TIMEOUT"
RATE_LIMITED = "RATE_LIMITED"
SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
CONNECTION_ERROR = "CONNECTION_ERROR"
VALIDATION_ERROR = "VALIDATION_ERROR"
NOT_FOUND = "NOT_FOUND"
UNAUTHORIZED = "UNAUTHORIZED"
FORBIDDEN = "FORBIDDEN"
LOST = "LOST"  # the worker died and `on_lost` is "fail"
POISON = "POISON"  # the run lost its worker three times
CANCELLED = "CANCELLED"
SESSION_EXPIRED = "SESSION_EXPIRED"  # the job's session has expired or was revoked: nothing was sent
RESPONSE_TOO_LARGE = "RESPONSE_TOO_LARGE"  # the answer, unpacked, is longer than its action allows
INTERNAL_ERROR = "INTERNAL_ERROR"  # an executor raised what it should not have

CODES = frozenset(
    {
        TIMEOUT, RATE_LIMITED, SERVICE_UNAVAILABLE, CONNECTION_ERROR, VALIDATION_ERROR, NOT_FOUND, UNAUTHORIZED,
        FORBIDDEN, LOST, POISON, CANCELLED, SESSION_EXPIRED, RESPONSE_TOO_LARGE, INTERNAL_ERROR,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Session:
    """The session that a job was dispatched with, verified for this attempt: what `$Session{…}` reads."""

    tag: str
    data: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One attempt of one run, as an executor sees it. Times are aware UTC."""

    job_id: str  # job_…
    run_key: str  # "<job id>:<run number>", the same on every attempt of the run
    attempt: int  # from 1, over all attempts of the run, lost ones included; no two of a feature's step have one
    namespace: str  # "actions", …
    product: str  # tag
    env: str  # slug
    target: Mapping[str, Any]  # what names the target: {"app": …, "event": …}
    resolved: Any  # what `Executor.resolve` returned for it
    input: Mapping[str, Any]
    scheduled_at: datetime
    timeout: float  # seconds left for this attempt
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)  # set when the run is taken away
    steps: Steps | None = None  # none in an isolated process
    session: Session | None = None  # of a job that was dispatched with one
    attempt_of_run: int | None = None  # of the run that a feature's step is made in; None: `attempt`
    literal: bool = False  # `input` is data: nothing in it is an expression any more
    secrets: tuple[str, ...] = field(default=(), repr=False)  # that stand in a literal `input`, in every form
    was_cancelled: Callable[[], Awaitable[bool]] | None = None  # of a run that was taken away: for good, by a person?


@dataclass(frozen=True, slots=True)
class Done:
    """The attempt succeeded. `result` is a JSON object."""

    result: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """The attempt failed. `message` is for people: no secrets, no tracebacks."""

    code: str
    message: str
    retryable: bool
    retry_after: float | None = None  # seconds the other side asked us to wait
    result: Mapping[str, Any] | None = None  # what was done all the same, where that is of use


Outcome = Done | Failed


class AttemptFailed(Exception):
    """Raised by a provider at its boundary with what `Failed` says: foreign errors are told by one of these."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.failed = Failed(code=code, message=message, retryable=retryable, retry_after=retry_after, result=result)


SHORTEST_SECRET = 4  # characters; a shorter text is in others by chance


def longest_first(*groups: Iterable[str]) -> tuple[str, ...]:
    """Secrets of several origins in the order in which `redacted` takes them."""
    return tuple(sorted({secret for group in groups for secret in group}, key=len, reverse=True))


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """The text with each of `secrets` replaced. The longest comes first, and all are given at once: where one is the
    beginning of another, the rest of that would stay. A short one goes where it stands alone: a part of a secret, or
    a password in a connection."""
    for secret in secrets:
        if secret in text:
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
            else:
                text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text


def redacted_message(text: str, secrets: tuple[str, ...]) -> str:
    """`redacted`, and without the beginning of a secret at its end: whoever told it may have cut it off there."""
    text = redacted(text, secrets)
    for secret in secrets:
        for size in range(min(len(secret) - 1, len(text)), LEAST_CUT_OFF - 1, -1):
            if text.endswith(secret[:size]):
                return text[:-size] + "***"
    return text


def redacted_value(value: Any, secrets: tuple[str, ...]) -> Any:
    """The JSON value with every secret in its texts, and in the names of its fields, replaced."""
    if isinstance(value, str):
        return redacted(value, secrets)
    if isinstance(value, Mapping):
        return {redacted(str(name), secrets): redacted_value(member, secrets) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted_value(member, secrets) for member in value]
    return value


def redacted_bytes(body: bytes, secrets: tuple[str, ...], *, cut_off: bool) -> bytes:
    """The bytes with every secret in them replaced; and the beginning of one at their end, where they were cut off."""
    # Each byte is one sign of Latin 1: what holds of texts holds of them.
    hidden = tuple(secret.encode("utf-8", "replace").decode("latin-1") for secret in secrets)
    replaced = redacted_message if cut_off else redacted
    return replaced(body.decode("latin-1"), hidden).encode("latin-1")


class Steps(Protocol):
    """What a run has done already, kept with it: read and written by its own attempts, in the run's history.

    A run that is tried again, or taken over from a worker that died, finds what its earlier attempts recorded.
    """

    async def all(self) -> Mapping[str, Mapping[str, Any]]:
        """The recorded steps by name."""

    async def record(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep a step, in place of one of that name. Returns when it is stored.

        Raises Gone where the run is not this attempt's any more: stop, nothing of it counts.
        """


class Gone(Exception):
    """The run was taken away: cancelled, or given to another worker."""


class Executor(Protocol):
    """How one namespace's jobs are run. One that fails with codes besides CODES names them in `codes`, an
    attribute of its class: a dispatch refuses others in its `retryConfig`. One that resolves expressions has
    `resolved_input(call)`, the input as it will be used: without it, an input with any is never cached. One whose
    target holds expressions of its own has `references(product_id, environment_id, target)`: each with its place."""

    isolated: bool  # True: may crash or burn CPU, so every run gets a process of its own

    def check(
        self,
        *,
        product_id: int,
        environment_id: int,
        target: Mapping[str, Any],
        input: Mapping[str, Any],
        recurring: bool,  # it runs more than once
    ) -> None:
        """At dispatch: does the target exist, is the input right? Synchronous, may query.

        Raises core.errors.ApiError (NotFound, Invalid) with the field and the way out.
        """

    def resolve(self, *, product_id: int, environment_id: int, target: Mapping[str, Any]) -> Any:
        """In the worker, in a thread: what is needed to run, secrets opened. May query.

        The run loop keeps the answer for a few seconds. Raises core.errors.ApiError.
        """

    async def execute(self, call: Call) -> Outcome:
        """Make the attempt. Cancelled (asyncio) at its deadline and when its run is taken away."""
