"""Jobs, runs and the service as OpenAPI schemas: what `shapes` answers and what bodies may hold."""

from __future__ import annotations

from core.openapi import (
    ANY_OBJECT,
    COUNT,
    DURATION,
    FLAG,
    TEXT,
    TIME,
    TIME_GIVEN,
    Schema,
    list_of,
    nullable,
    obj,
    one_of,
    ref,
)  # fmt: skip
from jobs.api import definitions, dispatch_schemas, operations
from jobs.schedule.model import DST_GAPS, DST_OVERLAPS, MISFIRES, OVERLAPS
from jobs.states import JobStatus, Trigger

_STATUS = one_of(*map(str, JobStatus))
_RUN_STATUS = one_of("running", "completed", "failed", "cancelled", "skipped", "missed")
_ERROR: dict[str, Schema] = {"code": TEXT, "error": TEXT, "retryable": FLAG}

JOB = obj(
    {
        "id": TEXT,
        "status": _STATUS,
        "namespace": TEXT,
        "product": TEXT,
        "env": TEXT,
        "target": ANY_OBJECT,
        "scheduled_at": TIME,
        "recurring": FLAG,
        "execution_count": COUNT,
        "successful_executions": COUNT,
        "failed_executions": COUNT,
        "consecutive_failures": COUNT,
        "retries": COUNT,
        "retry_count": COUNT,
        "timeout": DURATION,
        "priority": {"type": "integer", "minimum": 0, "maximum": 9},
        "queue": TEXT,
        "labels": {"type": "object", "additionalProperties": TEXT},
        "input": ANY_OBJECT,
        "schedule": {**ANY_OBJECT, "description": "as it was given"},
        "created_at": TIME,
        "updated_at": TIME,
    },
    {
        "started_at": TIME,
        "completed_at": TIME,
        "start_at": TIME,
        "next_run_at": TIME,
        "next_attempt_at": {**TIME, "description": "the end of a back-off or a delay, in ms"},
        "cron": TEXT,
        "every": DURATION,
        "tz": TEXT,
        "limit": COUNT,
        "end_date": TIME,
        "overlap": one_of(*OVERLAPS),
        "misfire": one_of(*MISFIRES),
        "last_error": TEXT,
        "last_run_status": one_of("completed", "failed", "cancelled"),
        "result": {"description": "of the last run that ended, if it completed"},
        "cancelled_at": TIME,
        "cancel_reason": TEXT,
        "paused_at": TIME,
        "pause_note": TEXT,
        "definition": TEXT,
        "unique_key": TEXT,
        "concurrency_key": TEXT,
        "concurrency_limit": COUNT,
        "retryConfig": ANY_OBJECT,
        "cache": TEXT,
    },
    description="A dispatched event of a product and when it runs.",
)

JOB_PAGE = obj(
    {"jobs": list_of(ref("Job")), "limit": COUNT, "next_cursor": nullable(TEXT)},
    {
        "total": {**COUNT, "description": "left out with a cursor"},
        "total_is_lower_bound": {**FLAG, "description": "there are more than were counted"},
        "offset": COUNT,
    },
)

_ATTEMPT = obj(
    {
        "attempt": COUNT,
        "status": one_of("running", "completed", "failed", "cancelled", "lost"),
        "started_at": TIME,
    },
    {"completed_at": TIME, "duration_ms": DURATION, **_ERROR},
)
_EXECUTION = obj(
    {
        "number": {**nullable(COUNT), "description": "from 1; null where the run never began"},
        "status": _RUN_STATUS,
        "trigger": one_of(*map(str, Trigger)),
        "scheduled_at": TIME,
        "started_at": TIME,
        "attempts": list_of(_ATTEMPT),
    },
    {
        "completed_at": TIME,
        "duration_ms": DURATION,
        "lateness_ms": {
            **DURATION,
            "description": "from when it was due to its first attempt; not told of retried runs",
        },
        "next_attempt_at": TIME,
        "result": {},
        "cached": {**FLAG, "description": "true: the result is an earlier run's, kept in the job's cache"},
        "steps": {
            **list_of(ANY_OBJECT),
            "description": "what its attempts have done, each under its `step`; kept for the next attempt",
        },
        "skip_reason": TEXT,
        "count": {**COUNT, "description": "occurrences that this row stands for"},
        "last_scheduled_at": TIME,
        **_ERROR,
    },
)
HISTORY = obj(
    {
        "job_id": TEXT,
        "total_executions": COUNT,
        "successful_executions": COUNT,
        "failed_executions": COUNT,
        "executions": list_of(ref("Execution")),
    }
)

