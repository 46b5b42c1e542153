"""The commands of `ductape-jobs`, and its quiet ends: Ctrl-C, and a pipe that nobody reads any more."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ductape.cli import (
    catalogs,
    changing,
    dispatching,
    holding,
    inspecting,
    listing,
    many,
    operations,
    previewing,
    profiles,
    statistics,
    tailing,
    webhooks,
)  # fmt: skip
from ductape.cli.exits import Exit


class Commands(TyperGroup):
    """Failures of the client are told where a command is made (`options.takes`); any other is a bug, with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()  # here, where a closed pipe is still ours to notice
            return answer
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None
        except BrokenPipeError:
            # Nobody reads on. What Python still holds for them must not fail once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(Exit.CLOSED_PIPE) from None


app = typer.Typer(
    cls=Commands,
    help="Jobs of a product: dispatch them now, later or again and again; watch, pause, reschedule and retry them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            told = version("ductape-client")
        except PackageNotFoundError:  # run from a checkout
            told = "of a checkout"
        typer.echo(f"ductape-jobs {told}")
        raise typer.Exit(Exit.OK)


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What comes before a command."""


for family in (
    dispatching, listing, inspecting, changing, many, statistics, previewing, tailing, holding, catalogs, webhooks,
    operations, profiles,
):  # fmt: skip
    family.add_to(app)
