"""What the three processes do before they become gunicorn, a Celery worker, or Celery's beat.

Owns the checks at their start, the waiting for the database and its migrations, and the options
they run with. Each becomes the foreign program in this same process: Django is loaded once, and
signals, exit codes and logs are that program's own. Not by Celery's command line: it loads all of
its commands and an interactive shell, 0.25 s and 10 MB that no worker needs.
"""

from __future__ import annotations

import logging
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.db import connection, connections

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25  # between two looks at a database that is not ready
PATIENCE_SECONDS = 3.0  # so long nothing is said: at a common start somebody else is just migrating it
REMIND_SECONDS = 30.0  # how often the wait for it is told again


def refuse_if_unsafe() -> None:
    """Run this project's own checks. CommandError names everything that must be mended first."""
    found = checks.run_checks(tags=["ductape"])
    errors = [message for message in found if message.is_serious()]
    if errors:
        texts = "\n".join(f"  {error.id}: {error.msg}\n    {error.hint}" for error in errors)
        raise CommandError(f"the configuration is refused:\n{texts}")
    for message in found:
        logger.warning("%s: %s %s", message.id, message.msg, message.hint or "")


def wait_for_database(sleep: Callable[[float], None] = time.sleep) -> None:
    """Return when the database answers and no migration of ours is missing; says what it waits for."""
    began, told, told_at = time.monotonic(), "", 0.0
    while (reason := why_not_ready()) is not None:
        now = time.monotonic()
        if now - began >= PATIENCE_SECONDS and (reason != told or now - told_at > REMIND_SECONDS):
            logger.warning("waiting: %s", reason)
            told, told_at = reason, now
        sleep(LOOK_SECONDS)
    if told:
        logger.info("the database is ready")
    connections.close_all()


def why_not_ready() -> str | None:
    """Why nothing can be done with the database now, in a sentence; None when it is ready."""
    connection.close()
    try:
        missing = missing_migrations()
    except DatabaseError as error:
        return f"the database does not answer: {str(error).strip()}"
    if missing:
        return "migrations of this version are missing: 'python manage.py migrate' applies them"
    return None


def missing_migrations() -> list[str]:
    """Migrations of this code that the database lacks, as `app.name`. Those it has besides do not matter:
    a newer version may be migrating it while this one still runs."""
    known = [
        (config.label, path.stem)
        for config in apps.get_app_configs()
        for path in sorted((Path(config.path) / "migrations").glob("[0-9]*.py"))
    ]
    with connection.cursor() as cursor:
        if "django_migrations" not in connection.introspection.table_names(cursor):
            applied = set()
        else:
            cursor.execute("SELECT app, name FROM django_migrations")
            applied = set(cursor.fetchall())
    return [f"{label}.{name}" for label, name in known if (label, name) not in applied]


def become_api() -> None:
    """Serve the API and the admin with gunicorn until it is told to stop."""
    from ductape_jobs.serving import Server

    Server().run()


def become_worker() -> int:
    """Serve QUEUES as a Celery worker until it is told to stop."""
    from celery.utils.nodenames import host_format

    from ductape_jobs.celery import app

    _as_root_without_a_warning()
    # No gossip, mingle or events: workers know of each other through the database.
    worker = app.Worker(
        hostname=host_format(f"ductape-{uuid.uuid4().hex[:8]}@%h"),
        queues=settings.QUEUES,
        pool_cls="solo",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel=settings.LOG_LEVEL,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def become_scheduler() -> int:
    """Run Celery's beat with our scheduler in it until it is told to stop."""
    from ductape_jobs.celery import app
    from jobs.beat import JobBeat

    _as_root_without_a_warning()
    JobBeat(app=app, scheduler=settings.CELERY_BEAT_SCHEDULER, loglevel=settings.LOG_LEVEL, quiet=True).run()
    return 0


def _as_root_without_a_warning() -> None:
    """Celery warns root because a pickled message would run as root: this application accepts only JSON."""
    warnings.filterwarnings("ignore", message="You're running the worker with superuser")
