"""Queries and bodies of the jobs API: each parameter by its type, every problem at once.

Owns how a parameter of a query is read. Never looks anything up but products and environments.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, tzinfo

from django.http import QueryDict

from core.fields import GIVEN_TWICE, not_one_of, reject_unknown
from core.tenancy.auth import Principal
from core.tenancy.visibility import bare_tag, visible_environments
from core.times import parse_time
from executors.catalog.reading import Problems
from jobs.api.parameters import DEFAULT_LISTED, FURTHEST_OFFSET, LAST_RUN, MOST_FAILURES, MOST_LISTED
from jobs.queries import JobFilter
from jobs.states import JobStatus

LONGEST_TEXT = 300  # characters of a parameter
FILTER_FIELDS = (
    "status", "recurring", "product", "env", "namespace", "from", "to", "target", "label", "queue", "q",
    "last_run_status", "consecutive_failures", "retrying",
)  # fmt: skip
STATS_FIELDS = ("product", "env", "namespace", "from", "to")


class Query:
    """The parameters of a request; unknown ones are refused. Problems are raised by `done`."""

    def __init__(self, given: QueryDict, known: Collection[str]) -> None:
        reject_unknown(given, frozenset(known))
        self._given = given
        self._problems = Problems()

    def done(self) -> None:
        """Raise Invalid with everything that was wrong."""
        self._problems.raise_if_any()

    def has(self, name: str) -> bool:
        return name in self._given

    def wrong(self, name: str, detail: str, code: str = "invalid") -> None:
        self._problems.add(name, detail, code)

    def text(self, name: str) -> str | None:
        """The value given; None where there is none, or an empty one."""
        values = self.texts(name)
        if len(values) > 1:
            self.wrong(name, GIVEN_TWICE, "duplicate")
        return values[-1] or None if values else None

    def texts(self, name: str) -> list[str]:
        values: list[str] = self._given.getlist(name)
        for value in values:
            if "\x00" in value or len(value) > LONGEST_TEXT:
                self.wrong(name, f"must be text of at most {LONGEST_TEXT} characters, without NUL")
                return []
        return values

    def number(self, name: str, *, low: int, high: int, default: int) -> int:
        text = self.text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 18) or not low <= int(text) <= high:
            self.wrong(name, f"must be a whole number from {low} to {high}")
            return default
        return int(text)

    def paging(self) -> tuple[int, int]:
        """`limit` and `offset`."""
        limit = self.number("limit", low=1, high=MOST_LISTED, default=DEFAULT_LISTED)
        return limit, self.number("offset", low=0, high=FURTHEST_OFFSET, default=0)

    def flag(self, name: str) -> bool | None:
        text = self.text(name)
        if text is None:
            return True if self.has(name) else None  # `?force` alone means yes
        if text.lower() in {"true", "1"}:
            return True
        if text.lower() not in {"false", "0"}:
            self.wrong(name, "must be true or false")
        return False

    def time(self, name: str, where: tzinfo = UTC) -> datetime | None:
        """Milliseconds, or ISO 8601 (naive: a reading of the clock there; one in its gap is as before the change)."""
        text = self.text(name)
        if text is None:
            return None
        if "T" in text:
            text = text.replace(" ", "+")  # an offset as it was typed: in a query `+` is a space
        try:
            return parse_time(int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else text, where)
        except ValueError as error:
            self.wrong(name, str(error))
            return None

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        return next(iter(self._chosen(name, [self.text(name) or ""], choices)), None)

    def choices(self, name: str, choices: Collection[str]) -> frozenset[str]:
        """A comma list, or the parameter several times."""
        return frozenset(self._chosen(name, ",".join(self.texts(name)).split(","), choices))

    def _chosen(self, name: str, texts: Sequence[str], choices: Collection[str]) -> list[str]:
        given = [text.strip() for text in texts if text.strip()]
        for text in given:
            if text not in choices:
                self.wrong(name, not_one_of(text, choices))
                return []
        return given


def read_filter(query: Query, principal: Principal) -> JobFilter:
    """The filter of a list, over what the key may see. A product or environment that does not
    exist (for this key) matches nothing. Problems are left in `query`."""
    since, until = query.time("from"), query.time("to")
    if since is not None and until is not None and since > until:
        query.wrong("from", "is later than `to`: nothing is between them")
    return JobFilter(
        environment_ids=environment_ids(principal, query.text("product"), query.text("env")),
        statuses=frozenset(map(JobStatus, query.choices("status", list(JobStatus)))),
        recurring=query.flag("recurring"),
        namespace=query.text("namespace"),
        since=since,
        until=until,
        target=query.text("target"),
        labels=read_labels(query),
        queue=query.text("queue"),
        q=query.text("q"),
        last_run_status=query.choice("last_run_status", LAST_RUN),
        consecutive_failures=query.number("consecutive_failures", low=1, high=MOST_FAILURES, default=0) or None,
        retrying=query.flag("retrying"),
    )


def environment_ids(principal: Principal, product: str | None, env: str | None) -> frozenset[int] | None:
    """The environments that are meant; None: all there are, for an operator key that names none."""
    if principal.is_operator and principal.environment_ids is None and product is None and env is None:
        return None
    environments = visible_environments(principal)
    if product is not None:
        environments = environments.filter(product__tag=bare_tag(product))
    if env is not None:
        environments = environments.filter(slug=env)
    return frozenset(environments.values_list("pk", flat=True))


def read_labels(query: Query) -> tuple[tuple[str, str], ...]:
    return tuple(_label(query, text) for text in query.texts("label"))


def _label(query: Query, text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon or not key:
        query.wrong("label", f"{text[:60]!r} must be key:value")
    return key, value
