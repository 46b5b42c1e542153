"""`catalog`: what a product can run, as one document: applied with a difference before it, and exported."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from ductape import CatalogDiff
from ductape.cli import shown, values
from ductape.cli.options import Product, Yes, takes
from ductape.cli.session import Session
from ductape.errors import InvalidArgument


@takes()
def apply(
    session: Session,
    file: Annotated[str, typer.Option("--file", "-f", help="YAML or JSON; - is standard input.")],
    product: Product = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what the document does not name.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also what unfinished jobs need.")] = False,
    yes: Yes = False,
) -> None:
    """Store a catalog: shows what would change, asks, and does it.

    ductape-jobs catalog apply -f catalog.yaml --product shop
    """
    text = values.read_text("--file", file)
    tag = product or session.settings.value("product") or _named(text)
    catalog = session.client.catalog
    if dry_run or not yes:
        would = catalog.put(tag, text, dry_run=True, prune=prune, force=force)
        changes = bool(would.created or would.updated or would.removed)
        if dry_run or not changes:
            session.show(would.raw, lambda: _difference(would))
            return
        for line in _difference(would):
            session.err.print(line)
        session.confirm(f"Change the catalog of {tag}?", yes=False)
    done = catalog.put(tag, text, prune=prune, force=force)
    session.show(done.raw, lambda: _difference(done))


@takes()
def export(session: Session, product: Product = None) -> None:
    """Print the catalog of a product as JSON, without its secrets; `catalog apply` takes it."""
    document = session.client.catalog.get(session.product(product))
    if session.as_json:
        session.line(document)
    else:
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _named(text: str) -> str:
    """The product that the document itself names, at its top level. Raises InvalidArgument."""
    try:
        document: Any = json.loads(text)
    except ValueError:
        for line in text.splitlines():
            key, mark, value = line.partition(":")
            named = value.partition(" #")[0].strip().strip("'\"")
            if mark and named and key.strip("'\"") == "product" and not line[:1].isspace():
                return named
    else:
        if isinstance(document, dict) and isinstance(tag := document.get("product"), str) and tag:
            return tag
    raise InvalidArgument("--product", "is needed: neither the document nor the profile names one")


def _difference(diff: CatalogDiff) -> list[Text]:
    lines = [
        Text(f"{sign} {shown.plain(name)}", style=style)
        for sign, style, names in (
            ("+", "green", diff.created), ("~", "yellow", diff.updated), ("-", "red", diff.removed),
        )
        for name in names
    ]  # fmt: skip
    would = "would be " if diff.dry_run else ""
    lines.append(Text(
        f"{len(diff.created)} {would}created, {len(diff.updated)} changed, {len(diff.removed)} removed, "
        f"{diff.unchanged} as they were", style="bright_black",
    ))  # fmt: skip
    return lines


def add_to(app: typer.Typer) -> None:
    family = typer.Typer(no_args_is_help=True, help="What a product can run, as one document.")
    family.command("apply")(apply)
    family.command("export")(export)
    app.add_typer(family, name="catalog")
