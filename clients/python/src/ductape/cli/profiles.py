"""`config`: what is set, and who said it."""

from __future__ import annotations

from typing import Any

import typer
from rich.text import Text

from ductape.cli import shown
from ductape.cli.options import takes
from ductape.cli.session import Session
from ductape.cli.settings import ENVIRONMENT

_HIDDEN = "set, not shown"


@takes()
def show(session: Session) -> None:
    """Show the settings and where each comes from; never the key."""
    found = session.settings.found
    told: dict[str, Any] = {
        name: {"value": _HIDDEN if name == "api_key" else found[name].value, "source": found[name].source}
        for name in ENVIRONMENT
        if name in found
    }
    profile = session.settings
    data = {
        "file": str(profile.file), "exists": profile.file.exists(), "profile": profile.profile,
        "profiles": list(profile.profiles), "settings": told,
    }  # fmt: skip

    def lines() -> list[Any]:
        made = shown.table("setting", "value", "from")
        for name, each in told.items():
            made.add_row(name, shown.plain(each["value"]), shown.plain(each["source"]))
        there = "" if data["exists"] else " (does not exist)"
        return [Text(f"{profile.file}{there}, profile {shown.plain(profile.profile)}"), Text(""), made]

    session.show(data, lines)


def add_to(app: typer.Typer) -> None:
    family = typer.Typer(no_args_is_help=True, help="What is set, and who said it.")
    family.command("show")(show)
    app.add_typer(family, name="config")
