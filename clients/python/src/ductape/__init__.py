"""The client of Ductape Jobs: `Ductape`, and `AsyncDuctape` for asyncio. Everything that a user names is here."""

from ductape import errors
from ductape._async.client import AsyncDuctape
from ductape._async.job import AsyncDispatched, AsyncJob, AsyncJobPage
from ductape._sync.client import Ductape
from ductape._sync.job import Dispatched, Job, JobPage
from ductape.errors import (
    ApiError,
    BrokenAnswer,
    ConnectionFailed,
    DuctapeError,
    InvalidArgument,
    TimedOut,
    WaitTimeout,
    WebhookVerificationError,
)
from ductape.options import DispatchOptions, Item, RetryConfig, Schedule, Session
from ductape.results.event import (
    Delivery,
    DeliveryAttempt,
    DeliveryPage,
    EventName,
    JobEvent,
    Webhook,
    WebhookEvent,
    WebhookJob,
    WebhookStats,
)
from ductape.results.explanation import Explanation
from ductape.results.job import Attempt, Execution, JobData, JobHistory, JobStatus, RunStatus
from ductape.results.many import ManyResult, Operation, Skipped
from ductape.results.product import CatalogDiff, ConnectionCheck, Definition, Hold, Part
from ductape.results.service import ApiKey, Preview, Queue, Readiness, Scheduler, Worker, Workers
from ductape.results.stats import Bucket, JobSeries, JobStats, Percentiles
from ductape.signatures import verify_webhook

__all__ = [
    "ApiError",
    "ApiKey",
    "AsyncDispatched",
    "AsyncDuctape",
    "AsyncJob",
    "AsyncJobPage",
    "Attempt",
    "BrokenAnswer",
    "Bucket",
    "CatalogDiff",
    "ConnectionCheck",
    "ConnectionFailed",
    "Definition",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryPage",
    "DispatchOptions",
    "Dispatched",
    "Ductape",
    "DuctapeError",
    "EventName",
    "Execution",
    "Explanation",
    "Hold",
    "InvalidArgument",
    "Item",
    "Job",
    "JobData",
    "JobEvent",
    "JobHistory",
    "JobPage",
    "JobSeries",
    "JobStats",
    "JobStatus",
    "ManyResult",
    "Operation",
    "Part",
    "Percentiles",
    "Preview",
    "Queue",
    "Readiness",
    "RetryConfig",
    "RunStatus",
    "Schedule",
    "Scheduler",
    "Session",
    "Skipped",
    "TimedOut",
    "WaitTimeout",
    "Webhook",
    "WebhookEvent",
    "WebhookJob",
    "WebhookStats",
    "WebhookVerificationError",
    "Worker",
    "Workers",
    "errors",
    "verify_webhook",
]
