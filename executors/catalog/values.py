"""What references stand for in one environment of a product: secrets, variables, constants.

Owns reading and opening them. Loaded in two queries and kept for a moment, so that a thousand
targets of one environment cost what one does. Sealed values stay sealed until one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from django.db.models import Q

from core import crypto
from core.errors import Conflict, FieldError, NotFound
from core.fields import nearest
from core.shortcache import ShortCache
from core.tenancy.models import Environment
from executors.catalog.models import Component, Secret
from executors.expressions import ExpressionError, Reference, Scalar, open_references, references_in

KEPT_SECONDS = 1.0


class Unreadable(Conflict):
    """A sealed value of the catalog does not open with the keys of this installation."""

    title = "A stored secret cannot be read"


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """Every reference that can be made in one environment. Its repr shows no value."""

    kinds: ClassVar = frozenset({"Secret", "Variable", "Constant"})

    sealed: Mapping[str, tuple[str, str]] = field(repr=False)  # key → (sealed value, its place)
    variables: Mapping[tuple[str, str], Scalar] = field(repr=False)  # (app, key) → value; texts may refer to secrets
    constants: Mapping[tuple[str, str], Scalar] = field(repr=False)
    _opened: dict[str, str] = field(default_factory=dict, repr=False)

    def knows(self, reference: Reference) -> bool:
        """Whether it stands for anything here."""
        try:
            return all(self.knows(inner) for inner in self._within(reference))
        except ExpressionError:
            return False

    def secrets_behind(self, reference: Reference) -> frozenset[str]:
        """The keys of the secrets that are opened for it."""
        if reference.kind == "Secret":
            return frozenset(reference.names)
        return frozenset(inner.names[0] for inner in self._within(reference))

    def value_of(self, reference: Reference) -> Scalar:
        """What it stands for, opened. Raises ExpressionError where it stands for nothing, and Unreadable."""
        if reference.kind == "Secret":
            return self.secret(reference.names[0])
        value = self._stored(reference)
        return open_references(value, self) if isinstance(value, str) else value

    def secret(self, key: str) -> str:
        """The secret of that key, opened. Raises as `value_of`."""
        opened = self._opened.get(key)
        if opened is None:
            if key not in self.sealed:
                raise ExpressionError(f"the secret {key!r} has no value here", "secret_not_found")
            try:
                opened = self._opened[key] = crypto.unseal(*self.sealed[key])
            except crypto.CannotOpen as error:
                raise Unreadable(f"a secret cannot be read: {error}. Set it again", code="secret_unreadable") from None
        return opened

    def _within(self, reference: Reference) -> list[Reference]:
        """The secrets that a variable or constant refers to. Raises ExpressionError where there is no such value."""
        if reference.kind == "Secret":
            if reference.names[0] not in self.sealed:
                raise ExpressionError(f"the secret {reference.names[0]!r} has no value here", "secret_not_found")
            return []
        value = self._stored(reference)
        return references_in(value) if isinstance(value, str) else []

    def _stored(self, reference: Reference) -> Scalar:
        held = self.variables if reference.kind == "Variable" else self.constants
        app, key = reference.names
        value = held.get((app, key))
        if value is None:
            kind = reference.kind.lower()
            raise ExpressionError(f"app {app!r} has no {kind} {key!r} here", f"{kind}_not_found")
        return value


def values_of(product_id: int, environment_id: int) -> Values:
    """The values of an environment. May query."""
    return _values.get((product_id, environment_id), lambda: _load(product_id, environment_id))


def forget_values() -> None:
    """Ask the database again, in this process."""
    _values.forget()


def must_know(values: Values, references: Iterable[tuple[str, Reference]], environment_id: int) -> None:
    """Raise NotFound for the first reference to a value here that stands for nothing, with its field and the way out.

    What other references stand for only a run knows.
    """
    for place, reference in references:
        if reference.kind in values.kinds and not values.knows(reference):
            raise _nothing(values, reference, place, environment_id)


def _nothing(values: Values, reference: Reference, place: str, environment_id: int) -> NotFound:
    row = Environment.objects.filter(pk=environment_id).values_list("product__tag", "slug").first() or ("?", "?")
    where = f"environment {row[1]!r} of product {row[0]!r}"
    missing = reference
    if reference.kind != "Secret":
        try:
            missing = next((inner for inner in values._within(reference) if not values.knows(inner)), reference)
        except ExpressionError:
            missing = reference
    name, kind = missing.names[-1], missing.kind.lower()
    if missing.kind == "Secret":
        what, known = f"the secret {name!r} has no value in {where}", list(values.sealed)
    else:
        app = missing.names[0]
        what = f"app {app!r} has no {kind} {name!r} in {where}"
        held = values.variables if missing.kind == "Variable" else values.constants
        known = [key for of, key in held if of == app]
    code, meant = f"{kind}_not_found", nearest(name, known)
    detail = f"{what}: set it with PUT /v1/products/{row[0]}/catalog"
    detail += f", or did you mean {meant!r}?" if meant is not None else ""
    return NotFound(detail, code=code, errors=[FieldError(place, code, detail)])


def _load(product_id: int, environment_id: int) -> Values:
    here = Q(environment_id=environment_id) | Q(environment_id__isnull=True)
    # Those of the environment come last, and so count.
    found = sorted(Secret.objects.filter(here, product_id=product_id), key=lambda secret: secret.environment_id or 0)
    variables: dict[tuple[str, str], Scalar] = {}
    constants: dict[tuple[str, str], Scalar] = {}
    apps = Component.objects.filter(product_id=product_id, kind="app").filter(
        Q(settings__has_key="constants") | Q(settings__has_key="variables")
    )
    for app in apps.prefetch_related("connections"):
        constants |= {(app.tag, key): entry["value"] for key, entry in app.settings.get("constants", {}).items()}
        defaults = app.settings.get("variables", {})
        variables |= {(app.tag, key): entry["default"] for key, entry in defaults.items() if "default" in entry}
        for connection in app.connections.all():
            if connection.environment_id == environment_id:
                variables |= {(app.tag, key): text for key, text in connection.settings.get("variables", {}).items()}
    return Values(
        sealed={secret.key: (secret.value, secret.place) for secret in found}, variables=variables, constants=constants
    )


_values: ShortCache[tuple[int, int], Values] = ShortCache(seconds=KEPT_SECONDS, size=1000)
