"""Each guard of the engine as a mutant, the code without it, and the test that goes red. Data only.

Guards that stand behind one another are taken out together: alone, each of them leaves the others.
"""

from __future__ import annotations

from tests.mutants.mutant import Mutant
from tests.mutants.webhook_guards import WEBHOOKS

REAP = "jobs.lifecycle.reap"
POSTGRESQL = "jobs.lifecycle.sql.postgresql"
SQLITE = "jobs.lifecycle.sql.sqlite"


_UPDATE_GUARD = "x.id = c.id AND x.status || '' = 'queued'"
_CLAIM = "NOT (SELECT waiting FROM keyed)\n    AND {_MAY_RUN}\n  ORDER BY e.priority DESC, e.due_at, e.id\n  LIMIT %(room)s\n"

# What the three faults rest on: each is shown by the fault's own scenario with real processes.
LATE_RESULT = Mutant(
    name="finish without the fence",
    guard="an outcome is written under the fence it was claimed with",
    changes=((POSTGRESQL, "x.fence = l.fence AND x.status", "x.status"),),
    killed_by="tests/acceptance/test_mutation_proofs.py::test_f1_goes_red_when_outcomes_are_written_without_their_fence",
)
DOUBLE_PROMOTION = Mutant(
    name="promote without guards",
    guard="the lock of the job, the status it was read with, and one row per occurrence",
    changes=(
        (POSTGRESQL, "  LIMIT %(room)s\n  FOR NO KEY UPDATE SKIP LOCKED\n),\no AS", "  LIMIT %(room)s\n),\no AS"),
        (POSTGRESQL, "j.id = (o ->> 0)::uuid AND j.status || '' = o ->> 1", "j.id = (o ->> 0)::uuid"),
    ),
    sql=("DROP INDEX execution_one_per_occurrence",),
    killed_by="tests/acceptance/test_mutation_proofs.py::test_f4_goes_red_when_schedulers_promote_without_their_guards",
)  # fmt: skip
DOUBLE_CLAIM = Mutant(
    name="claim without guards",
    guard="the lock of the job and the status of the run in a claim",
    changes=(
        (POSTGRESQL, _CLAIM + "  FOR NO KEY UPDATE OF j SKIP LOCKED\n", _CLAIM),
        (POSTGRESQL, _UPDATE_GUARD, "x.id = c.id"),
    ),
    killed_by="tests/acceptance/test_mutation_proofs.py::test_f13_goes_red_when_runs_are_claimed_without_their_guards",
)

FAULTS = (LATE_RESULT, DOUBLE_PROMOTION, DOUBLE_CLAIM)

