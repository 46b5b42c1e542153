"""The `graphs.action` namespace: a saved action of a graph, its placeholders filled from the input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from core.errors import FieldError
from core.fields import dotted, suggestion
from executors.base import VALIDATION_ERROR, AttemptFailed, Call, longest_first
from executors.catalog.components import Found, Opened
from executors.catalog.sealed import secret_forms
from executors.catalog.shapes import opened_texts, texts_in
from executors.catalog.values import must_know
from executors.expressions import Reference, open_references, references_in
from executors.namespaces.component import ComponentExecutor
from executors.namespaces.graphs import run_operation
from executors.providers.graph.kind import options_known, template_of
from executors.providers.graph.requests import wrong_request
from executors.templates import filled, names_in


class GraphsActionExecutor(ComponentExecutor):
    """Runs `{"graph": …, "event": …}`; the input is an object of values, one for each placeholder."""

    kind = "graph"

    def wrong_input(self, found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Iterable[FieldError]:
        must_know(found.values, (("event", each) for each in _references(found)), found.environment_id)
        missing, known = list(_missing(found, input)), _placeholders(found)
        yield from missing
        for name in input:
            if name not in known:
                detail = f"{found} has no placeholder of that name: {suggestion(name, known)}"
                yield FieldError(dotted("input", name), "unknown_field", detail)
        if not missing:
            settings = found.event_settings
            yield from wrong_request(settings["operation"], options_known(settings, input), "input", found.type)

    def resolve(self, *, product_id: int, environment_id: int, target: Mapping[str, Any]) -> Opened:
        opened: Opened = super().resolve(product_id=product_id, environment_id=environment_id, target=target)
        values = opened.found.values
        keys = {key for each in _references(opened.found) for key in values.secrets_behind(each)}
        return replace(opened, secrets=longest_first(opened.secrets, secret_forms(values.secret(key) for key in keys)))

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        found = opened.found
        for error in _missing(found, input):
            raise AttemptFailed(VALIDATION_ERROR, f"{found}: {error.field} {error.detail}")
        template = opened_texts(template_of(found.event_settings), lambda text: open_references(text, found.values))
        return await run_operation(
            call, opened, found.event_settings["operation"], filled(template, input.__getitem__), "input"
        )


def _references(found: Found) -> list[Reference]:
    return [each for text in texts_in(template_of(found.event_settings)) for each in references_in(text)]


def _placeholders(found: Found) -> list[str]:
    return sorted(set(names_in(template_of(found.event_settings))))


def _missing(found: Found, input: Mapping[str, Any]) -> Iterable[FieldError]:
    for name in _placeholders(found):
        if name not in input:
            yield FieldError(dotted("input", name), "required", f"is required: a placeholder of {found}")
