"""Placeholders of messages: `{{name}}` replaced by what the input gives, and the text of an HTML page.

Pure. What is put in is never looked into again; a placeholder without a value stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape, unescape
from typing import Any

from executors.expressions.values import open_references
from executors.templates import MISSING, as_text, within

# A part of an input may name its values by numbers.
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_][A-Za-z0-9_.\-]{0,119})\s*\}\}")


def filled(template: str, values: Mapping[str, Any], *, escaped: Callable[[str], str] = str) -> str:
    """The template with each `{{name}}` that has a value replaced by its text, which `escaped` makes safe."""

    def written(name: str, value: Any) -> str:
        return escaped(as_text(value))

    return within(_as_written(template), lambda name: _value(name, values), written, pattern=_PLACEHOLDER)


def filled_html(template: str, values: Mapping[str, Any]) -> str:
    """The same of HTML: a value is text there, never markup."""
    return filled(template, values, escaped=escape)


def filled_value(template: Any, values: Mapping[str, Any]) -> Any:
    """The same of every text in a JSON value; a text that is one placeholder takes the value with its type."""
    if isinstance(template, str):
        whole = _PLACEHOLDER.fullmatch(template)
        value = _value(whole[1], values) if whole else MISSING
        return filled(template, values) if value is MISSING else value
    if isinstance(template, Mapping):
        return {filled(name, values): filled_value(member, values) for name, member in template.items()}
    if isinstance(template, list):
        return [filled_value(member, values) for member in template]
    return template


def _value(name: str, values: Mapping[str, Any]) -> Any:
    """`a.b` is the value of that name, else `b` within `a`."""
    if name in values:
        return values[name]
    node: Any = values
    for part in name.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return MISSING
        node = node[part]
    return node


def _as_written(text: str) -> str:
    """`$$Now()` stands for `$Now()`, as everywhere in the catalog. It refers to nothing: that was checked."""
    return open_references(text, _NoScope()) if "$" in text else text


class _NoScope:
    def value_of(self, reference: Any) -> str:
        return str(reference)


_UNSHOWN = frozenset({"head", "style", "script", "title", "template"})
_BLOCKS = frozenset({
    "p", "div", "br", "tr", "table", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article",
    "header", "footer", "blockquote", "pre", "hr",
})  # fmt: skip
_NO_END = frozenset({"br", "hr", "li"})  # what begins the next line ends these
_TAG = re.compile(r"(/?)([A-Za-z][A-Za-z0-9]{0,20})")
_HREF = re.compile(r"""\shref\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'>]+))""", re.IGNORECASE)


def text_of(html: str) -> str:
    """What an HTML page says, for readers that show none: a line for each block, links with where they lead.

    Takes any text, in a time that its length bounds: the library's parser does not (it looks at the rest again for
    each tag that does not end).
    """
    lines = (" ".join(line.split()) for line in "".join(_Text(html).pieces).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Text:
    """One pass over a page; `pieces` are its texts, with a line break where a block begins or ends."""

    def __init__(self, html: str) -> None:
        self.pieces: list[str] = []
        self._link: tuple[str, int] | None = None  # where the open one leads, and its first piece
        at = 0
        while (begin := html.find("<", at)) >= 0:
            self._says(html[at:begin])
            at = self._after(html, begin)
        self._says(html[at:])

    def _after(self, html: str, begin: int) -> int:
        """Take the tag, comment or lone `<` at `begin`; where the page goes on after it."""
        if html.startswith("<!--", begin):
            end = html.find("-->", begin)
            return end + 3 if end >= 0 else len(html)
        match = _TAG.match(html, begin + 1)
        if match is None and not html.startswith(("<!", "<?"), begin):
            self.pieces.append("<")
            return begin + 1
        end = html.find(">", begin)
        if end < 0:
            return len(html)
        if match is None:
            return end + 1
        closes, name = bool(match[1]), match[2].lower()
        if name in _UNSHOWN and not closes:
            over = re.compile(f"</{name}", re.IGNORECASE).search(html, end)
            return over.start() if over is not None else len(html)
        self._tag(name, closes, html[match.end() : end])
        return end + 1

    def _tag(self, name: str, closes: bool, attributes: str) -> None:
        if name in _BLOCKS and not (closes and name in _NO_END):
            self.pieces.append("\n- " if name == "li" else "\n")
        elif name == "a":
            self._end_link()
            href = None if closes else _HREF.search(attributes)
            if href is not None:
                target = unescape(href["double"] or href["single"] or href["bare"] or "")
                self._link = (target, len(self.pieces))

    def _end_link(self) -> None:
        if self._link is not None:
            target, begin = self._link
            self._link = None
            if target.startswith(("http:", "https:")) and target not in "".join(self.pieces[begin:]):
                self.pieces.append(f" ({target})")

    def _says(self, text: str) -> None:
        if text:
            self.pieces.append(unescape(text).replace("\n", " "))
