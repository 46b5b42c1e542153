"""The `graphs` namespace: an operation on a graph database.

The target names a graph and an operation, the input holds the operation's options. What the operation does is
in `executors.providers.graph.plans`; nothing here knows a driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.errors import FieldError
from executors.base import VALIDATION_ERROR, AttemptFailed, Call
from executors.catalog.components import Found, Opened
from executors.namespaces.component import ComponentExecutor
from executors.providers.graph.backends import backend
from executors.providers.graph.requests import (
    folded_operation,
    operation_error,
    request,
    wrong_operation,
    wrong_request,
)


class GraphsExecutor(ComponentExecutor):
    """Runs `{"graph": …, "operation": …}`."""

    kind = "graph"
    names_event = False

    def wrong_input(self, found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Iterable[FieldError]:
        operation = target.get("operation")
        if operation is None:
            yield FieldError("operation", "required", "is required: the operation on the graph, such as findNodes")
        elif (error := operation_error(operation, "operation", found.type)) is not None:
            yield error
        else:
            yield from wrong_request(folded_operation(operation), input, "input", found.type)

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        return await run_operation(call, opened, call.target.get("operation"), input, "input")


async def run_operation(
    call: Call, opened: Opened, operation: Any, options: Mapping[str, Any], path: str
) -> Mapping[str, Any]:
    """Check the options as they have become, and carry them out. Raises AttemptFailed."""
    if (told := wrong_operation(operation, opened.type)) is not None:
        raise AttemptFailed(VALIDATION_ERROR, f"operation of {opened.found}: {told}")
    name = folded_operation(operation)
    for error in wrong_request(name, options, path, opened.type):
        raise AttemptFailed(VALIDATION_ERROR, f"{name} of {opened.found}: {error.field} {error.detail}")
    return await backend(opened.type).run(opened, request(name, options), timeout=call.timeout)
