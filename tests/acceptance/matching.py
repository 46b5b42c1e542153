"""Expected occurrences ↔ executions ↔ what the receiver saw: one to one, or an AssertionError that says where not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.acceptance.system import System, id_of, uuid_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Matched:
    """What was matched."""

    jobs: int
    runs: int
    calls: int
    repeated: tuple[str, ...]  # keys that the receiver saw more than once

    def __str__(self) -> str:
        text = f"{self.runs} runs of {self.jobs} jobs, {self.calls} calls"
        return f"{text}, {len(self.repeated)} keys twice" if self.repeated else f"{text}, no key twice"


def grid(first: int, every: int, count: int) -> list[int]:
    """The occurrences of an interval: Unix ms."""
    return [first + number * every for number in range(count)]


def match(
    system: System,
    jobs: Iterable[str] | Mapping[str, Sequence[int]],
    *,
    again: Iterable[str] = (),
    status: str = "completed",
) -> Matched:
    """Every expected occurrence has one execution with that status, every execution was expected, each
    was called once under its own key, and no other call was made.

    A job without a list of occurrences has one run, at its own time. `again` are the jobs whose
    runs lost an attempt after their call went out: their key comes twice, and no other does.
    """
    occurrences = jobs if isinstance(jobs, Mapping) else dict.fromkeys(jobs)
    runs = _runs(system, occurrences)
    problems = []
    for job_id, expected in occurrences.items():
        found = [at for at, _, _ in runs[job_id]]
        if expected is None:
            if len(found) != 1:
                problems.append(f"{job_id}: {len(found)} runs instead of 1")
        elif Counter(found) != Counter(expected):
            lost, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
            problems.append(f"{job_id}: occurrences lost {sorted(lost)}, too many {sorted(extra.elements())}")
        problems += [f"{job_id} run {number}: {state}" for _, number, state in runs[job_id] if state != status]

    twice = set(again)
    keys = Counter(call.key for call in system.calls(*occurrences))
    for job_id in occurrences:
        for _, number, _ in runs[job_id]:
            times, key = keys.pop(f"{job_id}:{number}", 0), f"{job_id}:{number}"
            wanted = 2 if job_id in twice else 1
            if times != wanted:
                problems.append(f"the receiver saw {key} {times} times instead of {wanted}")
    problems += [f"the receiver saw {key}, which is no run" for key in keys]
    assert not problems, f"{len(problems)} mismatches:\n" + "\n".join(problems[:20])
    calls = system.calls(*occurrences)
    repeated = [key for key, times in Counter(call.key for call in calls).items() if times > 1]
    count = sum(len(rows) for rows in runs.values())
    return Matched(jobs=len(occurrences), runs=count, calls=len(calls), repeated=tuple(repeated))


def _runs(system: System, jobs: Iterable[str]) -> dict[str, list[tuple[int, int | None, str]]]:
    """(scheduled_at in ms, number, status) of every row of the history, skipped ones included."""
    found: dict[str, list[tuple[int, int | None, str]]] = defaultdict(list)
    rows = system.rows(
        "SELECT job_id, round(extract(epoch FROM scheduled_at) * 1000)::bigint, number, status FROM jobs_execution "
        "WHERE job_id = ANY(%s::uuid[]) ORDER BY id",
        [uuid_of(job_id) for job_id in jobs],
    )
    for uuid, at, number, status in rows:
        found[id_of(uuid)].append((at, number, status))
    return found
