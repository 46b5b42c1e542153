"""Storing and showing a product's catalog as one document.

Owns the writes of products, environments, secrets, session configurations, caches and components. One document is one
transaction: all of it is stored, or nothing. A dry run is the real run, rolled back. What the
document does not name stays, unless it is to be pruned; what it does name becomes what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Model, ProtectedError

from core import crypto, strictjson
from core.errors import Conflict
from core.tenancy.models import Environment, Product
from core.tenancy.visibility import forget_places
from executors import caching
from executors.catalog import declarations, kinds, resolve
from executors.catalog.declarations import Declaration, Declared
from executors.catalog.entries import ComponentEntry, Keep, Secrets
from executors.catalog.fitting import misfits
from executors.catalog.kinds import Kind
from executors.catalog.models import Component, Connection, SavedEvent, Secret
from executors.catalog.reading import Problems
from executors.catalog.removing import Removal, Row, values_held
from executors.catalog.schema import Document, SecretEntry
from executors.catalog.sealed import SET, open_sealed, shown, shown_whole
from executors.catalog.values import Unreadable


@dataclass
class Difference:
    """What storing a document changed, as dotted paths in the order of the document."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "created": self.created,
            "updated": self.updated,
            "removed": self.removed,
            "unchanged": self.unchanged,
        }


def store(
    tag: str, document: Document, *, dry_run: bool = False, prune: bool = False, force: bool = False
) -> Difference:
    """Make the product's catalog what the document says; the product is created where there is none.

    `force` prunes what unfinished jobs need as well; their runs fail from then on. A job that is dispatched
    at the same moment may go unseen, and fails in the same way.

    Raises Invalid (an environment that does not exist, a secret to keep that is not set), and
    Conflict where something to be pruned is in use, or two documents create the product at once.
    """
    try:
        with transaction.atomic():
            difference = _Storing(tag, document, prune=prune, force=force).run()
            if dry_run:
                transaction.set_rollback(True)
            else:
                transaction.on_commit(forget)
    except ProtectedError as error:
        used = ", ".join(sorted({str(row) for row in error.args[1]})[:3]) if len(error.args) > 1 else "something"
        raise Conflict(
            f"an environment that the document does not name still has jobs ({used}): delete them first, or do not prune",
            code="in_use",
        ) from None
    except IntegrityError:
        raise Conflict(f"the catalog of {tag!r} was changed by somebody else at the same moment: try again") from None
    forget()
    return difference


def remove(product: Product, path: str, row: Row, *, force: bool = False) -> None:
    """Remove one part of a catalog with what hangs on it; `path` is where a document says it. The other parts are
    not looked at: one that cannot be read here keeps nothing else.

    Raises Conflict where it is in use: with `force` only an environment, whose jobs' history it is.
    """
    with transaction.atomic():
        Product.objects.select_for_update().get(pk=product.pk)  # nobody adds to it meanwhile
        if not force or isinstance(row, Environment):
            Removal(product.pk, product.tag).refuse_used(row, path)
        before = values_held(product.pk)
        try:
            row.delete()
        except ProtectedError:
            raise Conflict(f"{path} got a job at the same moment: try again", code="in_use") from None
        if not force:
            Removal(product.pk, product.tag).refuse_lost(before)
        Product.objects.filter(pk=product.pk).update(catalog_version=F("catalog_version") + 1)
        transaction.on_commit(forget)


def export(product: Product, *, environment_ids: Collection[int] | None = None) -> dict[str, Any]:
    """The catalog as a document that `store` takes again; secrets are `{"set": true}`.

    `environment_ids` limits it to what a key sees of the product.
    """
    environments = _environments(product, environment_ids)
    slugs = {environment.pk: environment.slug for environment in environments}
    components: dict[str, list[Component]] = {}
    for component in product.components.order_by("tag").prefetch_related("connections", "events"):
        components.setdefault(component.kind, []).append(component)
    return {
        "product": product.tag,
        "name": product.name,
        "envs": [{"slug": environment.slug, "name": environment.name} for environment in environments],
        "secrets": secrets(product, environment_ids=environment_ids),
        **{each.plural: listed for each in declarations.ALL if (listed := declared(product, each))},
        **{
            kind.plural: [
                _export_component(component, slugs, shown_whole) for component in components.get(kind.name, ())
            ]
            for kind in kinds.all_kinds()
            if kind is kinds.APP or kind.name in components
        },
    }


