"""What a way to run functions has to do, and which module does it for each type. Imports no driver."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Protocol, cast

from executors.base import Call
from executors.catalog.components import Found, Opened

FUNCTION_FAILED: Final = "FUNCTION_FAILED"  # a Lambda function raised
TASK_FAILED: Final = "TASK_FAILED"  # a Celery task raised
TASK_FORGOTTEN: Final = "TASK_FORGOTTEN"  # nobody knows any more how a Celery task ended
CODES: Final = frozenset({FUNCTION_FAILED, TASK_FAILED, TASK_FORGOTTEN})

_MODULES: Final = {
    "http": "executors.providers.function.http_call",
    "lambda": "executors.providers.function.aws_lambda",
    "celery": "executors.providers.function.celery_task",
}


class Provider(Protocol):
    """A module with these functions."""

    def check_input(self, found: Found, input: Mapping[str, Any], *, recurring: bool) -> None:
        """At dispatch: raise Invalid with what is wrong with an input, NotFound for a reference to nothing."""

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        """Make the attempt. Raises AttemptFailed."""

    async def check(self, opened: Opened) -> str:
        """Try the connection. Raises AttemptFailed."""


def provider(type: str) -> Provider:
    """The module of a type of function, loaded when it is first used."""
    return cast(Provider, import_module(_MODULES[type]))
