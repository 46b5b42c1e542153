"""`stats`: jobs by state, and how runs ended."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ductape import JobSeries, JobStats
from ductape.cli import shown, values
from ductape.cli.options import WINDOW, takes
from ductape.cli.session import Session
from ductape.filters import STATUSES

_BARS = " ▁▂▃▄▅▆▇█"


@takes(window=WINDOW)
def stats(
    session: Session,
    window: dict[str, Any],
    series: Annotated[str | None, typer.Option(metavar="DURATION", help="Over time, in buckets of that.")] = None,
) -> None:
    """Count jobs by state, and the runs that ended in a time."""
    if series is None:
        found = session.client.jobs.get_stats(**window)
        session.show(found.raw, lambda: _stats(found))
        return
    buckets = session.client.jobs.get_stats_series(interval=values.duration("--series", series), **window)
    session.show(buckets.raw, lambda: _series(buckets))


def _stats(found: JobStats) -> list[Any]:
    jobs = shown.table("jobs", "", right=("",))
    for name in STATUSES:
        jobs.add_row(shown.status(name), str(getattr(found, name)))
    jobs.add_row("total", str(found.total), style="bold")
    runs = {
        "runs": f"{found.runs}, {found.runs_completed} completed, {found.runs_failed} failed",
        "success": None if found.success_rate is None else f"{found.success_rate:.1f} %",
        "at the first try": found.completed_first_try, "after a retry": found.completed_after_retry,
        "took": _percentiles(found.duration_ms), "late": _percentiles(found.lateness_ms),
    }  # fmt: skip
    return [jobs, shown.pairs(runs)]


def _percentiles(of: Any) -> str | None:
    if of.p50 is None:
        return None
    return f"p50 {shown.length(of.p50)}, p95 {shown.length(of.p95)}, p99 {shown.length(of.p99)}"


def _series(found: JobSeries) -> Any:
    made = shown.table("from", "runs", "", "failed", "p50", "p99", right=("runs", "failed", "p50", "p99"))
    most = max((bucket.runs for bucket in found.buckets), default=0) or 1
    for bucket in found.buckets:
        bar = _BARS[round(bucket.runs / most * (len(_BARS) - 1))] * 3
        made.add_row(
            shown.clock(bucket.start)[:19], str(bucket.runs), bar, str(bucket.runs_failed),
            shown.length(bucket.duration_ms.p50), shown.length(bucket.duration_ms.p99),
        )  # fmt: skip
    return made


def add_to(app: typer.Typer) -> None:
    app.command("stats")(stats)
