"""Optimistic locking of the catalog: an ETag of what was read, and the `If-Match` of who writes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from core.errors import ApiError
from executors.catalog.models import Component


class Changed(ApiError):
    """Somebody else changed it after it was read."""

    status, code, title = 412, "changed_meanwhile", "It was changed meanwhile"


def etag_of(component: Component) -> str:
    """Of a component with its connections and events, what is sealed included: another secret is another ETag."""
    rows = [component.name, component.settings, component.secrets]
    connections = component.connections.order_by("pk").values_list("environment_id", "settings", "secrets")
    events = component.events.order_by("tag").values_list("tag", "settings")
    return etag_of_text(json.dumps([rows, *map(list, connections), *map(list, events)], sort_keys=True))


def etag_of_text(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def check_match(given: str | None, current: Callable[[], str]) -> None:
    """Raise Changed where `If-Match` names other versions than the one that is there (RFC 9110, 13.1.1)."""
    if given is None or given.strip() == "*":
        return
    if current() not in [entity.strip().removeprefix("W/") for entity in given.split(",")]:
        raise Changed("it was changed after it was read: read it again, and change that (If-Match)")
