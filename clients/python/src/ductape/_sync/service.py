# Written by clients/python/generate.py from ductape/_async/service.py: change that one.
"""The installation: whether it is up and ready, its workers and queues, its keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ductape._sync.resource import Resource
from ductape.answers import Answer
from ductape.arguments import Check, Time, given, moment, path, several, short, text
from ductape.call import Call, nothing
from ductape.reading import read, read_list
from ductape.results.service import ApiKey, Queue, Readiness, Workers


class Service(Resource):
    """`ductape.service`."""

    def health(self) -> bool:
        """Whether the process of the API answers."""
        return self._transport.send(
            Call(method="GET", path="/healthz", read=lambda answer: bool(answer.json().get("status") == "ok"))
        )

    def ready(self) -> Readiness:
        """What the system stands on. Raises NotReady where something is missing, after the usual retries."""
        return self._transport.send(
            Call(method="GET", path="/readyz", read=lambda answer: read(Readiness, answer.json()))
        )

    def metrics(self) -> str:
        """For Prometheus, as text; operator keys only."""
        return self._transport.send(Call(method="GET", path="/metrics", read=lambda answer: answer.content.decode()))

    def workers(self) -> Workers:
        """The worker and the scheduler processes; operator keys only."""
        return self._transport.send(
            Call(method="GET", path="/v1/workers", read=lambda answer: read(Workers, answer.json()))
        )

    def queues(self) -> tuple[Queue, ...]:
        """What waits in each."""
        return self._transport.send(
            Call(method="GET", path="/v1/queues", read=lambda answer: read_list(Queue, answer.json(), "queues"))
        )


_KEY: Mapping[str, Check] = {
    "name": short(200),
    "product": text,
    "envs": several(text),
    "scopes": several(text),
    "expires_at": moment,
}


class Keys(Resource):
    """`ductape.keys`."""

    def list(self) -> tuple[ApiKey, ...]:
        return self._transport.send(
            Call(method="GET", path="/v1/keys", read=lambda answer: read_list(ApiKey, answer.json(), "keys"))
        )

    def create(
        self,
        *,
        name: str,
        product: str | None = None,
        envs: Sequence[str] | None = None,
        scopes: Sequence[str] | None = None,
        expires_at: Time | None = None,
    ) -> ApiKey:
        """A key that gives no more than the one that asks; its text is in `key`, here and never again."""
        text("name", name)
        body = given(_KEY, {"name": name, "product": product, "envs": envs, "scopes": scopes, "expires_at": expires_at})
        return self._transport.send(Call(method="POST", path="/v1/keys", body=body, read=_key))

    def revoke(self, key_id: int | str) -> None:
        where = path("keys", ("key_id", str(key_id)))
        self._transport.send(Call(method="DELETE", path=where, read=nothing))


def _key(answer: Answer) -> ApiKey:
    return read(ApiKey, answer.json())
