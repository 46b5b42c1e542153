"""Optimistic locking of the catalog: an ETag of what was read, and the `If-Match` of who writes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from core.errors import ApiError
from core.tenancy.models import Environment, Product
from executors.catalog.models import Component, Connection, Secret


class Changed(ApiError):
    """Somebody else changed it after it was read."""

    status, code, title = 412, "changed_meanwhile", "It was changed meanwhile"


def etag_of(component: Component) -> str:
    """Of a component with its connections and events, what is sealed included: another secret is another ETag."""
    rows = [component.name, component.settings, component.secrets]
    connections = component.connections.order_by("pk").values_list("environment_id", "settings", "secrets")
    events = component.events.order_by("tag").values_list("tag", "settings")
    return etag_of_text(json.dumps([rows, *map(list, connections), *map(list, events)], sort_keys=True))


def etag_of_catalog(product: Product) -> str:
    """Of a product and all of its catalog: any change of any part of it is another one."""
    return etag_of_text(f"{product.pk}:{product.catalog_version}")


def etag_of_environment(environment: Environment) -> str:
    """Of an environment with the connections and secrets that go with it."""
    connections = Connection.objects.filter(environment=environment).order_by("pk")
    secrets = Secret.objects.filter(environment=environment).order_by("pk")
    rows = [*connections.values_list("pk", "settings", "secrets"), *secrets.values_list("key", "value")]
    return etag_of_text(json.dumps([environment.pk, environment.name, *map(list, rows)], sort_keys=True))


def etag_of_secret(product: Product, key: str) -> str:
    """Of all values of a secret, which are sealed: a new one is another ETag, also where it says the same."""
    values = product.secrets.filter(key=key).order_by("pk").values_list("environment_id", "value")
    return etag_of_text(json.dumps([product.pk, *map(list, values)]))


def etag_of_text(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def check_match(given: str | None, current: Callable[[], str | None]) -> None:
    """Raise Changed where `If-Match` names other versions than the one that is there (RFC 9110, 13.1.1).

    `current` answers None where there is none, which even `*` does not match.
    """
    if given is None:
        return
    found = current()
    if found is None:
        raise Changed("there is none of it to change: leave If-Match out to make it")
    if given.strip() != "*" and found not in [entity.strip().removeprefix("W/") for entity in given.split(",")]:
        raise Changed("it was changed after it was read: read it again, and change that (If-Match)")
