"""What lists, statistics and the …-many calls select by. Names and checks; the API's spelling comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from ductape.arguments import Check, Time, choice, flag, given, labels, moment, several, text, whole
from ductape.results.job import JobStatus

LastRun = Literal["completed", "failed", "cancelled"]
STATUSES = ("scheduled", "queued", "running", "completed", "failed", "cancelled", "paused")
RUN_STATUSES = ("running", "completed", "failed", "cancelled", "skipped", "missed")

_PLACE: Mapping[str, Check] = {"product": text, "env": text, "namespace": text}
_WINDOW: Mapping[str, Check] = {"from_": moment, "from": moment, "to": moment}
FILTER: Mapping[str, Check] = {
    **_PLACE,
    **_WINDOW,
    "status": several(choice(*STATUSES)),
    "recurring": flag,
    "target": text,
    "label": labels,
    "queue": text,
    "q": text,
    "last_run_status": choice("completed", "failed", "cancelled"),
    "consecutive_failures": whole(1),
    "retrying": flag,
}
WINDOW: Mapping[str, Check] = {**_PLACE, **_WINDOW}


class Window(TypedDict, total=False):
    """Which jobs and runs statistics are of. `from_` is the contract's `from`, a word of Python's (`**{"from": …}` is taken, too)."""

    product: str | None
    env: str | None
    namespace: str | None
    from_: Time | None
    to: Time | None


class Filter(Window, total=False):
    """Which jobs; all that are given must hold."""

    status: JobStatus | Sequence[JobStatus] | None
    recurring: bool | None
    target: str | None
    label: str | Sequence[str] | Mapping[str, str] | None
    queue: str | None
    q: str | None
    last_run_status: LastRun | None
    consecutive_failures: int | None
    retrying: bool | None


def in_query(values: Mapping[str, Any], checks: Mapping[str, Check] = FILTER) -> dict[str, Any]:
    """For a query: several states are a comma list, `label` is repeated."""
    found = in_body(values, checks)
    if "status" in found:
        found["status"] = ",".join(found["status"])
    return found


def in_body(values: Mapping[str, Any], checks: Mapping[str, Check] = FILTER) -> dict[str, Any]:
    found = given(checks, values)
    if "from_" in found:
        found["from"] = found.pop("from_")
    return found
