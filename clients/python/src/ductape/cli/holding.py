"""`hold`, `release`, `holds`: due runs of a product wait."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from ductape import Hold
from ductape.cli import shown
from ductape.cli.options import Product, offered, takes
from ductape.cli.session import Session
from ductape.errors import InvalidArgument
from ductape.namespaces import NAMESPACES

OfEnv = Annotated[str | None, typer.Option("--env", help="Of this environment; usually that of the profile.")]
OfAllEnvs = Annotated[bool, typer.Option("--all-envs", help="Of the product as a whole, whatever the profile says.")]
OfNamespace = Annotated[
    str | None, typer.Option("--namespace", help="Only of this namespace.", autocompletion=offered(*NAMESPACES))
]


@takes()
def hold(
    session: Session,
    product: Product = None,
    env: OfEnv = None,
    all_envs: OfAllEnvs = False,
    namespace: OfNamespace = None,
    note: Annotated[str | None, typer.Option(help="For whoever looks at it later.")] = None,
) -> None:
    """Let due runs of a product wait from now on, until release.

    ductape-jobs hold --product shop --namespace databases --note maintenance
    """
    of = session.client.product(session.product(product))
    _show(session, of.hold(env=_env(session, env, all_envs), namespace=namespace, note=note))


@takes()
def release(
    session: Session,
    product: Product = None,
    env: OfEnv = None,
    all_envs: OfAllEnvs = False,
    namespace: OfNamespace = None,
) -> None:
    """End the hold of the same scope; without one all of the product."""
    of = session.client.product(session.product(product))
    _show(session, of.release(env=_env(session, env, all_envs), namespace=namespace))


@takes()
def holds(session: Session, product: Product = None) -> None:
    """Show what is held."""
    _show(session, session.client.product(session.product(product)).holds())


def _env(session: Session, given: str | None, all_envs: bool) -> str | None:
    """Which environment; None: all of the product. Raises InvalidArgument."""
    if all_envs and given is not None:
        raise InvalidArgument("--all-envs", "leave out --env")
    return None if all_envs else given or session.settings.value("env")


def _show(session: Session, found: tuple[Hold, ...]) -> None:
    def table() -> RenderableType:
        if not found:
            return Text("nothing is held")
        made = shown.table("product", "env", "namespace", "since", "note")
        for each in found:
            cells = (each.product, each.env or "all", each.namespace or "all")
            since = shown.distance(each.since, shown.this_moment())
            made.add_row(*map(shown.plain, cells), since, shown.plain(each.note or ""))
        return made

    session.show({"holds": [each.raw for each in found]}, table)


def add_to(app: typer.Typer) -> None:
    for command in (hold, release, holds):
        app.command(command.__name__)(command)
