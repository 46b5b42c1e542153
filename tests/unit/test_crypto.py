"""Secrets at rest: who opens them, where, and what an error tells."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from core import crypto
from core.crypto import CannotOpen, KeyRing, context, key_id

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
HERE = context("product", 1, "env", 2, "app", "mail")


@given(st.text())
def test_what_was_sealed_opens_in_its_place(value: str) -> None:
    assert KeyRing([NEW]).unseal(KeyRing([NEW]).seal(value, HERE), HERE) == value


def test_a_value_does_not_open_in_another_place() -> None:
    sealed = KeyRing([NEW]).seal("s3cret", HERE)

    with pytest.raises(CannotOpen, match="sealed for another place") as caught:
        KeyRing([NEW]).unseal(sealed, context("product", 1, "env", 3, "app", "mail"))

    assert "s3cret" not in str(caught.value)


def test_parts_of_a_context_cannot_be_shifted() -> None:
    assert context("a/b", "c") != context("a", "b/c")
    assert context("a%2Fb") != context("a/b")


def test_an_older_key_still_opens_and_resealing_moves_to_the_first() -> None:
    sealed = KeyRing([OLD]).seal("s3cret", HERE)
    both = KeyRing([NEW, OLD])

    resealed = both.reseal(sealed)

    assert both.unseal(sealed, HERE) == "s3cret"
    assert resealed.startswith(f"v1.{key_id(NEW)}.")
    assert KeyRing([NEW]).unseal(resealed, HERE) == "s3cret"
    assert both.reseal(resealed) == resealed


def test_a_missing_key_is_named_by_its_id() -> None:
    sealed = KeyRing([OLD]).seal("s3cret", HERE)

    with pytest.raises(CannotOpen, match=f"sealed under key {key_id(OLD)}"):
        KeyRing([NEW]).unseal(sealed, HERE)


@pytest.mark.parametrize("text", ["", "plain", "v1..", "v2.aaaa.bbbb"])
def test_what_is_no_sealed_value_does_not_open(text: str) -> None:
    with pytest.raises(CannotOpen):
        KeyRing([NEW]).unseal(text, HERE)


def test_an_altered_value_does_not_open() -> None:
    sealed = KeyRing([NEW]).seal("s3cret", HERE)

    with pytest.raises(CannotOpen, match="altered"):
        KeyRing([NEW]).unseal(sealed[:-3] + "AAA", HERE)


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, "not a key"]])
def test_a_wrong_key_is_refused_without_being_shown(keys: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        KeyRing(keys)

    assert "short" not in str(caught.value)


def test_a_fingerprint_is_the_same_for_the_same_value_and_purpose_alone(settings: Settings) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    made = crypto.fingerprint("u_1", "sessions")
    assert made == crypto.fingerprint("u_1", "sessions")
    assert re.fullmatch("[0-9a-f]{64}", made)
    assert len({made, crypto.fingerprint("u_2", "sessions"), crypto.fingerprint("u_1", "caches")}) == 3
    settings.FIELD_ENCRYPTION_KEYS = [OLD, NEW]
    assert crypto.fingerprint("u_1", "sessions") != made
    assert crypto.fingerprints("u_1", "sessions")[1] == made


def test_keys_are_derived_for_one_purpose_each_and_are_none_of_the_ring() -> None:
    ring = KeyRing([NEW, OLD])
    derived = ring.derived("tokens")
    assert list(derived) == list(ring.key_ids)
    assert {len(key) for key in derived.values()} == {32}
    assert len({*derived.values(), *ring.derived("caches").values()}) == 4
    assert not {NEW.encode(), base64.urlsafe_b64decode(NEW)} & set(derived.values())
