"""docs/jobs.md says what the code does: options with their defaults and limits, verbs by state, scopes."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from core.backoff import RetryConfig
from core.fields import dotted
from core.retrying import LONGEST_DELAY, RETRY_FIELDS
from core.tenancy import scopes
from core.tenancy.auth import KEPT_SECONDS
from jobs.api.bodies import read_dispatch
from jobs.api.dispatch_schemas import dispatch_body
from jobs.operations import request as limits
from jobs.operations.dispatch import LONGEST_INPUT, MOST_JOBS
from jobs.operations.idempotency import KEPT
from jobs.operations.request import DispatchRequest
from jobs.operations.targets import TARGETS
from jobs.runner.outcome import retry_config
from jobs.states import ALLOWED, FINAL, JobStatus, Verb

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "jobs.md").read_text()


def section(title: str) -> str:
    found = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert found, title
    return found


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_option_is_told_and_no_other() -> None:
    told = {name for row in rows("Options of a dispatch") for name in names(row[0])}
    assert told | {"action"} == set(dispatch_body(TARGETS["actions"])["properties"])


def test_defaults_of_options_are_those_of_a_request() -> None:
    spelled = {"retryConfig": "retry_config"}
    defaults = {each.name: each.default for each in fields(DispatchRequest)}
    for first, told, *_ in rows("Options of a dispatch"):
        (name, *_) = names(first)
        default = defaults.get(spelled.get(name, name))
        if isinstance(default, int) or default == "retry":
            assert told.strip("`") == str(default), name
    plain = read_dispatch({}, TARGETS["actions"])
    assert (plain.queue, plain.concurrency_limit, plain.on_conflict) == (None, None, None)
    # What these become without being given is decided where they are used.
    told_of = {names(first)[0]: told for first, told, *_ in rows("Options of a dispatch")}
    assert (told_of["queue"], told_of["concurrency_limit"], told_of["on_conflict"]) == ("`default`", "1", "`return`")


@pytest.mark.parametrize(
    ("option", "limit"),
    [
        ("retries", f"at most {limits.MOST_RETRIES}"),
        ("timeout", f"at most {limits.LONGEST_TIMEOUT}"),
        ("priority", f"0 to {limits.HIGHEST_PRIORITY}"),
        ("concurrency_limit", f"at most {limits.MOST_AT_ONCE}"),
        ("labels", f"at most {limits.MOST_LABELS} "),
        ("labels", f"to {limits.LONGEST_LABEL} characters"),
        ("labels", f"to {limits.LONGEST_LABEL_VALUE}"),
        ("on_lost", "`retry`"),
        ("on_lost", "`fail`"),
        *(("on_conflict", f"`{word}`") for word in limits.ON_CONFLICT),
    ],
)
def test_limits_of_options_are_those_that_are_checked(option: str, limit: str) -> None:
    (row,) = [row for row in rows("Options of a dispatch") if names(row[0])[0] == option]
    assert limit in row[2] or limit in row[1]


def test_other_limits_are_those_that_are_checked() -> None:
    assert f"1 to {MOST_JOBS // 1000} {MOST_JOBS % 1000:03} in one transaction" in PAGE
    assert f"at most {limits.LONGEST_KEY} characters" in section("Options of a dispatch")
    assert LONGEST_INPUT == 1024 * 1024
    assert f"within {KEPT.total_seconds() / 3600:g} hours" in section("The same request twice")
    assert f"within {KEPT_SECONDS:g} seconds" in section("Keys and scopes")


def test_every_field_of_retry_config_is_told_with_its_default() -> None:
    table = {names(row[0])[0]: row[1:] for row in rows("Retries")}
    assert set(table) == RETRY_FIELDS
    spelled = {name: re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in RETRY_FIELDS}
    for name, (default, _) in table.items():
        value = getattr(RetryConfig(), spelled[name])
        assert default == ("none" if value in (None, ()) else str(value).lower()), name
        assert value == getattr(retry_config('{"jitter": true}'), spelled[name])
    for name in ("initialDelay", "maxDelay"):
        assert f"at most {LONGEST_DELAY}" in table[name][1], dotted("retryConfig", name)


def test_every_state_is_told() -> None:
    assert [names(row[0])[0] for row in rows("States")] == [str(state) for state in JobStatus]
    assert "completed" in FINAL and "paused" not in FINAL


def test_verbs_are_allowed_in_the_states_that_the_table_says() -> None:
    head = next(line for line in section("What can be asked of a job").splitlines() if line.startswith("| verb"))
    states = [JobStatus(name.strip()) for name in head.strip("|").split("|")[1:]]
    assert set(states) == set(JobStatus)

    told = {}
    for first, *cells in rows("What can be asked of a job"):
        assert all(cell == "no" or cell.startswith("yes") for cell in cells), first
        told[Verb(names(first)[0])] = {
            state for state, cell in zip(states, cells, strict=True) if cell.startswith("yes")
        }

    assert told == {verb: set(allowed) for verb, allowed in ALLOWED.items()}


def test_each_verb_is_explained() -> None:
    explained = re.findall(r"^- `(\w+)`", section("What can be asked of a job"), re.MULTILINE)
    assert [Verb(name) for name in explained] == list(Verb)


def test_every_scope_is_told_and_no_other() -> None:
    assert {names(row[0])[0] for row in rows("Keys and scopes")} == scopes.ALL


def test_the_pages_it_leads_to_exist() -> None:
    pages = re.findall(r"\]\(([\w./-]+)\)", PAGE)
    assert pages
    assert [page for page in pages if not (Path(__file__).resolve().parents[2] / "docs" / page).exists()] == []
