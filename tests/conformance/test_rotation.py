"""Changing the key under which secrets are stored."""

from __future__ import annotations

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from pytest_django import Settings

from core import crypto
from core.tenancy.models import Product
from ductape_jobs import sealed
from executors.catalog.models import Secret

pytestmark = pytest.mark.django_db(transaction=True)

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def secrets(settings: Settings) -> list[Secret]:
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    product = Product.objects.create(tag="shop", name="Shop")
    made = [Secret(product=product, key=f"KEY_{number}") for number in range(3)]
    for secret in made:
        secret.value = crypto.seal(f"value of {secret.key}", secret.place)
        secret.save()
    return made


def rotate() -> str:
    out = StringIO()
    call_command("rotate_keys", stdout=out)
    return out.getvalue()


def test_every_secret_opens_with_the_new_key_alone(secrets: list[Secret], settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert f"3 of 3 secrets were put under key {crypto.key_id(NEW)}" in rotate()
    assert f"no secret needs these any more: {crypto.key_id(OLD)}" in rotate()
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    for secret in Secret.objects.all():
        assert crypto.unseal(secret.value, secret.place) == f"value of {secret.key}"
    assert rotate() == f"0 of 3 secrets were put under key {crypto.key_id(NEW)}\n"


def test_more_secrets_than_a_batch(secrets: list[Secret], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "BATCH", 2)
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert sealed.rotate().changed == 3


def test_a_secret_whose_key_is_gone_is_named_and_the_others_are_rotated(
    secrets: list[Secret], settings: Settings
) -> None:
    lost = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [lost]
    Secret.objects.filter(pk=secrets[1].pk).update(value=crypto.seal("x", secrets[1].place))
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match=f"catalog.Secret {secrets[1].pk}, value: sealed under key") as refused:
        rotate()
    assert "keep all keys" in str(refused.value)
    assert {secret.value.split(".")[1] for secret in Secret.objects.all()} == {
        crypto.key_id(NEW), crypto.key_id(lost)
    }  # fmt: skip


def test_a_text_that_only_looks_like_one_is_left_alone(secrets: list[Secret], settings: Settings) -> None:
    Secret.objects.filter(pk=secrets[0].pk).update(value="v1.0 of the price list")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert sealed.rotate().found == 2
    assert Secret.objects.get(pk=secrets[0].pk).value == "v1.0 of the price list"


def test_the_columns_that_are_known_to_hold_secrets_are_among_those_looked_at() -> None:
    looked_at = {(model._meta.label, name) for model, name in sealed.columns()}
    assert {
        ("catalog.Secret", "value"),
        ("catalog.Component", "secrets"),
        ("catalog.Connection", "secrets"),
        ("jobs.Job", "session"),
    } <= looked_at
