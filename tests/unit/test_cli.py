"""`ductape-jobs`: what each command asks, prints and ends with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.cli_harness import Terminal
from tests.unit.client_harness import DISPATCHED, JOB, problem

PAGE = {"jobs": [JOB], "total": 1, "limit": 50, "offset": 0, "next_cursor": None}
DIFF = {"created": ["apps.mail"], "updated": [], "removed": [], "unchanged": 3, "dry_run": True}
OPERATION = {
    "id": "op_1", "verb": "cancel", "dry_run": False, "status": "running", "total": 20_000, "done": 5_000, "count": 5_000,
    "skipped": 0, "errors": [], "created_at": 1_795_557_206_000,
}  # fmt: skip
WEBHOOK: dict[str, Any] = {
    "id": "7", "url": "https://a.example/", "events": ["*"], "product": None, "env": None, "namespaces": [], "labels": {},
    "description": "", "enabled": True, "consecutive_failures": 0, "created_at": 1, "updated_at": 1,
}  # fmt: skip
HOOK_STATS = {
    "pending": 1, "delivered": 3, "failed": 1, "attempts": 9, "success_rate": 75.0,
    "duration_ms": {"p50": 20, "p95": 400, "p99": 400}, "consecutive_failures": 6,
    "failing_since": 1_795_557_206_000, "last_error": "the endpoint answered 500",
}  # fmt: skip
DELIVERY: dict[str, Any] = {
    "id": "9", "message_id": "msg_9", "event": "job.failed", "job_id": "job_1", "seq": 4, "status": "failed",
    "created_at": 1_795_557_206_000, "attempts": [{"at": 1_795_557_206_000, "duration_ms": 12, "response_status": 500, "response_body": "", "error": None, "address": None}],
}  # fmt: skip


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    return Terminal(monkeypatch, tmp_path)


# --- dispatch ----------------------------------------------------------------------------------


def test_a_dispatch_asks_for_all_that_its_options_say(terminal: Terminal) -> None:
    terminal.answers(DISPATCHED)

    ended = terminal.run(
        "dispatch", "actions", "email-service:send_welcome_email", "--product", "my-app", "--env", "prd",
        "-i", '{"body": {"userId": "user_123"}}', "--retries", "3", "--cron", "0 9 * * *", "--tz", "America/New_York",
        "--limit", "4", "--until", "2099-01-01T00:00:00Z", "--run-timeout", "1m30s", "-l", "team:growth", "--priority", "7",
        "--session", "user-session:a:b", "--json",
    )  # fmt: skip

    assert (ended.code, ended.json) == (0, DISPATCHED)
    assert terminal.asked == ["POST /v1/actions/dispatch"]
    assert terminal.bodies == [{
        "app": "email-service", "event": "send_welcome_email", "product": "my-app", "env": "prd",
        "input": {"body": {"userId": "user_123"}}, "retries": 3, "timeout": 90_000, "priority": 7, "labels": {"team": "growth"},
        "schedule": {"cron": "0 9 * * *", "tz": "America/New_York", "limit": 4, "end_date": "2099-01-01T00:00:00Z"},
        "session": {"tag": "user-session", "token": "a:b"},
    }]  # fmt: skip
    assert terminal.requests[0].headers["Authorization"] == "Bearer the-key"


@pytest.mark.parametrize(
    ("namespace", "target", "path", "named"),
    [
        ("features", "daily", "features", {"tag": "daily"}),
        ("functions", "resize", "functions", {"function": "resize"}),
        ("databases", "logs:deleteMany", "databases", {"database": "logs", "operation": "deleteMany"}),
        ("databases.action", "stock:sync", "databases/action", {"database": "stock", "event": "sync"}),
        ("graphs.action", "g:expire", "graphs/action", {"graph": "g", "event": "expire"}),
        ("events", "broker:a:b", "events", {"broker": "broker", "event": "a:b"}),
    ],
)
def test_a_target_is_named_in_the_words_of_its_namespace(
    terminal: Terminal, namespace: str, target: str, path: str, named: dict[str, str]
) -> None:
    terminal.answers(DISPATCHED)
    assert terminal.run("dispatch", namespace, target).code == 0
    assert (terminal.asked, terminal.bodies) == ([f"POST /v1/{path}/dispatch"], [{**named, "input": {}}])


def test_an_input_comes_from_a_file_or_from_standard_input(terminal: Terminal, tmp_path: Path) -> None:
    terminal.answers(DISPATCHED)
    file = tmp_path / "input.json"
    file.write_text('{"from": "file"}')
    terminal.run("dispatch", "features", "f", "-i", f"@{file}")
    terminal.run("dispatch", "features", "f", "-i", "-", input='{"from": "pipe"}')
    assert [body["input"] for body in terminal.bodies] == [{"from": "file"}, {"from": "pipe"}]


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 6), ("cancelled", 6)])
def test_a_dispatch_that_waits_ends_as_its_job_did(terminal: Terminal, status: str, code: int) -> None:
    terminal.answers(DISPATCHED, {**JOB, "status": status})
    ended = terminal.run("dispatch", "features", "f", "--wait", "5s", "--json")
    assert (ended.code, ended.json["status"]) == (code, status)


def test_many_are_dispatched_five_hundred_at_once(terminal: Terminal) -> None:
    lines = "\n".join(json.dumps({"namespace": "features", "tag": "f", "input": {"n": n}}) for n in range(1_200))
    terminal.answer = lambda request: httpx.Response(
        201,
        json={
            "jobs": [
                {**DISPATCHED, "job_id": f"job_{item['input']['n']}"} for item in json.loads(request.content)["jobs"]
            ]
        },
    )
    ended = terminal.run("dispatch-many", "-f", "-", "--json", input=lines)
    assert [len(body["jobs"]) for body in terminal.bodies] == [500, 500, 200]
    assert [line["job_id"] for line in ended.lines] == [f"job_{n}" for n in range(1_200)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("dispatch", "acts", "a:b"), "NAMESPACE: 'acts' is not one of actions, features"),
        (("dispatch", "actions", "a"), "TARGET: of actions must be APP:EVENT, not 'a'"),
        (("dispatch", "actions", "a:b", "-i", "{"), "--input: is not JSON"),
        (("dispatch", "actions", "a:b", "-i", "[]"), "--input: must be a JSON object"),
        (("dispatch", "actions", "a:b", "-i", "@/no/file"), "--input: '/no/file' cannot be read"),
        (("dispatch", "actions", "a:b", "--every", "soon"), "--every: 'soon' is not a duration"),
        (("dispatch", "actions", "a:b", "--at", "tomorrow"), "--at: 'tomorrow' is not a time"),
        (("dispatch", "actions", "a:b", "-l", "growth"), "--label: 'growth' is not key:value"),
        (("dispatch", "actions", "a:b", "--priority", "12"), "priority: must be at least 0 and at most 9, not 12"),
        (("dispatch", "actions", "a:b", "--overlap", "both"), "schedule.overlap: must be one of 'skip', 'queue'"),
        (("list", "--status", "done"), "status: must be one of 'scheduled'"),
        (("list", "--all", "--watch"), "--all: goes neither"),
        (("reschedule", "job_1"), "--at: or another option"),
        (("cancel-many", "--yes"), "filter: is empty"),
        (("preview",), "CRON: or --every or --at must be given"),
        (("hold",), "--product: is needed"),
        (("webhooks", "replay", "7"), "DELIVERY: or --from must be given"),
        (("list", "--profile", "nowhere"), "profile: 'nowhere' is not in"),
    ],
)
def test_what_cannot_be_right_is_named_and_nothing_is_sent(
    terminal: Terminal, arguments: tuple[str, ...], named: str
) -> None:
    ended = terminal.run(*arguments)
    assert (ended.code, ended.out, terminal.requests) == (2, "", [])
    assert ended.err.startswith(f"ductape-jobs: {named}")


# --- lists -------------------------------------------------------------------------------------


def test_a_list_asks_for_its_filter_and_prints_the_answer(terminal: Terminal) -> None:
    terminal.answers(PAGE)
    ended = terminal.run(
        "list", "-s", "failed,queued", "-s", "paused", "--product", "shop", "--from", "2026-01-01T00:00:00Z", "-l", "team:growth",
        "-l", "tier=1", "--recurring", "-n", "10", "--json",
    )  # fmt: skip
    assert (ended.code, ended.json) == (0, PAGE)
    assert dict(terminal.requests[0].url.params.multi_items()) == {
        "status": "failed,queued,paused", "product": "shop", "from": "2026-01-01T00:00:00Z", "label": "tier:1",
        "recurring": "true", "limit": "10",
    }  # fmt: skip
    assert terminal.requests[0].url.params.get_list("label") == ["team:growth", "tier:1"]


def test_all_pages_are_a_job_a_line(terminal: Terminal) -> None:
    second = {**JOB, "id": "job_2"}
    terminal.answers({**PAGE, "next_cursor": "c"}, {**PAGE, "jobs": [second]})
    assert terminal.run("list", "--all", "--json").lines == [JOB, second]
    assert [dict(each.url.params)["cursor"] for each in terminal.requests] == ["", "c"]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (42, ["job", "status"]),
        (54, ["job", "status", "next"]),
        (72, ["job", "status", "target", "next"]),
        (100, ["job", "status", "target", "next", "schedule", "runs"]),
        (130, ["job", "status", "target", "next", "schedule", "runs", "failed", "last error"]),
        (400, ["job", "status", "target", "next", "schedule", "runs", "failed", "last error"]),
    ],
)
def test_a_table_fits_its_terminal_and_cuts_neither_an_id_nor_a_state(
    terminal: Terminal, columns: int, shown: list[str]
) -> None:
    job = {
        **JOB, "id": "job_01m8c56vzqe0089fcwwdahy784", "status": "scheduled", "last_error": "x" * 300, "execution_count": 12,
        "limit": 20, "cron": "0 9 * * *", "tz": "America/Argentina/ComodRivadavia", "failed_executions": 1_234,
        "target": {"app": "a-service-of-a-long-name", "event": "an_event_of_a_long_name"},
    }  # fmt: skip
    terminal.answers({**PAGE, "jobs": [job]})
    terminal.columns(columns)
    head, _, row, _ = terminal.run("list").out.splitlines()
    assert re.split(r"  +", head.strip()) == shown
    cells = dict(zip(shown, re.split(r"   +", row.strip()), strict=True))
    whole = {"job": job["id"], "status": "scheduled", "next": cells.get("next"), "runs": "12/20", "failed": "1234"}
    assert {name: cell for name, cell in cells.items() if name in whole} == {
        name: whole[name] for name in shown if name in whole
    }
    assert all(cells[name].endswith("…") for name in shown if name not in whole and columns < 400)
    assert max(len(head), len(row)) <= columns
    assert "\x1b" not in row


def test_what_others_wrote_moves_no_cursor(terminal: Terminal) -> None:
    nasty = "\x1b[2Jgone\r\n\x9b31m[red]"
    terminal.answers({**JOB, "last_error": nasty, "labels": {"a": nasty}, "target": {"app": nasty, "event": "e"}})
    for arguments in (("get", "job_1"), ("get", "job_1", "--json")):
        out = terminal.run(*arguments).out
        assert not set(out) & {"\x1b", "\r", "\x9b"} if "--json" not in arguments else "\x1b" not in out
        assert "[red]" in out


def test_a_watched_list_is_a_page_a_line_until_ctrl_c(terminal: Terminal) -> None:
    looks = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal looks
        looks += 1
        if looks == 4:
            raise KeyboardInterrupt
        return httpx.Response(200, json=PAGE)

    terminal.answer = answer
    ended = terminal.run("list", "--watch", "--interval", "1ms", "--json")
    assert (ended.code, ended.lines, ended.err) == (130, [PAGE] * 3, "")


# --- one job, many jobs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "asked", "body"),
    [
        (("get", "job_1"), "GET /v1/jobs/job_1", None),
        (("cancel", "job_1", "--reason", "over"), "POST /v1/jobs/job_1/cancel", {"reason": "over"}),
        (("pause", "job_1", "--note", "n"), "POST /v1/jobs/job_1/pause", {"note": "n"}),
        (("resume", "job_1"), "POST /v1/jobs/job_1/resume", {}),
        (("retry", "job_1", "--delay", "1m"), "POST /v1/jobs/job_1/retry", {"delay": 60_000}),
        (("trigger", "job_1"), "POST /v1/jobs/job_1/trigger", {}),
        (("reschedule", "job_1", "--every", "2h"), "POST /v1/jobs/job_1/reschedule", {"every": 7_200_000}),
    ],
)
def test_a_verb_asks_for_itself_and_prints_the_job(
    terminal: Terminal, arguments: tuple[str, ...], asked: str, body: Any
) -> None:
    terminal.answers(JOB)
    assert "job_1" in terminal.run(*arguments).out
    assert terminal.run(*arguments, "--json").json == JOB
    assert (terminal.asked, terminal.bodies) == ([asked] * 2, [body] * 2)


def test_several_jobs_are_all_asked_though_one_is_refused(terminal: Terminal) -> None:
    terminal.answer = lambda request: (
        problem(404, "job_not_found") if "job_2" in request.url.path else httpx.Response(200, json=JOB)
    )
    ended = terminal.run("cancel", "job_1", "job_2", "job_3", "--json")
    assert (ended.code, len(ended.lines), len(terminal.requests)) == (3, 2, 3)
    assert json.loads(ended.err)["about"] == "job_2"


def test_a_deletion_asks_first(terminal: Terminal) -> None:
    terminal.answer = lambda request: httpx.Response(204)
    assert terminal.run("delete", "job_1").code == 2
    terminal.somebody_is_there()
    assert terminal.run("delete", "job_1", input="n\n").code == 1
    assert terminal.requests == []
    assert terminal.run("delete", "job_1", "--force", input="y\n").code == 0
    assert terminal.run("delete", "job_1", "--yes", "--json").json == {"id": "job_1", "deleted": True}
    assert terminal.asked == ["DELETE /v1/jobs/job_1?force=true", "DELETE /v1/jobs/job_1"]


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "delete"])
def test_many_are_counted_before_somebody_is_asked(terminal: Terminal, verb: str) -> None:
    terminal.answers({"count": 42, "skipped": 1})
    terminal.somebody_is_there()
    ended = terminal.run(f"{verb}-many", "--product", "my-app", "-s", "scheduled", input="y\n")
    assert f"{verb.capitalize()} 42 jobs?" in ended.err
    assert ended.out == f"{verb}: 42 jobs, 1 job passed over\n"
    assert [body.get("dry_run", False) for body in terminal.bodies] == [True, False]
    assert all(body["product"] == "my-app" and body["status"] == ["scheduled"] for body in terminal.bodies)


def test_many_are_left_alone_after_a_no_or_a_dry_run(terminal: Terminal) -> None:
    terminal.answers({"count": 42, "skipped": 0})
    terminal.somebody_is_there()
    assert terminal.run("cancel-many", "-l", "a:b", input="n\n").code == 1
    assert terminal.run("cancel-many", "-l", "a:b", "--dry-run", "--json").json == {"count": 42, "skipped": 0}
    assert [body["dry_run"] for body in terminal.bodies] == [True, True]


def test_what_goes_on_in_the_background_is_followed_to_its_end(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ductape.cli.operations.time.sleep", lambda seconds: None)
    done = {**OPERATION, "status": "completed", "done": 20_000, "count": 20_000}
    terminal.answers({"operation_id": "op_1"}, OPERATION, OPERATION, done)
    ended = terminal.run("cancel-many", "--product", "p", "--yes", "--json")
    assert (ended.code, ended.json) == (0, done)
    assert terminal.asked == ["POST /v1/jobs/cancel-many", *["GET /v1/operations/op_1"] * 3]


def test_ctrl_c_leaves_it_going_and_says_how_to_end_it(terminal: Terminal) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            raise KeyboardInterrupt
        return httpx.Response(202, json={"operation_id": "op_1"})

    terminal.answer = answer
    ended = terminal.run("cancel-many", "--product", "p", "--yes")
    assert (ended.code, ended.out) == (130, "")
    assert "ductape-jobs operations abort op_1" in ended.err


def test_a_delivery_shows_each_attempt_and_what_is_sent(terminal: Terminal) -> None:
    failed = {
        **DELIVERY["attempts"][0],
        "error": "the endpoint answered 500",
        "response_body": "no",
        "address": "192.0.2.1",
    }
    terminal.answers({**DELIVERY, "attempts": [failed, failed], "payload": {"event": "job.failed"}})
    said = terminal.run("webhooks", "delivery", "7", "9").out
    assert said.count("the endpoint answered 500") == 2
    for word in ("msg_9", "192.0.2.1", "12 ms", '{"event": "job.failed"}'):
        assert word in said


def test_the_statistics_of_a_webhook_are_told_in_words(terminal: Terminal) -> None:
    terminal.answers(HOOK_STATS)
    said = terminal.run("webhooks", "stats", "7").out
    for word in ("75 %", "20 ms (p50)", "6 in a row, since", "the endpoint answered 500"):
        assert word in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "on"),
        ({"failing_since": 1_795_557_206_000, "resting_until": 1_795_557_206_000}, "failing"),
        ({"enabled": False, "disabled_reason": "the endpoint answered 410 (Gone)"}, "disabled"),
        ({"enabled": False}, "off"),
    ],
)
def test_a_webhook_says_how_it_does(terminal: Terminal, changes: dict[str, Any], said: str) -> None:
    terminal.answers({**WEBHOOK, **changes}, {"webhooks": [{**WEBHOOK, **changes}]})
    one = terminal.run("webhooks", "get", "7").out
    assert re.search(rf"state +{said} *\n", one)
    assert ("rests until" in one) == ("resting_until" in changes)
    assert re.search(rf"\b7 +{said}\b", terminal.run("webhooks", "list").out)


# --- the catalog, holds, webhooks, events ------------------------------------------------------


def test_a_catalog_is_stored_after_its_difference_was_seen(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text("product: shop  # of the shop\napps: []\n")
    terminal.answers(DIFF, {**DIFF, "dry_run": False})
    terminal.somebody_is_there()
    ended = terminal.run("catalog", "apply", "-f", str(file), "--prune", input="y\n")
    assert (ended.code, "+ apps.mail" in ended.err, "Change the catalog of shop?" in ended.err) == (0, True, True)
    assert terminal.asked == [
        "PUT /v1/products/shop/catalog?dry_run=true&prune=true", "PUT /v1/products/shop/catalog?prune=true",
    ]  # fmt: skip
    assert terminal.requests[1].content == file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "answer", "asked"),
    [
        ((), {**DIFF, "created": []}, ["PUT /v1/products/shop/catalog?dry_run=true"]),
        (("--dry-run",), DIFF, ["PUT /v1/products/shop/catalog?dry_run=true"]),
        (("--yes",), DIFF, ["PUT /v1/products/shop/catalog"]),
    ],
)
def test_nobody_is_asked_where_nothing_changes_or_it_was_said_before(
    terminal: Terminal, arguments: tuple[str, ...], answer: Any, asked: list[str]
) -> None:
    terminal.answers(answer)
    ended = terminal.run("catalog", "apply", "-f", "-", "--json", *arguments, input='{"product": "shop"}')
    assert (ended.code, ended.json, terminal.asked) == (0, answer, asked)


@pytest.mark.parametrize(
    ("arguments", "answer", "asked", "body"),
    [
        (("catalog", "export", "--product", "p"), {"apps": []}, "GET /v1/products/p/catalog", None),
        (("hold", "--product", "p", "--namespace", "graphs"), {"holds": []}, "POST /v1/products/p/hold", {"namespace": "graphs"}),
        (("release", "--product", "p"), {"holds": []}, "POST /v1/products/p/release", {}),
        (("holds", "--product", "p"), {"holds": []}, "GET /v1/products/p/hold", None),
        (("webhooks", "list"), {"webhooks": [WEBHOOK]}, "GET /v1/webhooks", None),
        (("webhooks", "set", "https://a.example/", "-e", "job.failed"), WEBHOOK, "PUT /v1/jobs/webhook", {"url": "https://a.example/", "events": ["job.failed"]}),
        (("webhooks", "set", "https://a.example/", "--description", "the pager"), WEBHOOK, "PUT /v1/jobs/webhook", {"url": "https://a.example/", "description": "the pager"}),
        (("webhooks", "get", "7"), WEBHOOK, "GET /v1/webhooks/7", None),
        (("webhooks", "enable", "7"), WEBHOOK, "PATCH /v1/webhooks/7", {"enabled": True}),
        (("webhooks", "disable", "7"), WEBHOOK, "PATCH /v1/webhooks/7", {"enabled": False}),
        (("webhooks", "rotate-secret", "7"), WEBHOOK, "POST /v1/webhooks/7/rotate-secret", {}),
        (("webhooks", "test", "7", "--event", "job.failed"), DELIVERY, "POST /v1/webhooks/7/test", {"event": "job.failed"}),
        (("webhooks", "deliveries", "7", "-s", "failed"), {"deliveries": [DELIVERY], "next_cursor": None, "limit": 50}, "GET /v1/webhooks/7/deliveries?status=failed", None),
        (("webhooks", "delivery", "7", "9"), {**DELIVERY, "payload": {"event": "job.failed"}}, "GET /v1/webhooks/7/deliveries/9", None),
        (("webhooks", "stats", "7", "--from", "1000"), HOOK_STATS, "GET /v1/webhooks/7/stats?from=1000", None),
        (("webhooks", "replay", "7", "9"), DELIVERY, "POST /v1/webhooks/7/deliveries/9/replay", None),
        (("webhooks", "replay", "7", "--from", "1000", "-s", "failed"), {"count": 3}, "POST /v1/webhooks/7/replay", {"from": 1000, "status": ["failed"]}),
        (("webhooks", "replay", "7", "--from", "1000", "-s", "missing"), {"count": 3}, "POST /v1/webhooks/7/replay", {"from": 1000, "status": ["missing"]}),
        (("operations", "get", "op_1"), OPERATION, "GET /v1/operations/op_1", None),
        (("operations", "abort", "op_1"), OPERATION, "POST /v1/operations/op_1/abort", {}),
    ],
)  # fmt: skip
def test_each_other_command_asks_for_what_it_says(
    terminal: Terminal, arguments: tuple[str, ...], answer: Any, asked: str, body: Any
) -> None:
    terminal.answers(answer)
    assert terminal.run(*arguments).code == 0
    assert terminal.run(*arguments, "--json").json == answer
    assert (terminal.asked, terminal.bodies) == ([asked] * 2, [body] * 2)


@pytest.mark.parametrize("command", ["hold", "release"])
@pytest.mark.parametrize(
    ("arguments", "body"),
    [((), {"env": "stg"}), (("--env", "prd"), {"env": "prd"}), (("--all-envs",), {}), (("--all-envs", "--namespace", "graphs"), {"namespace": "graphs"})],
)  # fmt: skip
def test_a_hold_is_of_the_environment_of_the_profile_unless_it_says_otherwise(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, command: str, arguments: tuple[str, ...], body: Any
) -> None:
    monkeypatch.setenv("DUCTAPE_PRODUCT", "shop")
    monkeypatch.setenv("DUCTAPE_ENV", "stg")
    terminal.answers({"holds": []})
    assert terminal.run(command, *arguments).code == 0
    assert (terminal.asked, terminal.bodies) == ([f"POST /v1/products/shop/{command}"], [body])


def test_one_environment_and_all_of_them_contradict_each_other(terminal: Terminal) -> None:
    ended = terminal.run("hold", "--product", "shop", "--env", "prd", "--all-envs")
    assert (ended.code, terminal.asked) == (2, [])
    assert "--all-envs: leave out --env" in ended.err


def test_events_are_told_one_a_line(terminal: Terminal) -> None:
    told = {
        "job_id": "job_1", "seq": 3, "type": "job.failed", "status": "failed", "at": 1_795_557_206_555, "product": "shop",
        "env": "prd", "namespace": "actions", "target": {"app": "mail", "event": "send"}, "labels": {}, "number": 1,
    }  # fmt: skip
    stream = "".join(f"id: {number}\ndata: {json.dumps(told)}\n\n" for number in range(1, 4))
    terminal.answer = lambda request: httpx.Response(200, text=stream)
    ended = terminal.run("tail", "-e", "job.failed,job.started", "--product", "shop", "-n", "2", "--json")
    assert ended.lines == [{**told, "id": "1"}, {**told, "id": "2"}]
    assert terminal.asked == ["GET /v1/events/stream?product=shop&event=job.failed%2Cjob.started"]
    assert "job_1  failed       shop/prd  mail:send  run 1" in terminal.run("tail", "-n", "1").out


# --- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "invalid", 1), (409, "illegal_state", 1), (412, "changed_meanwhile", 1), (422, "idempotency_key_reused", 1),
        (404, "job_not_found", 3), (401, "unauthenticated", 4), (403, "scope_missing", 4), (429, "too_many_waiting", 5),
        (500, "internal_error", 5), (503, "not_ready", 5),
    ],
)  # fmt: skip
def test_each_refusal_has_its_exit_code_and_says_what_to_do(
    terminal: Terminal, status: int, code: str, exit_code: int
) -> None:
    terminal.answer = lambda request: problem(status, code)
    ended = terminal.run("get", "job_1")
    assert (ended.code, ended.out) == (exit_code, "")
    assert ended.err.startswith(f"ductape-jobs: {code} happened – ")
    told = json.loads(terminal.run("get", "job_1", "--json").err)
    assert (told["code"], told["status"], told["request_id"]) == (code, status, "r1")


def test_a_server_that_is_not_there_or_no_api_is_told_apart_from_a_refusal(terminal: Terminal) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    terminal.answer = away
    gone = terminal.run("list", "--json")
    assert (gone.code, json.loads(gone.err)["code"]) == (5, "unavailable")
    terminal.answer = lambda request: httpx.Response(200, text="<html>a proxy</html>")
    assert terminal.run("list").code == 5
