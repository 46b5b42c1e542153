"""The `functions` namespace: one function of a team, called over HTTP, in AWS Lambda, or sent to its Celery app.

Knows which way a function is run, and no more: the ways are in `executors.providers.function`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors import samples
from executors.base import Call
from executors.catalog.components import Opened, find
from executors.namespaces.component import ComponentExecutor
from executors.providers.function.provider import CODES, provider


class FunctionsExecutor(ComponentExecutor):
    """Runs `{"function": …}`."""

    kind = "function"
    names_event = False
    codes = CODES

    def check(
        self,
        *,
        product_id: int,
        environment_id: int,
        target: Mapping[str, Any],
        input: Mapping[str, Any],
        recurring: bool,
    ) -> None:
        tag, _ = self._names(target)
        found = find(self.kind, product_id=product_id, environment_id=environment_id, tag=tag)
        filled = samples.put_in(input, samples.of_component(found))
        provider(found.type).check_input(found, filled, recurring=recurring)

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        return await provider(opened.type).run(call, opened, input)
