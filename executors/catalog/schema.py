"""The catalog document as it is written: which fields there are, and what each may be.

Turns a parsed JSON or YAML document into entries that are ready to store, or raises one Invalid
that names everything wrong with it. Pure: never queries. What is secret is told apart here:
`settings` is shown again, `secrets` never is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from executors.base import SHORTEST_SECRET
from executors.catalog import declarations, kinds
from executors.catalog.declarations import Declaration, Declared
from executors.catalog.entries import ComponentEntry, Keep
from executors.catalog.reading import LONGEST_TAG, SLUG, TAG, Problems, Reader, is_set_marker
from executors.expressions import SECRET_KEY

_DOCUMENT = frozenset({"product", "name", "envs", "secrets", *(each.plural for each in declarations.ALL)})

_TOO_SHORT = (
    f"has fewer than {SHORTEST_SECRET} characters: so short a text is in others by chance, and could not be kept out of "
    "results and logs. What is no secret is a variable of an app"
)


@dataclass(frozen=True, kw_only=True)
class EnvEntry:
    slug: str
    name: str | None


@dataclass(frozen=True, kw_only=True)
class SecretEntry:
    """A secret for one environment, or (None) for all."""

    key: str
    env: str | None
    value: str | Keep = field(repr=False)
    path: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """A catalog document that can be stored, but for what only the database knows."""

    name: str | None
    envs: tuple[EnvEntry, ...]
    secrets: tuple[SecretEntry, ...]
    declared: Mapping[str, tuple[Declared, ...]]  # by what they are in the plural
    components: Mapping[str, tuple[ComponentEntry, ...]]  # by the name of their kind


def read_document(data: Any, product: str) -> Document:
    """The entries of a document for `product`. Raises Invalid with every problem (at most 50)."""
    problems = Problems()
    known = kinds.all_kinds()
    reader = Reader(data, "", problems, _DOCUMENT.union(kind.plural for kind in known))
    if len(product) > LONGEST_TAG:
        problems.add("product", f"the tag in the address is longer than {LONGEST_TAG} characters")
    elif not TAG.fullmatch(product):
        problems.add(
            "product", f"the tag {product[:60]!r} in the address must be letters, digits, - _ . and begin with one"
        )
    named = reader.text("product", limit=300)
    if named is not None and named.rpartition(":")[2] != product:
        reader.problem("product", f"is {named[:120]!r}, but the address says {product!r}")
    document = Document(
        name=reader.text("name"),
        envs=tuple(_read_envs(reader)),
        secrets=tuple(_read_secrets(reader)),
        declared={each.plural: tuple(_read_declared(each, reader)) for each in declarations.ALL},
        components={kind.name: tuple(_read_components(kind, reader)) for kind in known},
    )
    _once(problems, "envs", [env.slug for env in document.envs])
    for each in declarations.ALL:
        _once(problems, each.plural, [entry.tag for entry in document.declared[each.plural]])
    for kind in known:
        _once(problems, kind.plural, [entry.tag for entry in document.components[kind.name]])
    problems.raise_if_any()
    return document


def _read_declared(declaration: Declaration, document: Reader) -> Iterator[Declared]:
    for path, entry in document.items(declaration.plural):
        declared = declaration.read(entry, path, document.problems)
        if declared is not None:
            yield declared


def _read_components(kind: kinds.Kind, document: Reader) -> Iterator[ComponentEntry]:
    for path, entry in document.items(kind.plural):
        component = kind.read(entry, path, document.problems)
        if component is not None:
            yield component


def _read_envs(document: Reader) -> list[EnvEntry]:
    entries = []
    for path, entry in document.items("envs"):
        reader = Reader(entry, path, document.problems, {"slug", "name", "env_name"})
        slug = reader.named("slug", SLUG)
        name = reader.text("name", "env_name")
        if slug is not None:
            entries.append(EnvEntry(slug=slug, name=name))
    return entries


def _read_secrets(document: Reader) -> list[SecretEntry]:
    entries = []
    for path, entry in document.items("secrets"):
        reader = Reader(entry, path, document.problems, {"key", "value", "envs"})
        key = reader.named("key", SECRET_KEY)
        given: list[tuple[str | None, str, Any]] = []
        if reader.data.get("value") is not None:
            given.append((None, reader.at("value"), reader.data["value"]))
        envs = reader.value("envs", dict) or {}
        given += [(slug, f"{reader.at('envs')}.{slug}", value) for slug, value in envs.items()]
        if reader.data and not given:
            reader.problem("value", "is required: a value for all environments, or envs: {slug: value}", "required")
        for slug, at, value in given:
            if is_set_marker(value):
                value = Keep.KEEP
            elif not isinstance(value, str) or not value:
                document.problems.add(at, "must be text, not empty")
                continue
            elif len(value) < SHORTEST_SECRET:
                document.problems.add(at, _TOO_SHORT)
                continue
            if key is not None:
                entries.append(SecretEntry(key=key, env=slug, value=value, path=at))
    _once(document.problems, "secrets", [f"{entry.key} in {entry.env or 'all environments'}" for entry in entries])
    return entries


def _once(problems: Problems, field: str, names: list[str]) -> None:
    for name in sorted({name for name in names if names.count(name) > 1} if len(set(names)) != len(names) else ()):
        problems.add(field, f"{name!r} is named twice", "duplicate")
