"""E-mail over SMTP, on a real server: what it gets, how it refuses, TLS and logins, and who hangs up."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executors.base import Done, Failed
from executors.providers.notification.email.smtp import SESSIONS
from executors.reach.clients import close_every
from tests.integration.notification_world import Kept, World
from tests.servers.certificates import Authority, self_signed
from tests.servers.local import free_port
from tests.servers.mail import PASSWORD, MailServer

# The server warns of what some of these tests are about: a login without TLS.
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")]

ONE: dict[str, Any] = {
    "email": {"recipients": ["a@example.com"], "subject": {"name": "Zoë"}, "template": {"day": "<1st>"}}
}
THREE: dict[str, Any] = {"email": {"recipients": ["a@example.com", "b@example.com", "c@example.com"]}}


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running
        running.wait_closed()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made


def test_a_message_arrives_with_its_text_beside_its_html(server: MailServer) -> None:
    world = World(emails={"provider": "smtp", "smtp": {**server.settings, "sender_name": "The shop"}})

    outcome = world.run("mail", **ONE)

    [(sender, recipients, message)] = server.got
    assert (sender, recipients) == ("noreply@shop.example", ["a@example.com"])
    assert {name: str(message[name]) for name in ("From", "To", "Subject")} == {
        "From": "The shop <noreply@shop.example>",
        "To": "a@example.com",
        "Subject": "Hello Zoë",
    }
    assert message["Date"] is not None
    assert message.get_content_type() == "multipart/alternative"
    plain, html = message.iter_parts()
    assert (plain.get_content_type(), plain.get_content()) == ("text/plain", "Due <1st>\r\n")
    assert (html.get_content_type(), html.get_content()) == ("text/html", "<p>Due <b>&lt;1st&gt;</b></p>\r\n")
    told = {"success": True, "messageId": str(message["Message-ID"])}
    assert outcome == Done(
        {"success": True, "channels": {"email": {**told, "recipients": [{"recipient": "a@example.com", **told}]}}}
    )


def test_a_message_id_is_of_the_run_and_the_recipient(server: MailServer) -> None:
    world = World(emails=server.block)

    for _ in range(2):  # the second as if the first had not been recorded
        world.run("mail", email={"recipients": ["a@example.com", "b@example.com"]})

    ids = {(recipients[0], str(message["Message-ID"])) for _, recipients, message in server.got}
    assert len(server.got) == 4
    assert len(ids) == 2
    assert all(id.startswith("<job_1.7.") and id.endswith("@shop.example>") for _, id in ids)


def test_a_long_message_id_stands_on_one_line(server: MailServer) -> None:
    long = "noreply@notifications.departments.shop.example.com"
    world = World(emails={"provider": "smtp", "smtp": {**server.settings, "sender_email": long}})

    outcome = world.run("mail", **ONE)

    [(_, _, message)] = server.got
    assert isinstance(outcome, Done)
    assert message["Message-ID"] == outcome.result["channels"]["email"]["messageId"]
    assert len("Message-ID: " + message["Message-ID"]) > 78
    assert message["Subject"] == "Hello Zoë"


def test_no_recipient_sees_another_one(server: MailServer) -> None:
    World(emails=server.block).run("mail", **THREE)

    assert [(to, str(message["To"])) for _, [to], message in server.got] == [
        (name, name) for name in THREE["email"]["recipients"]
    ]
    assert server.connections == 1
    assert all("." in name for name in server.names)  # a full name, or an address


@pytest.mark.parametrize(
    ("reply", "code", "retryable"),
    [
        ("450 4.2.1 mailbox busy", "SERVICE_UNAVAILABLE", True), ("452 4.3.1 full", "SERVICE_UNAVAILABLE", True),
        ("550 5.1.1 no such user", "VALIDATION_ERROR", False), ("554 no", "VALIDATION_ERROR", False),
        ("550 5.7.1 relaying denied", "FORBIDDEN", False), ("530 5.7.0 log in first", "UNAUTHORIZED", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["b@example.com", "DATA"])
def test_each_reply_has_its_code(server: MailServer, place: str, reply: str, code: str, retryable: bool) -> None:
    server.replies[place] = reply

    outcome = World(emails=server.block).run("mail", email={"recipients": ["b@example.com"]})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == (code, retryable)
    assert f"answered {reply}" in outcome.message


def test_a_recipient_that_is_refused_alone_is_tried_again_alone(server: MailServer) -> None:
    world, steps = World(emails=server.block), Kept()
    server.replies["b@example.com"] = "450 4.2.1 mailbox busy"

    first = world.run("mail", steps=steps, **THREE)
    server.replies.clear()
    second = world.run("mail", steps=steps, attempt=2, **THREE)

    assert isinstance(first, Failed)
    assert first.result is not None
    entries = first.result["channels"]["email"]["recipients"]
    assert [entry["success"] for entry in entries] == [True, False, True]
    assert isinstance(second, Done)
    assert [to for _, [to], _ in server.got] == ["a@example.com", "c@example.com", "b@example.com"]


def test_a_server_that_hangs_up_keeps_what_it_took(server: MailServer) -> None:
    world, steps = World(emails=server.block), Kept()
    server.hangs_up_after = 1

    first = world.run("mail", steps=steps, **THREE)
    server.hangs_up_after = None
    second = world.run("mail", steps=steps, attempt=2, **THREE)

    assert isinstance(first, Failed)
    assert (first.code, first.retryable) == ("CONNECTION_ERROR", True)
    assert isinstance(second, Done)
    assert [to for _, [to], _ in server.got] == ["a@example.com", "b@example.com", "c@example.com"]


@pytest.mark.parametrize("way", ["tls", "starttls"])
def test_a_login_over_tls(authority: Authority, way: str) -> None:
    with MailServer(**{way: authority.server("127.0.0.1")}, login=True) as server:
        world = World(emails=server.block)
        outcome = world.run("mail", **ONE)
        told = world.try_connection("mail")

    assert isinstance(outcome, Done)
    assert (server.encrypted, server.logins) == ([True], ["mailer", "mailer"])
    assert told == f"e-mail: the SMTP server 127.0.0.1:{server.port} answers and accepts the login"


@pytest.mark.parametrize("way", ["tls", "starttls"])
def test_a_certificate_that_nobody_vouches_for_is_not_taken(tmp_path: Path, way: str) -> None:
    context: ssl.SSLContext = self_signed(tmp_path, "127.0.0.1")
    with MailServer(**{way: context}, login=True) as server:
        outcome = World(emails=server.block).run("mail", **ONE)

    assert isinstance(outcome, Failed)
    assert outcome.code == "CONNECTION_ERROR"
    assert "certificate that is not valid" in outcome.message
    assert server.logins == []


def test_a_wrong_password_fails_for_good_and_is_told_nowhere(authority: Authority) -> None:
    with MailServer(starttls=authority.server("127.0.0.1"), login=True) as server:
        settings = {**server.settings, "auth": {"user": "mailer", "pass": "another-password"}}
        outcome = World(emails={"provider": "smtp", "smtp": settings}).run("mail", **ONE)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("UNAUTHORIZED", False)
    assert "refuses the login" in outcome.message
    assert "another-password" not in outcome.message + json.dumps(outcome.result)


def test_a_login_that_smtp_cannot_carry_is_told_without_it(authority: Authority) -> None:
    with MailServer(starttls=authority.server("127.0.0.1"), login=True) as server:
        settings = {**server.settings, "auth": {"user": "mailer", "pass": "pässword"}}
        outcome = World(emails={"provider": "smtp", "smtp": settings}).run("mail", **ONE)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert "ssword" not in outcome.message


def test_a_password_is_not_sent_where_others_read_it() -> None:
    with MailServer(login=True) as server:
        open_to_all = World(emails=server.block).run("mail", **ONE)
        said_so = World(emails={"provider": "smtp", "smtp": {**server.settings, "tls": False}}).run("mail", **ONE)

    assert isinstance(open_to_all, Failed)
    assert (open_to_all.code, open_to_all.retryable) == ("VALIDATION_ERROR", False)
    assert "set tls: false" in open_to_all.message
    assert PASSWORD not in open_to_all.message
    assert isinstance(said_so, Done)


def test_starttls_that_is_demanded_and_not_offered(server: MailServer) -> None:
    outcome = World(emails={"provider": "smtp", "smtp": {**server.settings, "tls": True}}).run("mail", **ONE)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert server.got == []


def test_a_silent_server_is_given_up_in_time_and_hung_up_on(server: MailServer) -> None:
    server.silent = True

    outcome = World(emails=server.block).run("mail", timeout=0.5, **ONE)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("TIMEOUT", True)
    server.wait_closed()


def test_a_run_that_is_cancelled_hangs_up_at_once(server: MailServer) -> None:
    server.silent = True
    world = World(emails=server.block)
    call = world.call("mail", timeout=60.0, **ONE)

    async def cancelled() -> None:
        running = asyncio.create_task(world.executor.execute(call))
        while not server.open:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 2.0)

    asyncio.run(cancelled())

    server.wait_closed(2.0)


def test_runs_share_a_bounded_number_of_connections(server: MailServer) -> None:
    world = World(emails=server.block)
    calls = [world.call("mail", timeout=30.0, **ONE) for _ in range(40)]
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, server.open)
            await asyncio.sleep(0.001)

    async def sent() -> list[Any]:
        watching = asyncio.create_task(watch())
        outcomes = await asyncio.gather(*(world.executor.execute(call) for call in calls))
        watching.cancel()
        await close_every()
        return outcomes

    outcomes = asyncio.run(sent())

    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert len(server.got) == 40
    assert (most, server.connections) == (SESSIONS, SESSIONS)


@pytest.mark.parametrize(("hung_up", "connections"), [(False, 1), (True, 2)])
def test_a_connection_is_kept_for_the_next_run_if_the_server_keeps_it(
    server: MailServer, hung_up: bool, connections: int
) -> None:
    world = World(emails=server.block)
    calls = [world.call("mail", **ONE) for _ in range(2)]

    async def twice() -> list[Any]:
        first = await world.executor.execute(calls[0])
        if hung_up:
            await asyncio.to_thread(server.hang_up)
        second = await world.executor.execute(calls[1])
        await close_every()
        return [first, second]

    outcomes = asyncio.run(twice())

    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert (len(server.got), server.connections) == (2, connections)


def test_a_server_that_is_away_is_tried_again() -> None:
    settings = {"host": "127.0.0.1", "port": free_port(), "sender_email": "noreply@shop.example"}

    outcome = World(emails={"provider": "smtp", "smtp": settings}).run("mail", **ONE)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("CONNECTION_ERROR", True)
    assert f"127.0.0.1:{settings['port']} cannot be reached: Connection refused" in outcome.message


def test_a_private_address_is_refused_before_a_connection_opens() -> None:
    settings = {"host": "10.1.2.3", "port": 25, "sender_email": "noreply@shop.example"}

    outcome = World(emails={"provider": "smtp", "smtp": settings}).run("mail", **ONE)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False)
    assert "10.1.2.3" in outcome.message


@pytest.mark.parametrize("value", ["x\r\nBcc: victim@example.com", "x\nSubject: other", "x\r\n\r\nbody"])
def test_a_value_adds_no_header(server: MailServer, value: str) -> None:
    outcome = World(emails=server.block).run(
        "mail", email={"recipients": ["a@example.com"], "subject": {"name": value}}
    )

    assert isinstance(outcome, Done)
    [(_, recipients, message)] = server.got
    assert recipients == ["a@example.com"]
    assert message["Bcc"] is None
    assert str(message["Subject"]) == "Hello " + " ".join(value.split())


@pytest.mark.parametrize("sender", ["x@example.com\r\nRCPT TO:<victim@example.com>", "nobody"])
def test_a_sender_that_a_reference_made_wrong_is_not_used(server: MailServer, sender: str) -> None:
    world = World(
        emails={"provider": "smtp", "smtp": {**server.settings, "sender_email": "$Secret{SENDER}"}}, sender=sender
    )

    outcome = world.run("mail", **ONE)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert server.connections == 0
