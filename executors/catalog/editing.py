"""One part of a catalog at a time, as forms edit it: written as the document that says just that.

Owns the way from a form's values to a document and back. The document is checked and stored by the
code that stores what the API is sent (`schema`, `document`); an answer about a field comes back with
the field's own name. A secret that is left blank is kept, and is never read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import ProtectedError

from core.errors import ApiError, Conflict, FieldError, Invalid
from core.tenancy import audit
from core.tenancy.models import Environment, Product
from executors.catalog import document, kinds
from executors.catalog.declarations import Declaration
from executors.catalog.document import Difference
from executors.catalog.models import Component, Connection, SavedEvent
from executors.catalog.removing import Removal, Row
from executors.catalog.schema import read_document
from executors.catalog.sealed import shown


def store_part(
    tag: str,
    part: Mapping[str, Any],
    *,
    actor: str,
    dry_run: bool = False,
    prune: bool = False,
    force: bool = False,
) -> Difference:
    """Store a document that names only what is to change (with `prune` all there is). Raises core.errors.ApiError."""
    with transaction.atomic():
        difference = document.store(tag, read_document(dict(part), tag), dry_run=dry_run, prune=prune, force=force)
        if not dry_run and (difference.created or difference.updated or difference.removed):
            audit.record(actor, "catalog.stored", tag, _changed(difference))
    return difference


def remove_part(
    component: Component,
    *,
    actor: str,
    event: str | None = None,
    env: str | None = None,
    force: bool = False,
) -> None:
    """Remove a component, or one event or connection of it; with `force` also where unfinished jobs need it.

    Raises core.errors.ApiError.
    """
    path = f"{kinds.get(component.kind).plural}.{component.tag}"
    row: Component | Connection | SavedEvent = component
    if event is not None:
        row, path = component.events.get(tag=event), f"{path}.events.{event}"
    elif env is not None:
        row, path = component.connections.get(environment__slug=env), f"{path}.envs.{env}"
    _remove(component.product, path, row, actor=actor, force=force)


def remove_product(product: Product, *, actor: str) -> None:
    """Remove a product with its environments, catalog and keys. Raises Conflict while it has jobs."""
    with transaction.atomic():
        held = Product.objects.select_for_update().get(pk=product.pk)
        Removal(product.pk, product.tag).refuse_product()
        try:
            held.delete()
        except ProtectedError:
            raise Conflict(f"product {product.tag!r} still has jobs: delete them first", code="in_use") from None
        audit.record(actor, "catalog.removed", product.tag, {"removed": ["product"]})
        transaction.on_commit(document.forget)


def remove_environment(environment: Environment, *, actor: str) -> None:
    """Remove an environment with the connections and secrets that are its own. Raises Conflict while it has jobs."""
    _remove(environment.product, f"envs.{environment.slug}", environment, actor=actor)


def remove_secret(product: Product, key: str, env: str | None, *, actor: str, force: bool = False) -> None:
    """Remove a secret's value for one environment, or (None) the one for all. Raises core.errors.ApiError."""
    values = product.secrets.filter(key=key)
    row = values.get(environment=None) if env is None else values.get(environment__slug=env)
    _remove(product, f"secrets.{key}" + (f".envs.{env}" if env is not None else ""), row, actor=actor, force=force)


def remove_declared(product: Product, declaration: Declaration, tag: str, *, actor: str, force: bool = False) -> None:
    """Remove a session configuration or a cache, with all that hangs on it. Raises core.errors.ApiError."""
    row = declaration.model._default_manager.get(product=product, tag=tag)
    _remove(product, f"{declaration.plural}.{tag}", row, actor=actor, force=force)


def component_entry(component: Component) -> dict[str, Any]:
    """A component without its connections and events: what is stored, a marker for each secret."""
    return {"tag": component.tag, "name": component.name, **shown(component)}


def event_entry(saved: SavedEvent) -> dict[str, Any]:
    return {"tag": saved.tag, **saved.settings}


def told_of(error: ApiError, prefix: str) -> list[FieldError]:
    """The problems under their fields: `prefix` (`apps.0.envs.prd`) is cut off; empty field: all the others."""
    problems = error.errors if isinstance(error, Invalid) and error.errors else ()
    if not problems:
        return [FieldError("", error.code, error.detail)]
    listed = []
    for problem in problems:
        inside = problem.field.startswith(f"{prefix}.")
        name = problem.field.removeprefix(f"{prefix}.") if inside else ""
        listed.append(
            FieldError(name, problem.code, problem.detail if inside else f"{problem.field}: {problem.detail}")
        )
    return listed


def _remove(product: Product, path: str, row: Row, *, actor: str, force: bool = False) -> None:
    with transaction.atomic():
        document.remove(product, path, row, force=force)
        audit.record(actor, "catalog.removed", product.tag, {"removed": [path]})


def _changed(difference: Difference) -> dict[str, Any]:
    """What changed by name; a difference never holds a value."""
    listed = difference.as_dict()
    return {name: listed[name] for name in ("created", "updated", "removed") if listed[name]}
