"""The providers that are called over HTTP, and SMTP: each on a server in this process, as the conformance suite sees it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.conformance_world import LOGIN, PLANTED, Provider, Refusal
from tests.servers.mail import PASSWORD, MailServer
from tests.servers.objects import AZURE_KEY
from tests.servers.receiver import ECHO_TYPES, ECHOES, Answer, Receiver
from tests.servers.vendors.mail import BrevoServer, MailgunServer, PostmarkServer, SendGridServer
from tests.servers.vendors.push import ExpoServer, FirebaseServer, account_key
from tests.servers.vendors.sms import PlivoServer, TwilioServer, VonageServer
from tests.servers.vendors.vendor import SECRET, Vendor

NOTE = "$Secret{PLANTED}"
UNKNOWN = "ExponentPushToken[unknown]"
MESSAGES: list[dict[str, Any]] = [
    {"tag": "mail", "email": {"subject": "Hello", "template": "<p>{{note}}</p>"}},
    {"tag": "text", "sms": "Due {{note}}"},
    {"tag": "push", "push_notification": {"title": "Hi", "body": "Due {{note}}"}},
    {"tag": "call", "callback": {"body": {"note": "{{note}}"}}},
]
_TO = {
    "emails": ("mail", "email", "recipients", "a@example.com", "unknown@example.com", "template"),
    "sms": ("text", "sms", "recipients", "+15550000001", "+15550000002", "body"),
    "push_notifications": ("push", "push_notification", "device_tokens", "ExponentPushToken[aaaa]", UNKNOWN, "body"),
}


def vendor(server: type[Vendor]) -> Callable[[Path], Any]:
    """The record of a vendor of messages."""
    name = server.__name__.removesuffix("Server").lower()

    @contextmanager
    def running(folder: Path) -> Iterator[Provider]:
        event, part, field, known, unknown, filled = _TO[server.channel]

        def to(recipient: str) -> dict[str, Any]:
            return {part: {field: [recipient], filled: {"note": NOTE}}}

        with server() as vendor:
            secrets = (SECRET, account_key()[0].splitlines()[1]) if server is FirebaseServer else (SECRET,)
            yield Provider(
                name=name, namespace="notifications", component={"events": MESSAGES}, target={"event": event},
                connection={server.channel: vendor.block}, input=to(known), port=port_of(vendor), secrets=secrets,
                seen=lambda: sum(PLANTED in str(taken.fields) for taken in vendor.taken),
                refusal=Refusal(
                    input=to(unknown), arrange=lambda: vendor.unknown.add(unknown),
                    codes=frozenset({server.refused_code}),
                ),
            )  # fmt: skip
            assert vendor.wrong == []

    return running


@contextmanager
def smtp(folder: Path) -> Iterator[Provider]:
    with MailServer(login=True) as server:
        server.replies["unknown@example.com"] = "550 no such user here"

        def to(recipient: str) -> dict[str, Any]:
            return {"email": {"recipients": [recipient], "template": {"note": NOTE}}}

        yield Provider(
            name="smtp", namespace="notifications", component={"events": MESSAGES}, target={"event": "mail"},
            connection={"emails": {"provider": "smtp", "smtp": {**server.settings, "tls": False}}}, input=to("a@example.com"), port=server.port, secrets=(PASSWORD,),
            seen=lambda: sum(PLANTED in str(message.get_body().get_content()) for _, _, message in server.got),
            refusal=Refusal(input=to("unknown@example.com")),
        )  # fmt: skip


@contextmanager
def callback(folder: Path) -> Iterator[Provider]:
    with Receiver() as receiver:
        yield Provider(
            name="callback", namespace="notifications", component={"events": MESSAGES}, target={"event": "call"},
            connection={
                "callbacks": {"url": f"{receiver.url}/hook/:id", "auth": {"headers": {"X-Key": "$Secret{LOGIN}"}}}
            },
            input={"callback": {"params": {"id": "good"}, "body": {"note": NOTE}}}, port=port_of(receiver),
            secrets=(LOGIN,), seen=lambda: received(receiver, "/hook/good"),
            refusal=refused_at(receiver, "/hook/refused", {"callback": {"params": {"id": "refused"}}}),
        )  # fmt: skip


APP: dict[str, Any] = {
    "tag": "mail", "auth": {"type": "bearer", "token": "$Secret{LOGIN}"},
    "events": [{"tag": "create", "method": "POST", "resource": "/notes/:id"}],
}  # fmt: skip


@contextmanager
def action(folder: Path) -> Iterator[Provider]:
    with Receiver() as receiver:
        echoing(receiver, "/notes/")
        yield Provider(
            name="action", namespace="actions", target={"event": "create"}, connection={"base_url": receiver.url},
            component={name: value for name, value in APP.items() if name != "tag"},
            input={"params": {"id": "good"}, "body": {"note": NOTE}}, port=port_of(receiver), secrets=(LOGIN,),
            seen=lambda: received(receiver, "/notes/good"),
            refusal=refused_at(receiver, "/notes/refused", {"params": {"id": "refused"}, "body": {"note": NOTE}}),
        )  # fmt: skip


@contextmanager
def feature(folder: Path) -> Iterator[Provider]:
    step = {
        "tag": "a", "type": "action", "app": "mail", "event": "create",
        "input": {"params": {"id": "$Input{id}"}, "body": {"note": "$Input{note}"}},
    }  # fmt: skip
    with Receiver() as receiver:
        echoing(receiver, "/notes/")
        yield Provider(
            name="feature", namespace="features", target={}, connection={"base_url": receiver.url},
            component={"steps": [step], "output": {"note": "$Sequence{main}{a}"}}, more={"apps": [APP]},
            input={"id": "good", "note": NOTE}, port=port_of(receiver), secrets=(LOGIN,),
            seen=lambda: received(receiver, "/notes/good"),
            refusal=refused_at(receiver, "/notes/refused", {"id": "refused", "note": NOTE}),
        )  # fmt: skip


@contextmanager
def http_function(folder: Path) -> Iterator[Provider]:
    with Receiver() as receiver:
        echoing(receiver, "/fn/")
        yield Provider(
            name="http", namespace="functions", component={"method": "POST"}, target={},
            connection={"url": f"{receiver.url}/fn/:id", "auth": {"headers": {"X-Key": "$Secret{LOGIN}"}}},
            input={"params": {"id": "good"}, "payload": {"note": NOTE}}, port=port_of(receiver), secrets=(LOGIN,),
            seen=lambda: received(receiver, "/fn/good"),
            refusal=refused_at(receiver, "/fn/refused", {"params": {"id": "refused"}, "payload": {"note": NOTE}}),
        )  # fmt: skip


@contextmanager
def aws_lambda(folder: Path) -> Iterator[Provider]:
    path = "/2015-03-31/functions/resize/invocations"
    good, refused = Answer(body={"ok": True}), Answer(status=404, body={"Message": "Function not found: resize"})
    with Receiver() as receiver:
        yield Provider(
            name="lambda", namespace="functions", component={"type": "lambda"}, target={},
            connection={
                "region": "eu-west-1", "function_name": "resize", "access_key_id": "AKIAFORTESTSONLY0001",
                "secret_access_key": LOGIN, "endpoint_url": receiver.url,
            },
            input={"payload": {"note": NOTE}}, port=port_of(receiver), secrets=(LOGIN,),
            seen=lambda: received(receiver, path),
            refusal=Refusal(
                input={"payload": {}}, arrange=lambda: receiver.answer(path, refused, good),
                codes=frozenset({"NOT_FOUND"}),
            ),
        )  # fmt: skip


@contextmanager
def pubsub(folder: Path) -> Iterator[Provider]:
    pem, path = private_key(), "/v1/projects/p-1/topics/news:publish"
    account = {"type": "service_account", "client_email": "a@p-1.iam", "private_key": pem, "private_key_id": "k1"}
    good = Answer(body={"messageIds": ["42"]})
    with Receiver() as receiver:
        receiver.answer(path, good)

        def published() -> int:
            sent = [request for request in receiver.requests if request.path == path]
            return sum(PLANTED in base64.b64decode(each.json()["messages"][0]["data"]).decode() for each in sent)

        yield Provider(
            name="pubsub", namespace="events", component={"type": "pubsub", "topics": [{"tag": "news"}]},
            connection={"projectId": "p-1", "credentials": account, "endpoint_url": receiver.url},
            target={"event": "news"}, input={"message": {"note": NOTE}}, port=port_of(receiver),
            secrets=(pem.splitlines()[1],), seen=published,
            refusal=Refusal(
                input={"message": {}}, codes=frozenset({"FORBIDDEN"}),
                arrange=lambda: receiver.answer(path, Answer(status=403, body={"error": {"message": "no"}}), good),
            ),
        )  # fmt: skip


@contextmanager
def gcs(folder: Path) -> Iterator[Provider]:
    pem, path = private_key(), "/upload/storage/v1/b/files/o"
    good, denied = Answer(body={"name": "a.txt"}), Answer(status=403, body={"error": {"message": "no right to it"}})
    with Receiver() as receiver:
        receiver.answer("/token", Answer(body={"access_token": LOGIN, "expires_in": 3600, "token_type": "Bearer"}))
        receiver.answer("/storage/v1/b/files/o", Answer(body={"items": []}))
        receiver.answer(path, good)
        account = {
            "type": "service_account", "client_email": "jobs@shop.example", "private_key": pem, "private_key_id": "k1",
            "token_uri": f"{receiver.url}/token", "project_id": "shop",
        }  # fmt: skip
        yield stored_at(
            receiver, "gcs", path, {"bucket": "files", "endpoint_url": receiver.url, "credentials": account},
            secrets=(pem.splitlines()[1], LOGIN), answers=(denied, good),
        )  # fmt: skip


@contextmanager
def azure(folder: Path) -> Iterator[Provider]:
    path = "/acc/files/a.txt"
    good = Answer(
        status=201, body=b"", headers={"ETag": '"1"', "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT"}
    )  # fmt: skip
    denied = Answer(status=403, headers={"x-ms-error-code": "AuthorizationPermissionMismatch"}, body=b"")
    listed = b"<?xml version='1.0'?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
    with Receiver() as receiver:
        receiver.answer(path, good)
        receiver.answer("/acc/files", Answer(body=listed, headers={"Content-Type": "application/xml"}))
        text = f"DefaultEndpointsProtocol=http;AccountName=acc;AccountKey={AZURE_KEY};BlobEndpoint={receiver.url}/acc"
        yield stored_at(
            receiver, "azure", path, {"container": "files", "connection_string": text}, secrets=(AZURE_KEY,),
            answers=(denied, good),
        )  # fmt: skip


def stored_at(
    receiver: Receiver, type: str, path: str, connection: Mapping[str, Any], *, secrets: tuple[str, ...],
    answers: tuple[Answer, ...],
) -> Provider:  # fmt: skip
    """A storage behind a receiver that answers one upload as its vendor's documents say."""
    upload = {"fileName": "a.txt", "content": NOTE}
    return Provider(
        name=type, namespace="storage", component={"type": type}, connection=connection, target={"event": "upload"},
        input=upload, port=port_of(receiver), secrets=secrets, seen=lambda: received(receiver, path),
        refusal=Refusal(
            input=upload, arrange=lambda: receiver.answer(path, *answers), codes=frozenset({"FORBIDDEN"})
        ),
    )  # fmt: skip


