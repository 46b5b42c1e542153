"""Which case of the conformance suite has no meaning for which provider, and why. All others are run."""

from __future__ import annotations

from typing import Any

import pytest

_FILE = dict.fromkeys(("away", "silent", "closed", "login"), "it is a file: no socket leads to it")
_NO_LOGIN = {"login": "the machine's server asks for no login"}
_FUNCTION = {"event": "a function has no events: it is called as a whole"}
_MONGOMOCK = {"closed": "mongomock opens no connection"}
CANNOT: dict[str, dict[str, str]] = {
    "sqlite": _FILE,
    "sqlite-action": _FILE,
    "embedded": _FILE,
    "embedded-action": _FILE,
    "local": _FILE,
    "mongodb": _MONGOMOCK,
    "mongodb-action": _MONGOMOCK,
    "firebase": {"closed": "its logins are made out for the address of its server: nothing can stand before it"},
    "callback": {"tried": "a check calls nobody: the call would be taken for a message"},
    "rabbitmq": {"login": "its only login is guest's: the case of what is refused tries another"},
    "redis": _NO_LOGIN,
    "redis-list": _NO_LOGIN,
    "redis-pubsub": {**_NO_LOGIN, "refused": "a channel takes whatever it is told"},
    "nats": _NO_LOGIN,
    "mqtt": {**_NO_LOGIN, "refused": "the machine's Mosquitto takes what it is sent"},
    "kafka": {**_NO_LOGIN, "closed": "its mock cluster tells its own address: nothing can stand before it"},
    "http": _FUNCTION,
    "lambda": _FUNCTION,
    "celery": {**_FUNCTION, **_NO_LOGIN},
    "feature": {
        "event": "a feature has no events: its tag is all that names it",
        "environment": "a feature has no connection: its steps have",
        "check": "a feature has no connection to check",
    },
}


def can(*cases: str, of: Any) -> pytest.MarkDecorator:
    """Run a test with those providers for which all the cases have a meaning."""
    names = [name for name in of if not set(cases) & set(CANNOT.get(name, {}))]
    return pytest.mark.parametrize("provider", names, indirect=True, scope="module")
