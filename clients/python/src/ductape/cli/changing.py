"""`cancel`, `pause`, `resume`, `retry`, `trigger`, `reschedule`, `delete`: jobs by their ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from ductape import Job
from ductape.cli import shown, values
from ductape.cli.exits import exit_of
from ductape.cli.failures import tell
from ductape.cli.options import SCHEDULE, JobId, Yes, takes
from ductape.cli.session import Session
from ductape.errors import ApiError, InvalidArgument

JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.")]
Note = Annotated[str | None, typer.Option(help="For whoever looks at it later.")]


@takes()
def cancel(
    session: Session,
    job_ids: JobIds,
    reason: Annotated[str | None, typer.Option(help="Why; it stays with the job.")] = None,
) -> None:
    """Cancel jobs, at once and for good."""
    _each(session, job_ids, "cancelling", lambda job_id: session.client.jobs.cancel(job_id, reason=reason))


@takes()
def pause(session: Session, job_ids: JobIds, note: Note = None) -> None:
    """Hold recurring jobs back until resume; a run that is running goes on."""
    _each(session, job_ids, "pausing", lambda job_id: session.client.jobs.pause(job_id, note=note))


@takes()
def resume(session: Session, job_ids: JobIds, note: Note = None) -> None:
    """On with the next occurrence after now."""
    _each(session, job_ids, "resuming", lambda job_id: session.client.jobs.resume(job_id, note=note))


@takes()
def retry(
    session: Session,
    job_ids: JobIds,
    delay: Annotated[str | None, typer.Option(metavar="DURATION", help="Not now, but after that.")] = None,
) -> None:
    """Run failed jobs again."""
    after = None if delay is None else values.duration("--delay", delay)
    _each(session, job_ids, "retrying", lambda job_id: session.client.jobs.retry(job_id, delay=after))


@takes()
def trigger(session: Session, job_ids: JobIds) -> None:
    """One extra run of recurring jobs, now."""
    _each(session, job_ids, "triggering", lambda job_id: session.client.jobs.trigger(job_id))


@takes(schedule=SCHEDULE)
def reschedule(session: Session, schedule: dict[str, Any], job_id: JobId) -> None:
    """Give a job another time or rhythm; what is not named stays.

    ductape-jobs reschedule job_… --cron "0 10 * * *" --tz America/New_York
    """
    if not schedule:
        raise InvalidArgument("--at", "or another option of the schedule must be given")
    job = session.client.jobs.reschedule(job_id, **schedule)
    session.show(job.raw, lambda: shown.job(job, shown.this_moment()))


@takes()
def delete(
    session: Session,
    job_ids: JobIds,
    force: Annotated[bool, typer.Option("--force", help="Cancel it first where it runs.")] = False,
    yes: Yes = False,
) -> None:
    """Delete jobs and their history."""
    what = job_ids[0] if len(job_ids) == 1 else f"{len(job_ids)} jobs"
    session.confirm(f"Delete {what} with all history?", yes=yes)
    _each(session, job_ids, "deleting", lambda job_id: session.client.jobs.delete(job_id, force=force))


def _each(session: Session, job_ids: list[str], doing: str, ask: Callable[[str], Job | None]) -> None:
    """All of them, also after one was refused: it ends with the code of the first that was. JSON: a job a line."""
    failed: ApiError | None = None
    with session.progress() as progress:
        bar = progress.add_task(doing, total=len(job_ids), visible=len(job_ids) > 1)
        for job_id in dict.fromkeys(job_ids):
            try:
                job = ask(job_id)
            except ApiError as error:
                if len(job_ids) == 1:
                    raise
                tell(error, as_json=session.as_json, about=job_id)
                failed = failed or error
            else:
                _tell(session, job_id, job, one=len(job_ids) == 1)
            progress.advance(bar)
    if failed is not None:
        raise typer.Exit(exit_of(failed))


def _tell(session: Session, job_id: str, job: Job | None, *, one: bool) -> None:
    data = {"id": job_id, "deleted": True} if job is None else job.raw
    if session.as_json:
        session.line(data)
    elif job is None:
        session.out.print(f"{shown.plain(job_id)} is deleted")
    elif one:
        session.out.print(shown.job(job, shown.this_moment()))
    else:
        session.out.print(f"{shown.plain(job_id)} is {job.status}")


def add_to(app: typer.Typer) -> None:
    for command in (cancel, pause, resume, retry, trigger, reschedule, delete):
        app.command(command.__name__)(command)
