"""The `databases` namespace: one operation on a database of the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.errors import FieldError
from executors.base import VALIDATION_ERROR, AttemptFailed, Call
from executors.catalog.components import Found, Opened
from executors.namespaces.component import ComponentExecutor
from executors.providers.database import running
from executors.providers.database.reading import Read, read_request
from executors.providers.database.requests import Request


class DatabasesExecutor(ComponentExecutor):
    """Runs `{"database": …, "operation": …}`."""

    kind = "database"
    names_event = False

    def wrong_input(self, found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Iterable[FieldError]:
        return _read(found, target, input).errors

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        request = request_or_failure(_read(opened.found, call.target, input))
        return await running.run(opened, request, seconds=call.timeout)


def request_or_failure(read: Read) -> Request:
    """What is asked for. Raises AttemptFailed where a run found out that it cannot be."""
    if read.errors:
        first = read.errors[0]
        raise AttemptFailed(VALIDATION_ERROR, f"{first.field}: {first.detail}")
    return read.request


def _read(found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Read:
    return read_request(
        target.get("operation", ""), input, type=found.type, default_table=found.settings.get("default_table", "")
    )
