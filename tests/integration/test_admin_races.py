"""Two who write the same part of a catalog at once: the second, in the admin, waits and then sees what the first did.

PostgreSQL only: SQLite has one writer at a time, so that nothing can come between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from core.tenancy.models import Product
from executors.catalog import document
from executors.catalog.models import Component
from executors.catalog.schema import read_document
from tests.conformance.test_races import WAIT_SECONDS, elsewhere, wait_until_somebody_waits
from tests.integration.test_admin_catalog import add, change, errors, filled

pytestmark = pytest.mark.django_db(transaction=True)

BUS = {"tag": "bus", "name": "Bus", "type": "redis", "envs": {"prd": {"url": "redis://127.0.0.1:6379/0"}}}


@pytest.fixture
def ada() -> Client:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: nothing can come between a read and a write")
    document.store("shop", read_document({"envs": [{"slug": "prd"}]}, "shop"))
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


def while_somebody_stores(name: str, ask: Callable[[], Any]) -> Any:
    """What is answered to who asks while the broker is stored under that name, but not yet committed."""
    stored, go_on = threading.Event(), threading.Event()

    def store() -> None:
        with transaction.atomic():
            document.store("shop", read_document({"brokers": [{**BUS, "name": name}]}, "shop"))
            stored.set()
            assert go_on.wait(WAIT_SECONDS)

    storing = elsewhere(store)
    assert stored.wait(WAIT_SECONDS)
    asking = elsewhere(ask)
    wait_until_somebody_waits()
    go_on.set()
    storing.result(WAIT_SECONDS)
    return asking.result(WAIT_SECONDS)


def test_a_page_does_not_write_over_what_is_committed_while_it_is_saved(ada: Client) -> None:
    document.store("shop", read_document({"brokers": [BUS]}, "shop"))
    address = change(Component.objects.get())
    opened = filled(ada, address)
    answer = while_somebody_stores("Tram", lambda: ada.post(address, opened))
    assert errors(answer)["__all__"][0].startswith("It was changed after this page was opened")
    assert Component.objects.get().name == "Tram"


def test_a_new_one_does_not_write_over_one_that_is_committed_meanwhile(ada: Client) -> None:
    fields = {"product": Product.objects.get().pk, "declaration": yaml.safe_dump(BUS), "version": ""}
    answer = while_somebody_stores("Tram", lambda: ada.post(f"{add(Component)}?kind=broker", fields))
    assert errors(answer) == {"__all__": ["There is one of that name already: change it instead."]}
    assert Component.objects.get().name == "Tram"
