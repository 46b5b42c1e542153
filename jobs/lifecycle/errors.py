"""What a transition may be refused with."""

from __future__ import annotations

from core.errors import Conflict
from jobs.states import JobStatus


class IllegalTransition(Conflict):
    """The state of the job does not allow it; the answer names the state that was found."""

    code = "illegal_state"

    def __init__(self, verb: str, found: JobStatus, detail: str = "", *, code: str | None = None) -> None:
        super().__init__(
            detail or f"a job that is {found} cannot be asked to {verb}",
            code=code,
            extra={"status_found": str(found)},
        )


class NotRecurring(Conflict):
    """Only a recurring job can be paused or triggered."""

    code = "not_recurring"
