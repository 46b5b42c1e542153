"""`tail`: what happens to jobs, as it happens."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from ductape import JobEvent
from ductape.cli import shown, values
from ductape.cli.options import EVENT_NAMES, offered, takes
from ductape.cli.session import Session
from ductape.errors import InvalidArgument
from ductape.namespaces import NAMESPACES


@takes()
def tail(
    session: Session,
    product: Annotated[str | None, typer.Option(help="Of this product.")] = None,
    env: Annotated[str | None, typer.Option(help="Of this environment.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Of this one.", autocompletion=offered(*NAMESPACES))] = None,
    event: Annotated[
        list[str],
        typer.Option("--event", "-e", help="Only these, as job.failed.", autocompletion=offered(*EVENT_NAMES)),
    ] = [],  # noqa: B006
    label: Annotated[list[str], typer.Option("--label", "-l", metavar="KEY:VALUE", help="May be repeated.")] = [],  # noqa: B006
    job: Annotated[str | None, typer.Option(metavar="JOB", help="Of this job only.")] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="From the event after this one on.")] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", help="End after so many.")] = None,
) -> None:
    """Print events of jobs until Ctrl-C; with --json one a line.

    ductape-jobs tail --event job.failed --product shop
    """
    if count is not None and count < 1:
        raise InvalidArgument("--count", "must be at least 1")
    names: Any = values.several(event)
    events = session.client.events_stream(
        product=product, env=env, namespace=namespace, event=names, job=job, after=after,
        label=values.labels("--label", label) or None,
    )  # fmt: skip
    session.say("listening; Ctrl-C ends it")
    for number, each in enumerate(events, start=1):
        if session.as_json:
            session.line({**each.raw, "id": each.id})
        else:
            session.out.print(_line(each), soft_wrap=True)
        if number == count:
            return


def _line(event: JobEvent) -> Text:
    line = Text(f"{shown.clock(event.at)[11:19]}  {shown.plain(event.job_id)}  ")
    line.append(f"{shown.plain(event.type.removeprefix('job.')):11}", style=shown.COLOURS.get(event.status, ""))
    line.append(f"  {shown.plain(event.product)}/{shown.plain(event.env)}  {shown.target(event.target)}")
    if event.number is not None:
        line.append(f"  run {event.number}", style="bright_black")
    return line


def add_to(app: typer.Typer) -> None:
    app.command("tail")(tail)
