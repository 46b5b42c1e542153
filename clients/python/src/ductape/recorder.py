"""A server that is none, for the tests of programs that dispatch: it answers as one would, and remembers.

Takes dispatches of every kind, and reads of the jobs that they made; nothing runs. A test says how a job ends
(`complete`, `fail`) and asserts what was dispatched. Safe between threads.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx

from ductape.errors import DuctapeError
from ductape.namespaces import NAMESPACES, Namespace

_BY_PATH = {names.path: names for names in NAMESPACES.values()}
_SCHEDULED = "/v1/processor/jobs/schedule"
_DEFAULTS: Mapping[str, Any] = {
    "execution_count": 0, "successful_executions": 0, "failed_executions": 0, "consecutive_failures": 0,
    "retries": 0, "retry_count": 0, "timeout": 60_000, "priority": 5, "queue": "default", "labels": {},
}  # fmt: skip


class NotRecorded(DuctapeError):
    """A call that the recorder has no answer to."""

    advice = "answer it with `recorder.answer(method, path, body)`, or test it against a server"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One dispatch: its namespace, what it was sent with, and the job that it made.

    `body` is as the API got it: times in ms, `retryConfig` and the others by the contract's names.
    """

    namespace: str
    body: Mapping[str, Any]
    job_id: str
    idempotency_key: str | None = None

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    def matches(self, wanted: Mapping[str, Any]) -> bool:
        """Whether the body has all that is wanted; a mapping in it may have more than the wanted one."""
        return _has(self.body, wanted)


