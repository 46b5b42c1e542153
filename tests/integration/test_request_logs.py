"""What the log tells of a request and of a run: ids where they are known, never a query."""

from __future__ import annotations

import contextvars
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from core import about
from core.ids import encode, new_uuid
from core.shortcache import forget_everything
from core.tenancy.requests import RequestIdMiddleware
from ductape_jobs.logs import JsonFormatter
from tests.integration.api import OPERATOR, Api

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    forget_everything()
    yield
    forget_everything()


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    """The lines of the access log as JSON."""
    written: list[dict[str, object]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(json.loads(JsonFormatter().format(record)))

    handler, logger = Kept(), logging.getLogger("api.access")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_each_request_is_one_line_with_its_id_and_without_its_query(lines: list[dict[str, object]]) -> None:
    Api().get("/v1/jobs?q=s3cret", **{"X-Request-Id": "abc-1"})

    (line,) = lines
    assert {name: line[name] for name in ("level", "logger", "request_id", "method", "path", "status")} == {
        "level": "info", "logger": "api.access", "request_id": "abc-1", "method": "GET", "path": "/v1/jobs", "status": 200,
    }  # fmt: skip
    assert isinstance(line["ms"], float)
    assert "s3cret" not in json.dumps(line)
    assert OPERATOR not in json.dumps(line)


def test_an_answer_that_refuses_is_told_too_and_a_path_cannot_forge_a_line(lines: list[dict[str, object]]) -> None:
    Api(None).get("/v1/jobs/x%0aGET%20admin%20200")

    (line,) = lines
    assert line["status"] == 401
    assert line["path"] == "/v1/jobs/x%0AGET%20admin%20200"


def test_probes_are_told_only_where_somebody_asks_for_it(lines: list[dict[str, object]]) -> None:
    Api(None).get("/healthz")

    assert [line["level"] for line in lines] == ["debug"]


@pytest.mark.parametrize("answer", [HttpResponse(b"12345"), StreamingHttpResponse([b"123", b"45"])])
def test_head_is_answered_as_get_is_but_for_the_body(answer: HttpResponse | StreamingHttpResponse) -> None:
    response = RequestIdMiddleware(lambda request: answer)(RequestFactory().head("/v1/jobs"))  # type: ignore[arg-type, return-value]

    assert b"".join(response) == b""
    assert response.get("Content-Length") in ("5", None)  # of a stream nobody knows it
    assert response["X-Request-Id"]


def test_a_line_of_a_run_carries_its_job_and_number() -> None:
    job_id = new_uuid()
    record = logging.makeLogRecord({"name": "x", "msg": "sent %d", "args": (3,), "levelname": "INFO", "answer": 200})

    def told() -> dict[str, object]:
        about.this_run(job_id, 7)
        line: dict[str, object] = json.loads(JsonFormatter().format(record))
        return line

    line = contextvars.copy_context().run(told)

    assert (line["job_id"], line["run"], line["message"], line["answer"]) == (encode("job", job_id), 7, "sent 3", 200)
    assert "request_id" not in line
    assert "job_id" not in json.loads(JsonFormatter().format(record))


def test_an_exception_stands_in_one_line() -> None:
    try:
        raise ValueError("no\nway")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())

    text = JsonFormatter().format(record)

    assert "\n" not in text
    assert "ValueError: no" in json.loads(text)["exception"]
