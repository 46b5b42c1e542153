"""F16: workers are told to end, one after the other, under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.acceptance.matching import match
from tests.acceptance.system import System
from tests.servers.local import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

LONG_RUNS = 4
EXIT_SECONDS = 30.0


def test_f16_a_deploy_fails_no_run_and_hands_long_ones_over(house: System, note: Callable[[str, str], None]) -> None:
    house.answer("f16-long", *[{"hang": True}] * LONG_RUNS, {})
    house.answer("f16", {"delay": 0.3})
    long = house.dispatch_many(LONG_RUNS, "f16-long", timeout=600_000)
    wait_until(lambda: len(house.calls(*long)) == LONG_RUNS, "the long runs run")
    short: list[str] = []
    enough = threading.Event()

    def load() -> None:
        while not enough.is_set():
            short.extend(house.dispatch_many(5, "f16"))
            enough.wait(0.1)

    loader = threading.Thread(target=load)
    loader.start()
    exits = []
    try:
        for old in house.workers():
            house.worker()  # its successor
            house.wait_for_workers(len(house.workers()))
            told = time.monotonic()
            old.terminate()
            status = old.wait(EXIT_SECONDS)
            assert status == 0, f"{old.log.name} exited with {status}"
            exits.append(time.monotonic() - told)
    finally:
        enough.set()
        loader.join()

    house.wait_for(short + long)
    shorts = match(house, short)
    longs = match(house, long, again=long)
    for job_id in long:
        (run,) = house.history(job_id)
        assert [(one["status"], one.get("error")) for one in run["attempts"]] == [
            ("lost", "handed back by its worker"),
            ("completed", None),
        ]
    assert house.count("jobs_execution", "status = 'failed' AND code IN ('LOST', 'CANCELLED')") == 0
    house.fsck()
    seconds = ", ".join(f"{one:.1f}" for one in exits)
    note("F16", f"exits after {seconds} s; short: {shorts}; long: {longs}; none failed")
