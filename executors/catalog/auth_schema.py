"""How one logs in to an app: the kinds there are, and which of their fields are secret.

Pure, as `executors.catalog.schema` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from core.http import InvalidRequest, check_headers, check_url
from executors.catalog.entries import Keep, Secrets
from executors.catalog.reading import Problems, Reader, is_set_marker
from executors.expressions import ExpressionError, is_only_a_reference, references_in
from executors.own_headers import EVERY_CALL, IN_THE_CATALOG

OAUTH2: Final = "oauth2_client_credentials"


# type → (fields that are shown, fields that are secret)
AUTH_FIELDS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "bearer": ((), ("token",)),
    "basic": (("username",), ("password",)),
    "header": (("name",), ("value",)),
    "query": (("name",), ("value",)),
    OAUTH2: (("token_url", "client_id", "scope", "audience", "client_auth"), ("client_secret",)),
}
_OPTIONAL: Final = frozenset({"scope", "audience", "client_auth"})
_ALIASES: Final = {"user": "username", "pass": "password", "scopes": "scope"}
_CLIENT_AUTH: Final = ("basic", "body")  # how client_id and client_secret are sent (RFC 6749 §2.3.1)


def read_auth(data: Any, path: str, problems: Problems) -> tuple[dict[str, Any], Secrets]:
    """What of it is shown and what is secret (`auth.<field>`); a bare reference hides nothing, and is shown."""
    every = {"type", *_ALIASES, *(name for fields in AUTH_FIELDS.values() for name in (*fields[0], *fields[1]))}
    reader = Reader(data, path, problems, every)
    named = reader.choice("type", AUTH_FIELDS)
    if named is None:
        if reader.data and reader.data.get("type") is None:
            reader.problem("type", f"is required: {', '.join(sorted(AUTH_FIELDS))}", "required")
        return {}, {}
    shown, secret = AUTH_FIELDS[named]
    settings: dict[str, Any] = {"type": named}
    secrets: dict[str, str | Keep] = {}
    given = {_ALIASES.get(name, name): value for name, value in reader.data.items()}
    for name in given.keys() - {"type", *shown, *secret}:
        fields = ", ".join((*shown, *secret))
        reader.problem(name, f"does not belong to auth of type {named}: that has {fields}")
    for name in (*shown, *secret):
        value = given.get(name)
        if value is None and name in _OPTIONAL:
            continue
        if name in secret and is_set_marker(value):
            secrets[f"auth.{name}"] = Keep.KEEP
        elif name == "scope" and isinstance(value, list) and all(isinstance(scope, str) for scope in value):
            settings[name] = " ".join(value)
        elif not isinstance(value, str) or (not value and name != "password"):
            reader.problem(name, "is required, as text" if value is None else "must be text, not empty", "required")
        elif _understood(value, reader, name):
            if name in secret and not is_only_a_reference(value):
                secrets[f"auth.{name}"] = value
            else:
                settings[name] = value
    _check_shown(named, settings, reader)
    return settings, secrets


def _check_shown(kind: str, settings: dict[str, Any], reader: Reader) -> None:
    try:
        if kind == "header" and isinstance(settings.get("name"), str):
            check_headers({settings["name"]: ""})
            if settings["name"].lower() in EVERY_CALL:
                reader.problem("name", IN_THE_CATALOG)
    except InvalidRequest as error:
        reader.problem("name", str(error))
    if kind != OAUTH2:
        return
    try:
        if "$" not in settings.get("token_url", "$"):
            check_url(settings["token_url"])
    except InvalidRequest as error:
        reader.problem("token_url", str(error))
    if settings.get("client_auth", "basic") not in _CLIENT_AUTH:
        reader.problem("client_auth", "must be 'basic' (an Authorization header) or 'body' (fields of the form)")


def _understood(text: str, reader: Reader, name: str) -> bool:
    """Whether what the text refers to can be understood."""
    try:
        references_in(text)
    except ExpressionError as error:
        reader.problem(name, str(error), error.code)
        return False
    return True
