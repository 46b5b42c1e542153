"""What a dispatch may ask for, as a value, and whether each field makes sense by itself.

Owns types, ranges and contradictions between fields, for every caller alike: REST, the older
calls, the admin, Python code. Never queries: whether a target exists is `dispatch`'s question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from core.errors import FieldError, Invalid
from core.fields import dotted, unknown_fields
from core.retrying import unknown_codes, wrong_retry_config
from jobs import extensions

MOST_RETRIES = 100
LONGEST_TIMEOUT = 86_400_000  # ms
HIGHEST_PRIORITY = 9
MOST_AT_ONCE = 1_000_000  # runs of one concurrency key
MOST_LABELS = 16
LONGEST_LABEL = 60
LONGEST_LABEL_VALUE = 250
LONGEST_NAME = 250  # of a product, an environment, a target
LONGEST_TAG = 120  # of a cache, a definition
LONGEST_KEY = 200  # unique_key, concurrency_key
LONGEST_IDEMPOTENCY_KEY = 255
ON_LOST = ("retry", "fail")
ON_CONFLICT = ("return", "reject", "replace")
QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,59}")

SESSION_FIELDS = ("tag", "token")

Problems = list[FieldError]
Check = Callable[[Any, str, Problems], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchRequest:
    """One job to be dispatched. The names are the API's in Python's spelling, durations in ms.

    `schedule`, `retry_config` and `session` are objects with the contract's own names in them.
    """

    namespace: str
    target: Mapping[str, str]  # {"app": …, "event": …}
    input: Mapping[str, Any] = field(default_factory=dict)
    product: str | None = None  # may be left out where the key allows just one
    env: str | None = None
    schedule: Mapping[str, Any] | None = None  # none: now
    retries: int = 0
    retry_config: Mapping[str, Any] | None = None
    on_lost: str = "retry"
    timeout: int = 60_000
    priority: int = 5
    queue: str | None = None  # none: the default one, or the isolated one where the executor wants it
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    unique_key: str | None = None
    on_conflict: str | None = None
    idempotency_key: str | None = None
    labels: Mapping[str, str] | None = None
    session: Any = field(default=None, repr=False)  # a credential
    cache: str | None = None
    definition: str | None = None  # the tag of the definition that it is scheduled by

    def check(self) -> None:
        """Raise Invalid with everything that is wrong in itself."""
        problems: Problems = []
        for name, shown, default, check in _CHECKED:
            value = getattr(self, name)
            if value is not default:
                check(value, shown, problems)
        if self.concurrency_limit is not None and self.concurrency_key is None:
            _wrong(
                problems, "concurrency_limit", "has no meaning without a `concurrency_key`: add one, or leave it out"
            )
        if self.on_conflict is not None and self.unique_key is None:
            _wrong(problems, "on_conflict", "has no meaning without a `unique_key`: add one, or leave it out")
        if problems:
            raise Invalid.fields(problems)

    def check_codes(self, known: Collection[str]) -> None:
        """Raise Invalid for codes in `retry_config` that no run of the namespace can fail with."""
        if problems := list(unknown_codes(self.retry_config or {}, known, "retryConfig")):
            raise Invalid.fields(problems)


def _wrong(problems: Problems, field: str, detail: str, code: str = "invalid") -> None:
    problems.append(FieldError(field, code, detail))


def _text(longest: int) -> Check:
    def check(value: Any, name: str, problems: Problems) -> None:
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            _wrong(problems, name, f"must be text of 1 to {longest} printable characters")

    return check


def _whole(low: int, high: int, unit: str = "") -> Check:
    def check(value: Any, name: str, problems: Problems) -> None:
        if value.__class__ is not int or not low <= value <= high:
            _wrong(problems, name, f"must be a whole number{unit} from {low} to {high}")

    return check


def _one_of(*words: str) -> Check:
    def check(value: Any, name: str, problems: Problems) -> None:
        if not isinstance(value, str) or value not in words:
            _wrong(problems, name, f"must be one of {', '.join(words)}")

    return check


def _object(value: Any, name: str, problems: Problems) -> None:
    if not isinstance(value, Mapping):
        _wrong(problems, name, "must be an object")


def _queue(value: Any, name: str, problems: Problems) -> None:
    if not isinstance(value, str) or not QUEUE.fullmatch(value):
        _wrong(problems, name, "must be the name of a queue: letters, digits, _ . - and at most 60 of them")
    elif value in extensions.served_queues():
        _wrong(problems, name, f"{value!r} is no place for jobs: it is served by something else")


def _target(value: Any, name: str, problems: Problems) -> None:
    if not isinstance(value, Mapping):
        _wrong(problems, name, "must be an object")
        return
    for part, text in value.items():
        if text is None:
            _wrong(problems, part, "is required: it names what is to run", "required")
        else:
            _name(text, part, problems)


def check_labels(value: Any, name: str, problems: Problems) -> None:
    """Note in `problems` what is wrong with labels: flat texts, at most MOST_LABELS."""
    if not isinstance(value, Mapping) or len(value) > MOST_LABELS:
        _wrong(problems, name, f'must be an object of at most {MOST_LABELS} texts, such as {{"team": "billing"}}')
        return
    for label, text in value.items():
        at = dotted(name, str(label)[:LONGEST_LABEL])
        if not isinstance(label, str) or not 0 < len(label) <= LONGEST_LABEL or ":" in label:
            _wrong(problems, at, f"a label's name has 1 to {LONGEST_LABEL} characters and no ':'")
        elif not isinstance(text, str) or len(text) > LONGEST_LABEL_VALUE:
            _wrong(problems, at, f"must be text of at most {LONGEST_LABEL_VALUE} characters: labels are flat")


def _retry_config(value: Any, name: str, problems: Problems) -> None:
    problems += wrong_retry_config(value, name)


def _session(value: Any, name: str, problems: Problems) -> None:
    """Its form alone; what the token says is `executors.sessions`' business."""
    if isinstance(value, Mapping):
        problems += unknown_fields(value, SESSION_FIELDS, name)
        for part in SESSION_FIELDS:
            if not isinstance(value.get(part), str) or not value[part]:
                code = "required" if value.get(part) is None else "invalid"
                _wrong(problems, dotted(name, part), "is required: as `start` of the session returned it", code)
    elif not isinstance(value, str) or not value:
        _wrong(problems, name, 'must be {"tag": …, "token": …}, or the token as `start` returned it: "tag:jwt"')


