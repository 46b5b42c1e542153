"""What a caller says of an endpoint, read and checked; all that is wrong is told at once.

Never writes. What is left out of `Given` is None, so that a change touches only what it names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from core.fields import not_one_of, suggestion
from core.tenancy.auth import Principal
from core.tenancy.models import Product
from core.tenancy.visibility import find_place, visible_product
from executors import registry
from executors.catalog.reading import SLUG, Problems, Reader
from jobs.operations.request import check_labels
from jobs.operations.targets import TARGETS
from jobs.states import EventType
from webhooks import addresses, signing
from webhooks.states import ALL_EVENTS

NEW = ("url", "events", "product", "env", "namespaces", "labels", "description", "enabled", "secret")
CHANGES = tuple(name for name in NEW if name != "product")
OF_SET = ("url", "events", "secret", "product", "env", "namespaces", "labels", "description")
LONGEST_URL = 2_000
LONGEST_DESCRIPTION = 500
EVENTS = tuple(map(str, EventType))


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """The fields that a body has. `labels` {} and `namespaces` [] take a filter away, `env` "" too."""

    url: str | None = None
    events: list[str] | None = None
    env: str | None = None
    namespaces: list[str] | None = None
    labels: dict[str, str] | None = None
    description: str | None = None
    enabled: bool | None = None
    secret: str | None = None  # canonical


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Of what an endpoint is told at all: a product (None: every one) and environments (None: all)."""

    product: Product | None
    environment_ids: list[int] | None


def read(body: Mapping[str, Any], known: Collection[str], *, required: Collection[str] = ()) -> Given:
    """Raises Invalid with everything that is wrong."""
    problems = Problems()
    reader = Reader(dict(body), "", problems, set(known))
    for name in required:
        if reader.data.get(name) is None:
            reader.problem(name, "is required", "required")
    given = Given(
        url=_url(reader),
        events=_events(reader),
        env=_env(reader),
        namespaces=_namespaces(reader),
        labels=_labels(reader),
        description=reader.text("description", limit=LONGEST_DESCRIPTION),
        enabled=reader.value("enabled", bool),
        secret=read_secret(reader),
    )
    problems.raise_if_any()
    return given


def scope_of(principal: Principal, product: Any, env: str | None) -> Scope:
    """What a key may be told of, narrowed to what it names. Raises Invalid, NotFound."""
    problems = Problems()
    tag = Reader({"product": product}, "", problems, {"product"}).text("product")
    problems.raise_if_any()
    if tag is None and principal.is_operator:
        return Scope(product=None, environment_ids=None)
    found = visible_product(principal, tag)
    limited = principal.environment_ids
    if env:
        limited = frozenset({find_place(principal, found.tag, env).environment_id})
    return Scope(product=found, environment_ids=None if limited is None else sorted(limited))


def read_secret(reader: Reader) -> str | None:
    """The field `secret` in its canonical form; None where it is left out or wrong."""
    text: str | None = reader.value("secret", str)
    if text is None:
        return None
    try:
        return signing.canonical(text)
    except (signing.BadSecret, UnicodeEncodeError) as error:
        told = str(error) if isinstance(error, signing.BadSecret) else "holds half of a surrogate pair"
        reader.problem("secret", told)
        return None


def _url(reader: Reader) -> str | None:
    text = reader.text("url", limit=LONGEST_URL)
    if text is None:
        return None
    try:
        url = addresses.checked(text)
    except addresses.BadUrl as error:
        reader.problem("url", str(error))
        return None
    if len(url) > LONGEST_URL:
        reader.problem("url", f"must not be longer than {LONGEST_URL} characters once it is encoded")
    return url


def _events(reader: Reader) -> list[str] | None:
    given = reader.items("events")
    if reader.data.get("events") is None:
        return None
    for path, event in given:
        if event != ALL_EVENTS and event not in EVENTS:
            told = not_one_of(event, (*EVENTS, ALL_EVENTS)) if isinstance(event, str) else "must be text"
            reader.problems.add(path, told)
            return None
    events = list(dict.fromkeys(event for _, event in given))
    if not events:
        reader.problem("events", f"must name at least one event, or {ALL_EVENTS!r} for all: {', '.join(EVENTS)}")
        return None
    return [ALL_EVENTS] if ALL_EVENTS in events else events


def _env(reader: Reader) -> str | None:
    env: str | None = reader.value("env", str)
    if env and not SLUG.fullmatch(env):
        reader.problem("env", "must be the slug of an environment: letters, digits, - and _")
        return None
    return env


def _namespaces(reader: Reader) -> list[str] | None:
    known = {*TARGETS, *registry.known()}
    given = reader.items("namespaces")
    if reader.data.get("namespaces") is None:
        return None
    for path, namespace in given:
        if not isinstance(namespace, str) or namespace not in known:
            shown = namespace if isinstance(namespace, str) else ""
            reader.problems.add(path, f"there is no such namespace: {suggestion(shown, known)}")
            return None
    return list(dict.fromkeys(namespace for _, namespace in given))


def _labels(reader: Reader) -> dict[str, str] | None:
    labels: dict[str, str] | None = reader.value("labels", dict)
    if labels is not None:
        wrong: list[Any] = []
        check_labels(labels, "labels", wrong)
        for error in wrong:
            reader.problems.add(error.field, error.detail, error.code)
    return labels
