"""What has to happen inside the project's own processes: jobs created through its own functions.

`python -m benchmarks.inside seed | create N SHARE | spread N SECONDS HEAD | recurring N EVERY SPREAD HEAD |
dispatch N MIN MAX | single N THREADS` with the project's environment variables. It prepares, or plays the application that
dispatches, and notes in each job's input what time it was; only `single` measures, and prints a rate.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from benchmarks.noop import NAMESPACE

PRODUCT, ENV = "bench", "prd"
TARGET = {"app": "nothing", "event": "noop"}
BODY = {"body": {"userId": "user_123", "email": "a@example.com"}}
CHUNK = 1_000  # what one dispatch-many may hold
KEYS = 100  # concurrency keys that the keyed share is spread over
KEY_LIMIT = 10


def seed() -> None:
    """The product and environment that everything runs in."""
    from core.tenancy.models import Environment, Product

    product, _ = Product.objects.get_or_create(tag=PRODUCT, defaults={"name": PRODUCT})
    Environment.objects.get_or_create(product=product, slug=ENV, defaults={"name": ENV})


def create(count: int, keyed_share: float) -> None:
    """Queued jobs, all visible at once, then one wake-up. A share of them has a concurrency key."""
    from django.db import transaction

    from core.clock import database_now
    from jobs import wakeup
    from jobs.lifecycle.create import create_jobs
    from jobs.schedule import Schedule

    keyed = round(CHUNK * keyed_share)
    with transaction.atomic():
        for first in range(0, count, CHUNK):
            jobs = [
                _job(Schedule(), key=f"key-{random.randrange(KEYS)}" if index < keyed else "")
                for index in range(min(CHUNK, count - first))
            ]
            random.shuffle(jobs)
            create_jobs(jobs, now=database_now())
    wakeup.wake(["default"])


def spread(count: int, seconds: float, head: float) -> None:
    """One-offs with a `start_at`, evenly over `seconds`, the first one `head` seconds from now."""
    from jobs.schedule import Schedule

    create_spread(lambda at: _job(Schedule(start_at=at)), count, seconds, head)


def create_spread(job_at: Callable[[datetime], Any], count: int, seconds: float, head: float) -> None:
    """Jobs whose times are evenly over `seconds`, the first one `head` seconds from now; all are stored by then."""
    from django.db import transaction

    from core.clock import database_now
    from jobs import notices
    from jobs.lifecycle.create import create_jobs

    begin = database_now() + timedelta(seconds=head)
    times = [begin + timedelta(seconds=index * seconds / count) for index in range(count)]
    for first in range(0, count, CHUNK):
        with transaction.atomic():
            create_jobs([job_at(at) for at in times[first : first + CHUNK]], now=database_now())
        notices.tell_due()
    if database_now() > begin:
        raise RuntimeError("creating took longer than its head start")


def recurring(count: int, every: float, spread: float, head: float) -> None:
    """Schedules that run every `every` seconds: their first times evenly over `spread` seconds, the first
    one `head` seconds from now. Prints that time, in seconds since the epoch."""
    from django.db import transaction

    from core.clock import database_now
    from jobs import notices
    from jobs.lifecycle.create import create_jobs
    from jobs.schedule import Schedule

    begin, interval = database_now() + timedelta(seconds=head), round(every * 1000)
    for first in range(0, count, CHUNK):
        times = [begin + timedelta(seconds=index * spread / count) for index in range(first, min(first + CHUNK, count))]
        with transaction.atomic():
            jobs = [_job(Schedule(start_at=at, anchor_at=at, every=interval)) for at in times]
            create_jobs(jobs, now=database_now())
        notices.tell_due()
    print(begin.timestamp())


def dispatch(count: int, shortest: float, longest: float) -> None:
    """Dispatches one by one at random gaps, as an application in the same process would."""
    from jobs.operations.dispatch import dispatch as dispatch_one
    from jobs.operations.request import DispatchRequest

    for _ in range(count):
        time.sleep(random.uniform(shortest, longest))
        noted = {**BODY, "sent": time.time()}
        dispatch_one(DispatchRequest(namespace=NAMESPACE, product=PRODUCT, env=ENV, target=TARGET, input=noted))


def single(count: int, threads: int) -> None:
    """Prints how many dispatches a second this process makes, one by one in each thread."""
    from concurrent.futures import ThreadPoolExecutor

    from benchmarks.rest import ACTION, APP, NOWHERE, catalog
    from executors.catalog import document
    from executors.catalog.schema import read_document
    from jobs.operations.dispatch import dispatch as dispatch_one
    from jobs.operations.request import DispatchRequest

    document.store(PRODUCT, read_document(catalog(NOWHERE), PRODUCT))
    request = DispatchRequest(
        namespace="actions", product=PRODUCT, env=ENV, target={"app": APP, "event": ACTION}, input=BODY
    )

    def some(number: int) -> None:
        for _ in range(number):
            dispatch_one(request)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(some, [10] * threads))  # connections and caches are there
        begin = time.perf_counter()
        list(pool.map(some, [count // threads] * threads))
        print(count // threads * threads / (time.perf_counter() - begin))


def _job(schedule: Any, *, key: str = "", sent: float = 0.0) -> Any:
    from jobs.lifecycle.create import NewJob

    product_id, environment_id = _place()
    return NewJob(
        product_id=product_id,
        environment_id=environment_id,
        namespace=NAMESPACE,
        target=TARGET,
        input={**BODY, "sent": sent},
        schedule=schedule,
        concurrency_key=key,
        concurrency_limit=KEY_LIMIT if key else 1,
    )


_known: list[tuple[int, int]] = []


def _place() -> tuple[int, int]:
    if not _known:
        from core.tenancy.models import Environment

        environment = Environment.objects.get(product__tag=PRODUCT, slug=ENV)
        _known.append((environment.product_id, environment.pk))
    return _known[0]


_COMMANDS: dict[str, Callable[..., None]] = {
    "seed": seed,
    "create": create,
    "spread": spread,
    "recurring": recurring,
    "dispatch": dispatch,
    "single": single,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inside")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("seed")
    many = commands.add_parser("create")
    many.add_argument("count", type=int)
    many.add_argument("keyed_share", type=float)
    later = commands.add_parser("spread")
    later.add_argument("count", type=int)
    later.add_argument("seconds", type=float)
    later.add_argument("head", type=float)
    again = commands.add_parser("recurring")
    again.add_argument("count", type=int)
    again.add_argument("every", type=float)
    again.add_argument("spread", type=float)
    again.add_argument("head", type=float)
    single = commands.add_parser("dispatch")
    single.add_argument("count", type=int)
    single.add_argument("shortest", type=float)
    single.add_argument("longest", type=float)
    alone = commands.add_parser("single")
    alone.add_argument("count", type=int)
    alone.add_argument("threads", type=int)
    arguments = vars(parser.parse_args())

    import django

    django.setup()
    _COMMANDS[arguments.pop("command")](**arguments)


if __name__ == "__main__":
    main()
