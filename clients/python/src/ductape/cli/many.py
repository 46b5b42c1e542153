"""`cancel-many` and its siblings: a verb for all jobs that a filter finds, counted and asked before it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from ductape import ManyResult
from ductape.cli import shown, values
from ductape.cli.operations import followed
from ductape.cli.options import FILTER, SCHEDULE, Yes, takes
from ductape.cli.session import Session
from ductape.errors import InvalidArgument

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count.")]
Note = Annotated[str | None, typer.Option(help="For whoever looks at it later.")]
PauseId = Annotated[str | None, typer.Option(metavar="ID", help="Those that this pause-many paused.")]
Call = Callable[..., ManyResult]


@takes(filter=FILTER)
def cancel_many(
    session: Session,
    filter: dict[str, Any],
    reason: Annotated[str | None, typer.Option(help="Why; it stays with the jobs.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Cancel all that a filter finds.

    ductape-jobs cancel-many --product my-app --status scheduled --reason "campaign ended"
    """
    _do(session, "cancel", session.client.jobs.cancel_many, filter, {"reason": reason}, dry_run, yes)


@takes(filter=FILTER)
def pause_many(
    session: Session, filter: dict[str, Any], note: Note = None, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Pause all recurring jobs that a filter finds; the answer's pause_id takes back just this."""
    _do(session, "pause", session.client.jobs.pause_many, filter, {"note": note}, dry_run, yes)


@takes(filter=FILTER)
def resume_many(
    session: Session,
    filter: dict[str, Any],
    pause_id: PauseId = None,
    note: Note = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Resume all paused jobs that a filter finds, or those of one pause-many."""
    more = {"note": note, "pause_id": pause_id}
    _do(session, "resume", session.client.jobs.resume_many, filter, more, dry_run, yes)


@takes(filter=FILTER)
def retry_many(
    session: Session,
    filter: dict[str, Any],
    delay: Annotated[str | None, typer.Option(metavar="DURATION", help="Not now, but after that.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Run all failed jobs again that a filter finds.

    ductape-jobs retry-many --product my-app --from -1d
    """
    after = None if delay is None else values.duration("--delay", delay)
    _do(session, "retry", session.client.jobs.retry_many, filter, {"delay": after}, dry_run, yes)


@takes(filter=FILTER, schedule=SCHEDULE)
def reschedule_many(
    session: Session, filter: dict[str, Any], schedule: dict[str, Any], dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Give all that a filter finds another time or rhythm."""
    if not schedule:
        raise InvalidArgument("--at", "or another option of the schedule must be given")
    _do(session, "reschedule", session.client.jobs.reschedule_many, filter, {"schedule": schedule}, dry_run, yes)


@takes(filter=FILTER)
def delete_many(
    session: Session,
    filter: dict[str, Any],
    force: Annotated[bool, typer.Option("--force", help="Cancel first those that run.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Delete all that a filter finds, with their history.

    ductape-jobs delete-many --status completed,cancelled,failed --to -90d
    """
    _do(session, "delete", session.client.jobs.delete_many, filter, {"force": force}, dry_run, yes)


def _do(
    session: Session,
    verb: str,
    call: Call,
    filter: Mapping[str, Any],
    more: Mapping[str, Any],
    dry_run: bool,
    yes: bool,
) -> None:
    """Counted first, unless nobody wants to know."""
    asked = {**filter, **more}
    if dry_run or not yes:
        counting = f"counting what to {verb}"
        counted = followed(session, _asked(session, counting, call, **asked, dry_run=True), counting)
        if dry_run:
            session.show(counted, lambda: _result(counted, f"would {verb}"))
            return
        if not counted["count"]:
            session.show(counted, lambda: _result(counted, f"would {verb}"))
            return
        session.confirm(f"{verb.capitalize()} {_jobs(counted['count'])}?", yes=False)
    try:
        answer = _asked(session, verb, call, **asked)
    except KeyboardInterrupt:
        session.err.print("the server was asked already: it goes on to the end of this")
        raise
    done = followed(session, answer, verb)
    session.show(done, lambda: _result(done, f"{verb}:"))


def _asked(session: Session, doing: str, call: Call, **asked: Any) -> ManyResult:
    """The answer; meanwhile a bar without an end, since up to 10 000 jobs are done before there is one."""
    with session.progress() as progress:
        progress.add_task(doing, total=None)
        return call(**asked)


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _result(result: Mapping[str, Any], verb: str) -> list[Any]:
    skipped = f", {_jobs(result['skipped'])} passed over" if result.get("skipped") else ""
    lines: list[Any] = [Text(f"{verb} {_jobs(result['count'] or 0)}{skipped}")]
    if result.get("pause_id"):
        lines.append(Text(f"take it back: ductape-jobs resume-many --pause-id {shown.plain(result['pause_id'])}"))
    for each in result.get("errors", []):
        lines.append(Text(shown.plain(f"{each['job_id']}: {each['detail']}"), style="red"))
    return lines


def add_to(app: typer.Typer) -> None:
    for command in (cancel_many, pause_many, resume_many, retry_many, reschedule_many, delete_many):
        app.command(command.__name__.replace("_", "-"))(command)