def secrets(product: Product, *, environment_ids: Collection[int] | None = None) -> list[dict[str, Any]]:
    """Where each secret of a product is set, as a document says it; limited as `export` is."""
    slugs = {environment.pk: environment.slug for environment in _environments(product, environment_ids)}
    listed: dict[str, dict[str, Any]] = {}
    for secret in product.secrets.order_by("key", "pk"):
        shown = listed.setdefault(secret.key, {"key": secret.key})
        if secret.environment_id is None:
            shown["value"] = SET
        elif secret.environment_id in slugs:
            shown.setdefault("envs", {})[slugs[secret.environment_id]] = SET
    return [shown for shown in listed.values() if len(shown) > 1]


def _environments(product: Product, ids: Collection[int] | None) -> list[Environment]:
    rows = product.environments.order_by("pk")
    return list(rows if ids is None else rows.filter(pk__in=ids))


def declared(product: Product, declaration: Declaration) -> list[dict[str, Any]]:
    """The session configurations or caches of a product, as a document says them."""
    rows = declaration.model._default_manager.filter(product=product).order_by("tag")
    return [declaration.shown(row) for row in rows]


def components(
    product: Product, kind: Kind, *, tag: str | None = None, environment_ids: Collection[int] | None = None
) -> list[dict[str, Any]]:
    """The components of a kind, or the one of that tag, as a document says them; limited as `export` is.

    A secret that no key opens counts as not set: it keeps nobody from the others, nor from setting it again.
    """
    slugs = {environment.pk: environment.slug for environment in _environments(product, environment_ids)}
    rows = product.components.filter(kind=kind.name, **({"tag": tag} if tag is not None else {})).order_by("tag")
    return [_export_component(row, slugs, shown) for row in rows.prefetch_related("connections", "events")]


def _export_component(
    component: Component, slugs: Mapping[int, str], shown: Callable[[Component | Connection], dict[str, Any]]
) -> dict[str, Any]:
    kind = kinds.get(component.kind)
    connections = [
        (connection, slugs[connection.environment_id])
        for connection in sorted(component.connections.all(), key=lambda connection: connection.environment_id)
        if connection.environment_id in slugs
    ]
    entry = {"tag": component.tag, "name": component.name, **shown(component)}
    if kind.connected:
        entry["envs"] = {slug: shown(connection) for connection, slug in connections}
    if kind.has_events:
        events = sorted(component.events.all(), key=lambda event: event.tag)
        entry["events"] = [{"tag": event.tag, **event.settings} for event in events]
    return entry


