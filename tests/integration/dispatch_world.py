"""A product with one app, callers, and threads with connections of their own: for the tests of dispatch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import connection

from core.ids import decode
from executors.catalog import document
from executors.catalog.schema import read_document
from jobs.models import Execution, Job

T = TypeVar("T")

EVENTS: list[dict[str, Any]] = [
    {"tag": "ping", "method": "POST", "resource": "/ping"},
    {
        "tag": "welcome",
        "method": "POST",
        "resource": "/users/:userId/welcome",
        "body": {"type": "object", "required": ["email"], "properties": {"email": {"type": "string"}}},
    },
]
BODY: dict[str, Any] = {"product": "shop", "env": "prd", "app": "mail", "event": "ping", "input": {"body": {"n": 1}}}
ACTIONS = "/v1/actions/dispatch"
MANY = "/v1/jobs/dispatch-many"


def catalog(product: str = "shop", envs: tuple[str, ...] = ("prd", "dev")) -> None:
    """A product whose app `mail` is connected in all of its environments."""
    written = {
        "envs": [{"slug": slug} for slug in envs],
        "apps": [
            {"tag": "mail", "envs": {slug: {"base_url": "http://127.0.0.1:9"} for slug in envs}, "events": EVENTS}
        ],
    }
    document.store(product, read_document(written, product), prune=True)


def catalog_with(*events: str) -> None:
    """As `catalog`, with these events of `mail` in one environment."""
    connected = {"prd": {"base_url": "http://127.0.0.1:9"}}
    posted = [{"tag": tag, "method": "POST", "resource": f"/{tag}"} for tag in events]
    written = {"envs": [{"slug": "prd"}], "apps": [{"tag": "mail", "envs": connected, "events": posted}]}
    document.store("shop", read_document(written, "shop"), prune=True)


def job_of(response: Any) -> Job:
    """The job that a dispatch answered with."""
    job_id = decode("job", response.json()["job_id"])
    assert job_id is not None, response.content
    return Job.objects.get(pk=job_id)


def counts() -> tuple[int, int]:
    return Job.objects.count(), Execution.objects.count()


def at_once(times: int, call: Callable[[int], T]) -> list[T]:
    """Call it that many times at the same moment, each in a thread with its own connection."""
    start = threading.Barrier(times)
    answers: list[T | BaseException] = []

    def run(index: int) -> None:
        try:
            start.wait(10)
            answers.append(call(index))
        except BaseException as error:
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == times
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException)]
