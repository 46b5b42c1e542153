"""Twilio, Plivo and Vonage, as their pages describe the sending of one SMS."""

from __future__ import annotations

from typing import Any

from tests.servers.receiver import Answer, Received
from tests.servers.vendors.vendor import SECRET, Taken, Vendor, basic_of, form_of, is_post, only, want


class SmsVendor(Vendor):
    channel = "sms"
    provider = ""
    more: dict[str, Any] = {}

    @property
    def block(self) -> dict[str, Any]:
        return {"provider": self.provider, self.provider: {"base_url": self.url, "sender": "+15550009999", **self.more}}


class TwilioServer(SmsVendor):
    """https://www.twilio.com/docs/messaging/api/message-resource"""

    provider = "twilio"
    more = {"accountSid": "AC123", "authToken": SECRET}

    def reply(self, request: Received) -> Answer:
        if basic_of(request) != f"AC123:{SECRET}":
            return self._error(401, 20003, "Authenticate")
        if request.method == "GET":
            want(request.path, "/2010-04-01/Accounts/AC123.json", "path")
            return Answer(body={"sid": "AC123", "status": "active"})
        is_post(request, "/2010-04-01/Accounts/AC123/Messages.json", "application/x-www-form-urlencoded")
        form = form_of(request)
        only(form, "To", "From", "MessagingServiceSid", "Body")
        want(form["From"], "+15550009999", "From")
        if form["To"] in self.unknown:
            return self._error(400, 21211, f"Invalid 'To' Phone Number: {form['To']}")
        self.taken.append(Taken(form["To"], {"text": form["Body"]}))
        sid = f"SM{len(self.taken):032d}"
        return Answer(status=201, body={"sid": sid, "status": "queued", "to": form["To"], "error_code": None})

    def limited(self) -> Answer:
        return self._error(429, 20429, "Too Many Requests", {"Retry-After": "7"})

    @staticmethod
    def _error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Answer:
        info = f"https://www.twilio.com/docs/errors/{code}"
        body = {"code": code, "message": message, "more_info": info, "status": status}
        return Answer(status=status, body=body, headers=headers or {})


class PlivoServer(SmsVendor):
    """https://www.plivo.com/docs/messaging/api/messages/"""

    provider = "plivo"
    more = {"apiKey": "MA123", "authToken": SECRET}

    def reply(self, request: Received) -> Answer:
        if basic_of(request) != f"MA123:{SECRET}":
            told = b"Could not verify your access level for that URL. You have to login with proper credentials"
            return Answer(status=401, body=told, headers={"Content-Type": "text/html"})
        if request.method == "GET":
            want(request.path, "/v1/Account/MA123/", "path")
            return Answer(body={"auth_id": "MA123"})
        is_post(request, "/v1/Account/MA123/Message/", "application/json")
        body = request.json()
        only(body, "src", "dst", "text")
        want(body["src"], "+15550009999", "src")
        if f"+{body['dst']}" in self.unknown:
            return Answer(status=400, body={"api_id": "1", "error": f"{body['dst']} is not a valid phone number"})
        self.taken.append(Taken(f"+{body['dst']}", {"text": body["text"]}))
        queued: dict[str, Any] = {
            "message": "message(s) queued",
            "message_uuid": [f"pl-{len(self.taken)}"],
            "api_id": "1",
        }
        return Answer(status=202, body=queued)


class VonageServer(SmsVendor):
    """https://developer.vonage.com/en/api/sms"""

    provider = "nexmo"
    more = {"apiKey": "key1", "apiSecret": SECRET}

    def reply(self, request: Received) -> Answer:
        if request.method == "GET":
            want((request.path, basic_of(request)), ("/account/get-balance", f"key1:{SECRET}"), "path, login")
            return Answer(body={"value": 10.28, "autoReload": False})
        is_post(request, "/sms/json", "application/x-www-form-urlencoded")
        if basic_of(request) != f"key1:{SECRET}":
            return self._error("4", "Bad Credentials")
        form = form_of(request)
        only(form, "from", "to", "text", "type", "client-ref")
        want(form["from"], "15550009999", "from")
        want(form["type"], "text" if form["text"].isascii() else "unicode", "type")
        if f"+{form['to']}" in self.unknown:
            return self._error("3", "Invalid value for param: to")
        self.taken.append(Taken(f"+{form['to']}", {"text": form["text"]}))
        part = {
            "to": form["to"], "message-id": f"vo-{len(self.taken)}", "status": "0", "remaining-balance": "15.53590000",
            "message-price": "0.03330000", "network": "23410",
        }  # fmt: skip
        return Answer(body={"message-count": "1", "messages": [part]})

    def limited(self) -> Answer:
        return Answer(
            status=429, headers={"Retry-After": "7"}, body={"title": "Rate Limit Hit", "detail": "Please wait"}
        )

    @staticmethod
    def _error(status: str, text: str) -> Answer:
        return Answer(body={"message-count": "1", "messages": [{"status": status, "error-text": text}]})
