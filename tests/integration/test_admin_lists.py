"""Every list of the admin, whatever stands in its address: it may be wrong, never a server error."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.auth.models import User
from django.db.models import ForeignKey
from django.test import Client

from core.backoffice.pages import BoundedAdmin
from executors.catalog import document
from executors.catalog.schema import read_document

pytestmark = pytest.mark.django_db

TOO_LARGE = "9" * 30


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


def pages() -> list[Any]:
    import_module(settings.ROOT_URLCONF)  # which registers them
    return sorted(admin.site._registry.values(), key=lambda page: page.opts.label_lower)


def addresses() -> Iterator[str]:
    for page in pages():
        address = f"/admin/{page.opts.app_label}/{page.opts.model_name}/"
        yield f"{address}?id__exact={TOO_LARGE}"
        yield f"{address}?p={TOO_LARGE}"
        yield f"{address}{TOO_LARGE}/change/"
        for given in page.list_filter:
            chosen = given[0] if isinstance(given, tuple) else given
            if not isinstance(chosen, str):
                yield f"{address}?{chosen.parameter_name}={TOO_LARGE}"
            elif isinstance(get_fields_from_path(page.model, chosen)[-1], ForeignKey):
                yield f"{address}?{chosen}__id__exact={TOO_LARGE}"
            else:
                yield f"{address}?{chosen}__exact={TOO_LARGE}"


@pytest.fixture
def products() -> None:
    """Two of everything: a filter with one choice is not offered, and looks at nothing."""
    app = {"tag": "mail", "name": "Mail", "envs": {}, "events": [{"tag": "send", "method": "POST", "resource": "/"}]}
    for tag in ("shop", "mill"):
        envs = [{"slug": slug, "name": slug} for slug in ("dev", "prd")]
        document.store(tag, read_document({"name": tag, "envs": envs, "apps": [app]}, tag))


def test_a_number_too_large_is_no_server_error(ada: Client, products: None) -> None:
    asked = list(addresses())
    assert len([address for address in asked if "product__id__exact" in address]) >= 4
    answers = {address: ada.get(address).status_code for address in asked}
    assert {address: status for address, status in answers.items() if status not in (200, 302, 404)} == {}


def test_a_wrong_number_is_told_to_who_asked(ada: Client, products: None) -> None:
    answer = ada.get(f"/admin/tenancy/apikey/?product__id__exact={TOO_LARGE}", follow=True)
    assert answer.status_code == 200
    assert answer.redirect_chain in ([], [("/admin/tenancy/apikey/?e=1", 302)])  # PostgreSQL compares, SQLite refuses


def test_every_list_stands_on_the_same_base() -> None:
    assert len(pages()) > 10
    assert [page.opts.label for page in pages() if not isinstance(page, BoundedAdmin)] == []
