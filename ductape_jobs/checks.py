"""System checks of this project: what an installation must not be started with.

`ENVIRONMENT=production` turns every insecure default into an error here (or, where a key must
exist for Django to start at all, in the settings). The three processes run these checks at their
start; `manage.py check` runs them too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from jobs.lifecycle.prune import LONGEST_DAYS

OPERATOR_KEY_CHARACTERS = 32
SECRET_KEY_CHARACTERS = 50  # Django's own measure
NUMBERS = {  # from, to (inclusive)
    "PORT": (1, 65535),
    "CONCURRENCY": (1, 100_000),
    "ISOLATED_CONCURRENCY": (1, 1_000),
    "API_PROCESSES": (1, 1_000),
    "API_THREADS": (1, 1_000),
    "API_DRAIN_SECONDS": (0, 3_600),
    "MOST_WAITING": (0, 1_000),
    "MOST_STREAMS": (0, 1_000),
}
METADATA_ADDRESS = ipaddress.ip_address("169.254.169.254")  # where clouds hand out credentials


@register("ductape")
def configuration(**_: Any) -> list[CheckMessage]:
    """Everything that is wrong with the settings, all of it at once."""
    found = [*_anywhere()]
    if not settings.LOCAL:
        found += [*_keys_in_production(), *_servers_in_production(), *_guards_in_production()]
    return found


def _anywhere() -> Iterator[CheckMessage]:
    key = settings.OPERATOR_API_KEY
    if key and len(key) < OPERATOR_KEY_CHARACTERS:
        yield Error(
            f"OPERATOR_API_KEY has {len(key)} characters, it must have at least {OPERATOR_KEY_CHARACTERS}",
            hint="it opens everything: make one with 'openssl rand -hex 32'",
            id="ductape.E001",
        )
    for number, text in enumerate(settings.FIELD_ENCRYPTION_KEYS, start=1):
        if not _is_fernet_key(text):
            yield Error(
                f"FIELD_ENCRYPTION_KEYS: number {number} is not a key",
                hint="a key is 32 random bytes as URL-safe base 64: 'openssl rand -base64 32 | tr +/ -_'",
                id="ductape.E002",
            )
    for text in settings.EGRESS_ALLOW_CIDRS:
        if _network(text) is None:
            yield Error(
                f"EGRESS_ALLOW_CIDRS: {text!r} is not a network",
                hint="write networks such as 10.0.0.0/8, separated by commas",
                id="ductape.E003",
            )
    if not settings.QUEUES or any(not queue.strip() for queue in settings.QUEUES):
        yield Error(
            "QUEUES names no queue", hint="leave it out for 'default,webhooks', or name them", id="ductape.E004"
        )
    for name, (least, most) in NUMBERS.items():
        number = getattr(settings, name)
        if not least <= number <= most:
            yield Error(f"{name} is {number}", hint=f"it must be from {least} to {most}", id="ductape.E005")
    if not settings.REDIS_URL.startswith(("redis://", "rediss://")):
        yield Error("REDIS_URL is not the address of a Redis", hint="REDIS_URL=redis://host:6379/0", id="ductape.E007")
    if not 0 <= settings.RETENTION_DAYS <= LONGEST_DAYS:
        yield Error(
            f"RETENTION_DAYS is {settings.RETENTION_DAYS}",
            hint=f"finished jobs are deleted after so many days: from 1 to {LONGEST_DAYS}, or 0 to keep them for ever",
            id="ductape.E006",
        )


def _keys_in_production() -> Iterator[CheckMessage]:
    key = settings.SECRET_KEY
    if len(key) < SECRET_KEY_CHARACTERS or len(set(key)) < 10 or key.startswith("django-insecure-"):
        yield Error(
            "SECRET_KEY is too short or too regular",
            hint=f"at least {SECRET_KEY_CHARACTERS} random characters: make one with 'openssl rand -hex 32'",
            id="ductape.E010",
        )
    if settings.SECRET_KEY in settings.FIELD_ENCRYPTION_KEYS:
        yield Error(
            "SECRET_KEY is one of FIELD_ENCRYPTION_KEYS",
            hint="who learns the one must not learn the other: make another",
            id="ductape.E011",
        )
    if settings.OPERATOR_API_KEY and len(set(settings.OPERATOR_API_KEY)) < 10:
        yield Error("OPERATOR_API_KEY is too regular", hint="make one with 'openssl rand -hex 32'", id="ductape.E012")


def _servers_in_production() -> Iterator[CheckMessage]:
    if settings.DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
        yield Error(
            "the database is SQLite",
            hint="it serves one machine, and may lose the last commits when the power fails: "
            "DATABASE_URL=postgres://user:password@host/name",
            id="ductape.E020",
        )
    if not settings.REDIS_GIVEN:
        yield Error("REDIS_URL is not given", hint="REDIS_URL=redis://:password@host:6379/0", id="ductape.E021")


def _guards_in_production() -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield Error("DEBUG is on", hint="it shows settings and code to whoever causes an error", id="ductape.E030")
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        yield Error(
            "ALLOWED_HOSTS is not given" if not settings.ALLOWED_HOSTS else "ALLOWED_HOSTS allows every name",
            hint="name the hosts by which this installation is reached: ALLOWED_HOSTS=jobs.example.org",
            id="ductape.E031",
        )
    for text in settings.EGRESS_ALLOW_CIDRS:
        network = _network(text)
        if network is not None and (network.prefixlen < 8 or METADATA_ADDRESS in network):
            yield Error(
                f"EGRESS_ALLOW_CIDRS: {text!r} opens too much to jobs and webhooks",
                hint="name the networks they need (of at least 8 bits, without the cloud's 169.254.169.254)",
                id="ductape.E032",
            )
        elif network is not None and network.is_loopback:
            yield checks.Warning(
                f"EGRESS_ALLOW_CIDRS: {text!r} lets jobs and webhooks call services of the worker's own machine",
                hint="leave it out unless such a service is meant for them",
                id="ductape.W033",
            )


def _is_fernet_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
