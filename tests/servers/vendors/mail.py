"""SendGrid, Mailgun, Postmark and Brevo, as their pages describe the sending of one message."""

from __future__ import annotations

import uuid
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

from tests.servers.receiver import Answer, Received
from tests.servers.vendors.vendor import SECRET, Taken, Vendor, basic_of, is_post, only, want

SENDER = "noreply@shop.example"


class MailVendor(Vendor):
    channel = "emails"
    provider = ""
    more: dict[str, Any] = {}

    @property
    def block(self) -> dict[str, Any]:
        settings = {"base_url": self.url, "sender_email": SENDER, "sender_name": "The shop", **self.more}
        return {"provider": self.provider, self.provider: settings}


class SendGridServer(MailVendor):
    """https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send"""

    provider = "sendgrid"
    more = {"apiKey": SECRET}

    def reply(self, request: Received) -> Answer:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            told = "The provided authorization grant is invalid, expired, or revoked"
            return Answer(status=401, body={"errors": [{"message": told, "field": None, "help": None}]})
        if request.method == "GET":
            want(request.path, "/v3/scopes", "path")
            return Answer(body={"scopes": ["mail.send"]})
        is_post(request, "/v3/mail/send", "application/json")
        body = request.json()
        only(body, "personalizations", "from", "subject", "content", "custom_args")
        want(body["from"], {"email": SENDER, "name": "The shop"}, "from")
        [personalization] = body["personalizations"]
        [to] = personalization["to"]
        want([part["type"] for part in body["content"]], ["text/plain", "text/html"], "order of the content")
        want(all(part["value"] for part in body["content"]), True, "content is not empty")
        want(all(isinstance(value, str) for value in body["custom_args"].values()), True, "custom_args are texts")
        if to["email"] in self.unknown:
            told = "Does not contain a valid address."
            error = {"message": told, "field": "personalizations.0.to.0.email", "help": None}
            return Answer(status=400, body={"errors": [error]})
        texts = {part["type"]: part["value"] for part in body["content"]}
        self.taken.append(
            Taken(to["email"], {"subject": body["subject"], "html": texts["text/html"], "text": texts["text/plain"]})
        )
        return Answer(status=202, body=b"", headers={"X-Message-Id": f"sg-{len(self.taken)}"})

    def limited(self) -> Answer:
        errors = [{"field": None, "message": "too many requests"}]
        return Answer(status=429, headers={"Retry-After": "7"}, body={"errors": errors})


class MailgunServer(MailVendor):
    """https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages"""

    provider = "mailgun"
    more = {"apiKey": SECRET, "domain": "mg.shop.example", "region": "eu"}

    def reply(self, request: Received) -> Answer:
        if basic_of(request) != f"api:{SECRET}":
            return Answer(status=401, body=b"Forbidden", headers={"Content-Type": "text/plain"})
        if request.method == "GET":
            want(request.path, "/v4/domains/mg.shop.example", "path")
            return Answer(body={"domain": {"name": "mg.shop.example", "state": "active"}})
        is_post(request, "/v3/mg.shop.example/messages", "multipart/form-data")
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode()
            for part in message_from_bytes(head + request.body, policy=HTTP).iter_parts()
        }
        only(parts, "from", "to", "subject", "text", "html", "v:run")
        want(parts["from"], f"The shop <{SENDER}>", "from")
        if parts["to"] in self.unknown:
            return Answer(
                status=400, body={"message": "to parameter is not a valid address. please check documentation"}
            )
        self.taken.append(Taken(parts["to"], {name: parts[name] for name in ("subject", "html", "text")}))
        return Answer(body={"id": f"<mg-{len(self.taken)}@mg.shop.example>", "message": "Queued. Thank you."})


class PostmarkServer(MailVendor):
    """https://postmarkapp.com/developer/api/email-api"""

    provider = "postmark"
    more = {"serverToken": SECRET}

    def reply(self, request: Received) -> Answer:
        if request.headers.get("x-postmark-server-token") != SECRET:
            told = "The Server Token you provided in the X-Postmark-Server-Token request header was invalid."
            return Answer(status=401, body={"ErrorCode": 10, "Message": told})
        want(request.headers.get("accept"), "application/json", "accept")
        if request.method == "GET":
            want(request.path, "/server", "path")
            return Answer(body={"ID": 1, "Name": "Production"})
        is_post(request, "/email", "application/json")
        body = request.json()
        only(body, "From", "To", "Subject", "HtmlBody", "TextBody", "MessageStream", "Metadata")
        want((body["From"], body["MessageStream"]), (f"The shop <{SENDER}>", "outbound"), "From, MessageStream")
        if body["To"] in self.unknown:
            told = f"You tried to send to a recipient that has been marked as inactive. Found inactive addresses: {body['To']}."
            return Answer(status=422, body={"ErrorCode": 406, "Message": told})
        fields = {"subject": body["Subject"], "html": body["HtmlBody"], "text": body["TextBody"]}
        self.taken.append(Taken(body["To"], fields))
        answer = {
            "To": body["To"], "SubmittedAt": "2014-02-17T07:25:01.4178645-05:00", "MessageID": f"pm-{len(self.taken)}",
            "ErrorCode": 0, "Message": "OK",
        }  # fmt: skip
        return Answer(body=answer)

    def limited(self) -> Answer:
        return Answer(
            status=429, headers={"Retry-After": "7"}, body={"ErrorCode": 429, "Message": "Rate limit exceeded"}
        )


class BrevoServer(MailVendor):
    """https://developers.brevo.com/reference/sendtransacemail"""

    provider = "brevo"
    more = {"apiKey": SECRET}

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, str] = {}

    def reply(self, request: Received) -> Answer:
        if request.headers.get("api-key") != SECRET:
            return Answer(status=401, body={"code": "unauthorized", "message": "Key not found"})
        if request.method == "GET":
            want(request.path, "/v3/account", "path")
            return Answer(body={"email": "owner@shop.example"})
        is_post(request, "/v3/smtp/email", "application/json")
        body = request.json()
        only(body, "sender", "to", "subject", "htmlContent", "textContent", "headers")
        want(body["sender"], {"email": SENDER, "name": "The shop"}, "sender")
        [to] = body["to"]
        key = str(uuid.UUID(body["headers"]["idempotencyKey"]))
        if to["email"] in self.unknown:
            return Answer(status=400, body={"code": "invalid_parameter", "message": "email is not valid in to"})
        if key in self.keys:
            want(self.keys[key], to["email"], "whom the idempotency key was for")
            return Answer(status=400, body={"code": "duplicate_parameter", "message": "idempotencyKey is in use"})
        self.keys[key] = to["email"]
        fields = {"subject": body["subject"], "html": body["htmlContent"], "text": body["textContent"]}
        self.taken.append(Taken(to["email"], fields))
        return Answer(status=201, body={"messageId": f"<brevo-{len(self.taken)}@smtp-relay.mailin.fr>"})

    def limited(self) -> Answer:
        return Answer(
            status=429, headers={"Retry-After": "7"}, body={"code": "too_many_requests", "message": "Too many requests"}
        )
