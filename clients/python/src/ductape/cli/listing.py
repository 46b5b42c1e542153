"""`list`: jobs by filter; with `--watch` as they change."""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated, Any

import typer
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from ductape import JobPage
from ductape.cli import shown, values
from ductape.cli.options import FILTER, takes
from ductape.cli.session import Session
from ductape.errors import InvalidArgument

_LEAST_BETWEEN = 200  # ms between two looks


@takes(filter=FILTER)
def list_jobs(
    session: Session,
    filter: dict[str, Any],
    limit: Annotated[int, typer.Option("--limit", "-n", help="Jobs of the page (1 to 1000).")] = 50,
    offset: Annotated[int | None, typer.Option(help="Pass over so many.")] = None,
    oldest: Annotated[bool, typer.Option("--oldest-first", help="The oldest first.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All pages; with --json one job a line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")] = False,
    interval: Annotated[str, typer.Option(metavar="DURATION", help="Between two looks.")] = "2s",
) -> None:
    """List jobs, the newest first.

    ductape-jobs list --status failed,queued --product shop --watch
    """
    order: Any = "created_at" if oldest else None
    if everything:
        if watch or offset is not None:
            raise InvalidArgument("--all", "goes neither with --watch nor with --offset")
        _all(session, filter, order)
        return

    def look() -> JobPage:
        return session.client.jobs.list(limit=limit, offset=offset, order=order, **filter)

    if watch:
        _watch(session, look, values.duration("--interval", interval))
        return
    _show(session, look())


def _all(session: Session, filter: dict[str, Any], order: Any) -> None:
    found = session.client.jobs.list_all(order=order, **filter)
    if session.as_json:
        for job in found:
            session.line(job.raw)
        return
    jobs = list(found)
    session.out.print(shown.jobs(jobs, width=session.out.width, now=shown.this_moment()))
    session.out.print(f"{len(jobs)} jobs")


def _watch(session: Session, look: Any, interval: int) -> None:
    """A table that is printed over; where it cannot be, one after another, with --json a page a line."""
    pause = max(interval, _LEAST_BETWEEN) / 1000
    if not session.live:
        while True:
            _show(session, look())
            time.sleep(pause)
    with Live(watched(session, look()), console=session.out, auto_refresh=False, screen=False) as live:
        while True:
            time.sleep(pause)
            live.update(watched(session, look()), refresh=True)


def watched(session: Session, page: JobPage) -> RenderableType:
    """One look: what is how often, and the jobs, as many as the terminal has lines."""
    counts = Counter(job.status for job in page)
    head = Text(f"{shown.clock(shown.this_moment())[:19]}  {_total(page)}  ")
    for status, count in counts.most_common():
        head.append(f"{count} {status}  ", style=shown.COLOURS.get(status, ""))
    lines = max(session.out.height - 6, 3)
    return Lines(head, Text(""), shown.jobs(page.jobs[:lines], width=session.out.width, now=shown.this_moment()))


def _show(session: Session, page: JobPage) -> None:
    session.show(page.raw, lambda: [
        shown.jobs(page.jobs, width=session.out.width, now=shown.this_moment()), _foot(page),
    ])  # fmt: skip


def _foot(page: JobPage) -> RenderableType:
    return Text(_total(page) if page.jobs else "no job is found by this filter", style="bright_black")


def _total(page: JobPage) -> str:
    more = "at least " if page.total_is_lower_bound else ""
    return f"{len(page)} of {more}{page.total} jobs" if page.total is not None else f"{len(page)} jobs"


def add_to(app: typer.Typer) -> None:
    app.command("list")(list_jobs)
