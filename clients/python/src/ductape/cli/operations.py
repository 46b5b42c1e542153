"""`operations`: calls over many jobs that go on in the background; and how far one is, as a bar."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ductape import ManyResult, Operation
from ductape.cli import shown
from ductape.cli.options import takes
from ductape.cli.session import Session

_BETWEEN = 0.5  # seconds between two looks
OperationId = Annotated[str, typer.Argument(metavar="OPERATION", help="Id of the operation.")]


def followed(session: Session, result: ManyResult, doing: str) -> Mapping[str, Any]:
    """The answer, or, of what goes on in the background, how it ended. Ctrl-C leaves it going, and says how to end it."""
    if result.operation_id is None:
        return result.raw
    try:
        return _watched(session, result.operation_id, doing).raw
    except KeyboardInterrupt:
        session.err.print(f"it goes on; to end it: ductape-jobs operations abort {shown.plain(result.operation_id)}")
        raise


def _watched(session: Session, operation_id: str, doing: str) -> Operation:
    with session.progress() as progress:
        bar = progress.add_task(doing, total=None)
        while True:
            operation = session.client.operations.get(operation_id)
            progress.update(bar, total=operation.total, completed=operation.done)
            if operation.status != "running":
                return operation
            time.sleep(_BETWEEN)


@takes()
def get(session: Session, operation_id: OperationId) -> None:
    """Show how far it is."""
    _show(session, session.client.operations.get(operation_id))


@takes()
def wait(session: Session, operation_id: OperationId) -> None:
    """Wait for its end, with a bar."""
    _show(session, _watched(session, operation_id, "working"))


@takes()
def abort(session: Session, operation_id: OperationId) -> None:
    """End it; what is done stays done."""
    _show(session, session.client.operations.abort(operation_id))


def _show(session: Session, operation: Operation) -> None:
    now = shown.this_moment()
    session.show(operation.raw, lambda: shown.pairs({
        "operation": operation.id, "verb": operation.verb, "status": shown.status(operation.status),
        "done": f"{operation.done} of {'?' if operation.total is None else operation.total}",
        "changed": operation.count, "passed over": operation.skipped, "began": shown.when(operation.created_at, now),
        "ended": operation.finished_at and shown.when(operation.finished_at, now),
    }))  # fmt: skip


def add_to(app: typer.Typer) -> None:
    family = typer.Typer(no_args_is_help=True, help="Calls over many jobs in the background.")
    for command in (get, wait, abort):
        family.command(command.__name__)(command)
    app.add_typer(family, name="operations")