MUTANTS = (
    *FAULTS,
    Mutant(
        name="promote without the lock",
        guard="a second scheduler passes over locked jobs",
        changes=(
            (POSTGRESQL, "  LIMIT %(room)s\n  FOR NO KEY UPDATE SKIP LOCKED\n),\no AS", "  LIMIT %(room)s\n),\no AS"),
        ),
        killed_by="tests/conformance/test_leases.py::test_a_second_scheduler_passes_over_the_jobs_that_the_first_is_promoting",
    ),
    Mutant(
        name="reaper keeps the fence",
        guard="what is taken back has its fence raised",
        changes=((REAP, "        back,\n        fence=run.fence + 1,", "        back,\n        fence=run.fence,"),),
        killed_by="tests/conformance/test_claims.py::test_the_runs_of_a_worker_that_died_run_again_under_a_higher_fence",
    ),
    Mutant(
        name="reaper without the lease",
        guard="a beat that comes first keeps the worker alive",
        changes=(
            (REAP, "expired = Worker.objects.filter(settled=False, stopped_at__isnull=True, lease_until__lt=now)", "expired = Worker.objects.filter(settled=False, stopped_at__isnull=True)"),
            (REAP, "Worker.objects.filter(pk=worker_id, stopped_at__isnull=True, lease_until__lt=now)", "Worker.objects.filter(pk=worker_id, stopped_at__isnull=True)"),
        ),
        killed_by="tests/conformance/test_claims.py::test_a_lease_that_ran_out_is_renewed_by_a_beat_that_comes_before_the_reaper",
    ),
    Mutant(
        name="reaper takes from anybody",
        guard="a loss is written for its owner's run, under the fence it was seen with",
        changes=((REAP, "if fence is not None and run.fence != fence:", "if False:"),),
        killed_by="tests/conformance/test_leases.py::test_a_loss_is_written_only_under_the_fence_it_was_seen_with",
        postgresql=False,
    ),
    Mutant(
        name="claim by the dead",
        guard="a worker that was taken for dead claims nothing",
        changes=((POSTGRESQL, "w.id = %(worker)s AND w.stopped_at IS NULL", "w.id = %(worker)s"),),
        killed_by="tests/conformance/test_leases.py::test_a_worker_that_was_taken_for_dead_claims_nothing",
    ),
    Mutant(
        name="settled at once",
        guard="a stopped worker is looked at until no claim of it can be on its way",
        changes=((REAP, "stopped.filter(~Exists(owns), stopped_at__lt=now - SETTLED_AFTER)", "stopped.filter(~Exists(owns))"),),
        killed_by="tests/conformance/test_leases.py::test_a_claim_that_was_on_its_way_when_its_worker_was_stopped_is_still_taken_back",
    ),
    Mutant(
        name="scheduler without patience",
        guard="after a database that hung, a lease passes before anything is taken back",
        changes=(("jobs.scheduler", "if at - self._answered > GAP_SECONDS:", "if False:"),),
        killed_by="tests/conformance/test_leases.py::test_after_a_database_that_hung_a_scheduler_waits_a_lease_before_it_takes_anything_back",
        postgresql=False,
    ),
    Mutant(
        name="claim in spite of a hold",
        guard="a hold is a condition of the claim",
        changes=((POSTGRESQL, "WHERE h.product_id = e.product_id", "WHERE h.product_id = -e.product_id"),),
        killed_by="tests/conformance/test_claims.py::test_a_hold_covers_its_scope_until_it_is_released",
    ),
    Mutant(
        name="claim in spite of a hold, SQLite",
        guard="the same in the other dialect",
        changes=((SQLITE, "  AND NOT EXISTS (SELECT 1 FROM jobs_hold h WHERE h.product_id = e.product_id\n                  AND", "  AND NOT EXISTS (SELECT 1 FROM jobs_hold h WHERE h.product_id = -e.product_id\n                  AND"),),
        killed_by="tests/conformance/test_claims.py::test_a_hold_covers_its_scope_until_it_is_released",
        postgresql=False,
    ),
    Mutant(
        name="a one-off beside its own run",
        guard="a job that became a one-off while it ran runs again when that has ended",
        changes=((POSTGRESQL, "(NOT j.recurring AND j.behind = ''", "(NOT j.recurring"),),
        killed_by="tests/conformance/test_one_after_the_other.py::test_a_running_job_that_becomes_a_one_off_runs_again_when_it_has_ended",
    ),
    Mutant(
        name="a one-off beside its own run, SQLite",
        guard="the same in the other dialect",
        changes=((SQLITE, "(NOT j.recurring AND j.behind = ''", "(NOT j.recurring"),),
        killed_by="tests/conformance/test_one_after_the_other.py::test_a_running_job_that_becomes_a_one_off_runs_again_when_it_has_ended",
        postgresql=False,
    ),
    Mutant(
        name="finish what has ended, SQLite",
        guard="an outcome is written once",
        changes=((SQLITE, "AND jobs_execution.fence = d.fence AND jobs_execution.status = 'running'", "AND jobs_execution.fence = d.fence"),),
        killed_by="tests/conformance/test_claims.py::test_one_row_that_is_not_the_callers_does_not_spoil_a_batch",
        postgresql=False,
    ),
    Mutant(
        name="finish what has ended",
        guard="an outcome is written once",
        changes=((POSTGRESQL, "x.fence = l.fence AND x.status || '' = 'running'", "x.fence = l.fence"),),
        killed_by="tests/conformance/test_claims.py::test_one_row_that_is_not_the_callers_does_not_spoil_a_batch",
    ),
    Mutant(
        name="told of another product",
        guard="an event is wanted where somebody listens to its product",
        changes=(("jobs.lifecycle.sql.events", "AND h.product_id IN (0, {product}))", "AND {product} > 0)"),),
        killed_by="tests/conformance/test_heard_events.py::test_nothing_of_all_this_is_written_where_nobody_listens",
    ),
    Mutant(
        name="every attempt is a start",
        guard="a run is told to have started once",
        changes=((POSTGRESQL, "x.attempt = 1 AND {heard", "{heard"),),
        killed_by="tests/conformance/test_heard_events.py::test_a_run_is_told_to_have_started_once_however_many_attempts_it_takes",
    ),
    Mutant(
        name="every attempt is a start, SQLite",
        guard="the same in the other dialect",
        changes=((SQLITE, "(x.attempt = 1 AND {heard", "({heard"),),
        killed_by="tests/conformance/test_heard_events.py::test_a_run_is_told_to_have_started_once_however_many_attempts_it_takes",
        postgresql=False,
    ),
    Mutant(
        name="prune what is waited for",
        guard="an event that somebody waits for is kept until it is taken",
        changes=(("jobs.lifecycle.prune", "return old if waiting is None else old.filter(pk__lt=waiting)", "return old"),),
        killed_by="tests/conformance/test_prune.py::test_what_somebody_waits_for_stays_until_it_is_taken_and_leaves_no_gap",
        postgresql=False,
    ),
    Mutant(
        name="two who say who listens",
        guard="who says who listens waits for the one before",
        changes=(("jobs.listening", 'sql.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])', 'sql.execute("SELECT 1")'),),
        killed_by="tests/conformance/test_listening.py::test_who_says_who_listens_waits_for_the_one_before",
    ),
    *WEBHOOKS,
)  # fmt: skip