def port_of(receiver: Receiver) -> int:
    return int(receiver.url.rpartition(":")[2])


def received(receiver: Receiver, path: str) -> int:
    """How many requests there were to the path that had the planted value in their body."""
    asked = [request for request in list(receiver.requests) if request.path.partition("?")[0] == path]
    return sum(PLANTED.encode() in request.body for request in asked)


def echoing(receiver: Receiver, path: str) -> None:
    """All that it was sent is in the answer of `good`; and as each of ECHOES writes it, of a good and a bad one."""
    receiver.answer(f"{path}good", Answer(echo=True))
    for name in ECHOES:
        headers = {"Content-Type": ECHO_TYPES.get(name, "application/json")}
        receiver.answer(f"{path}good-{name}", Answer(echo=True, written=name, headers=headers))
        receiver.answer(f"{path}bad-{name}", Answer(status=422, echo=True, written=name, headers=headers))


def refused_at(receiver: Receiver, path: str, input: Mapping[str, Any]) -> Refusal:
    """The path answers 422 and repeats all that it was sent."""
    refused = Answer(status=422, echo=True)
    return Refusal(input=input, arrange=lambda: receiver.answer(path, refused))


def private_key() -> str:
    """A key of a service account, as it stands in its file."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


_VENDORS = (
    SendGridServer, MailgunServer, PostmarkServer, BrevoServer, TwilioServer, PlivoServer, VonageServer,
    FirebaseServer, ExpoServer,
)  # fmt: skip
CALLED: dict[str, Callable[[Path], Any]] = {
    "smtp": smtp,
    **{server.__name__.removesuffix("Server").lower(): vendor(server) for server in _VENDORS},
    "callback": callback, "action": action, "feature": feature, "http": http_function, "lambda": aws_lambda,
    "pubsub": pubsub, "gcs": gcs, "azure": azure,
}  # fmt: skip
