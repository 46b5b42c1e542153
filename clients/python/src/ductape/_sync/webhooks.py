# Written by clients/python/generate.py from ductape/_async/webhooks.py: change that one.
"""`ductape.webhooks`: where events are sent, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from ductape._sync.resource import Resource
from ductape.answers import Answer
from ductape.arguments import Check, Time, choice, given, moment, path, several, text, whole
from ductape.call import Call, nothing
from ductape.filters import in_body, in_query
from ductape.reading import read, read_list
from ductape.results.event import Delivery, DeliveryPage, EventName, Replayed, Webhook, WebhookStats
from ductape.webhook_fields import EVENTS, FIELDS, webhook

DeliveryStatus = Literal["pending", "delivered", "failed"]
Replayable = Literal["delivered", "failed", "missing"]
Events = EventName | Literal["*"] | Sequence[EventName | Literal["*"]]
_REPLAYABLE = choice("delivered", "failed", "missing")
_WINDOW: Mapping[str, Check] = {"from_": moment, "to": moment}
_LOG: Mapping[str, Check] = {
    **_WINDOW,
    "status": several(choice("pending", "delivered", "failed")),
    "event": several(choice(*EVENTS)),
    "job_id": text,
    "limit": whole(1, 1_000),
    "cursor": text,
}


class Webhooks(Resource):
    def list(
        self, *, product: str | None = None, limit: int | None = None, offset: int | None = None
    ) -> tuple[Webhook, ...]:
        query = given(
            {"product": text, "limit": whole(1, 1_000), "offset": whole(0)},
            {"product": product, "limit": limit, "offset": offset},
        )
        return self._transport.send(
            Call(
                method="GET",
                path="/v1/webhooks",
                query=query,
                read=lambda answer: read_list(Webhook, answer.json(), "webhooks"),
            )
        )

    def create(
        self,
        *,
        url: str,
        events: Events,
        product: str | None = None,
        env: str | None = None,
        namespaces: Sequence[str] | None = None,
        labels: Mapping[str, str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        secret: str | None = None,
    ) -> Webhook:
        """The answer shows the `secret`, which is made where none is given, for the last time."""
        text("url", url)
        body = given(FIELDS, {
            "url": url, "events": events, "product": product, "env": env, "namespaces": namespaces, "labels": labels,
            "description": description, "enabled": enabled, "secret": secret,
        })  # fmt: skip
        return self._transport.send(Call(method="POST", path="/v1/webhooks", body=body, read=webhook))

    def get(self, webhook_id: str) -> Webhook:
        return self._transport.send(Call(method="GET", path=_path(webhook_id), read=webhook))

    def update(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Events | None = None,
        env: str | None = None,
        namespaces: Sequence[str] | None = None,
        labels: Mapping[str, str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        secret: str | None = None,
    ) -> Webhook:
        """What is not given stays; `env=""`, `namespaces=[]` and `labels={}` take a filter away."""
        body = given(FIELDS, {
            "url": url, "events": events, "env": env, "namespaces": namespaces, "labels": labels,
            "description": description, "enabled": enabled, "secret": secret,
        })  # fmt: skip
        return self._transport.send(Call(method="PATCH", path=_path(webhook_id), body=body, read=webhook))

    def delete(self, webhook_id: str) -> None:
        self._transport.send(Call(method="DELETE", path=_path(webhook_id), read=nothing))

    def rotate_secret(self, webhook_id: str, *, secret: str | None = None) -> Webhook:
        """A new `secret`, shown in this answer only; the old one signs too for 24 hours."""
        where = _path(webhook_id, "rotate-secret")
        body = given({"secret": text}, {"secret": secret})
        return self._transport.send(Call(method="POST", path=where, body=body, read=webhook))

    def test(self, webhook_id: str, *, event: EventName | None = None) -> Delivery:
        """Send a made-up event, marked `"test": true`; what becomes of it is in the delivery log."""
        body = given({"event": choice(*EVENTS)}, {"event": event})
        return self._transport.send(Call(method="POST", path=_path(webhook_id, "test"), body=body, read=_delivery))

    def deliveries(
        self,
        webhook_id: str,
        *,
        status: DeliveryStatus | Sequence[DeliveryStatus] | None = None,
        event: EventName | Sequence[EventName] | None = None,
        job_id: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> DeliveryPage:
        """The newest first, each with all of its attempts."""
        query = in_query({
            "status": status, "event": event, "job_id": job_id, "from_": from_, "to": to, "limit": limit,
            "cursor": cursor or None,
        }, _LOG)  # fmt: skip
        if "event" in query:
            query["event"] = ",".join(query["event"])
        return self._transport.send(
            Call(
                method="GET",
                path=_path(webhook_id, "deliveries"),
                query=query,
                read=lambda answer: read(DeliveryPage, answer.json()),
            )
        )

    def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """One, with the `payload` that is sent."""
        return self._transport.send(
            Call(method="GET", path=_path(webhook_id, "deliveries", ("delivery_id", delivery_id)), read=_delivery)
        )

    def stats(self, webhook_id: str, *, from_: Time | None = None, to: Time | None = None) -> WebhookStats:
        """Of the deliveries that were made in that time."""
        query = in_query({"from_": from_, "to": to}, _WINDOW)
        return self._transport.send(
            Call(
                method="GET",
                path=_path(webhook_id, "stats"),
                query=query,
                read=lambda answer: read(WebhookStats, answer.json()),
            )
        )

    def replay_delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send one again, from the first attempt on and under the same id."""
        where = _path(webhook_id, "deliveries", ("delivery_id", delivery_id), "replay")
        return self._transport.send(Call(method="POST", path=where, read=_delivery))

    def replay(
        self,
        webhook_id: str,
        *,
        from_: Time,
        to: Time | None = None,
        status: Replayable | Sequence[Replayable] | None = None,
    ) -> int:
        """Send all again that were made from `from_` on and before `to` and have ended; answers how many.

        `missing` is what the webhook was never told of in that time: it was not there yet, or disabled.
        """
        moment("from_", from_)
        body = in_body({"from_": from_, "to": to, "status": status}, {**_WINDOW, "status": several(_REPLAYABLE)})
        return self._transport.send(
            Call(
                method="POST",
                path=_path(webhook_id, "replay"),
                body=body,
                read=lambda answer: read(Replayed, answer.json()).count,
            )
        )


def _path(webhook_id: str, *rest: tuple[str, str] | str) -> str:
    return path("webhooks", ("webhook_id", webhook_id), *rest)


def _delivery(answer: Answer) -> Delivery:
    return read(Delivery, answer.json())
