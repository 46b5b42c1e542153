"""Bodies: which shape each request type wants, and its bytes.

Owns the mappings that the documents leave open, as docs/actions.md tells them. Pure: the same
body and seed give the same bytes, so that a repeated attempt sends what the first one sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape, quoteattr

from core import strictjson
from core.errors import FieldError
from executors.expressions import Scalar, Unknown, plain

_CONTENT_TYPES = {
    "json": "application/json",
    "urlencoded": "application/x-www-form-urlencoded",
    "xml": "application/xml; charset=utf-8",
    "soap": "text/xml; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}
_FILE = frozenset({"content", "filename", "content_type"})
_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+\-]{1,60}/[A-Za-z0-9!#$&^_.+\-]{1,60}(?:; ?[A-Za-z0-9\-]+=[A-Za-z0-9_.\-]+)*"
)
_XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*(?::[A-Za-z_][A-Za-z0-9_.\-]*)?")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_MOST_PROBLEMS = 20


def content_type(request_type: str, seed: str) -> str:
    """The Content-Type of a body; `seed` is the run, and makes a form's boundary."""
    if request_type == "formdata":
        return f"multipart/form-data; boundary={_boundary(seed)}"
    return _CONTENT_TYPES[request_type]


def encoded(body: Any, request_type: str, seed: str) -> bytes:
    """The bytes of a body that `wrong_body` found right. ValueError where it is not after all."""
    match request_type:
        case "json":
            return strictjson.dumps(body)
        case "urlencoded":
            return urlencode(list(pairs(body)), quote_via=quote).encode()
        case "formdata":
            return _multipart(body, _boundary(seed))
        case "xml" | "soap" if isinstance(body, dict):
            return ("<?xml version='1.0' encoding='utf-8'?>\n" + "".join(_xml(body))).encode()
        case _:
            return str(body).encode()


def wrong_body(body: Any, request_type: str) -> Iterator[FieldError]:
    """What of a body cannot be sent as that type; fields are relative to it. What is unknown may become anything."""
    if request_type == "json" or body is None or isinstance(body, Unknown):
        return
    if request_type in ("html", "text"):
        if not isinstance(body, str):
            yield FieldError("", "invalid", f"must be text: it is sent as {request_type}")
    elif request_type in ("xml", "soap"):
        yield from _wrong_xml(body)
    elif not isinstance(body, dict):
        yield FieldError("", "invalid", "must be an object: it is sent as a form")
    elif request_type == "urlencoded":
        for name, value in body.items():
            if not is_scalar(value) and not (isinstance(value, list) and all(map(is_scalar, value))):
                yield FieldError(
                    name, "invalid", "must be text, a number, true/false or a list of these: it is sent as a form"
                )
    else:
        for name, value in body.items():
            for position, member in enumerate(value if isinstance(value, list) else [value]):
                if (problem := _wrong_file(member)) is not None:
                    yield FieldError(f"{name}.{position}" if isinstance(value, list) else name, "invalid", problem)


def is_scalar(value: Any) -> TypeGuard[Scalar]:
    return isinstance(value, (str, int, float))


