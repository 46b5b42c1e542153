"""Can a component be reached in an environment? Tried for real, and told in words.

For people who are setting up a connection: the admin's button and the API's `check`. An app gets one GET to
its base URL, with its headers and auth; other kinds say how (`Kind.check`). Never stores anything, shows no secret.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from dataclasses import dataclass, replace
from importlib import import_module

from core import http
from core.errors import ApiError
from core.tenancy.models import Environment
from executors import base
from executors.catalog import kinds
from executors.catalog.actions import OpenedAction
from executors.catalog.components import opened as open_component
from executors.catalog.components import unconnected
from executors.catalog.models import Component, Connection, SavedEvent
from executors.catalog.resolve import open_call
from executors.catalog.values import values_of
from executors.exchange.answers import failed_exchange
from executors.exchange.requests import check_request
from executors.exchange.tokens import NoToken, tokens
from executors.reach.clients import close_every

CHECK_SECONDS = 10.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """`detail` is a sentence for people. `code` is one of executors.base's, or of the API's errors; None if ok."""

    ok: bool
    detail: str
    code: str | None = None
    status: int | None = None  # of the answer, if there was one
    duration_ms: int = 0


def check_connection(component: Component, environment: Environment) -> CheckResult:
    """Try how the component is reached in the environment. At most CHECK_SECONDS; raises nothing."""
    began = time.monotonic()
    connection = component.connections.filter(environment=environment).first()
    if connection is None:
        detail = unconnected(component, environment.product.tag, environment.slug)
        return CheckResult(ok=False, detail=detail, code="connection_not_found")
    connection.component = component
    tried = _tried_app if component.kind == "app" else _tried_component
    try:
        result = tried(component, connection, environment)
    except Exception as error:  # whatever is stored, and however it came there, the answer is a sentence
        frames = "".join(traceback.format_tb(error.__traceback__))  # without the message, which may hold a secret
        logger.error("a check of %s raised %s\n%s", component, type(error).__name__, frames)
        detail = f"this connection could not be checked: {type(error).__name__}. Store it again as it is to be"
        result = CheckResult(ok=False, detail=detail, code=base.INTERNAL_ERROR)
    return replace(result, duration_ms=round((time.monotonic() - began) * 1000))


def _tried_app(component: Component, connection: Connection, environment: Environment) -> CheckResult:
    made_up = SavedEvent(component=component, tag="check", settings={"method": "GET", "resource": ""})
    try:
        action = open_call(component, connection, made_up, values_of(component.product_id, environment.pk))
    except ApiError as error:
        return CheckResult(ok=False, detail=error.detail, code=error.code)
    return asyncio.run(_tried(action))


def _tried_component(component: Component, connection: Connection, environment: Environment) -> CheckResult:
    module, _, name = kinds.get(component.kind).check.rpartition(".")
    if not module:
        return CheckResult(ok=False, detail=f"a {component.kind} has no connection to check", code="not_supported")
    try:
        opened = open_component(component, connection, None, environment.pk)
    except ApiError as error:
        return CheckResult(ok=False, detail=error.detail, code=error.code)

    async def tried() -> CheckResult:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                said: str = await getattr(import_module(module), name)(opened)
        except base.AttemptFailed as error:
            return CheckResult(ok=False, detail=opened.redact_message(error.failed.message), code=error.failed.code)
        except TimeoutError:
            return CheckResult(ok=False, detail=f"no answer within {CHECK_SECONDS:.0f} s", code=base.TIMEOUT)
        finally:
            await close_every()
        return CheckResult(ok=True, detail=opened.redact(said))

    return asyncio.run(tried())


async def _tried(action: OpenedAction) -> CheckResult:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            token = await tokens().get(action.token) if action.token is not None else None
            authorization = token.authorization if token is not None else None
            response = await http.send(check_request(action, timeout=CHECK_SECONDS, authorization=authorization))
    except http.HttpError as error:
        failed = failed_exchange(error, redact=action.redact)
        return CheckResult(ok=False, detail=failed.message, code=failed.code)
    except NoToken as error:
        return CheckResult(ok=False, detail=error.failed.message, code=error.failed.code)
    except TimeoutError:
        return CheckResult(ok=False, detail=f"no answer within {CHECK_SECONDS:.0f} s", code=base.TIMEOUT)
    finally:
        await http.close()
    status = response.status
    if status in (401, 403):
        detail = f"reached, but it answered {status}: the credentials are not accepted there"
        code = base.UNAUTHORIZED if status == 401 else base.FORBIDDEN
        return CheckResult(ok=False, detail=detail, code=code, status=status)
    if status >= 500:
        detail = f"reached, but it answered {status}: it is out of order"
        return CheckResult(ok=False, detail=detail, code=base.SERVICE_UNAVAILABLE, status=status)
    if status == 404:
        return CheckResult(
            ok=True, detail="reached: it answered 404, as it has nothing at the base URL itself", status=404
        )
    return CheckResult(ok=True, detail=f"reached: it answered {status}", status=status)
