"""`webhooks`: where events are sent, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.text import Text

from ductape import Delivery, Webhook
from ductape.cli import shown, values
from ductape.cli.options import EVENT_NAMES, Yes, offered, takes
from ductape.cli.session import Session
from ductape.errors import InvalidArgument

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of the webhook.")]


@takes()
def list_webhooks(
    session: Session, product: Annotated[str | None, typer.Option(help="Of this product.")] = None
) -> None:
    """List webhooks."""
    found = session.client.webhooks.list(product=product)

    def table() -> Any:
        rows = [
            (
                shown.plain(each.id), _state(each), shown.plain(each.url), shown.plain(", ".join(each.events)),
                shown.plain(f"{each.product or 'all'} / {each.env or 'all'}"), str(each.consecutive_failures),
            )
            for each in found
        ]  # fmt: skip
        columns = ("webhook", "state", "url", "events", "of", "failures")
        made = shown.fitted(columns, rows, width=session.out.width, gives={"events": 8, "url": 12}, right=("failures",))
        return made if found else Text("there is no webhook")

    session.show({"webhooks": [each.raw for each in found]}, table)


@takes()
def set_webhook(
    session: Session,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="URL that events are sent to.")],
    event: Annotated[
        list[str],
        typer.Option(
            "--event",
            "-e",
            help="As job.failed; * is all, and so is none for a new one.",
            autocompletion=offered("*", *EVENT_NAMES),
        ),
    ] = [],  # noqa: B006
    product: Annotated[str | None, typer.Option(help="Only of this product.")] = None,
    env: Annotated[str | None, typer.Option(help="Only of this environment.")] = None,
    namespace: Annotated[list[str], typer.Option(help="Only of these; may be repeated.")] = [],  # noqa: B006
    label: Annotated[list[str], typer.Option("--label", "-l", metavar="KEY:VALUE", help="May be repeated.")] = [],  # noqa: B006
    secret_file: Annotated[str | None, typer.Option(metavar="FILE", help="Own secret; usually one is made.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
) -> None:
    """Tell an address of events; the same address again changes of that webhook what is named."""
    events: Any = values.several(event)
    secret = None if secret_file is None else values.read_text("--secret-file", secret_file).strip()
    webhook = session.client.jobs.set_webhook(
        url=address, events=events, secret=secret, product=product, env=env, description=description,
        namespaces=values.several(namespace), labels=values.labels("--label", label) or None,
    )  # fmt: skip
    _show(session, webhook)


@takes()
def get(session: Session, webhook_id: WebhookId) -> None:
    """Show a webhook."""
    _show(session, session.client.webhooks.get(webhook_id))


@takes()
def enable(session: Session, webhook_id: WebhookId) -> None:
    """Send to it again."""
    _show(session, session.client.webhooks.update(webhook_id, enabled=True))


@takes()
def disable(session: Session, webhook_id: WebhookId) -> None:
    """Send nothing to it until it is enabled."""
    _show(session, session.client.webhooks.update(webhook_id, enabled=False))


@takes()
def delete(session: Session, webhook_id: WebhookId, yes: Yes = False) -> None:
    """Delete a webhook and its deliveries."""
    session.confirm(f"Delete webhook {webhook_id} with its deliveries?", yes=yes)
    session.client.webhooks.delete(webhook_id)
    session.show({"id": webhook_id, "deleted": True}, lambda: Text(f"{shown.plain(webhook_id)} is deleted"))


@takes()
def rotate_secret(session: Session, webhook_id: WebhookId) -> None:
    """Make a new secret, shown once; the old one signs too for 24 hours."""
    _show(session, session.client.webhooks.rotate_secret(webhook_id))


@takes()
def send_test(
    session: Session,
    webhook_id: WebhookId,
    event: Annotated[str | None, typer.Option(help="Which.", autocompletion=offered(*EVENT_NAMES))] = None,
) -> None:
    """Send a made-up event."""
    name: Any = event
    delivery = session.client.webhooks.test(webhook_id, event=name)
    session.show(delivery.raw, lambda: _deliveries(session, [delivery]))


@takes()
def deliveries(
    session: Session,
    webhook_id: WebhookId,
    status: Annotated[list[str], typer.Option("--status", "-s", help="pending, delivered, failed.")] = [],  # noqa: B006
    event: Annotated[list[str], typer.Option("--event", "-e", help="As job.failed.")] = [],  # noqa: B006
    job: Annotated[str | None, typer.Option(metavar="JOB", help="Of this job.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="From then on.")] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="Before that.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="1 to 1000.")] = None,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
) -> None:
    """List what was sent, the newest first."""
    states: Any = values.several(status)
    events: Any = values.several(event)
    page = session.client.webhooks.deliveries(
        webhook_id, status=states, event=events, job_id=job, limit=limit, cursor=cursor,
        from_=None if from_ is None else values.moment("--from", from_),
        to=None if to is None else values.moment("--to", to),
    )  # fmt: skip
    more = [Text(f"more: --cursor {shown.plain(page.next_cursor)}", style="bright_black")] if page.next_cursor else []
    session.show(page.raw, lambda: [_deliveries(session, page.deliveries), *more])


@takes()
def delivery(
    session: Session, webhook_id: WebhookId, delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY")]
) -> None:
    """Show one delivery: every attempt, and what is sent."""
    one = session.client.webhooks.delivery(webhook_id, delivery_id)

    def page() -> Any:
        now = shown.this_moment()
        facts = shown.pairs({
            "delivery": one.id, "status": shown.status(one.status), "event": one.event, "job": one.job_id,
            "webhook-id": one.message_id, "made": shown.when(one.created_at, now),
            "next attempt": one.next_attempt_at and shown.when(one.next_attempt_at, now), "failed": one.reason,
            "payload": dict(one.payload or {}),
        })  # fmt: skip
        return [facts, _attempts(session, one)] if one.attempts else facts

    session.show(one.raw, page)


@takes()
def stats(
    session: Session,
    webhook_id: WebhookId,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Of what was made from then on.")] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="And before that.")] = None,
) -> None:
    """Show how a webhook does."""
    found = session.client.webhooks.stats(
        webhook_id,
        from_=None if from_ is None else values.moment("--from", from_),
        to=None if to is None else values.moment("--to", to),
    )
    took = found.duration_ms
    session.show(found.raw, lambda: shown.pairs({
        "delivered": found.delivered, "failed": found.failed, "pending": found.pending, "attempts": found.attempts,
        "success": None if found.success_rate is None else f"{found.success_rate:g} %",
        "took": f"{shown.length(took.p50)} (p50), {shown.length(took.p95)} (p95), {shown.length(took.p99)} (p99)",
        "failing": found.failing_since
        and f"{found.consecutive_failures} in a row, since {shown.when(found.failing_since, shown.this_moment())}",
        "last error": found.last_error,
    }))  # fmt: skip


@takes()
def replay(
    session: Session,
    webhook_id: WebhookId,
    delivery: Annotated[str | None, typer.Argument(metavar="[DELIVERY]", help="This one only.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="All from then on.")] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="And before that.")] = None,
    status: Annotated[list[str], typer.Option("--status", "-s", help="delivered, failed, missing.")] = [],  # noqa: B006
) -> None:
    """Send one delivery again, or all of a time.

    ductape-jobs webhooks replay 7 --from -1d --status failed
    """
    if (delivery is None) == (from_ is None):
        raise InvalidArgument("DELIVERY", "or --from must be given, and not both")
    if delivery is not None:
        again = session.client.webhooks.replay_delivery(webhook_id, delivery)
        session.show(again.raw, lambda: _deliveries(session, [again]))
        return
    states: Any = values.several(status)
    begin = values.moment("--from", str(from_))
    end = None if to is None else values.moment("--to", to)
    count = session.client.webhooks.replay(webhook_id, from_=begin, to=end, status=states)
    session.show({"count": count}, lambda: Text(f"{count} deliveries are sent again"))


def _show(session: Session, webhook: Webhook) -> None:
    session.show(webhook.raw, lambda: shown.pairs({
        "webhook": webhook.id, "state": _state(webhook),
        "url": webhook.url, "events": ", ".join(webhook.events), "product": webhook.product, "env": webhook.env,
        "namespaces": ", ".join(webhook.namespaces) or None, "labels": dict(webhook.labels) or None,
        "description": webhook.description or None, "failures": webhook.consecutive_failures or None,
        "disabled": webhook.disabled_reason, "rests until": webhook.resting_until and shown.when(webhook.resting_until, shown.this_moment()), "secret": webhook.secret and f"{webhook.secret}  (shown only now)",
    }))  # fmt: skip


def _state(webhook: Webhook) -> Text:
    if not webhook.enabled:
        return Text("disabled" if webhook.disabled_reason else "off", style="red")
    return Text("failing", style="red") if webhook.failing_since else Text("on", style="green")


def _deliveries(session: Session, found: Iterable[Delivery]) -> Any:
    rows = []
    for one in found:
        last = one.attempts[-1] if one.attempts else None
        told = "" if last is None else str(last.error or last.response_status or "")
        rows.append((
            shown.plain(one.id), shown.status(one.status), shown.plain(one.event), shown.plain(one.job_id or "–"),
            shown.distance(one.created_at, shown.this_moment()), str(len(one.attempts)), shown.plain(told),
        ))  # fmt: skip
    columns = ("delivery", "status", "event", "job", "made", "tries", "last answer")
    return shown.fitted(columns, rows, width=session.out.width, gives={"last answer": 8}, right=("tries",))


def _attempts(session: Session, one: Delivery) -> Any:
    now = shown.this_moment()
    rows = [
        (
            shown.distance(each.at, now), shown.length(each.duration_ms), str(each.response_status or "–"),
            shown.plain(each.address or "–"), shown.plain(each.error or ""), shown.plain(each.response_body),
        )
        for each in one.attempts
    ]  # fmt: skip
    columns = ("attempt", "took", "status", "address", "error", "answer")
    return shown.fitted(
        columns, rows, width=session.out.width, gives={"error": 8, "answer": 8}, right=("took", "status")
    )


def add_to(app: typer.Typer) -> None:
    family = typer.Typer(no_args_is_help=True, help="Where events are sent, and what became of each.")
    family.command("list")(list_webhooks)
    family.command("set")(set_webhook)
    family.command("test")(send_test)
    for command in (get, enable, disable, delete, rotate_secret, deliveries, delivery, replay, stats):
        family.command(command.__name__.replace("_", "-"))(command)
    app.add_typer(family, name="webhooks")
