# Written by clients/python/generate.py from ductape/_async/dispatch_many.py: change that one.
"""`ductape.jobs.dispatch_many`: up to a thousand jobs in one request, all or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ductape import options
from ductape._sync.job import Dispatched
from ductape._sync.resource import Resource
from ductape.arguments import given, mapping, short, text
from ductape.call import Call
from ductape.errors import InvalidArgument
from ductape.namespaces import namespace_of
from ductape.options import Item
from ductape.reading import read_list

MOST_JOBS = 1_000
_NAME = short(250)


class DispatchMany(Resource):
    def dispatch_many(self, jobs: Iterable[Item], *, idempotency_key: str | None = None) -> tuple[Dispatched, ...]:
        """Each item says its `namespace` and what that one's dispatch takes; the answers are in the same order."""
        if isinstance(jobs, (str, bytes, Mapping)) or not isinstance(jobs, Iterable):
            raise InvalidArgument("jobs", "must be several items, each as {'namespace': 'actions', …}")
        items = [self._item(f"jobs.{place}", item) for place, item in enumerate(jobs)]
        if not 1 <= len(items) <= MOST_JOBS:
            raise InvalidArgument("jobs", f"are {len(items)}: 1 to {MOST_JOBS} are allowed in one call")
        key = given({"idempotency_key": short(255)}, {"idempotency_key": idempotency_key})
        return self._transport.send(
            Call(
                method="POST",
                path="/v1/jobs/dispatch-many",
                body={"jobs": items, **key},
                keyed=True,
                read=lambda answer: read_list(Dispatched, answer.json(), "jobs", _jobs=self),
            )
        )

    def _item(self, name: str, item: Any) -> dict[str, Any]:
        values = {**self._place(), **mapping(name, item)}
        if "namespace" not in values:
            raise InvalidArgument(f"{name}.namespace", "is missing")
        names = namespace_of(text(f"{name}.namespace", values.pop("namespace")))
        try:
            body = options.options(values, dict.fromkeys([*names.target, *names.aliases], _NAME))
        except InvalidArgument as error:
            raise InvalidArgument(f"{name}.{error.argument}", error.detail) from None
        for part in names.target:
            if part not in body and not any(alias in body for alias, of in names.aliases.items() if of == part):
                raise InvalidArgument(f"{name}.{part}", "is missing")
        return {"namespace": names.name, **body}
