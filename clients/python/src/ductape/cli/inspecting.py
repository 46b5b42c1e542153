"""`get`, `history`, `explain`: one job, looked at."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from ductape.cli import shown, values
from ductape.cli.exits import Exit
from ductape.cli.options import RUN_STATES, JobId, offered, takes
from ductape.cli.session import Session


@takes()
def get(
    session: Session,
    job_id: JobId,
    wait: Annotated[str | None, typer.Option(metavar="DURATION", help="Wait for the end of its run.")] = None,
) -> None:
    """Show a job; with --wait once its run has ended (exit 6 where it did not complete)."""
    if wait is None:
        job = session.client.jobs.get(job_id)
    else:
        seconds = values.duration("--wait", wait) / 1000
        job = session.client.jobs.get(job_id).wait(timeout=seconds)
    session.show(job.raw, lambda: shown.job(job, shown.this_moment()))
    if wait is not None and (job.last_run_status if job.recurring else job.status) != "completed":
        raise typer.Exit(Exit.NOT_COMPLETED)


@takes()
def history(
    session: Session,
    job_id: JobId,
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="Runs (1 to 1000).")] = None,
    offset: Annotated[int | None, typer.Option(help="Pass over so many.")] = None,
    status: Annotated[
        list[str], typer.Option("--status", "-s", help="Runs that ended so.", autocompletion=offered(*RUN_STATES))
    ] = [],  # noqa: B006
) -> None:
    """Show the runs of a job, the newest first."""
    states: Any = values.several(status)
    found = session.client.jobs.get_history(job_id, limit=limit, offset=offset, status=states)
    counts = f"{found.total_executions} runs, {found.successful_executions} completed, {found.failed_executions} failed"
    session.show(
        found.raw,
        lambda: [
            shown.runs(found, width=session.out.width, now=shown.this_moment()),
            Text(counts, style="bright_black"),
        ],
    )


@takes()
def explain(
    session: Session,
    job_id: JobId,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="At that moment; usually now.")] = None,
) -> None:
    """Say why a job ran, waits, or did not run."""
    moment = None if at is None else values.moment("--at", at)
    told = session.client.jobs.explain(job_id, at=moment)
    now = shown.this_moment()
    session.show(told.raw, lambda: [
        Text(shown.plain(told.sentence)),
        shown.pairs({
            "reason": told.reason, "status": shown.status(told.status), "occurrence": told.occurrence and shown.when(told.occurrence, now),
            "until": told.until and shown.when(told.until, now), "next": told.next and shown.when(told.next, now), "note": told.note,
        }),
    ])  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command("get")(get)
    app.command("history")(history)
    app.command("explain")(explain)
