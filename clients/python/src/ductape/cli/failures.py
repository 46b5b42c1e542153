"""How a failure is told: one sentence on standard error that says what to do; with --json as JSON, there too."""

from __future__ import annotations

import json
from typing import Any

import typer

from ductape.cli.exits import exit_of
from ductape.cli.session import console
from ductape.cli.shown import plain
from ductape.errors import ApiError, DuctapeError, InvalidArgument


def tell(error: DuctapeError, *, as_json: bool, about: str = "") -> None:
    """`about` is what it is of, where a command does several things."""
    if as_json:
        typer.echo(json.dumps({**({"about": about} if about else {}), **_problem(error)}, ensure_ascii=False), err=True)
        return
    said = plain(f"{about}: {error}" if about else str(error))
    if isinstance(error, InvalidArgument):
        said = f"{said} (nothing was sent; ductape-jobs COMMAND --help)"
    console(stderr=True).print(f"ductape-jobs: {said}", style="red", soft_wrap=True)


def _problem(error: DuctapeError) -> dict[str, Any]:
    """The API's own, whole; of what the API never said `code` is the name of the exit code."""
    if isinstance(error, ApiError) and error.raw:
        return dict(error.raw)
    return {"code": exit_of(error).name.lower(), "detail": str(error)}
