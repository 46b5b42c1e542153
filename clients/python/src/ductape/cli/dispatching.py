"""`dispatch` and `dispatch-many`: make jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ductape import Dispatched
from ductape.cli import shown, values
from ductape.cli.exits import Exit
from ductape.cli.options import SCHEDULE, Env, Product, offered, takes
from ductape.cli.session import Session
from ductape.errors import InvalidArgument
from ductape.namespaces import NAMESPACES, Namespace

_AT_ONCE = 500  # jobs of one request: a bar that moves, and far below what the server takes


@takes(schedule=SCHEDULE)
def dispatch(
    session: Session,
    schedule: dict[str, Any],
    namespace: Annotated[
        str, typer.Argument(help="actions, features, notifications, …", autocompletion=offered(*NAMESPACES))
    ],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="COMPONENT:EVENT; of a feature or function its tag.")],
    input: Annotated[str, typer.Option("--input", "-i", metavar="JSON", help="JSON, @file or -.")] = "{}",
    product: Product = None,
    env: Env = None,
    retries: Annotated[int | None, typer.Option(help="Attempts after the first (0 to 100).")] = None,
    run_timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="Longest time of an attempt.")] = None,
    priority: Annotated[int | None, typer.Option(help="0 to 9, higher first.")] = None,
    queue: Annotated[str | None, typer.Option(help="Queue.")] = None,
    label: Annotated[list[str], typer.Option("--label", "-l", metavar="KEY:VALUE", help="May be repeated.")] = [],  # noqa: B006
    unique_key: Annotated[str | None, typer.Option(help="One unfinished job has it.")] = None,
    on_conflict: Annotated[
        str | None,
        typer.Option(help="return, reject or replace.", autocompletion=offered("return", "reject", "replace")),
    ] = None,
    concurrency_key: Annotated[str | None, typer.Option(help="Runs of one key share a limit.")] = None,
    concurrency_limit: Annotated[int | None, typer.Option(help="How many of them at once.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same again answers the same job.")] = None,
    on_lost: Annotated[str | None, typer.Option(help="When its worker dies: retry or fail.")] = None,
    user_session: Annotated[
        str | None, typer.Option("--session", metavar="TAG:TOKEN", help="For whom it runs.")
    ] = None,
    cache: Annotated[str | None, typer.Option(help="Cache tag.")] = None,
    wait: Annotated[str | None, typer.Option(metavar="DURATION", help="Wait for the end of its run.")] = None,
) -> None:
    """Make a job: now, at a time, by cron or at an interval.

    ductape-jobs dispatch actions email-service:send_welcome_email -i '{"body": {"userId": "user_123"}}' --at +1h
    """
    item: dict[str, Any] = {
        **_target(namespace, target), "input": values.json_object("--input", input), "product": product, "env": env,
        "schedule": schedule or None, "retries": retries, "priority": priority, "queue": queue,
        "timeout": None if run_timeout is None else values.duration("--run-timeout", run_timeout),
        "labels": values.labels("--label", label) or None, "unique_key": unique_key, "on_conflict": on_conflict,
        "concurrency_key": concurrency_key, "concurrency_limit": concurrency_limit, "on_lost": on_lost,
        "idempotency_key": idempotency_key, "cache": cache,
        "session": None if user_session is None else values.session("--session", user_session),
    }  # fmt: skip
    longest = None if wait is None else values.duration("--wait", wait) / 1000
    made = _dispatch(session, namespace, {name: value for name, value in item.items() if value is not None})
    if longest is None:
        session.show(made.raw, lambda: _made(made))
        return
    session.say(f"{made.job_id} is {made.status}")
    job = made.wait(timeout=longest)
    session.show(job.raw, lambda: shown.job(job, shown.this_moment()))
    ended = job.last_run_status if job.recurring else job.status
    if ended != "completed":
        raise typer.Exit(Exit.NOT_COMPLETED)


@takes()
def dispatch_many(
    session: Session,
    file: Annotated[str, typer.Option("--file", "-f", help="JSON lines, a job each; - is standard input.")],
) -> None:
    """Make many jobs from JSON lines, 500 in a request, each request all or nothing.

    {"namespace": "actions", "app": "echo", "event": "say", "input": {"body": {"n": 1}}}
    """
    items = _lines(file)
    ids: list[str] = []
    with session.progress() as progress:
        bar = progress.add_task("dispatching", total=len(items))
        for start in range(0, len(items), _AT_ONCE):
            chunk: list[Any] = items[start : start + _AT_ONCE]
            for made in session.client.jobs.dispatch_many(chunk):
                ids.append(made.job_id)
                if session.as_json:
                    session.line(made.raw)
            progress.advance(bar, len(chunk))
    if not session.as_json:
        session.out.print(f"{len(ids)} jobs, {ids[0]} … {ids[-1]}")


def _dispatch(session: Session, namespace: str, item: dict[str, Any]) -> Dispatched:
    """By the client's call of that namespace."""
    group: Any = session.client
    for part in namespace.split("."):
        group = getattr(group, part)
    made: Dispatched = group.dispatch(**item)
    return made


def _target(namespace: str, text: str) -> Mapping[str, str]:
    names: Namespace | None = NAMESPACES.get(namespace)
    if names is None:
        raise InvalidArgument("NAMESPACE", f"{namespace!r} is not one of {', '.join(NAMESPACES)}")
    parts = text.split(":", len(names.target) - 1)
    if len(parts) != len(names.target) or not all(parts):
        raise InvalidArgument("TARGET", f"of {namespace} must be {':'.join(names.target).upper()}, not {text!r}")
    return dict(zip(names.target, parts, strict=True))


def _lines(file: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, line in enumerate(values.read_text("--file", file).splitlines(), start=1):
        if line.strip():
            try:
                one = json.loads(line)
            except ValueError as error:
                raise InvalidArgument("--file", f"line {number} is not JSON: {error}") from None
            if not isinstance(one, dict):
                raise InvalidArgument("--file", f"line {number} must be a JSON object")
            found.append(one)
    if not found:
        raise InvalidArgument("--file", f"{file!r} has no job in it")
    return found


def _made(made: Dispatched) -> Any:
    now = shown.this_moment()
    next_run = made.next_run_at and shown.when(made.next_run_at, now)
    return shown.pairs({
        "job": made.job_id, "status": shown.status(made.status), "scheduled": shown.when(made.scheduled_at, now),
        "next run": next_run if made.recurring else None,
    })  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command("dispatch")(dispatch)
    app.command("dispatch-many")(dispatch_many)