def pairs(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values of a query or form; a list is several of one name."""
    for name, value in values.items():
        for member in value if isinstance(value, list) else [value]:
            yield name, plain(member)


# --- multipart/form-data (RFC 7578) -----------------------------------------------------------


def _boundary(seed: str) -> str:
    """The same for every attempt of a run, and nothing that its sender could have put into the body."""
    return "ductape-" + hashlib.sha256(seed.encode()).hexdigest()[:32]


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and "content" in value and value.keys() <= _FILE


def _wrong_file(value: Any) -> str | None:
    if not _is_file(value):
        return None
    if not isinstance(value["content"], str):
        return "must have its content as text in base 64: it is a file"
    if not all(isinstance(value.get(name, ""), str) for name in ("filename", "content_type")):
        return "must have filename and content_type as text: it is a file"
    if (
        "content_type" in value
        and not isinstance(value["content_type"], Unknown)
        and not _MEDIA_TYPE.fullmatch(value["content_type"])
    ):
        return f"has a content_type that is none: {value['content_type'][:60]!r}"
    if not isinstance(value["content"], Unknown):
        try:
            base64.b64decode(value["content"], validate=True)
        except (binascii.Error, ValueError):
            return "has content that is not base 64: it is a file"
    return None


def _multipart(body: Mapping[str, Any], boundary: str) -> bytes:
    parts: list[bytes] = []
    for name, value in body.items():
        for member in value if isinstance(value, list) else [value]:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
            if _is_file(member):
                problem = _wrong_file(member)
                if problem is not None:
                    raise ValueError(f"{name} {problem}")
                content = base64.b64decode(member["content"], validate=True)
                head += f'; filename="{_quoted(member.get("filename") or name)}"'
                head += f"\r\nContent-Type: {member.get('content_type', 'application/octet-stream')}"
            elif is_scalar(member):
                content = plain(member).encode()
            else:
                content = strictjson.dumps(member)
                head += "\r\nContent-Type: application/json"
            parts.append(head.encode() + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def _quoted(name: str) -> str:
    """A name in the head of a part, as browsers write it."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


# --- XML ----------------------------------------------------------------------------------------


def _wrong_xml(body: Any) -> Iterator[FieldError]:
    if isinstance(body, str):
        return
    if not isinstance(body, dict) or len(body) != 1 or next(iter(body)).startswith(("@", "#")):
        yield FieldError("", "invalid", "must be XML as text, or an object with one field: the root element")
        return
    if isinstance(next(iter(body.values())), list):
        yield FieldError(next(iter(body)), "invalid", "must not be a list: there is one root element")
        return
    count = 0
    pending: list[tuple[str, Any]] = [("", body)]
    while pending and count < _MOST_PROBLEMS:
        at, node = pending.pop()
        if isinstance(node, dict):
            for name, child in node.items():
                inside = f"{at}.{name}" if at else name
                problem = _wrong_xml_field(name, child)
                if problem is not None:
                    count += 1
                    yield FieldError(inside, "invalid", problem)
                pending.append((inside, child))
        elif isinstance(node, list):
            for position, child in enumerate(node):
                if isinstance(child, list):
                    count += 1
                    yield FieldError(f"{at}.{position}", "invalid", "is a list in a list, which XML cannot say")
                else:
                    pending.append((f"{at}.{position}", child))
        elif isinstance(node, str) and _NOT_XML.search(node):
            count += 1
            yield FieldError(at, "invalid", "holds a control character, which XML cannot say")


def _wrong_xml_field(name: str, child: Any) -> str | None:
    if name == "#text" or name.startswith("@"):
        if child is not None and not is_scalar(child):
            return "must be text, a number or true/false"
        name = name[1:]
    return None if _XML_NAME.fullmatch(name) else "is not the name of an element or attribute"


def _xml(members: Mapping[str, Any]) -> Iterator[str]:
    """`{"a": {"@id": 1, "b": ["x", "y"], "#text": "z"}}` → `<a id="1"><b>x</b><b>y</b>z</a>`; null is empty."""
    for name, value in members.items():
        for member in value if isinstance(value, list) else [value]:
            if not isinstance(member, dict):
                text = "" if member is None else escape(plain(member))
                yield f"<{name}>{text}</{name}>" if text else f"<{name}/>"
                continue
            attributes = "".join(
                f" {key[1:]}={quoteattr(plain(inner))}"
                for key, inner in member.items()
                if key.startswith("@") and inner is not None
            )
            inside = "".join(_xml({key: inner for key, inner in member.items() if key[0] not in "@#"}))
            content = member.get("#text")
            inside += "" if content is None else escape(plain(content))
            yield f"<{name}{attributes}>{inside}</{name}>" if inside else f"<{name}{attributes}/>"