@dataclass(kw_only=True)
class Recorder:
    """`dispatched` are all dispatches in order."""

    dispatched: list[Recorded] = field(default_factory=list)
    _jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    _answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    _answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # --- what a test says ---------------------------------------------------------------

    def matching(self, namespace: str | None = None, **wanted: Any) -> list[Recorded]:
        """The dispatches of a namespace (`"databases.action"`; None: any) whose body has all that is wanted."""
        return [each for each in self.dispatched if namespace in (None, each.namespace) and each.matches(wanted)]

    def assert_dispatched(
        self, namespace: str | None = None, *, count: int | None = None, **wanted: Any
    ) -> list[Recorded]:
        """At least one, or exactly `count`, as `assert_dispatched("actions", event="send", input={"body": {"to": 7}})`.

        Answers those that matched. AssertionError with what was dispatched instead.
        """
        found = self.matching(namespace, **wanted)
        if not found if count is None else len(found) != count:
            times = "none" if count is None else f"{len(found)}, not {count},"
            raise AssertionError(f"{times} of these was dispatched: {_shown(namespace, wanted)}\n{self._told()}")
        return found

    def assert_nothing_dispatched(self, namespace: str | None = None, **wanted: Any) -> None:
        if found := self.matching(namespace, **wanted):
            raise AssertionError(f"{len(found)} of these were dispatched: {_shown(namespace, wanted)}\n{self._told()}")

    def complete(self, job_id: str, result: Any = None) -> None:
        """From now on the job has run once, with this result."""
        self._end(job_id, status="completed", result=result, successful_executions=1)

    def fail(self, job_id: str, error: str) -> None:
        """From now on the job has run once, and failed."""
        self._end(job_id, status="failed", last_error=error, failed_executions=1, consecutive_failures=1)

    def answer(self, method: str, path: str, body: Any, *, status: int = 200) -> None:
        """Answer any other call, such as `("POST", "/v1/jobs/job_1/cancel", {…})`, or a dispatch with an error."""
        self._answers[method.upper(), path] = (status, body)

    def clear(self) -> None:
        self.dispatched.clear()
        self._jobs.clear()
        self._answers.clear()
        self._answered.clear()

    # --- what a client gets -------------------------------------------------------------

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The answer of a server. Raises NotRecorded."""
        method, path = request.method, request.url.path
        with self._lock:
            if (method, path) in self._answers:
                status, body = self._answers[method, path]
                return _response(status, body)
            body = json.loads(request.content) if request.content else {}
            key = request.headers.get("idempotency-key") or body.get("idempotency_key")
            if method == "POST" and key in self._answered:
                return _response(200, self._answered[key])
            answer = self._made(path, body, key) if method == "POST" else self._read(path, request)
            if answer is None:
                raise NotRecorded(f"{method} {path} is neither a dispatch nor a read of a job – {NotRecorded.advice}")
            if method == "POST" and key is not None:
                self._answered[key] = answer
        return _response(201 if method == "POST" else 200, answer)

    def _made(self, path: str, body: dict[str, Any], key: str | None) -> dict[str, Any] | None:
        if path == "/v1/jobs/dispatch-many":
            return {"jobs": [self._job(item.pop("namespace"), item, None) for item in map(dict, body["jobs"])]}
        if path == _SCHEDULED:
            place = {"product": body.get("product_tag")} if "product_tag" in body else {}
            repeat = {**(body.get("repeat") or {}), **({"start_at": body["start_at"]} if body.get("start_at") else {})}
            return self._job("processor.job", {**body, **place, **({"schedule": repeat} if repeat else {})}, key)
        names = _BY_PATH.get(path)
        return None if names is None else self._job(names.name, _bare(names, body), key)

    def _job(self, namespace: str, body: dict[str, Any], key: str | None) -> dict[str, Any]:
        now = int(time.time() * 1000)
        schedule = body.get("schedule") or {}
        start = schedule.get("start_at")
        at = start if isinstance(start, int) else now
        recurring = "cron" in schedule or "every" in schedule
        status = "scheduled" if recurring or at > now else "queued"
        job_id = f"job_{uuid.uuid4().hex[:26]}"
        names = NAMESPACES.get(namespace)
        kept = {**_DEFAULTS, **{name: body[name] for name in _DEFAULTS if name in body}}
        self._jobs[job_id] = {
            **kept, "id": job_id, "status": status, "namespace": namespace, "product": body.get("product", ""),
            "env": body.get("env", ""), "target": {name: body.get(name) for name in (names.target if names else ())},
            "scheduled_at": at, "recurring": recurring, "input": body.get("input", {}), "schedule": schedule,
            "created_at": now, "updated_at": now,
        }  # fmt: skip
        self.dispatched.append(Recorded(namespace=namespace, body=body, job_id=job_id, idempotency_key=key))
        told = {"job_id": job_id, "status": status, "scheduled_at": at, "recurring": recurring}
        return {**told, "next_run_at": at} if recurring else told

    def _read(self, path: str, request: httpx.Request) -> dict[str, Any] | None:
        if path == "/v1/jobs":
            query = {name: values[-1] for name, values in parse_qs(request.url.query.decode()).items()}
            found = [each for each in reversed(self._jobs.values()) if _listed(each, query)]
            return {"jobs": found, "total": len(found), "limit": len(found), "offset": 0, "next_cursor": None}
        return self._jobs.get(path.removeprefix("/v1/jobs/"))

    def _end(self, job_id: str, **changes: Any) -> None:
        now = int(time.time() * 1000)
        if job_id not in self._jobs:
            raise AssertionError(f"no job {job_id} was dispatched\n{self._told()}")
        ended = {"execution_count": 1, "started_at": now, "completed_at": now, "updated_at": now}
        self._jobs[job_id].update(ended, last_run_status=changes["status"], **changes)

    def _told(self) -> str:
        if not self.dispatched:
            return "nothing was dispatched"
        return "dispatched were:\n" + "\n".join(f"  {_shown(each.namespace, each.body)}" for each in self.dispatched)


def _bare(names: Namespace, body: dict[str, Any]) -> dict[str, Any]:
    """With the target by its own names."""
    return {names.aliases.get(name, name) if name not in names.target else name: value for name, value in body.items()}


def _has(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(
            name in given and _has(given[name], value) for name, value in wanted.items()
        )
    return bool(given == wanted)


def _listed(job: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """By the filters that say what a job is; others take every job."""
    statuses = query.get("status")
    return (statuses is None or job["status"] in statuses.split(",")) and all(
        query.get(name) in (None, job[name]) for name in ("product", "env", "namespace")
    )


def _shown(namespace: str | None, values: Mapping[str, Any]) -> str:
    return f"{namespace or 'any'} {json.dumps(values, default=repr, ensure_ascii=False)}"


def _response(status: int, body: Any) -> httpx.Response:
    return httpx.Response(status, json=body)