_name = _text(LONGEST_NAME)
_CHECKS: dict[str, Check] = {
    "namespace": _name,
    "target": _target,
    "input": _object,
    "product": _name,
    "env": _name,
    "schedule": _object,
    "retries": _whole(0, MOST_RETRIES),
    "retry_config": _retry_config,
    "on_lost": _one_of(*ON_LOST),
    "timeout": _whole(1, LONGEST_TIMEOUT, " of milliseconds"),
    "priority": _whole(0, HIGHEST_PRIORITY),
    "queue": _queue,
    "concurrency_key": _text(LONGEST_KEY),
    "concurrency_limit": _whole(1, MOST_AT_ONCE),
    "unique_key": _text(LONGEST_KEY),
    "on_conflict": _one_of(*ON_CONFLICT),
    "idempotency_key": _text(LONGEST_IDEMPOTENCY_KEY),
    "labels": check_labels,
    "session": _session,
    "cache": _text(LONGEST_TAG),
    "definition": _text(LONGEST_TAG),
}
_SHOWN = {"retry_config": "retryConfig"}
# (name, name in the API, default, check): a field that holds its very default needs no look.
_CHECKED = [
    (each.name, _SHOWN.get(each.name, each.name), each.default, _CHECKS[each.name]) for each in fields(DispatchRequest)
]
