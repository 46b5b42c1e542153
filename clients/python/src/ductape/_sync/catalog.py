# Written by clients/python/generate.py from ductape/_async/catalog.py: change that one.
"""What a product can run: the catalog as one document, and its parts. Parts are plain dictionaries with an `etag`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ductape._sync.resource import Resource
from ductape._sync.transport import Transport
from ductape.answers import Answer
from ductape.arguments import flag, given, mapping, path, text
from ductape.call import Call, nothing
from ductape.reading import read
from ductape.results.product import CatalogDiff, ConnectionCheck, Part


def part(answer: Answer) -> Part:
    data = answer.json()
    return Part(data if isinstance(data, dict) else {"value": data}, answer.etag)


def locked(if_match: str | None) -> dict[str, str]:
    """The header by which a change is refused (ChangedMeanwhile) if another was first."""
    return {} if if_match is None else {"If-Match": text("if_match", if_match)}


class Catalog(Resource):
    """`ductape.catalog`: the whole of it at once."""

    def get(self, product: str) -> Part:
        """The document, without its secrets."""
        where = path("products", ("product", product), "catalog")
        return self._transport.send(Call(method="GET", path=where, read=part))

    def put(
        self,
        product: str,
        document: Mapping[str, Any] | str,
        *,
        dry_run: bool = False,
        prune: bool = False,
        force: bool = False,
        if_match: str | None = None,
    ) -> CatalogDiff:
        """Store a document (a mapping, or YAML as text) and tell what changed; with `dry_run` what would change.

        `prune` removes what it does not name, `force` also what unfinished jobs need.
        """
        query = {name: flag(name, value) or None for name, value in
                 (("dry_run", dry_run), ("prune", prune), ("force", force))}  # fmt: skip
        headers = locked(if_match)
        body, yaml = None, None
        if isinstance(document, str):
            yaml = text("document", document).encode()
            headers["Content-Type"] = "application/yaml"
        else:
            body = mapping("document", document)
        return self._transport.send(
            Call(
                method="PUT",
                path=path("products", ("product", product), "catalog"),
                query=query,
                body=body,
                text=yaml,
                headers=headers,
                read=lambda answer: read(CatalogDiff, answer.json()),
            )
        )


class ReadParts(Resource):
    """Parts of a product of one sort, by their tag: what can be read, and how they are changed."""

    def __init__(self, transport: Transport, product: str, sort: str) -> None:
        super().__init__(transport)
        self._product = product
        self._sort = sort

    def list(self) -> Part:
        """As the API answers it: `{"apps": […]}`."""
        return self._transport.send(Call(method="GET", path=self._path(), read=part))

    def get(self, tag: str) -> Part:
        return self._transport.send(Call(method="GET", path=self._path(("tag", tag)), read=part))

    def _path(self, *rest: tuple[str, Any] | str) -> str:
        return path("products", ("product", self._product), self._sort, *rest)

    def _change(self, method: str, where: str, values: Mapping[str, Any], if_match: str | None, force: bool) -> Part:
        return self._transport.send(
            Call(
                method=method,
                path=where,
                query={"force": flag("force", force) or None},
                body=mapping("values", values),
                headers=locked(if_match),
                repeatable=if_match is None,  # the first may have changed what the second is locked on
                read=part,
            )
        )

    def _remove(self, where: str, if_match: str | None, force: bool, **query: str | None) -> None:
        asked = {**query, "force": flag("force", force) or None}
        call = Call(method="DELETE", path=where, query=asked, headers=locked(if_match), read=nothing)
        self._transport.send(call)


class Parts(ReadParts):
    """Environments, sessions, caches; and what components build on."""

    def create(self, values: Mapping[str, Any]) -> Part:
        body = mapping("values", values)
        return self._transport.send(Call(method="POST", path=self._path(), body=body, read=part))

    def update(self, tag: str, values: Mapping[str, Any], *, if_match: str | None = None, force: bool = False) -> Part:
        """What is not named stays."""
        return self._change("PATCH", self._path(("tag", tag)), values, if_match, force)

    def delete(self, tag: str, *, if_match: str | None = None, force: bool = False) -> None:
        self._remove(self._path(("tag", tag)), if_match, force)


class Components(Parts):
    """Components of one kind: apps, notifications, databases, storage, brokers, graphs, functions, features."""

    def connect(
        self, tag: str, env: str, values: Mapping[str, Any], *, if_match: str | None = None, force: bool = False
    ) -> Part:
        """How it is reached in an environment: addresses and credentials, which are never answered."""
        return self._change("PUT", self._path(("tag", tag), "envs", ("env", env)), values, if_match, force)

    def disconnect(self, tag: str, env: str, *, if_match: str | None = None, force: bool = False) -> None:
        self._remove(self._path(("tag", tag), "envs", ("env", env)), if_match, force)

    def check(self, tag: str, *, env: str | None = None) -> ConnectionCheck:
        """Try the connection."""
        query = given({"env": text}, {"env": env})
        where = self._path(("tag", tag), "check")
        return self._transport.send(
            Call(method="GET", path=where, query=query, read=lambda answer: read(ConnectionCheck, answer.json()))
        )

    def list_events(self, tag: str) -> Part:
        return self._transport.send(Call(method="GET", path=self._path(("tag", tag), "events"), read=part))

    def create_event(self, tag: str, values: Mapping[str, Any], *, if_match: str | None = None) -> Part:
        call = Call(
            method="POST",
            path=self._path(("tag", tag), "events"),
            body=mapping("values", values),
            headers=locked(if_match),
            read=part,
        )
        return self._transport.send(call)

    def get_event(self, tag: str, event: str) -> Part:
        return self._transport.send(Call(method="GET", path=self._event(tag, event), read=part))

    def store_event(self, tag: str, event: str, values: Mapping[str, Any], *, if_match: str | None = None) -> Part:
        """Make it, or write it anew."""
        return self._change("PUT", self._event(tag, event), values, if_match, force=False)

    def delete_event(self, tag: str, event: str, *, if_match: str | None = None, force: bool = False) -> None:
        self._remove(self._event(tag, event), if_match, force)

    def _event(self, tag: str, event: str) -> str:
        return self._path(("tag", tag), "events", ("event", event))


class Secrets(ReadParts):
    """Values that are written and never answered."""

    def set(
        self,
        key: str,
        value: str | None = None,
        *,
        envs: Mapping[str, str] | None = None,
        if_match: str | None = None,
    ) -> Part:
        """One value for all environments, or `envs={"prd": …}`; those of other environments stay."""
        values = given({"key": text, "value": text, "envs": mapping}, {"key": key, "value": value, "envs": envs})
        return self._change("POST", self._path(), values, if_match, force=False)

    def delete(self, key: str, *, env: str | None = None, if_match: str | None = None, force: bool = False) -> None:
        """The value of one environment, or without `env` all of it."""
        asked = given({"env": text}, {"env": env})
        self._remove(self._path(("key", key)), if_match, force, **asked)
