"""500 histories whose every reason is known: explain tells it, or that it is not known, and never another."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from random import Random

import pytest

from jobs.lifecycle.prune import prune
from jobs.models import Execution, Hold, Job, JobEvent, Scheduler
from jobs.operations.explain import explain
from tests.conformance.clockwork import Time
from tests.conformance.histories import STEP, TICKS, World

pytestmark = pytest.mark.django_db

SEEDS, WORLDS, JOBS = range(6, 11), 4, 25  # 500 histories; the last world of each seed is pruned
ALWAYS_TOLD = {
    "ran", "between_attempts", "waited_to_begin", "skipped_previous_running", "missed", "paused", "cancelled",
    "limit_reached", "after_end_date", "before_start", "scheduled", "not_an_occurrence",
}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_explain_never_tells_a_wrong_reason(seed: int) -> None:
    rng = Random(seed)
    told: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(WORLDS):
        with ExitStack() as stack:
            world = World(rng, Time(stack), JOBS)
            now = world.live()
            pruned = number == WORLDS - 1
            if pruned:
                prune(timedelta(seconds=rng.uniform(0.2, 0.9) * TICKS * STEP.total_seconds()))
            for history in world.histories:
                job = Job.objects.filter(pk=history.job.pk).first()
                if job is None:  # it has ended, and is pruned
                    continue
                for at in history.moments(now):
                    true = history.why(at, now, held=history.namespace in world.held, up=world.up)
                    answer = explain(job, at)
                    told[str(answer.reason)] += not pruned
                    if answer.reason not in {*true, "not_known"}:
                        wrong.append(f"{number} {history.kind} {at - world.begin}: {sorted(true)}, told {answer}")
        for rows in (JobEvent, Execution, Job, Hold, Scheduler):
            rows.objects.all().delete()
    assert not wrong, "\n".join(wrong)
    assert ALWAYS_TOLD - set(told) == set()
    assert told["not_known"] < 0.1 * told.total()  # what is not pruned is known, but for reschedules
