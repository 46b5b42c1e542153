"""What of a step can be told when its feature is stored, though it is not part of the plan: its operation, its retries.

Whether its target is there, and its input fits, is told at a dispatch: that may be stored later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from core.errors import FieldError
from core.fields import not_one_of
from core.retrying import unknown_codes, wrong_retry_config
from executors import registry
from executors.base import CODES
from executors.providers.database import reading
from executors.providers.feature.plan import Step, written_steps
from executors.providers.graph.requests import wrong_operation


def wrong_steps(settings: Mapping[str, Any], plan: tuple[Step, ...]) -> Iterator[FieldError]:
    """What is wrong with the steps of a plan, told with their tags, at their places in the feature."""
    steps = {step.tag: step for step in plan}
    for at, entry in written_steps(settings):
        for error in (*_operation(at, steps[entry["tag"]]), *_retries(at, steps[entry["tag"]], entry)):
            yield replace(error, detail=f"step {entry['tag']!r}: {error.detail}")


def _operation(at: str, step: Step) -> Iterator[FieldError]:
    named, told = step.target.get("operation", ""), None
    if step.namespace == "databases" and reading.operation_named(named) is None:
        told = not_one_of(named, list(reading.OPERATIONS))
    elif step.namespace == "graphs":
        told = wrong_operation(named, "")  # what its type of graph lacks is told at a dispatch
    if told is not None:
        yield FieldError(f"{at}.operation", "unknown_operation", told)


def _retries(at: str, step: Step, entry: Mapping[str, Any]) -> Iterator[FieldError]:
    config, name = entry.get("options", {}).get("retryConfig"), f"{at}.options.retryConfig"
    if config is None:
        return
    if wrong := wrong_retry_config(config, name):
        yield from wrong
    else:
        yield from unknown_codes(config, registry.codes(step.namespace) if step.namespace else CODES, name)
