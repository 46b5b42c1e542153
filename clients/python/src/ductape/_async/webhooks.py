"""`ductape.webhooks`: where events are sent, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ductape._async.resource import AsyncResource
from ductape.answers import Answer
from ductape.arguments import Time, choice, given, moment, path, text, whole
from ductape.call import Call, nothing, plain
from ductape.reading import read_list
from ductape.results.event import Delivery, EventName, Webhook
from ductape.webhook_fields import FIELDS, webhook

DeliveryStatus = Literal["pending", "delivered", "failed"]
Events = EventName | Literal["*"] | Sequence[EventName | Literal["*"]]
_STATUS = choice("pending", "delivered", "failed")


class AsyncWebhooks(AsyncResource):
    async def list(self) -> tuple[Webhook, ...]:
        return await self._transport.send(
            Call(method="GET", path="/v1/webhooks", read=lambda answer: read_list(Webhook, answer.json(), "webhooks"))
        )

    async def create(
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
        return await self._transport.send(Call(method="POST", path="/v1/webhooks", body=body, read=webhook))

    async def get(self, webhook_id: str) -> Webhook:
        return await self._transport.send(Call(method="GET", path=_path(webhook_id), read=webhook))

    async def update(
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
    ) -> Webhook:
        """What is not given stays."""
        body = given(FIELDS, {
            "url": url, "events": events, "env": env, "namespaces": namespaces, "labels": labels,
            "description": description, "enabled": enabled,
        })  # fmt: skip
        return await self._transport.send(Call(method="PATCH", path=_path(webhook_id), body=body, read=webhook))

    async def delete(self, webhook_id: str) -> None:
        await self._transport.send(Call(method="DELETE", path=_path(webhook_id), read=nothing))

    async def rotate_secret(self, webhook_id: str) -> Webhook:
        """A new `secret`, shown in this answer only; the old one signs too for 24 hours."""
        where = _path(webhook_id, "rotate-secret")
        return await self._transport.send(Call(method="POST", path=where, body={}, read=webhook))

    async def test(self, webhook_id: str) -> dict[str, Any]:
        """Send an event made for this, and answer what came back."""
        return await self._transport.send(Call(method="POST", path=_path(webhook_id, "test"), body={}, read=plain))

    async def deliveries(
        self, webhook_id: str, *, status: DeliveryStatus | None = None, limit: int | None = None
    ) -> tuple[Delivery, ...]:
        """The newest first."""
        query = given({"status": _STATUS, "limit": whole(1, 1_000)}, {"status": status, "limit": limit})
        return await self._transport.send(
            Call(method="GET", path=_path(webhook_id, "deliveries"), query=query, read=_deliveries)
        )

    async def replay(
        self,
        webhook_id: str,
        delivery_id: str | None = None,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        status: DeliveryStatus | None = None,
    ) -> dict[str, Any]:
        """Send one delivery again, or all of a window and a status; each keeps its id."""
        if delivery_id is not None:
            where, body = (
                path("webhooks", ("webhook_id", webhook_id), "deliveries", ("delivery_id", delivery_id), "replay"),
                {},
            )
        else:
            where = _path(webhook_id, "replay")
            body = given(
                {"from_": moment, "to": moment, "status": _STATUS}, {"from_": from_, "to": to, "status": status}
            )
            if "from_" in body:
                body["from"] = body.pop("from_")
        return await self._transport.send(Call(method="POST", path=where, body=body, read=plain))


def _path(webhook_id: str, *rest: str) -> str:
    return path("webhooks", ("webhook_id", webhook_id), *rest)


def _deliveries(answer: Answer) -> tuple[Delivery, ...]:
    return read_list(Delivery, answer.json(), "deliveries")
