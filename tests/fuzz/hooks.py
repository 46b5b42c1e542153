"""What schemathesis calls around each of its calls, in its own process: it makes right calls sensible, and notes all.

What is right by the description may name a product that nobody has. Where links are followed, right calls name what
is there, or what a link has brought; wrong ones, and those of the other phases, stay as they are.
"""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

from tests.fuzz.world import CACHE, DEFINITION, ENV, EVENT, PRODUCT, SESSION, TAG, YEARLY
from tests.samples import DISPATCHED, SAMPLES, dispatched

NOTES = "FUZZ_NOTES"  # the variable that names the file: a line for each call
_IN_PATHS = {"product": PRODUCT, "env": ENV, "tag": TAG, "event": EVENT}
_numbers = itertools.count()
_THERE = re.compile(rf"{PRODUCT}|{ENV}|{TAG}|{EVENT}|made-\d+")  # what the world has, and what was made in it


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    if _phase(case) != "stateful" or _mode(case) != "positive" or case.method == "DELETE":
        return
    for name, value in _IN_PATHS.items():
        if name in case.path_parameters and not _THERE.fullmatch(str(case.path_parameters[name])):
            case.path_parameters[name] = value
    if isinstance(case.body, dict):
        body = _sensible(case.operation.path, case.method, case.body)
        if body is not None:
            case.body = body


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Any) -> None:
    line = "\t".join((case.operation.label, _mode(case), _phase(case), str(response.status_code)))
    with open(os.environ[NOTES], "a") as notes:
        notes.write(line + "\n")


def _mode(case: Case) -> str:
    """`positive`, `negative`, or "" where it is not a case of its own."""
    return "" if case.meta is None else GenerationMode(case.meta.generation.mode).value


def _phase(case: Case) -> str:
    return "" if case.meta is None else str(case.meta.phase.name.value)


def _sensible(path: str, method: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """The body with names of things that are there; None where there is nothing to name."""
    if path in DISPATCHED:
        there = {"product": PRODUCT, "env": ENV, **dispatched(path, TAG, EVENT)}
        linked = {name: body[name] for name in there if _THERE.fullmatch(str(body.get(name)))}
        return {**there, **linked, "schedule": YEARLY, "labels": body.get("labels"), "priority": body.get("priority")}
    if path == "/v1/processor/jobs/schedule":
        event = body["event"] if _THERE.fullmatch(str(body["event"])) else TAG
        return {"product_tag": PRODUCT, "env": ENV, "event": event, "input": {}, "start_at": YEARLY["start_at"]}
    if method != "POST":
        return None
    made = f"made-{next(_numbers)}"
    if path == "/v1/products":
        return {"tag": made, "envs": [{"slug": ENV}]}
    own = path.removeprefix("/v1/products/{product}/")
    if own == "envs":
        return {"slug": made}
    if own in SAMPLES:
        return SAMPLES[own].entry(made, ENV, EVENT)
    if own.endswith("/{tag}/events"):
        return {"tag": made, **(SAMPLES[own.partition("/")[0]].event or {})}
    declared: dict[str, dict[str, Any]] = {"sessions": SESSION, "caches": CACHE, "jobs": DEFINITION}
    return {"tag": made, **declared[own]} if own in declared else None
