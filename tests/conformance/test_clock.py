"""The clock: the database's, measured again where this machine's own was set or stood still."""

from __future__ import annotations

import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import clock

pytestmark = pytest.mark.django_db


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the embedded database has the machine's clock")
def test_a_machine_that_slept_or_was_set_asks_the_database_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.database_now()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        clock.database_now()
    assert len(queries) == 0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)  # an hour went by that the monotonic clock did not count
    for expected in (1, 0):
        with CaptureQueriesContext(connection) as queries:
            clock.database_now()
        assert len(queries) == expected
