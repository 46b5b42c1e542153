"""A part of the catalog as text that people edit: YAML, laid out alike whatever order the database keeps.

Owns the text's layout and where in it a field stands. What it may say is read as strictly as what the API is
sent. Never knows what the fields mean.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import yaml

from executors.catalog.api.bodies import YAMLParser
from executors.catalog.reading import is_set_marker

_FIRST = ("tag", "slug", "name", "description", "type", "operation", "method", "resource")
_LAST = ("steps", "sequence", "envs", "events")
_WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their name, texts of several lines stand as they are."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _object(dumper: yaml.SafeDumper, value: dict[str, Any]) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=is_set_marker(value))


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _object)


def written(entry: Mapping[str, Any]) -> str:
    """The entry as YAML; a sealed marker in one line."""
    text: str = yaml.dump(_arranged(entry), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def read(text: str) -> dict[str, Any]:
    """What a text says. Raises Invalid, TooLarge."""
    return YAMLParser().parse(io.BytesIO(text.encode()))


def line_of(text: str, path: str) -> int | None:
    """The line where a field of a readable text stands, or what it should stand in; None for the whole."""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), None
    for part in path.split("."):
        if isinstance(node, yaml.MappingNode):
            key, node = next((pair for pair in node.value if pair[0].value == part), (None, None))
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            key = node = node.value[int(part)]
        else:
            key = None
        if key is None:
            break
        line = key.start_mark.line + 1
    return line


def _arranged(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _arranged(member) for name, member in sorted(value.items(), key=_place)}
    if isinstance(value, list):
        return [_arranged(member) for member in value]
    return value


def _place(item: tuple[str, Any]) -> tuple[int, bool, str]:
    """What names it comes first, its parts last; in between what is short, then what is not, each by name."""
    name, value = item
    if name in _FIRST:
        return _FIRST.index(name) - len(_FIRST), False, name
    is_long = isinstance(value, (Mapping, list)) and not is_set_marker(value)
    return 1 + _LAST.index(name) if name in _LAST else 0, is_long, name
