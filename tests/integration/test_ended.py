"""Where in the outbox a moment is: found by halves within the database, alike on both."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from jobs.ended import first_event_at
from jobs.models import JobEvent

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def test_an_empty_outbox_begins_at_one() -> None:
    assert first_event_at(BEGIN) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_the_first_event_not_older_is_found_whatever_ids_are_missing(count: int) -> None:
    chance = random.Random(count)
    numbers = sorted(chance.sample(range(1, 4 * count + 1), count))
    times = sorted(BEGIN + timedelta(seconds=chance.randint(0, count)) for _ in numbers)
    JobEvent.objects.bulk_create(
        JobEvent(id=number, job_id=uuid4(), seq=1, type="job.completed", status="completed", at=at)
        for number, at in zip(numbers, times, strict=True)
    )
    for moment in {at + timedelta(microseconds=by) for at in times for by in (-1, 0, 1)}:
        found = first_event_at(moment)
        older = [number for number, at in zip(numbers, times, strict=True) if at < moment]
        assert [number for number in numbers if number < found] == older, moment
