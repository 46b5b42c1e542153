"""Features in a catalog: several events as one, with what each waits for. No connection of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from executors.catalog.kinds import ShapedKind
from executors.catalog.reading import TAG, Reader
from executors.catalog.shapes import Anything, Flag, Inner, Items, Text, Texts, Whole
from executors.providers.feature.checking import wrong_steps
from executors.providers.feature.plan import (
    MOST_RETRIES,
    TARGET_FIELDS,
    TYPE_ALIASES,
    TYPES,
    WrongPlan,
    plan_of,
    references_in_feature,
    step_named,
)

MOST_STEPS = 200
INPUT_TYPES: Final = (
    "string", "numberstring", "number", "float", "double", "integer", "uuid", "array", "object", "boolean", "any",
)  # fmt: skip
_FIELD = frozenset({"type", "required", "description", "default", "minlength", "maxlength"})
_DAY_MS = 86_400_000

_OPTIONS = {
    "allow_fail": Flag(aliases=("allowFail",)),
    "retries": Whole(low=0, high=MOST_RETRIES),
    "retryConfig": Anything(types=(dict,), told='an object such as {"initialDelay": 1000}'),
    "timeout": Whole(low=1, high=_DAY_MS),
}


def _type(text: str) -> str:
    folded = text.lower()
    return TYPE_ALIASES.get(folded, folded)


_STEP = {
    "tag": Text(required=True, pattern=TAG, aliases=("name",)),
    "type": Text(required=True, choices=TYPES, fold=_type),
    **{name: Text(limit=300) for name in TARGET_FIELDS},
    "input": Anything(types=(dict,), told="an object"),
    "condition": Anything(types=(str, bool, dict), told="a text, true, false, or an object"),
    "dependsOn": Texts(aliases=("depends_on",), least=0, most=MOST_STEPS),
    "options": Inner(shape=_OPTIONS),
    "duration": Whole(low=1, high=_DAY_MS, aliases=("ms",)),
    "description": Text(limit=2000),
}
_SEQUENCE = {
    "tag": Text(required=True, pattern=TAG, aliases=("sequence_tag",)),
    "parents": Texts(least=0, most=MOST_STEPS),
    "events": Items(shape=_STEP, required=True),
}


def _refine(settings: Mapping[str, Any], reader: Reader) -> None:
    _check_input(settings, reader)
    if not settings.get("steps") and not settings.get("sequence"):
        reader.problem("steps", "is required: at least one step", "required")
        return
    count = len(settings.get("steps", ())) + sum(len(each.get("events", ())) for each in settings.get("sequence", ()))
    if count > MOST_STEPS:
        reader.problem("steps", f"a feature has at most {MOST_STEPS} steps, not {count}")
        return
    every = [
        *settings.get("steps", ()),
        *(step for each in settings.get("sequence", ()) for step in each.get("events", ())),
    ]
    if any("tag" not in step or "type" not in step for step in every):
        return  # it has been told
    if any("tag" not in each for each in settings.get("sequence", ())):
        return
    try:
        steps = plan_of(settings)
    except WrongPlan as wrong:
        reader.problem(wrong.at, str(wrong))
        return
    for error in wrong_steps(settings, steps):
        reader.problem(error.field, error.detail, error.code)
    tags = {step.tag for step in steps}
    try:
        for at, reference in references_in_feature(settings.get("output"), "output"):
            if (named := step_named(reference)) is not None and named not in tags:
                raise WrongPlan(at, f"{reference} refers to a step {named!r}, which there is none of")
    except WrongPlan as wrong:
        reader.problem(wrong.at, str(wrong))


def _check_input(settings: Mapping[str, Any], reader: Reader) -> None:
    for name, declared in settings.get("input", {}).items():
        at = f"input.{name}"
        if not isinstance(declared, dict):
            reader.problem(at, 'must be an object such as {"type": "string", "required": true}')
            continue
        for other in declared.keys() - _FIELD:
            reader.problem(f"{at}.{other}", f"there is no such field: {', '.join(sorted(_FIELD))}", "unknown_field")
        if declared.get("type", "any") not in INPUT_TYPES:
            reader.problem(f"{at}.type", f"must be one of {', '.join(INPUT_TYPES)}")
        for limit in ("minlength", "maxlength"):
            if declared.get(limit) is not None and type(declared[limit]) is not int:
                reader.problem(f"{at}.{limit}", "must be a whole number")
        if not isinstance(declared.get("required", False), bool):
            reader.problem(f"{at}.required", "must be true or false")


KIND = ShapedKind(
    name="feature",
    plural="features",
    namespaces=("features",),
    target="tag",
    event_fields=(),
    component={
        "input": Anything(types=(dict,), told="an object of fields, each with its type"),
        "output": Anything(),
        "options": Inner(shape={"timeout": Whole(low=1, high=_DAY_MS), "parallel": Whole(low=1, high=MOST_STEPS)}),
        "steps": Items(shape=_STEP),
        "sequence": Items(shape=_SEQUENCE, aliases=("sequences",)),
    },
    refine_component=_refine,
)
