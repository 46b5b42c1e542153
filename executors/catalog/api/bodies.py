"""A catalog document as YAML: read strictly, and as harmless as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import yaml
from django.conf import settings
from rest_framework.parsers import BaseParser

from core import strictjson
from core.errors import Invalid, TooLarge
from core.tenancy.parsing import an_object, read_body

YAML_LIMIT_BYTES = 1024 * 1024  # the parser is slow: a second for each of these


class _Loader(yaml.SafeLoader):
    """YAML that JSON could say as well: no aliases (they can unfold to any size), no dates, no key twice."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise Invalid("the document uses YAML aliases (*name): write the values out", code="malformed_body")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise Invalid(
                f"a key appears twice in the object at line {node.start_mark.line + 1}", code="malformed_body"
            )
        for key in mapping:
            if not isinstance(key, str):
                raise Invalid(
                    f"the key {key!r} at line {node.start_mark.line + 1} is not text: put it in quotes",
                    code="malformed_body",
                )
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class YAMLParser(BaseParser):
    """One YAML document that is an object. Raises Invalid or TooLarge."""

    media_type = "application/yaml"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        try:
            raw = read_body(stream, parser_context or {}, limit=YAML_LIMIT_BYTES)
        except TooLarge as error:
            way_out = f"send it as JSON (application/json), which may have {settings.BODY_LIMIT_BYTES}"
            raise TooLarge(f"{error.detail}, the most for YAML: {way_out}") from None
        try:
            value = yaml.load(raw.decode("utf-8"), _Loader)  # noqa: S506  # a SafeLoader, made stricter
            strictjson.check_depth(value)
            strictjson.check_strings(value)
            return an_object(strictjson.loads(strictjson.dumps(value)))
        except RecursionError:
            raise Invalid("the document is nested too deeply", code="malformed_body") from None
        except (yaml.YAMLError, ValueError, TypeError) as error:
            line = getattr(getattr(error, "problem_mark", None), "line", None)
            at = f" (line {line + 1})" if line is not None else ""
            problem = getattr(error, "problem", None) or str(error)[:200]
            raise Invalid(f"the body cannot be read as YAML{at}: {problem}", code="malformed_body") from None


class OlderYAMLParser(YAMLParser):
    media_type = "application/x-yaml"


class TextYAMLParser(YAMLParser):
    media_type = "text/yaml"


class OlderTextYAMLParser(YAMLParser):
    media_type = "text/x-yaml"
