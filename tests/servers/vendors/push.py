"""Firebase Cloud Messaging (with Google's tokens) and Expo, as their pages describe the sending of push messages."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.receiver import Answer, Received
from tests.servers.vendors.vendor import SECRET, Taken, Vendor, form_of, is_post, only, want

ACCOUNT = "push@p1.iam.gserviceaccount.com"


@cache
def account_key() -> tuple[str, str]:
    """The private and the public key of the service account, in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


class FirebaseServer(Vendor):
    """https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send and
    https://developers.google.com/identity/protocols/oauth2/service-account#httprest"""

    channel = "push_notifications"
    refused_code = "NOT_FOUND"

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0  # given out
        self.life = 3600
        self.revoked: set[str] = set()

    @property
    def block(self) -> dict[str, Any]:
        credentials = {
            "type": "service_account", "project_id": "p1", "client_email": ACCOUNT, "private_key": account_key()[0],
            "private_key_id": "k1", "token_uri": f"{self.url}/token",
        }  # fmt: skip
        return {
            "type": "FIREBASE",
            "credentials": credentials,
            "base_url": self.url,
            "databaseUrl": "https://p1.example",
        }

    def reply(self, request: Received) -> Answer:
        if request.path == "/token":
            return self._token(request)
        is_post(request, "/v1/projects/p1/messages:send", "application/json")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        want(scheme, "Bearer", "scheme")
        if token in self.revoked or token not in {f"{SECRET}-{n}" for n in range(1, self.tokens + 1)}:
            told = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            return self._error(401, "UNAUTHENTICATED", told)
        body = request.json()
        only(body, "message")
        message = body["message"]
        only(message, "token", "notification", "data")
        only(message["notification"], "title", "body")
        want(all(isinstance(value, str) for value in message.get("data", {}).values()), True, "data are texts")
        if message["token"] in self.unknown:
            return self._error(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED")
        self.taken.append(Taken(message["token"], {**message["notification"], "data": message.get("data", {})}))
        return Answer(body={"name": f"projects/p1/messages/{len(self.taken)}"})

    def _token(self, request: Received) -> Answer:
        is_post(request, "/token", "application/x-www-form-urlencoded")
        form = form_of(request)
        only(form, "grant_type", "assertion")
        want(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer", "grant_type")
        want(jwt.get_unverified_header(form["assertion"]), {"alg": "RS256", "typ": "JWT", "kid": "k1"}, "header")
        try:
            claims = jwt.decode(form["assertion"], account_key()[1], algorithms=["RS256"], audience=f"{self.url}/token")
        except jwt.InvalidSignatureError:
            return Answer(status=400, body={"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        only(claims, "iss", "scope", "aud", "iat", "exp")
        want(claims["iss"], ACCOUNT, "iss")
        want(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging", "scope")
        want(0 < claims["exp"] - claims["iat"] <= 3600, True, "an hour at most")
        self.tokens += 1
        return Answer(body={"access_token": f"{SECRET}-{self.tokens}", "expires_in": self.life, "token_type": "Bearer"})

    def limited(self) -> Answer:
        answer = self._error(429, "RESOURCE_EXHAUSTED", "Quota exceeded", "QUOTA_EXCEEDED")
        return Answer(status=429, body=answer.body, headers={"Retry-After": "7"})

    @staticmethod
    def _error(code: int, status: str, message: str, fcm: str | None = None) -> Answer:
        error: dict[str, Any] = {"code": code, "message": message, "status": status}
        if fcm is not None:
            kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
            error["details"] = [{"@type": kind, "errorCode": fcm}]
        return Answer(status=code, body={"error": error})


class ExpoServer(Vendor):
    """https://docs.expo.dev/push-notifications/sending-notifications/"""

    channel = "push_notifications"
    refused_code = "NOT_FOUND"

    @property
    def block(self) -> dict[str, Any]:
        return {"type": "EXPO", "credentials": {"accessToken": SECRET}, "base_url": self.url}

    def reply(self, request: Received) -> Answer:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return Answer(status=401, body={"errors": [{"code": "UNAUTHORIZED", "message": "Invalid access token"}]})
        if request.path.endswith("/getReceipts"):
            is_post(request, "/--/api/v2/push/getReceipts", "application/json")
            want(request.json(), {"ids": []}, "body")
            return Answer(body={"data": {}})
        is_post(request, "/--/api/v2/push/send", "application/json")
        messages = request.json()
        want(0 < len(messages) <= 100, True, "100 messages at most")
        return Answer(body={"data": [self._ticket(message) for message in messages]})

    def _ticket(self, message: dict[str, Any]) -> dict[str, Any]:
        only(message, "to", "title", "body", "data")
        if not re.fullmatch(r"Expo(nent)?PushToken\[[^\]]+\]", message["to"]):
            return {"status": "error", "message": f'"{message["to"]}" is not a valid Expo push token'}
        if message["to"] in self.unknown:
            told = f'"{message["to"]}" is not a registered push notification recipient'
            return {"status": "error", "message": told, "details": {"error": "DeviceNotRegistered"}}
        fields = {"title": message.get("title"), "body": message.get("body"), "data": message.get("data", {})}
        self.taken.append(Taken(message["to"], fields))
        return {"status": "ok", "id": f"expo-{len(self.taken)}"}

    def limited(self) -> Answer:
        errors = [{"code": "TOO_MANY_REQUESTS", "message": "Too many requests"}]
        return Answer(status=429, headers={"Retry-After": "7"}, body={"errors": errors})