class _Storing:
    """One document on its way into the database, inside a transaction."""

    def __init__(self, tag: str, document: Document, *, prune: bool, force: bool) -> None:
        self.tag = tag
        self.document = document
        self.prune = prune
        self.force = force
        self.difference = Difference()
        self.problems = Problems()
        self.environments: dict[str, Environment] = {}
        self.going: list[tuple[str, Row]] = []

    def run(self) -> Difference:
        self.product = self._store_product()
        before = values_held(self.product.pk)
        self._store_environments()
        self._store_secrets()
        for declaration in declarations.ALL:
            self._store_declared(declaration, self.document.declared[declaration.plural])
        stored = {(component.kind, component.tag): component for component in self.product.components.all()}
        for kind in kinds.all_kinds():
            for entry in self.document.components[kind.name]:
                self._store_component(kind, entry, stored.pop((kind.name, entry.tag), None))
        self._remove((f"{kinds.get(kind).plural}.{tag}", component) for (kind, tag), component in stored.items())
        named = {entry.slug for entry in self.document.envs}
        self._remove((f"envs.{slug}", row) for slug, row in self.environments.items() if slug not in named)
        self.problems.raise_if_any()
        self._remove_now()
        if not self.force:
            Removal(self.product.pk, self.tag).refuse_lost(before)
        if self.difference.created or self.difference.updated or self.difference.removed:
            Product.objects.filter(pk=self.product.pk).update(catalog_version=F("catalog_version") + 1)
        return self.difference

    def _store_product(self) -> Product:
        name = self.document.name
        # The lock makes two documents of one product follow each other.
        product = Product.objects.select_for_update().filter(tag=self.tag).first()
        if product is None:
            product = Product.objects.create(tag=self.tag, name=name or self.tag)
            self.difference.created.append("product")
        else:
            self._update("product", product, name=name or product.name)
        return product

    def _store_environments(self) -> None:
        self.environments = {environment.slug: environment for environment in self.product.environments.all()}
        for entry in self.document.envs:
            environment = self.environments.get(entry.slug)
            path = f"envs.{entry.slug}"
            if environment is None:
                self.environments[entry.slug] = Environment.objects.create(
                    product=self.product, slug=entry.slug, name=entry.name or entry.slug
                )
                self.difference.created.append(path)
            else:
                self._update(path, environment, name=entry.name or environment.name)

    def _store_secrets(self) -> None:
        stored = {(secret.key, secret.environment_id): secret for secret in self.product.secrets.all()}
        for entry in self.document.secrets:
            environment = self._environment(entry.env, entry.path) if entry.env is not None else None
            if environment is None and entry.env is not None:
                continue
            secret = stored.pop((entry.key, environment.pk if environment else None), None)
            self._store_secret(entry, environment, secret)
        slugs = {environment.pk: slug for slug, environment in self.environments.items()}
        self._remove(
            (f"secrets.{key}" + (f".envs.{slugs[pk]}" if pk is not None else ""), secret)
            for (key, pk), secret in stored.items()
        )

    def _store_secret(self, entry: SecretEntry, environment: Environment | None, secret: Secret | None) -> None:
        path = f"secrets.{entry.key}" + (f".envs.{entry.env}" if entry.env is not None else "")
        if isinstance(entry.value, Keep):
            if secret is None:
                self.problems.add(entry.path, "is not set yet: give its value", "not_set")
            else:
                self.difference.unchanged += 1
            return
        if secret is None:
            secret = Secret(product=self.product, environment=environment, key=entry.key)
            secret.value = crypto.seal(entry.value, secret.place)
            secret.save()
            self.difference.created.append(path)
            return
        try:
            same = crypto.unseal(secret.value, secret.place) == entry.value
        except crypto.CannotOpen:
            same = False
        if same:
            self.difference.unchanged += 1
        else:
            self._update(path, secret, value=crypto.seal(entry.value, secret.place))

    def _store_declared(self, declaration: Declaration, given: tuple[Declared, ...]) -> None:
        rows = declaration.model._default_manager.filter(product=self.product)
        stored = {row.tag: row for row in rows}
        for entry in given:
            path = f"{declaration.plural}.{entry.tag}"
            row = stored.pop(entry.tag, None)
            if row is None:
                rows.create(product=self.product, tag=entry.tag, name=entry.name or entry.tag, **entry.columns)
                self.difference.created.append(path)
            else:
                self._update(path, row, name=entry.name or row.name, **entry.columns)
        self._remove((f"{declaration.plural}.{tag}", row) for tag, row in stored.items())

    def _store_component(self, kind: Kind, given: ComponentEntry, component: Component | None) -> None:
        path = f"{kind.plural}.{given.tag}"
        if component is None:
            component = Component(product=self.product, kind=kind.name, tag=given.tag, name=given.name or given.tag)
            component.settings = dict(given.settings)
            component.secrets = self._sealed(component, given.secrets, given.path) or ""
            component.save()
            self.difference.created.append(path)
        else:
            for problem in () if self.prune else misfits(kind, component, given):
                self.problems.add(problem.field, problem.detail, problem.code)
            self._update(
                path,
                component,
                name=given.name or component.name,
                settings=dict(given.settings),
                secrets=self._sealed(component, given.secrets, given.path),
            )
        connections = {row.environment_id: row for row in component.connections.all()}
        for entry in given.connections:
            environment = self._environment(entry.env, entry.path)
            if environment is None:
                continue
            at = f"{path}.envs.{entry.env}"
            connection = connections.pop(environment.pk, None)
            if connection is None:
                connection = Connection(component=component, environment=environment, settings=dict(entry.settings))
                connection.secrets = self._sealed(connection, entry.secrets, entry.path) or ""
                connection.save()
                self.difference.created.append(at)
            else:
                connection.component = component
                secrets = self._sealed(connection, entry.secrets, entry.path)
                self._update(at, connection, settings=dict(entry.settings), secrets=secrets)
        slugs = {environment.pk: slug for slug, environment in self.environments.items()}
        self._remove((f"{path}.envs.{slugs[pk]}", row) for pk, row in connections.items())
        events = {event.tag: event for event in component.events.all()}
        for saved in given.events:
            event = events.pop(saved.tag, None)
            if event is None:
                SavedEvent.objects.create(component=component, tag=saved.tag, settings=dict(saved.settings))
                self.difference.created.append(f"{path}.events.{saved.tag}")
            else:
                self._update(f"{path}.events.{saved.tag}", event, settings=dict(saved.settings))
        self._remove((f"{path}.events.{tag}", row) for tag, row in events.items())

    def _environment(self, slug: str, path: str) -> Environment | None:
        environment = self.environments.get(slug)
        if environment is None:
            self.problems.add(
                path, f"product {self.tag!r} has no environment {slug[:60]!r}: add it to envs", "env_not_found"
            )
        return environment

    def _sealed(self, row: Component | Connection, secrets: Secrets, path: str) -> str | None:
        """The column for these secrets, or None where it may stay as it is."""
        try:
            stored = open_sealed(row)
        except Unreadable:
            stored = {}
        opened: dict[str, str] = {}
        for name, value in secrets.items():
            if not isinstance(value, Keep):
                opened[name] = value
            elif name in stored:
                opened[name] = stored[name]
            else:
                self.problems.add(f"{path}.{name}", "is not set yet: give its value", "not_set")
        if opened == stored and (opened or not row.secrets):
            return None
        return crypto.seal(strictjson.dumps(opened).decode(), row.place) if opened else ""

    def _update(self, path: str, row: Model, **values: Any) -> None:
        """Save what differs; a value of None stays."""
        changed = [name for name, value in values.items() if value is not None and getattr(row, name) != value]
        if not changed:
            self.difference.unchanged += 1
            return
        for name in changed:
            setattr(row, name, values[name])
        if any(column.name == "updated_at" for column in row._meta.fields):
            changed.append("updated_at")
        row.save(update_fields=changed)
        self.difference.updated.append(path)

    def _remove(self, rows: Iterable[tuple[str, Row]]) -> None:
        """Later: what needs one of them is known when all of the document is stored."""
        if self.prune:
            self.going += rows

    def _remove_now(self) -> None:
        removal = Removal(self.product.pk, self.tag)
        for path, row in self.going:
            if not self.force or isinstance(row, Environment):  # which the history of its jobs needs
                removal.refuse_used(row, path)
        for path, row in self.going:
            row.delete()
            self.difference.removed.append(path)


def forget() -> None:
    """Ask the database again, in this process: a catalog changed."""
    forget_places()
    resolve.forget_targets()
    caching.forget_tags()
