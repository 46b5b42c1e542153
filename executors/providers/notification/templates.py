"""Placeholders of messages: `{{name}}` replaced by what the input gives, and the text of an HTML page.

Pure. What is put in is never looked into again; a placeholder without a value stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from html.parser import HTMLParser
from typing import Any

from core import strictjson
from executors.expressions import plain
from executors.expressions.values import open_references

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_][A-Za-z0-9_.\-]{0,119})\s*\}\}")
_MISSING = object()


def filled(template: str, values: Mapping[str, Any], *, escaped: Callable[[str], str] = str) -> str:
    """The template with each `{{name}}` that has a value replaced by its text, which `escaped` makes safe."""

    def text(match: re.Match[str]) -> str:
        value = _value(match[1], values)
        return match[0] if value is _MISSING else escaped(as_text(value))

    return _PLACEHOLDER.sub(text, _as_written(template))


def filled_html(template: str, values: Mapping[str, Any]) -> str:
    """The same of HTML: a value is text there, never markup."""
    return filled(template, values, escaped=escape)


def filled_value(template: Any, values: Mapping[str, Any]) -> Any:
    """The same of every text in a JSON value; a text that is one placeholder takes the value with its type."""
    if isinstance(template, str):
        whole = _PLACEHOLDER.fullmatch(template)
        value = _value(whole[1], values) if whole else _MISSING
        return filled(template, values) if value is _MISSING else value
    if isinstance(template, Mapping):
        return {filled(name, values): filled_value(member, values) for name, member in template.items()}
    if isinstance(template, list):
        return [filled_value(member, values) for member in template]
    return template


def as_text(value: Any) -> str:
    """A JSON value within a text: nothing for null, JSON for an object or a list."""
    if value is None:
        return ""
    if isinstance(value, (str, int, float)):
        return plain(value)
    return strictjson.dumps(value).decode()


def _value(name: str, values: Mapping[str, Any]) -> Any:
    """`a.b` is the value of that name, else `b` within `a`."""
    if name in values:
        return values[name]
    node: Any = values
    for part in name.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return _MISSING
        node = node[part]
    return node


def _as_written(text: str) -> str:
    """`$$Now()` stands for `$Now()`, as everywhere in the catalog. It refers to nothing: that was checked."""
    return open_references(text, _NoScope()) if "$" in text else text


class _NoScope:
    def value_of(self, reference: Any) -> str:
        return str(reference)


_NO_END = frozenset({"br", "hr", "li"})  # what begins the next line ends these
_UNSHOWN = frozenset({"head", "style", "script", "title", "template"})
_BLOCKS = frozenset({
    "p", "div", "br", "tr", "table", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article",
    "header", "footer", "blockquote", "pre", "hr",
})  # fmt: skip


def text_of(html: str) -> str:
    """What an HTML page says, for readers that show none: a line for each block, links with where they lead."""
    reader = _Text()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unshown = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSHOWN:
            self._unshown += 1
        elif tag in _BLOCKS:
            self.pieces.append("\n- " if tag == "li" else "\n")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSHOWN:
            self._unshown = max(0, self._unshown - 1)
        elif tag in _BLOCKS and tag not in _NO_END:
            self.pieces.append("\n")
        elif tag == "a" and self._links:
            target, begin = self._links.pop()
            if target.startswith(("http:", "https:")) and target not in "".join(self.pieces[begin:]):
                self.pieces.append(f" ({target})")

    def handle_data(self, data: str) -> None:
        if not self._unshown:
            self.pieces.append(" ".join(data.split("\n")))
