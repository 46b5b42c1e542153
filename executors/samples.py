"""`$Default` in the input of a job: what the sample of its target says for the field that it stands in.

A sample is declared in the catalog: the `sample` of a broker's topic (of `message`), the `sample` of a function (of the
whole input), the `default` of a feature's inputs, and the `default`s in the JSON Schema of an action's body. The text is
the whole value of its field, nothing more. Owns putting the values in; everything else of an input is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from core.errors import FieldError, Invalid
from core.fields import dotted
from executors.base import Call
from executors.catalog.components import Found

DEFAULT: Final = "$Default"
_NOTHING: Final = object()


def put_in(input: Mapping[str, Any], sample: Any) -> dict[str, Any]:
    """The input with the sample's values. Raises Invalid with each field that the sample says nothing of."""
    problems: list[FieldError] = []
    filled: dict[str, Any] = _filled(dict(input), sample, "input", problems)
    if problems:
        raise Invalid.fields(problems)
    return filled


def in_call(call: Call, sample: Any) -> Call:
    """The same of one attempt. The input of a step is data: nothing in it is meant for this."""
    return call if call.literal else replace(call, input=put_in(call.input, sample))


def of_component(found: Found) -> Any:
    """What a component declares of its inputs, in their shape."""
    match found.kind.name:
        case "broker":
            sample = found.event_settings.get("sample", _NOTHING)
            return {"message": sample}
        case "function":
            return found.settings.get("sample", _NOTHING)
        case "feature":
            declared = found.settings.get("input", {})
            return {name: field["default"] for name, field in declared.items() if field.get("default") is not None}
    return _NOTHING


def of_schema(schema: Any) -> Any:
    """The defaults of a body's JSON Schema, in the body's shape."""
    return {"body": _defaults(schema)}


def _defaults(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return _NOTHING
    if "default" in schema:
        return schema["default"]
    properties = schema.get("properties")
    return {name: _defaults(each) for name, each in properties.items()} if isinstance(properties, Mapping) else _NOTHING


def _filled(value: Any, sample: Any, at: str, problems: list[FieldError]) -> Any:
    if value == DEFAULT and isinstance(value, str):
        if not _says(sample):
            detail = "has no default: no sample in the catalog says what this field is"
            problems.append(FieldError(at, "expression_unsupported", detail))
        return sample
    if isinstance(value, Mapping):
        return {
            name: _filled(member, sample.get(name, _NOTHING) if isinstance(sample, Mapping) else _NOTHING,
                          dotted(at, name), problems)
            for name, member in value.items()
        }  # fmt: skip
    if isinstance(value, list):
        listed = sample if isinstance(sample, list) else []
        return [
            _filled(member, listed[place] if place < len(listed) else _NOTHING, dotted(at, place), problems)
            for place, member in enumerate(value)
        ]
    return value


def _says(sample: Any) -> bool:
    """Whether it is a value, with nothing left open in it."""
    if isinstance(sample, Mapping):
        return all(_says(member) for member in sample.values())
    return sample is not _NOTHING
