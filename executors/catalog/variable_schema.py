"""Variables and constants of an app, as the catalog document says them.

Pure, as `executors.catalog.schema` is. A constant has one value everywhere; a variable is declared
by the app and has a value in each environment, or a default. Both may refer to secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from executors.catalog.reading import Problems, Reader
from executors.expressions import NAME, ExpressionError, references_in

TYPES: Final = frozenset({"string", "number", "integer", "boolean"})
LONGEST_VALUE = 10_000
_DECLARATION = {"key", "type", "required", "description", "minlength", "maxlength", "default"}
_CONSTANT = {"key", "value", "type", "description"}


def read_constants(reader: Reader) -> dict[str, dict[str, Any]]:
    """`{KEY: value}`, or a list of {key, value, type, description}."""
    constants: dict[str, dict[str, Any]] = {}
    for key, at, entry in _entries(reader, "constants", "value", _CONSTANT):
        value = _value(entry.get("value"), at, reader.problems)
        if value is None:
            reader.problems.add(at, "has no value", "required")
            continue
        constants[key] = {"value": value, **_told(entry)}
        if (kind := _type(entry, at, reader.problems)) is not None and not _is(value, kind):
            reader.problems.add(at, f"must be of type {kind}")
    return constants


def read_declarations(reader: Reader) -> dict[str, dict[str, Any]]:
    """The variables that an app has: a list of {key, type, required, …}, or an object of such by key."""
    declared: dict[str, dict[str, Any]] = {}
    for key, at, entry in _entries(reader, "variables", "default", _DECLARATION):
        declaration: dict[str, Any] = {"required": entry.get("required") is True, **_told(entry)}
        _type(entry, at, reader.problems)
        for name in ("minlength", "maxlength"):
            if (
                number := Reader(entry, at, reader.problems, _DECLARATION).number(name, low=0, high=LONGEST_VALUE)
            ) is not None:
                declaration[name] = number
        if entry.get("default") is not None and (value := _value(entry["default"], at, reader.problems)) is not None:
            declaration["default"] = value
            _check(value, declaration, at, reader.problems)
        declared[key] = declaration
    return declared


def read_values(reader: Reader) -> dict[str, Any]:
    """What an environment sets variables to: `{KEY: value}`, or a list of {key, value}."""
    values = {}
    for key, at, entry in _entries(reader, "variables", "value", {"key", "value"}):
        value = _value(entry.get("value"), at, reader.problems)
        if value is None:
            reader.problems.add(at, "has no value", "required")
        else:
            values[key] = value
    return values


def check_values(declared: dict[str, dict[str, Any]], values: dict[str, Any], path: str, problems: Problems) -> None:
    """Whether an environment sets what the app declares, and nothing else."""
    for key, value in values.items():
        at = f"{path}.variables.{key}"
        if key not in declared:
            known = ", ".join(sorted(declared)) or "none"
            problems.add(at, f"the app declares no variable {key!r} (declared: {known}): add it to the app's variables")
        else:
            _check(value, declared[key], at, problems)
    for key, declaration in declared.items():
        if declaration["required"] and key not in values and "default" not in declaration:
            problems.add(f"{path}.variables.{key}", f"is required: the app declares the variable {key!r}", "required")


def _entries(reader: Reader, name: str, short: str, known: set[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(key, path, entry) of an object by key, whose members may be just the value, or of a list."""
    given = reader.data.get(name)
    if given is None:
        return
    if isinstance(given, dict):
        members = [
            (f"{reader.at(name)}.{key}", {**(value if isinstance(value, dict) else {short: value}), "key": key})
            for key, value in given.items()
        ]
    elif isinstance(given, list):
        members = [(f"{reader.at(name)}.{position}", entry) for position, entry in enumerate(given)]
    else:
        reader.problem(name, "must be an object by key, or a list of objects with a key")
        return
    seen: set[str] = set()
    for at, entry in members:
        key = Reader(entry, at, reader.problems, known).named("key", NAME)
        if key is None:
            continue
        if key in seen:
            reader.problems.add(at, f"{key!r} is named twice", "duplicate")
        seen.add(key)
        yield key, at, entry


def _value(value: Any, at: str, problems: Problems) -> Any:
    if value is None:
        return None
    if not isinstance(value, (str, int, float)):
        problems.add(at, "must be text, a number or true/false")
        return None
    if isinstance(value, str):
        try:
            if any(reference.kind != "Secret" for reference in references_in(value)):
                problems.add(at, "may refer to secrets only", "expression_unsupported")
        except ExpressionError as error:
            problems.add(at, str(error), error.code)
        if len(value) > LONGEST_VALUE:
            problems.add(at, f"must not be longer than {LONGEST_VALUE} characters")
    return value


def _check(value: Any, declaration: dict[str, Any], at: str, problems: Problems) -> None:
    if (kind := declaration.get("type")) in TYPES and not _is(value, kind):
        problems.add(at, f"must be of type {kind}")
    length = len(value) if isinstance(value, str) and "$" not in value else None
    if length is not None and not declaration.get("minlength", 0) <= length <= declaration.get("maxlength", length):
        problems.add(at, "is shorter or longer than the app allows")


def _is(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, str) and "$" in value:
        return True  # a reference, whose value is not known here
    if kind == "boolean":
        return isinstance(value, bool)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return not isinstance(value, bool) and (whole if kind == "integer" else isinstance(value, (int, float)))


def _type(entry: dict[str, Any], at: str, problems: Problems) -> str | None:
    """The type, if it is one that can be checked; the documents know more, which are told again and no more."""
    kind = entry.get("type")
    if kind is not None and (not isinstance(kind, str) or len(kind) > 60):
        problems.add(f"{at}.type", "must be the name of a type")
        return None
    return kind if kind in TYPES else None


def _told(entry: dict[str, Any]) -> dict[str, str]:
    return {name: entry[name] for name in ("type", "description") if isinstance(entry.get(name), str)}
