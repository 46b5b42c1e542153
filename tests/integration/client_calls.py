"""Every call of the client, once, each under a name; `product` is one product, ids are made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ductape import Ductape
from ductape._sync.product import Product

KINDS = ("apps", "notifications", "databases", "storage", "brokers", "graphs", "functions", "features")
ID = "job_1"

CALLS: dict[str, Callable[[Ductape], Any]] = {
    "actions": lambda d: d.actions.dispatch(app="mail", event="send", input={"body": {}}, schedule={"every": 1_000}),
    "features": lambda d: d.features.dispatch(tag="extra"),
    "notifications": lambda d: d.notifications.dispatch(notification="extra", event="one"),
    "storage": lambda d: d.storage.dispatch(storage="extra", event="listFiles"),
    "events": lambda d: d.events.dispatch(broker="extra", event="one", input={"message": {}}),
    "functions": lambda d: d.functions.dispatch(function="extra"),
    "databases": lambda d: d.databases.dispatch(database="extra", operation="count", labels={"a": "b"}),
    "databases.action": lambda d: d.databases.action.dispatch(database="extra", event="one", retries=3),
    "graphs": lambda d: d.graphs.dispatch(graph="extra", operation="countNodes", retry_config={"maxDelay": 5}),
    "graphs.action": lambda d: d.graphs.action.dispatch(graph="extra", event="one", session="t:jwt"),
    "dispatch_many": lambda d: d.jobs.dispatch_many([{"namespace": "actions", "app": "mail", "event": "send"}]),
    "get": lambda d: d.jobs.get(ID, wait=5),
    "list": lambda d: d.jobs.list(status=["failed"], label={"a": "b"}, from_=1, q="x", order="created_at"),
    "cancel": lambda d: d.jobs.cancel(ID, reason="over"),
    "pause": lambda d: d.jobs.pause(ID, note="n"),
    "resume": lambda d: d.jobs.resume(ID),
    "reschedule": lambda d: d.jobs.reschedule(ID, cron="0 9 * * *", tz="UTC"),
    "retry": lambda d: d.jobs.retry(ID, delay=1),
    "trigger": lambda d: d.jobs.trigger(ID),
    "delete": lambda d: d.jobs.delete(ID, force=True),
    "history": lambda d: d.jobs.get_history(ID, limit=3, status="failed"),
    "explain": lambda d: d.jobs.explain(ID, at=1),
    "stats": lambda d: d.jobs.get_stats(product="shop", to=5),
    "series": lambda d: d.jobs.get_stats_series(interval=60_000, namespace="actions"),
    "cancel_many": lambda d: d.jobs.cancel_many(q="x", reason="over", dry_run=True),
    "pause_many": lambda d: d.jobs.pause_many(recurring=True, note="n"),
    "resume_many": lambda d: d.jobs.resume_many(pause_id="pause_1"),
    "retry_many": lambda d: d.jobs.retry_many(status="failed", delay=1),
    "reschedule_many": lambda d: d.jobs.reschedule_many(q="x", schedule={"every": 1_000}),
    "delete_many": lambda d: d.jobs.delete_many(status=["completed", "failed"], to=1, force=True),
    "operation": lambda d: d.operations.get("op_1"),
    "abort": lambda d: d.operations.abort("op_1"),
    "preview": lambda d: d.schedules.preview("0 9 * * *", tz="UTC", count=3, from_=1),
    "schedule": lambda d: d.processor.job.schedule(event="nightly", start_at=0, repeat={"every": 1_000}),
    "health": lambda d: d.service.health(),
    "ready": lambda d: d.service.ready(),
    "metrics": lambda d: d.service.metrics(),
    "workers": lambda d: d.service.workers(),
    "queues": lambda d: d.service.queues(),
    "keys.list": lambda d: d.keys.list(),
    "keys.create": lambda d: d.keys.create(name="ci", scopes=["jobs:read"], expires_at=1),
    "keys.revoke": lambda d: d.keys.revoke(1),
    "products.list": lambda d: d.product.list(),
    "products.create": lambda d: d.product.create({"tag": "shop"}),
}
OF_PRODUCT: dict[str, Callable[[Product], Any]] = {
    "get": lambda p: p.get(),
    "update": lambda p: p.update({"name": "n"}, if_match='"1"'),
    "delete": lambda p: p.delete(if_match='"1"'),
    "hold": lambda p: p.hold(env="prd", namespace="actions", note="n"),
    "release": lambda p: p.release(env="prd"),
    "holds": lambda p: p.holds(),
    "jobs.create": lambda p: p.jobs.create(
        name="n", tag="t", event_type="ACTION", event_tag="e", executions=5, intervals=60_000
    ),
    "jobs.update": lambda p: p.jobs.update("t", executions=3),
    "jobs.fetch_all": lambda p: p.jobs.fetch_all(),
    "jobs.fetch": lambda p: p.jobs.fetch("t"),
    "jobs.delete": lambda p: p.jobs.delete("t", force=True),
    "catalog.get": lambda p: p.catalog.get(),
    "catalog.put": lambda p: p.catalog.put({"product": "shop"}, dry_run=True, prune=True, force=True, if_match='"1"'),
    "envs.list": lambda p: p.envs.list(),
    "envs.create": lambda p: p.envs.create({"slug": "dev"}),
    "envs.get": lambda p: p.envs.get("dev"),
    "envs.update": lambda p: p.envs.update("dev", {"name": "n"}),
    "envs.delete": lambda p: p.envs.delete("dev"),
    "secrets.list": lambda p: p.secrets.list(),
    "secrets.set": lambda p: p.secrets.set("KEY", "value", if_match='"1"'),
    "secrets.get": lambda p: p.secrets.get("KEY"),
    "secrets.delete": lambda p: p.secrets.delete("KEY", env="prd", force=True),
    "sessions.list": lambda p: p.sessions.list(),
    "sessions.create": lambda p: p.sessions.create(
        {"tag": "user", "name": "n", "selector": "$Session{id}", "expiry": 1, "period": "hours"}
    ),
    "sessions.get": lambda p: p.sessions.get("user"),
    "sessions.update": lambda p: p.sessions.update("user", {"expiry": 2}),
    "sessions.delete": lambda p: p.sessions.delete("user", force=True),
    "sessions.start": lambda p: p.sessions.start("user", data={"id": 1}, env="prd"),
    "sessions.verify": lambda p: p.sessions.verify("user", token="t"),
    "sessions.revoke": lambda p: p.sessions.revoke("user", identifier=7, env="prd"),
    "caches.list": lambda p: p.caches.list(),
    "caches.create": lambda p: p.caches.create({"tag": "c", "name": "n", "expiry": 5}),
    "caches.get": lambda p: p.caches.get("c"),
    "caches.update": lambda p: p.caches.update("c", {"expiry": 6}),
    "caches.delete": lambda p: p.caches.delete("c", force=True),
    "caches.entries": lambda p: p.caches.entries("c", env="prd"),
    "caches.clear": lambda p: p.caches.clear("c", env="prd", key="k"),
}

OF_WEBHOOKS: dict[str, Callable[[Ductape], Any]] = {
    "set": lambda d: d.jobs.set_webhook(url="https://a.test/", events=["job.failed"], secret="webhook-secret-key"),
    "list": lambda d: d.webhooks.list(product="shop", limit=5, offset=0),
    "create": lambda d: d.webhooks.create(url="https://a.test/", events="*", labels={"a": "b"}, enabled=True),
    "get": lambda d: d.webhooks.get("wh_1"),
    "update": lambda d: d.webhooks.update("wh_1", description="n", enabled=False),
    "delete": lambda d: d.webhooks.delete("wh_1"),
    "rotate": lambda d: d.webhooks.rotate_secret("wh_1"),
    "test": lambda d: d.webhooks.test("wh_1", event="job.failed"),
    "stats": lambda d: d.webhooks.stats("wh_1", from_=1, to=2),
    "deliveries": lambda d: d.webhooks.deliveries("wh_1", status="failed", event="job.failed", from_=1, limit=3),
    "delivery": lambda d: d.webhooks.delivery("wh_1", "d_1"),
    "replay_delivery": lambda d: d.webhooks.replay_delivery("wh_1", "d_1"),
    "replay": lambda d: d.webhooks.replay("wh_1", from_=1, to=2, status=["failed"]),
}


def of_components(product: Product, kind: str) -> dict[str, Callable[[], Any]]:
    """The calls of one kind of component; those that it does not have are left out."""
    parts = getattr(product, kind)
    calls: dict[str, Callable[[], Any]] = {
        "list": parts.list,
        "create": lambda: parts.create({"tag": "x"}),
        "get": lambda: parts.get("x"),
        "update": lambda: parts.update("x", {"name": "n"}, if_match='"1"', force=True),
        "delete": lambda: parts.delete("x", force=True),
    }
    if kind != "features":
        calls |= {
            "connect": lambda: parts.connect("x", "prd", {}, force=True),
            "disconnect": lambda: parts.disconnect("x", "prd", if_match='"1"'),
            "check": lambda: parts.check("x", env="prd"),
        }
    if kind not in ("features", "functions"):
        calls |= {
            "list_events": lambda: parts.list_events("x"),
            "create_event": lambda: parts.create_event("x", {"tag": "e"}),
            "get_event": lambda: parts.get_event("x", "e"),
            "store_event": lambda: parts.store_event("x", "e", {"tag": "e"}),
            "delete_event": lambda: parts.delete_event("x", "e", force=True),
        }
    return calls
