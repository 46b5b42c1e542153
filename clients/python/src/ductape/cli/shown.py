"""Answers for a person: words for times, tables that fit, colours for states. Pure.

What jobs are named and say is other people's text: control characters are shown, never sent to the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ductape.results.job import Execution, JobData

COLOURS = {
    "completed": "green", "delivered": "green", "alive": "green", "failed": "red", "lost": "red", "running": "cyan",
    "queued": "blue", "pending": "blue", "paused": "yellow", "missed": "yellow", "skipped": "yellow",
    "cancelled": "bright_black", "stopped": "bright_black",
}  # fmt: skip
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))  # seconds
_NARROW, _MIDDLE, _WIDE, _WIDEST = 54, 72, 100, 130  # columns of the terminal
_GAP = 3  # between two columns of a table


def plain(value: Any) -> str:
    """Text on one line that moves no cursor: control characters as their escapes."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def status(word: str) -> Text:
    return Text(plain(word), style=COLOURS.get(word, ""))


def target(of: Mapping[str, Any]) -> str:
    return plain(":".join(str(each) for each in of.values() if each is not None))


def length(ms: float | None) -> str:
    """`850 ms`, `1.25 s`, `3 min 20 s`."""
    if ms is None:
        return "–"
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1_000:.3g} s"
    minutes, seconds = divmod(round(ms / 1_000), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def distance(moment: datetime | None, now: datetime) -> str:
    """`in 59 min`, `3 h ago`."""
    if moment is None:
        return "–"
    seconds = (moment - now).total_seconds()
    for size, unit in _STEPS:
        if abs(seconds) >= size:
            number = round(abs(seconds) / size)
            return f"in {number} {unit}" if seconds > 0 else f"{number} {unit} ago"
    return "now"


def clock(moment: datetime | None) -> str:
    """In the zone of this machine, with its offset."""
    return "–" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def when(moment: datetime | None, now: datetime) -> str:
    return "–" if moment is None else f"{clock(moment)} ({distance(moment, now)})"


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, no_wrap=True, overflow="ellipsis", justify="right" if column in right else "left")
    return made


def fitted(
    columns: Sequence[str],
    rows: Iterable[Sequence[Text | str]],
    *,
    width: int,
    gives: Mapping[str, int],
    right: Iterable[str] = (),
) -> Table:
    """A table of at most `width` columns of text. Only those that `gives` names get narrower, one after the other down to
    their least: left alone, rich would take it from all of them, and of an id or a state cut in half nobody has a use."""
    cells = [[each if isinstance(each, Text) else Text(each) for each in row] for row in rows]
    widths = {
        name: max([cell_len(name), *(row[place].cell_len for row in cells)]) for place, name in enumerate(columns)
    }
    excess = sum(widths.values()) + _GAP * (len(columns) - 1) - width
    for name, least in gives.items():
        if excess > 0 and name in widths:
            given = min(excess, max(widths[name] - least, 0))
            widths[name] -= given
            excess -= given
    made = table(*columns, right=right)
    for column, wide in zip(made.columns, widths.values(), strict=True):
        column.width = wide
    for row in cells:
        made.add_row(*row)
    return made


def jobs(found: Iterable[JobData], *, width: int, now: datetime) -> Table:
    """As many columns as the terminal has room for."""
    columns = ["job", "status"]
    columns += ["target"] if width >= _MIDDLE else []
    columns += ["next"] if width >= _NARROW else []
    columns += ["schedule", "runs"] if width >= _WIDE else []
    columns += ["failed", "last error"] if width >= _WIDEST else []
    rows = []
    for job in found:
        moment = job.next_run_at or job.next_attempt_at or job.completed_at or job.scheduled_at
        cells: dict[str, Text | str] = {
            "job": plain(job.id), "status": status(job.status), "target": target(job.target),
            "next": distance(moment, now), "schedule": schedule_of(job),
            "runs": f"{job.execution_count}{f'/{job.limit}' if job.limit else ''}",
            "failed": Text(str(job.failed_executions), style="red" if job.failed_executions else ""),
            "last error": plain(job.last_error or ""),
        }  # fmt: skip
        rows.append([cells[name] for name in columns])
    gives = {"last error": 12, "target": 12, "schedule": 12}
    return fitted(columns, rows, width=width, gives=gives, right=("runs", "failed"))


def schedule_of(job: JobData) -> str:
    if job.cron:
        return plain(f"{job.cron} {job.tz or ''}".strip())
    return f"every {length(job.every)}" if job.every else "once"


def pairs(rows: Mapping[str, Any]) -> Table:
    """Names and values, without those that are None."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bright_black", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows.items():
        if value is not None:
            made.add_row(name, value if isinstance(value, Text) else Text(plain(value)))
    return made


def job(of: JobData, now: datetime) -> Table:
    return pairs({
        "job": of.id, "status": status(of.status), "target": f"{of.namespace} {target(of.target)}",
        "product": f"{of.product} / {of.env}", "schedule": schedule_of(of), "next run": of.next_run_at and when(of.next_run_at, now),
        "next attempt": of.next_attempt_at and when(of.next_attempt_at, now),
        "scheduled": when(of.scheduled_at, now), "started": of.started_at and when(of.started_at, now),
        "completed": of.completed_at and when(of.completed_at, now),
        "runs": f"{of.execution_count}{f' of {of.limit}' if of.limit else ''}, {of.failed_executions} failed",
        "retries": f"{of.retry_count} of {of.retries}" if of.retries else None,
        "queue": f"{of.queue}, priority {of.priority}", "labels": dict(of.labels) or None,
        "cancelled": of.cancelled_at and f"{when(of.cancelled_at, now)}: {of.cancel_reason or 'no reason given'}",
        "paused": of.paused_at and f"{when(of.paused_at, now)}: {of.pause_note or 'no note'}",
        "last error": of.last_error and Text(plain(of.last_error), style="red"),
        "input": dict(of.input) or None, "result": of.result,
    })  # fmt: skip


def runs(of: Iterable[Execution], *, width: int, now: datetime) -> Table:
    columns = ("run", "status", "trigger", "due", "late", "took", "tries", "error")
    rows = [
        (
            str(run.number if run.number is not None else "–"), status(run.status),
            plain(run.trigger) + (f" × {run.count}" if run.count else ""), distance(run.scheduled_at, now),
            length(run.lateness_ms), length(run.duration_ms), str(len(run.attempts)),
            Text(plain(run.error or run.skip_reason or ""), style="red"),
        )
        for run in of
    ]  # fmt: skip
    return fitted(columns, rows, width=width, gives={"error": 8, "trigger": 6}, right=("run", "late", "took", "tries"))


def this_moment() -> datetime:
    return datetime.now(UTC)
