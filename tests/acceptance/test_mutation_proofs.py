"""The checks of F1, F4 and F13 can fail: without the guard, the fault's own scenario goes red.

Three systems whose code lacks a guard, side by side.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.matching import match
from tests.acceptance.system import Cluster, System
from tests.acceptance.test_f01_worker_killed import late_result
from tests.acceptance.test_f04_schedulers_at_random import run_grid
from tests.acceptance.test_f13_wakeups import storm
from tests.mutants.guards import DOUBLE_CLAIM, DOUBLE_PROMOTION, FAULTS, LATE_RESULT
from tests.mutants.mutant import Mutant
from tests.servers.breakable import Redis

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def promotions(system: System) -> None:
    jobs, _ = run_grid(system, random.Random(4), quiet=True)
    system.wait_for(list(jobs))
    match(system, jobs)
    system.fsck()


def claims(system: System) -> None:
    for _ in range(3):
        storm(system)
        system.fsck()


SCENARIOS: dict[str, Callable[[System], object]] = {
    LATE_RESULT.name: late_result,
    DOUBLE_PROMOTION.name: promotions,
    DOUBLE_CLAIM.name: claims,
}


@pytest.fixture(scope="module")
def proofs(cluster: Cluster, folder: Path) -> Iterator[dict[str, Future[str]]]:
    """What each scenario says of a system without the guard."""

    def play(mutant: Mutant) -> str:
        home = folder / mutant.name.replace(" ", "-")
        redis = Redis(home / "redis")
        redis.start()
        try:
            with System(home, databases[mutant.name], redis, **mutant.environment()) as system:
                system.execute(*mutant.sql)
                system.start()
                try:
                    SCENARIOS[mutant.name](system)
                except AssertionError as error:
                    return str(error)
                return ""
        finally:
            redis.stop()

    databases = {mutant.name: cluster.database() for mutant in FAULTS}
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        yield {mutant.name: pool.submit(play, mutant) for mutant in FAULTS}


def test_f1_goes_red_when_outcomes_are_written_without_their_fence(
    proofs: dict[str, Future[str]], note: Callable[[str, str], None]
) -> None:
    said = proofs[LATE_RESULT.name].result()
    assert "{'attempt': 1} == {'attempt': 2}" in said, said
    note("F1", "without the fence in `finish`: red, the late result of the frozen worker stands")


def test_f4_goes_red_when_schedulers_promote_without_their_guards(
    proofs: dict[str, Future[str]], note: Callable[[str, str], None]
) -> None:
    said = proofs[DOUBLE_PROMOTION.name].result()
    assert "too many [1" in said, said
    note("F4", f"without lock, status and UNIQUE in `promote`: red, {said.splitlines()[0]}")


def test_f13_goes_red_when_runs_are_claimed_without_their_guards(
    proofs: dict[str, Future[str]], note: Callable[[str, str], None]
) -> None:
    said = proofs[DOUBLE_CLAIM.name].result()
    assert "times instead of 1" in said, said
    note("F13", f"without lock and status in the claim: red, {said.splitlines()[0]}")
