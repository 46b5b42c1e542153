"""Public identifiers: reversible, sortable, and nothing else is one."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import decode, encode, new_uuid


@given(st.uuids())
def test_an_id_is_read_back(value: UUID) -> None:
    assert decode("job", encode("job", value)) == value


@given(st.uuids(), st.uuids())
def test_ids_sort_as_their_numbers_do(a: UUID, b: UUID) -> None:
    assert (encode("job", a) < encode("job", b)) == (a.int < b.int)


def test_new_ones_grow_and_are_version_7() -> None:
    made = [new_uuid() for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == 10_000
    assert {(value.version, value.variant) for value in made} == {(7, "specified in RFC 4122")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "job_",
        "job",
        "run_01k0000000000000000000000a",
        "job_8" + "0" * 25,
        "job_" + "0" * 25,
        "job_" + "0" * 27,
        "job_" + "u" * 26,
    ],
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert decode("job", text) is None
