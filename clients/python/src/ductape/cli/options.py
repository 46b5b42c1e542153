"""Options that several commands share, said once: the connection, a filter of jobs, a schedule.

`takes` puts groups of them into a command's signature and hands it what each group makes of its values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from ductape.cli import values
from ductape.cli.exits import exit_of
from ductape.cli.failures import tell
from ductape.cli.session import Session
from ductape.cli.settings import settings
from ductape.errors import DuctapeError
from ductape.filters import RUN_STATUSES, STATUSES
from ductape.namespaces import NAMESPACES
from ductape.webhook_fields import EVENTS


@dataclass(frozen=True, kw_only=True)
class Group:
    """Options by the names of their parameters, each with its default, and what is made of them."""

    options: Mapping[str, tuple[Any, Any]]
    make: Callable[[dict[str, Any]], Any]


def offered(*words: str) -> Callable[[str], list[str]]:
    """For the completion of shells."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def _text(*names: str, help: str, words: tuple[str, ...] = (), metavar: str | None = None) -> tuple[Any, None]:
    option = typer.Option(*names, help=help, metavar=metavar, autocompletion=offered(*words) if words else None)
    return Annotated[str | None, option], None


def _texts(*names: str, help: str, words: tuple[str, ...] = (), metavar: str | None = None) -> tuple[Any, list[str]]:
    option = typer.Option(*names, help=help, metavar=metavar, autocompletion=offered(*words) if words else None)
    return Annotated[list[str], option], []


def _session(given: dict[str, Any]) -> Session:
    as_json = given.pop("as_json")
    return Session(settings(given), as_json=as_json)


SESSION = Group(
    options={
        "as_json": (Annotated[bool, typer.Option("--json", help="Answer as JSON.")], False),
        "url": _text("--url", help="Address of the API.", metavar="URL"),
        "api_key_file": _text("--key-file", help="File that has the API key.", metavar="FILE"),
        "profile": _text("--profile", help="Profile of the configuration file.", metavar="NAME"),
        "timeout": _text("--timeout", help="Seconds for one try.", metavar="SECONDS"),
    },
    make=_session,
)


def _window(given: dict[str, Any]) -> dict[str, Any]:
    found = dict(given)
    for name, option in (("from_", "--from"), ("to", "--to")):
        if found[name] is not None:
            found[name] = values.moment(option, found[name])
    return {name: value for name, value in found.items() if value is not None}


_WINDOW = {
    "product": _text("--product", help="Of this product."),
    "env": _text("--env", help="Of this environment."),
    "namespace": _text("--namespace", help="Of this namespace.", words=tuple(NAMESPACES)),
    "from_": _text("--from", help="From this time on: ISO 8601, -1h, now.", metavar="TIME"),
    "to": _text("--to", help="Before this time.", metavar="TIME"),
}
WINDOW = Group(options=_WINDOW, make=_window)


def _filter(given: dict[str, Any]) -> dict[str, Any]:
    found = dict(given)
    found["status"] = values.several(found["status"])
    found["label"] = [f"{key}:{value}" for key, value in values.labels("--label", found["label"]).items()] or None
    return _window(found)


FILTER = Group(
    options={
        "status": _texts("--status", "-s", help="In one of these states, several by comma.", words=STATUSES),
        **_WINDOW,
        "target": _text("--target", help="Of this component:event.", metavar="COMPONENT:EVENT"),
        "label": _texts("--label", "-l", help="With this label; may be repeated.", metavar="KEY:VALUE"),
        "queue": _text("--queue", help="Of this queue."),
        "q": _text("--search", "-q", help="With this in the id, target or error.", metavar="TEXT"),
        "recurring": (Annotated[bool | None, typer.Option("--recurring/--one-off", help="Only such jobs.")], None),
        "retrying": (Annotated[bool | None, typer.Option("--retrying/--not-retrying", help="Only such jobs.")], None),
        "last_run_status": _text(
            "--last-run", help="Whose last run ended so.", words=("completed", "failed", "cancelled")
        ),
        "consecutive_failures": (
            Annotated[int | None, typer.Option("--consecutive-failures", help="With at least so many in a row.")], None,
        ),
    },
    make=_filter,
)  # fmt: skip


def _schedule(given: dict[str, Any]) -> dict[str, Any]:
    found = dict(given)
    for name, option in (("start_at", "--at"), ("end_date", "--until")):
        if found[name] is not None:
            found[name] = values.moment(option, found[name])
    for name, option in (("every", "--every"), ("jitter", "--jitter"), ("misfire_grace", "--misfire-grace")):
        if found[name] is not None:
            found[name] = values.duration(option, found[name])
    return {name: value for name, value in found.items() if value is not None}


SCHEDULE = Group(
    options={
        "start_at": _text("--at", help="At this time: ISO 8601, +1h.", metavar="TIME"),
        "cron": _text("--cron", help='Again and again, as "0 9 * * *".', metavar="CRON"),
        "every": _text("--every", help="Again and again, as 15m.", metavar="DURATION"),
        "tz": _text("--tz", help="Time zone of the cron.", metavar="ZONE"),
        "limit": (Annotated[int | None, typer.Option("--limit", help="At most so many runs.")], None),
        "end_date": _text("--until", help="Not after this time.", metavar="TIME"),
        "overlap": _text("--overlap", help="When the last run still runs: skip or queue.", words=("skip", "queue")),
        "misfire": _text("--misfire", help="Late occurrences: once, skip or all.", words=("once", "skip", "all")),
        "misfire_grace": _text("--misfire-grace", help="Late from then on.", metavar="DURATION"),
        "dst_gap": _text("--dst-gap", help="Where the clock jumps: shift or skip.", words=("shift", "skip")),
        "dst_overlap": _text(
            "--dst-overlap", help="Where an hour comes twice: first, both or last.", words=("first", "both", "last")
        ),
        "jitter": _text("--jitter", help="Spread over so long.", metavar="DURATION"),
    },
    make=_schedule,
)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Product = Annotated[str | None, typer.Option("--product", help="Product; usually that of the profile.")]
Env = Annotated[str | None, typer.Option("--env", help="Environment; usually that of the profile.")]
EVENT_NAMES = EVENTS
RUN_STATES = RUN_STATUSES


def takes(**groups: Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose arguments of these names are made from shared options. Every command has a `session`."""
    groups = {**groups, "session": SESSION}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        own = [each for each in inspect.signature(function).parameters.values() if each.name not in groups]
        shared = {name: option for group in groups.values() for name, option in group.options.items()}
        parameters = [
            *(each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            *(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
                for name, (annotation, default) in shared.items()
            ),
        ]

        @wraps(function)
        def command(**given: Any) -> None:
            as_json = given["as_json"]
            try:
                made: dict[str, Any] = {
                    name: group.make({option: given.pop(option) for option in group.options})
                    for name, group in groups.items()
                }
                with made["session"]:
                    function(**made, **given)
            except DuctapeError as error:
                tell(error, as_json=as_json)
                raise typer.Exit(exit_of(error)) from None

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions may have one
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return decorate
