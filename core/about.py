"""What a log line is about: the request or the run that the code at hand works for.

Held in context variables, so that each thread and each coroutine has its own; whoever formats the
line asks here. Never looks at the message itself.
"""

from __future__ import annotations

from contextvars import ContextVar
from uuid import UUID

from core.ids import encode

request: ContextVar[str] = ContextVar("about_request", default="")
_run: ContextVar[tuple[UUID, int] | None] = ContextVar("about_run", default=None)


def this_run(job_id: UUID, number: int) -> None:
    """From here on this coroutine (and what it starts) works for that run of that job."""
    _run.set((job_id, number))


def ids() -> dict[str, object]:
    """`request_id`, `job_id` and `run`, as far as they are known here."""
    known: dict[str, object] = {}
    if identifier := request.get():
        known["request_id"] = identifier
    if (run := _run.get()) is not None:
        known["job_id"], known["run"] = encode("job", run[0]), run[1]
    return known