SCHEDULE = obj(
    {},
    {
        "start_at": nullable(TIME_GIVEN),
        "cron": {"type": ["string", "null"], "description": "5 fields, or 6 with seconds first; names, L, W, #"},
        "every": {"type": ["integer", "null"], "minimum": 100},
        "limit": {"type": ["integer", "null"], "minimum": 1},
        "endDate": nullable(TIME_GIVEN),
        "end_date": nullable(TIME_GIVEN),
        "tz": {"type": ["string", "null"]},
        "timezone": {"type": ["string", "null"]},
        "overlap": nullable(one_of(*OVERLAPS)),
        "misfire": nullable(one_of(*MISFIRES)),
        "misfire_grace": nullable(DURATION),
        "dst_gap": nullable(one_of(*DST_GAPS)),
        "dst_overlap": nullable(one_of(*DST_OVERLAPS)),
        "jitter": nullable(DURATION),
    },
)

_PERCENTILES = obj({name: nullable(DURATION) for name in ("p50", "p95", "p99")})
STATS = obj(
    {
        "total": COUNT,
        **{str(status): {**COUNT, "description": "jobs"} for status in JobStatus},
        "jobs_estimated": {
            **FLAG,
            "description": "jobs are more than 100 000, or the window has more than 20 000 events: `total` and what it is made of are an estimate",
        },
        "runs": {**COUNT, "description": "runs that ended in the window"},
        "runs_completed": COUNT,
        "runs_failed": COUNT,
        "success_rate": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
        "completed_first_try": COUNT,
        "completed_after_retry": COUNT,
        "avg_retry_count": {"type": ["number", "null"], "minimum": 0},
        "duration_ms": _PERCENTILES,
        "lateness_ms": _PERCENTILES,
        "runs_sampled": {
            **FLAG,
            "description": "only the newest of the runs that are not counted by time yet were looked at",
        },
        "percentiles_rounded": {
            **FLAG,
            "description": "percentiles are within 2.5 % (or 1 ms) of a value that occurred",
        },
    }
)
_BUCKET = obj(
    {
        "start": {**TIME, "description": "inclusive; a whole number of intervals since 1970"},
        "runs": COUNT,
        "runs_completed": COUNT,
        "runs_failed": COUNT,
        "success_rate": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
        "duration_ms": _PERCENTILES,
        "lateness_ms": _PERCENTILES,
    }
)
SERIES = obj(
    {
        "from": TIME,
        "to": TIME,
        "interval": DURATION,
        "buckets": list_of(_BUCKET),
        "runs_sampled": {**FLAG, "description": "percentiles are of an even sample of the runs; counts are of all"},
        "percentiles_rounded": {
            **FLAG,
            "description": "percentiles are within 2.5 % (or 1 ms) of a value that occurred",
        },
    }
)

HOLD = obj({"product": TEXT, "since": TIME}, {"env": TEXT, "namespace": TEXT, "note": TEXT, "actor": TEXT})
HOLDS = obj({"holds": list_of(ref("Hold"))})

WORKER = obj(
    {
        "id": COUNT,
        "host": TEXT,
        "pid": COUNT,
        "status": one_of("alive", "draining", "lost", "stopped"),
        "queues": list_of(TEXT),
        "concurrency": COUNT,
        "running": COUNT,
        "started_at": TIME,
        "beaten_at": TIME,
        "lease_until": TIME,
    },
    {"stopped_at": TIME},
)
SCHEDULER = obj({"host": TEXT, "pid": COUNT, "started_at": TIME, "seen_at": TIME})
WORKERS = obj({"workers": list_of(ref("Worker")), "schedulers": list_of(ref("Scheduler"))})
QUEUE = obj(
    {
        "name": TEXT,
        "depth": {**COUNT, "description": "runs that are due and unclaimed"},
        "oldest_age_ms": {**nullable(DURATION), "description": "how long the oldest of them has been due"},
        "running": COUNT,
        "held": {**COUNT, "description": "of the depth, those under a hold"},
        "workers": {**COUNT, "description": "processes that serve it"},
    }
)
QUEUES = obj({"queues": list_of(ref("Queue"))})
READINESS = obj(
    {
        "status": one_of("ready"),
        "checks": {"type": "object", "additionalProperties": obj({"ok": FLAG}, {"detail": TEXT})},
    }
)

COMPONENTS: dict[str, Schema] = {
    "Job": JOB,
    "JobPage": JOB_PAGE,
    "Execution": _EXECUTION,
    "JobHistory": HISTORY,
    "Schedule": SCHEDULE,
    "JobStats": STATS,
    "JobSeries": SERIES,
    "Hold": HOLD,
    "Holds": HOLDS,
    "Worker": WORKER,
    "Scheduler": SCHEDULER,
    "Workers": WORKERS,
    "Queue": QUEUE,
    "Queues": QUEUES,
    "Readiness": READINESS,
    **operations.COMPONENTS,
    **dispatch_schemas.COMPONENTS,
    **definitions.COMPONENTS,
}
