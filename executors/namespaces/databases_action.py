"""The `databases.action` namespace: a saved action of a database, with the values of its placeholders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core import clock
from core.errors import FieldError
from executors.base import VALIDATION_ERROR, AttemptFailed, Call
from executors.catalog.components import Found, Opened
from executors.namespaces.component import ComponentExecutor
from executors.namespaces.databases import request_or_failure
from executors.providers.database import running, templates
from executors.providers.database.reading import Read


class DatabasesActionExecutor(ComponentExecutor):
    """Runs `{"database": …, "event": …}`; `action` is another name for `event`."""

    kind = "database"

    def wrong_input(self, found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Iterable[FieldError]:
        missing = list(templates.missing(found.event_settings, input))
        return missing or _read(found, input).errors

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        for error in templates.missing(opened.found.event_settings, input):  # the catalog changed since the dispatch
            raise AttemptFailed(VALIDATION_ERROR, f"{error.field}: {error.detail}")
        return await running.run(opened, request_or_failure(_read(opened.found, input)), seconds=call.timeout)


def _read(found: Found, input: Mapping[str, Any]) -> Read:
    return templates.request_of(
        found.event_settings, input, type=found.type, default_table=found.settings.get("default_table", ""),
        now=clock.machine_now(),
    )  # fmt: skip
