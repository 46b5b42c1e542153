"""The formats of JSON Schema that are checked: each costs the text's length at most, and asks nobody.

Pure. Any other `format` is a note for people, as the standard has it; docs/actions.md holds the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

from jsonschema import FormatChecker

_MINUTES_OF_A_DAY = 24 * 60
_LONGEST_HOSTNAME = 253
_LONGEST_LOCAL_PART = 64

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")  # RFC 1123
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_LOCAL_PART = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')  # RFC 5321 §4.1.2
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)(?:\.[0-9]+)?"
    r"(?:[Zz]|(?P<sign>[+\-])(?P<hours>[01][0-9]|2[0-3]):(?P<minutes>[0-5][0-9]))"
)  # RFC 3339 §5.6, full-time
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")  # RFC 3986
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def is_email(text: str) -> bool:
    """`local@domain`, or `local@[address]`; not whether anybody reads it."""
    local, at, domain = text.rpartition("@")
    if not at or len(local) > _LONGEST_LOCAL_PART or not _LOCAL_PART.fullmatch(local):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        literal = domain[1:-1]
        return is_ipv6(literal[5:]) if literal.lower().startswith("ipv6:") else is_ipv4(literal)
    return is_hostname(domain)


def is_hostname(text: str) -> bool:
    return len(text) <= _LONGEST_HOSTNAME and _HOSTNAME.fullmatch(text) is not None


def is_date(text: str) -> bool:
    """A day that the calendar has."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    """With its offset. A second 60 is one only at the end of a UTC day."""
    match = _TIME.fullmatch(text)
    if match is None or match["second"] != "60":
        return match is not None
    offset = int(match["hours"] or 0) * 60 + int(match["minutes"] or 0)
    minute = int(match["hour"]) * 60 + int(match["minute"]) + (offset if match["sign"] == "-" else -offset)
    return minute % _MINUTES_OF_A_DAY == _MINUTES_OF_A_DAY - 1


def is_date_time(text: str) -> bool:
    return text[10:11] in ("T", "t") and is_date(text[:10]) and is_time(text[11:])


def is_uri(text: str) -> bool:
    """With a scheme; nothing in it that needs percent-encoding."""
    if not _URI.fullmatch(text):
        return False
    try:
        port = urlsplit(text).port  # what it says of the host is checked as this is asked for
    except ValueError:
        return False
    return port is None or port >= 0


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def is_ipv6(text: str) -> bool:
    """Without a zone: that names an interface of one machine."""
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False


CHECKED: Final[dict[str, Callable[[str], bool]]] = {
    "email": is_email,
    "date": is_date,
    "time": is_time,
    "date-time": is_date_time,
    "uri": is_uri,
    "uuid": is_uuid,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "hostname": is_hostname,
}

FORMATS: Final = FormatChecker(formats=())


def _of_texts(check: Callable[[str], bool]) -> Callable[[object], bool]:
    """A format says nothing of what is no text."""
    return lambda value: not isinstance(value, str) or check(value)


for _name, _check in CHECKED.items():
    FORMATS.checks(_name)(_of_texts(_check))
