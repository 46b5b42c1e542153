"""What the namespaces of components have in common: names → component, input → resolved, errors → outcome.

A namespace says which kind it runs, checks its input, and makes the attempt; nothing in it redacts or
catches what it does not know.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from core.errors import ApiError, FieldError, Invalid
from executors import inputs, samples
from executors.base import (
    INTERNAL_ERROR,
    AttemptFailed,
    Call,
    Done,
    Failed,
    Gone,
    Outcome,
    longest_first,
    redacted,
    redacted_message,
    redacted_value,
)
from executors.catalog import kinds
from executors.catalog.components import Found, Opened, find, open_one

logger = logging.getLogger(__name__)


class ComponentExecutor:
    """Subclasses set `kind` and write `run`, and `wrong_input` where there is anything to check."""

    isolated = False
    kind: ClassVar[str]
    names_event: ClassVar[bool] = True  # the target names a saved event of the component

    def check(
        self,
        *,
        product_id: int,
        environment_id: int,
        target: Mapping[str, Any],
        input: Mapping[str, Any],
        recurring: bool,
    ) -> None:
        tag, event = self._names(target)
        found = find(self.kind, product_id=product_id, environment_id=environment_id, tag=tag, event=event)
        known = inputs.known_at_dispatch(found, samples.put_in(input, samples.of_component(found)))
        if errors := list(self.wrong_input(found, target, known))[: inputs.MOST_PROBLEMS]:
            raise Invalid.fields(errors)

    def resolve(self, *, product_id: int, environment_id: int, target: Mapping[str, Any]) -> Any:
        tag, event = self._names(target)
        return open_one(self.kind, product_id=product_id, environment_id=environment_id, tag=tag, event=event)

    async def execute(self, call: Call) -> Outcome:
        opened: Opened = call.resolved
        hidden = longest_first(opened.secrets, call.secrets)
        try:
            call = samples.in_call(call, samples.of_component(opened.found))
            resolved = inputs.resolved(call, opened.found.values)
            hidden = longest_first(hidden, resolved.secrets)
            result = await self.run(call, replace(opened, secrets=hidden), resolved.value)
        except AttemptFailed as error:
            return without_secrets(error.failed, hidden)
        except (ApiError, Gone):
            raise
        except Exception as error:
            return unforeseen(error, call, hidden)
        return Done(redacted_value(result, hidden)) if hidden else Done(result)

    def resolved_input(self, call: Call) -> dict[str, Any]:
        """What a run's input is, its expressions resolved: two runs alike in it are alike for a cache.

        Raises AttemptFailed.
        """
        opened: Opened = call.resolved
        call = samples.in_call(call, samples.of_component(opened.found))
        return inputs.resolved(call, opened.found.values).value

    def wrong_input(self, found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Iterable[FieldError]:
        """What is wrong with an input at dispatch, under `input.…`. An `Unknown` in it may become anything."""
        return ()

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        """Make the attempt; the result, a JSON object. Raises AttemptFailed. Cancelled at its deadline."""
        raise NotImplementedError

    def _names(self, target: Mapping[str, Any]) -> tuple[str, str | None]:
        """The tag of the component, and of the event where the namespace names one. Raises Invalid."""
        known = kinds.get(self.kind)
        tag = target.get(known.target)
        event = next((target[name] for name in known.event_fields if target.get(name) is not None), None)
        wanted = {known.target: tag} | ({known.event_fields[0]: event} if self.names_event else {})
        errors = [
            FieldError(name, "required" if value is None else "invalid", "is required: the tag, as text")
            for name, value in wanted.items()
            if not isinstance(value, str) or not value
        ]
        if errors:
            raise Invalid.fields(errors)
        return str(tag), str(event) if self.names_event else None


def without_secrets(failed: Failed, secrets: tuple[str, ...]) -> Failed:
    if not secrets:
        return failed
    return Failed(
        code=failed.code,
        message=redacted_message(failed.message, secrets),
        retryable=failed.retryable,
        retry_after=failed.retry_after,
        result=redacted_value(failed.result, secrets) if failed.result is not None else None,
    )


def unforeseen(error: Exception, call: Call, secrets: tuple[str, ...]) -> Failed:
    """What an attempt that raised what it should not have comes to. Logged here, where what was opened is known."""
    text = redacted("".join(traceback.format_exception(error)), secrets)
    logger.error("%s: the executor raised\n%s", call.run_key, text)
    return Failed(code=INTERNAL_ERROR, message=f"the executor raised {type(error).__name__}", retryable=True)
