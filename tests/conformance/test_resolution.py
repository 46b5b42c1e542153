"""What a run needs of the catalog: remembered between runs, and never of before the run's claim."""

from __future__ import annotations

import asyncio

import pytest

from core.tenancy.models import Environment
from executors.catalog import document
from executors.catalog.schema import read_document
from jobs.lifecycle.claim import claim
from jobs.runner import resolution
from jobs.runner.database import DatabaseThread
from jobs.runner.resolution import Resolution, Resolved
from tests.conformance.world import new_job, worker

pytestmark = pytest.mark.django_db(transaction=True)


def store(url: str, token: str = "tok-1") -> None:
    written = {
        "envs": [{"slug": "prd"}],
        "secrets": [{"key": "TOKEN", "value": token}],
        "apps": [{
            "tag": "mail",
            "envs": {"prd": {"base_url": url}},
            "events": [{"tag": "send", "method": "POST", "resource": "/s", "headers": {"X-Token": "$Secret{TOKEN}"}}],
        }],
    }  # fmt: skip
    document.store("shop", read_document(written, "shop"))


def test_a_run_claimed_after_a_change_of_the_catalog_is_made_by_the_changed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolution, "KEEP_SECONDS", 3600.0)
    monkeypatch.setattr(document, "forget", lambda: None)  # as where another process stored it
    store("http://127.0.0.1:1")
    owner, database = worker(), DatabaseThread("resolve")
    remembered = Resolution(database)

    def resolved() -> tuple[str, str, int]:
        """URL and token of the next run, and which answer it came from."""
        place = Environment.objects.get(slug="prd")
        new_job(
            product_id=place.product_id,
            environment_id=place.pk,
            namespace="actions",
            target={"app": "mail", "event": "send"},
        )
        (taken,) = claim(owner, "default", 1)
        found = loop.run_until_complete(remembered.of(taken))
        kept.append(found)
        return found.value.url, found.value.headers["x-token"], id(found)

    loop, kept = asyncio.new_event_loop(), list[Resolved]()
    try:
        first = resolved()
        assert first[:2] == ("http://127.0.0.1:1/s", "tok-1")
        assert resolved() == first
        store("http://127.0.0.1:1")  # which changes nothing
        assert resolved() == first
        store("http://127.0.0.1:2")
        assert resolved()[:2] == ("http://127.0.0.1:2/s", "tok-1")
        store("http://127.0.0.1:2", token="tok-2")
        assert resolved()[:2] == ("http://127.0.0.1:2/s", "tok-2")
    finally:
        database.close()
        loop.close()
