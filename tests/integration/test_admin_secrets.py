"""A secret that is planted everywhere by an operator stands on no page of the admin, in no trail and in no message."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import NoReverseMatch, reverse

from core.ids import encode
from core.tenancy.models import AuditEntry, Environment, Product
from executors.catalog import document, kinds
from executors.catalog.models import Component, Connection, Secret
from executors.catalog.schema import read_document
from executors.catalog.sealed import open_sealed
from tests.conformance.world import new_job
from tests.integration.test_admin_catalog import add, change, filled
from tests.integration.test_admin_declarations import ENTRIES, PLACES, PLANTED

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


def plant(client: Client) -> Product:
    """Every kind of component and a secret, by the forms."""
    document.store("shop", read_document(PLACES, "shop"))
    shop = Product.objects.get()
    secret = {"product": shop.pk, "environment": "", "key": "KEY", "new_value": PLANTED}
    assert client.post(add(Secret), {**filled(client, add(Secret)), **secret}).status_code == 302
    for kind in kinds.names():
        text = yaml.safe_dump(ENTRIES[kind])
        new = f"{add(Component)}?kind={kind}&yaml"
        assert client.post(new, {"product": shop.pk, "declaration": text, "version": ""}).status_code == 302
    return shop


def addresses(model: type[Any], page: Any) -> list[str]:
    """Its list, the form of a new one, and of each row its page and the question before it is deleted."""
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    found = [reverse(f"admin:{name}_changelist"), reverse(f"admin:{name}_add")]
    for row in model._default_manager.all()[:50]:
        key = encode("job", row.pk) if name == "jobs_job" else row.pk
        found += [reverse(f"admin:{name}_{verb}", args=[key]) for verb in ("change", "delete")]
    return found


def test_a_planted_secret_stands_on_no_page_and_in_no_trail(ada: Client) -> None:
    shop = plant(ada)
    new_job(
        product_id=shop.pk,
        environment_id=Environment.objects.get(slug="prd").pk,
        target={"app": "mail", "event": "send"},
    )
    planted = [
        row for model in (Component, Connection) for row in model.objects.all() if PLANTED in str(open_sealed(row))
    ]
    assert len(planted) == 8

    seen = 0
    asked = [reverse("admin:index"), reverse("admin:jobs_who")]
    for model, page in admin.site._registry.items():
        try:
            asked += addresses(model, page)
        except NoReverseMatch:
            raise AssertionError(f"{model} has no pages") from None
    asked += [f"{change(row)}?yaml" for row in Component.objects.all()]
    for address in asked:
        answer = ada.get(address, follow=True)
        if answer.status_code == 403:  # nobody adds, changes or deletes those
            continue
        assert answer.status_code == 200, address
        assert PLANTED not in answer.content.decode(), address
        seen += 1
    assert seen > 60
    trails = [*AuditEntry.objects.values(), *LogEntry.objects.values("object_repr", "change_message")]
    assert len(trails) >= 2 * (len(ENTRIES) + 1)
    assert PLANTED not in json.dumps(trails, default=str)


def test_no_message_about_what_was_refused_or_checked_tells_a_secret(ada: Client) -> None:
    plant(ada)
    row = Component.objects.get(kind="database")
    page = filled(ada, change(row))
    text = page["declaration"]
    refused = ada.post(change(row), {**page, "declaration": text.replace("type: postgresql", "type: nosuch")})
    assert refused.status_code == 200
    assert PLANTED not in refused.content.decode()

    closed = f"postgresql://u:{PLANTED}@127.0.0.1:9/stock"
    text = text.replace("connection_url: {set: true}", f"connection_url: {closed}")
    assert ada.post(change(row), {**page, "declaration": text}).status_code == 302
    connection = row.connections.get(environment__slug="prd")
    assert open_sealed(connection) == {"connection_url": closed}
    checked = ada.post(f"/admin/catalog/connection/{connection.pk}/check/")
    (told,) = [str(message) for message in get_messages(checked.wsgi_request)][-1:]
    assert told.startswith("database stock in prd: ")
    assert PLANTED not in told
