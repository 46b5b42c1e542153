"""The `actions` namespace: an event of an app is an HTTP call.

Checks an input at dispatch against the action it is for; in the worker makes the call, and says how
it ended. Never retries, never follows a redirect. A request that is refused as unauthorized is
sent once more where its token may have been revoked: that one was not carried out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from core import clock, http
from core.errors import ApiError, FieldError, Invalid
from executors import inputs, samples
from executors.base import AttemptFailed, Call, Done, Gone, Outcome, longest_first, redacted, redacted_message
from executors.catalog.actions import OpenedAction
from executors.catalog.resolve import find_action, open_action
from executors.exchange.answers import failed_answer, failed_exchange, result_of
from executors.exchange.checking import check_input
from executors.exchange.requests import Prepared, build_request, prepare
from executors.exchange.tokens import NoToken, Token, tokens
from executors.namespaces.component import unforeseen


class ActionsExecutor:
    """Runs `{"app": …, "event": …}`; `action` is another name for `event`."""

    isolated = False

    def check(
        self,
        *,
        product_id: int,
        environment_id: int,
        target: Mapping[str, Any],
        input: Mapping[str, Any],
        recurring: bool,
    ) -> None:
        app, event = _names(target)
        action = find_action(product_id=product_id, environment_id=environment_id, app=app, event=event)
        check_input(action, samples.put_in(input, samples.of_schema(action.schema)), recurring=recurring)

    def resolve(self, *, product_id: int, environment_id: int, target: Mapping[str, Any]) -> OpenedAction:
        app, event = _names(target)
        return open_action(product_id=product_id, environment_id=environment_id, app=app, event=event)

    async def execute(self, call: Call) -> Outcome:
        action: OpenedAction = call.resolved
        timeout = call.timeout if action.timeout is None else min(call.timeout, action.timeout)
        hidden = longest_first(action.secrets, call.secrets)
        try:
            call = samples.in_call(call, samples.of_schema(action.target.schema))
            prepared = prepare(action, call, clock=clock.machine_now)
            hidden = longest_first(hidden, prepared.secrets)
            if action.token is None:
                response = await http.send(build_request(action, call, prepared.placed, timeout=timeout))
            else:
                response, token = await _send_with_token(action, call, prepared, timeout)
                hidden = longest_first(hidden, token.forms)
        except http.HttpError as error:
            return failed_exchange(error, redact=lambda text: redacted(text, hidden))
        except NoToken as error:
            return error.failed
        except (ApiError, AttemptFailed, Gone):
            raise
        except Exception as error:
            return unforeseen(error, call, hidden)

        def redact(text: str) -> str:
            return redacted_message(text, hidden)

        succeeded = 200 <= response.status < 300 if action.success is None else response.status in action.success
        if not succeeded:
            return failed_answer(str(action.target), response, now=clock.machine_now(), redact=redact)
        return Done(result_of(response, hidden))

    def resolved_input(self, call: Call) -> dict[str, Any]:
        """See `executors.namespaces.component`."""
        action: OpenedAction = call.resolved
        call = samples.in_call(call, samples.of_schema(action.target.schema))
        return inputs.resolved(call, action.target.values).value


async def _send_with_token(
    action: OpenedAction, call: Call, prepared: Prepared, timeout: float
) -> tuple[http.HttpResponse, Token]:
    """Log in, send; and once more with a new token where the answer is 401. All of it within `timeout` seconds."""
    assert action.token is not None
    until = time.monotonic() + timeout
    try:
        async with asyncio.timeout(timeout):
            token = await tokens().get(action.token)
            response = await http.send(_with_token(action, call, prepared, token, until))
            if response.status == 401:
                token = await tokens().get(action.token, stale=token)
                response = await http.send(_with_token(action, call, prepared, token, until))
    except TimeoutError:
        raise http.HttpTimeout(f"no token and answer for {action.target} within {timeout:.3g} s") from None
    return response, token


def _with_token(action: OpenedAction, call: Call, prepared: Prepared, token: Token, until: float) -> http.HttpRequest:
    left = max(0.001, until - time.monotonic())
    return build_request(action, call, prepared.placed, timeout=left, authorization=token.authorization)


def _names(target: Mapping[str, Any]) -> tuple[str, str]:
    app, event = target.get("app"), target.get("event", target.get("action"))
    errors = [
        FieldError(name, "required" if value is None else "invalid", "is required: the tag, as text")
        for name, value in (("app", app), ("event", event))
        if not isinstance(value, str) or not value
    ]
    if errors or not isinstance(app, str) or not isinstance(event, str):
        raise Invalid.fields(errors)
    return app, event
