"""Which endpoints are told of an event. Pure: rows in, a choice out."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.outbox import Account
from webhooks.models import Endpoint
from webhooks.states import ALL_EVENTS


def wants(endpoint: Endpoint, type: str, account: Account) -> bool:
    """Whether the endpoint is to be told of an event of that type of that job. A filter left out lets everything in."""
    return (
        (ALL_EVENTS in endpoint.events or type in endpoint.events)
        and endpoint.product_id in {None, account.product_id}
        and (endpoint.environment_ids is None or account.environment_id in endpoint.environment_ids)
        and endpoint.env in {"", account.env}
        and (not endpoint.namespaces or account.namespace in endpoint.namespaces)
        and _has(account.labels, endpoint.labels)
    )


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())
