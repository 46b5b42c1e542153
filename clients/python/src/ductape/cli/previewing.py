"""`preview`: when a schedule would run, before it exists."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from ductape import Preview
from ductape.cli import shown, values
from ductape.cli.options import takes
from ductape.cli.session import Session
from ductape.errors import InvalidArgument


@takes()
def preview(
    session: Session,
    cron: Annotated[str | None, typer.Argument(metavar="[CRON]", help='As "0 9 * * *".')] = None,
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Time zone of the cron.")] = None,
    every: Annotated[str | None, typer.Option(metavar="DURATION", help="In place of a cron.")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="When it begins.")] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", help="Occurrences (1 to 100).")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="After that; usually now.")] = None,
) -> None:
    """Tell when a schedule would run.

    ductape-jobs preview "0 9 * * *" --tz America/New_York
    """
    if (cron is None) == (every is None) and at is None:
        raise InvalidArgument("CRON", "or --every or --at must be given")
    schedule: dict[str, Any] = {
        "cron": cron,
        "tz": tz,
        "every": None if every is None else values.duration("--every", every),
        "start_at": None if at is None else values.moment("--at", at),
    }
    given: Any = {name: value for name, value in schedule.items() if value is not None}
    begins = None if from_ is None else values.moment("--from", from_)
    found = session.client.schedules.preview(given, count=count, from_=begins)
    session.show(found.raw, lambda: _preview(found))


def _preview(found: Preview) -> list[Any]:
    now = shown.this_moment()
    made = shown.table("there", "here", "")
    for moment, local in zip(found.occurrences, found.local, strict=True):
        made.add_row(shown.plain(local), shown.clock(moment), shown.distance(moment, now))
    notes = [Text(shown.plain(note), style="yellow") for note in found.notes]
    return [Text(shown.plain(found.description)), Text(""), made, *notes]


def add_to(app: typer.Typer) -> None:
    app.command("preview")(preview)
