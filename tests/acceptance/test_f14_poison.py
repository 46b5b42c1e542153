"""F14: jobs that crash their process, loop for ever, or ignore being cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.system import System
from tests.servers.local import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

PROBES, PAUSE_SECONDS = 150, 0.03


def p99_of_probes(system: System) -> float:
    """Short jobs one after the other: from the dispatch to the start of their code, in ms."""
    sent: dict[str, float] = {}
    for _ in range(PROBES):
        at = time.time()
        (job_id,) = system.submit([system.echo()])
        sent[job_id] = at
        time.sleep(PAUSE_SECONDS)
    system.wait_for(list(sent))
    waits: list[float] = sorted(1000 * (system.get(job_id)["result"]["at"] - at) for job_id, at in sent.items())
    return waits[round(0.99 * (len(waits) - 1))]


@pytest.fixture
def isolated(house: System) -> Iterator[System]:
    """The house, with a worker for the queue whose runs have processes of their own."""
    worker = house.worker(QUEUES="isolated", ISOLATED_CONCURRENCY="2")
    wait_until(lambda: "serves isolated" in worker.said(), "the worker of the isolated queue is there", 60)
    yield house
    assert worker.alive
    worker.end()


def test_f14_poison_ends_after_bounded_attempts_and_others_do_not_wait(
    isolated: System, note: Callable[[str, str], None]
) -> None:
    house = isolated
    control = p99_of_probes(house)
    crash = house.submit([house.poison("crash", queue="isolated") for _ in range(3)])
    loop = house.submit([house.poison("loop", queue="isolated", timeout=1_500, retries=1, retryConfig=QUICK)])
    deaf = house.submit([house.poison("deaf", queue=queue, timeout=1_500) for queue in ("isolated", "default")])

    meanwhile = p99_of_probes(house)

    for job_ids in (crash, loop, deaf):
        house.wait_for(job_ids, "failed", 90)
    for job_id in crash:
        (run,) = house.history(job_id)
        assert (run["code"], [one["status"] for one in run["attempts"]]) == ("POISON", ["lost", "lost", "failed"])
        assert "SIGKILL" in run["error"]
    (run,) = house.history(loop[0])
    assert (run["code"], [one["code"] for one in run["attempts"]]) == ("TIMEOUT", ["TIMEOUT", "TIMEOUT"])
    for job_id in deaf:
        (run,) = house.history(job_id)
        assert (run["code"], len(run["attempts"])) == ("TIMEOUT", 1)
    assert len(house.workers()) == 3  # none of them died of it
    assert meanwhile < 5 * control + 250, (control, meanwhile)  # a poisoned worker would cost seconds
    house.fsck()
    note(
        "F14",
        f"crash: POISON at the 3rd loss; loop, deaf: TIMEOUT; others' p99 {meanwhile:.0f} ms, before {control:.0f}",
    )


QUICK = {"initialDelay": 100, "jitter": False}
