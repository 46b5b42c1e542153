"""How a notification is written in the catalog: its channels per environment, and its messages.

Owns the spelling of every provider's fields. Never sends anything, and imports no driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.http import InvalidRequest, check_headers, check_url
from executors.catalog.formats import is_email
from executors.catalog.kinds import ShapedKind
from executors.catalog.reading import Reader
from executors.catalog.shapes import Anything, Field, Flag, Inner, Pairs, Shape, Text, Whole, texts_in
from executors.expressions import ExpressionError, references_in
from executors.own_headers import EVERY_CALL, IN_THE_CATALOG
from executors.providers.notification.channels import CHANNELS

LONGEST_HTML = 200_000  # characters of the template of an e-mail
LONGEST_SMS = 1_600  # Twilio's limit, the shortest of the providers'
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SMS_NAMES = {"vonage": "nexmo"}


def _address(text: str) -> str | None:
    return None if is_email(text) else f"{text[:120]!r} is not an e-mail address"


def _url(text: str) -> str | None:
    try:
        check_url(text)
    except InvalidRequest as error:
        return str(error)
    return None


_SENDER: Shape = {
    "sender_email": Text(required=True, aliases=("senderEmail",), check=_address),
    "sender_name": Text(aliases=("senderName",), limit=200),
}
_BASE_URL: Shape = {"base_url": Text(aliases=("baseUrl",), check=_url)}


def _secret(*aliases: str) -> Text:
    return Text(required=True, secret=True, aliases=aliases)


_EMAILS: dict[str, Field] = {
    "provider": Text(required=True, choices=("smtp", "sendgrid", "mailgun", "postmark", "brevo"), fold=str.lower),
    "smtp": Inner(
        shape={
            "host": Text(required=True, limit=253),
            "port": Whole(low=1, high=65_535),
            "secure": Flag(),
            "tls": Flag(),
            "auth": Inner(shape={"user": Text(required=True), "pass": _secret("password")}),
            **_SENDER,
        }
    ),
    "sendgrid": Inner(shape={"apiKey": _secret("api_key"), **_SENDER, **_BASE_URL}),
    "mailgun": Inner(
        shape={
            "apiKey": _secret("api_key"),
            "domain": Text(required=True, limit=253),
            "region": Text(choices=("us", "eu"), fold=str.lower),
            **_SENDER,
            **_BASE_URL,
        }
    ),
    "postmark": Inner(
        shape={
            "serverToken": _secret("server_token"),
            "message_stream": Text(aliases=("messageStream",)),
            **_SENDER,
            **_BASE_URL,
        }
    ),
    "brevo": Inner(shape={"apiKey": _secret("api_key"), **_SENDER, **_BASE_URL}),
}
_SMS: dict[str, Field] = {
    "provider": Text(
        required=True,
        choices=("twilio", "plivo", "nexmo"),
        fold=lambda name: _SMS_NAMES.get(name.lower(), name.lower()),
    ),
    "twilio": Inner(
        shape={
            "accountSid": Text(required=True, aliases=("account_sid",)),
            "authToken": _secret("auth_token"),
            "sender": Text(required=True),
            **_BASE_URL,
        }
    ),
    "plivo": Inner(
        shape={
            "apiKey": Text(required=True, aliases=("api_key", "authId", "auth_id")),
            "authToken": _secret("auth_token", "apiSecret", "api_secret"),
            "sender": Text(required=True),
            **_BASE_URL,
        }
    ),
    "nexmo": Inner(
        aliases=("vonage",),
        shape={
            "apiKey": Text(required=True, aliases=("api_key",)),
            "apiSecret": _secret("api_secret"),
            "sender": Text(required=True),
            **_BASE_URL,
        },
    ),
}
# The fields of a service account's JSON file as Google hands it out; four of them are used.
_CREDENTIALS: Shape = {
    "project_id": Text(aliases=("projectId",)),
    "client_email": Text(aliases=("clientEmail",)),
    "private_key": Text(secret=True, aliases=("privateKey",)),
    "private_key_id": Text(),
    "token_uri": Text(check=_url),
    "type": Text(),
    "client_id": Text(),
    "auth_uri": Text(),
    "auth_provider_x509_cert_url": Text(),
    "client_x509_cert_url": Text(),
    "universe_domain": Text(),
    "accessToken": Text(secret=True, aliases=("access_token",)),
}
_PUSH: dict[str, Field] = {
    "type": Text(required=True, choices=("FIREBASE", "EXPO"), fold=str.upper),
    "credentials": Inner(shape=_CREDENTIALS),
    "databaseUrl": Text(aliases=("database_url",)),
    **_BASE_URL,
}
_OBJECT = Anything(types=(dict,), told="an object")
_CALLBACKS: dict[str, Field] = {
    "url": Text(required=True, check=_url),
    "method": Text(choices=METHODS, fold=str.upper),
    "auth": Inner(shape={"headers": Pairs(), "query": Pairs(), "params": Pairs(), "body": _OBJECT}),
}
_CONNECTION: dict[str, Field] = {
    "emails": Inner(shape=_EMAILS),
    "sms": Inner(shape=_SMS),
    "push_notifications": Inner(shape=_PUSH),
    "callbacks": Inner(shape=_CALLBACKS),
}
_MESSAGE: dict[str, Field] = {
    "email": Inner(
        shape={
            "subject": Text(required=True, limit=998),
            "template": Text(required=True, limit=LONGEST_HTML),
        }
    ),
    "sms": Text(limit=LONGEST_SMS),
    "push_notification": Inner(shape={"title": Text(), "body": Text(aliases=("message",)), "data": _OBJECT}),
    "callback": Inner(shape={"body": Anything(), "params": _OBJECT, "query": _OBJECT, "headers": Pairs()}),
}


def _refine_connection(component: Mapping[str, Any], settings: Mapping[str, Any], reader: Reader) -> None:
    if not settings and reader.data is not None:
        reader.problems.add(reader.path, f"needs one channel at least: {', '.join(_CONNECTION)}", "required")
    for channel in ("emails", "sms"):
        block = settings.get(channel, {})
        provider = block.get("provider")
        if provider is not None and provider not in block:
            reader.problem(f"{channel}.{provider}", f"is required: how {provider} is reached", "required")
    _refine_push(settings.get("push_notifications", {}), reader)
    _refine_callbacks(settings.get("callbacks", {}), reader)


def _refine_push(push: Mapping[str, Any], reader: Reader) -> None:
    if push.get("type") != "FIREBASE":
        return
    given = reader.data.get("push_notifications")
    credentials = given.get("credentials") if isinstance(given, dict) else None
    credentials = credentials if isinstance(credentials, dict) else {}
    for name, alias in (("project_id", "projectId"), ("client_email", "clientEmail"), ("private_key", "privateKey")):
        if credentials.get(name, credentials.get(alias)) is None:
            at = f"push_notifications.credentials.{name}"
            reader.problem(at, "is required: it is in the JSON file of the service account", "required")


def _refine_callbacks(callbacks: Mapping[str, Any], reader: Reader) -> None:
    auth = callbacks.get("auth", {})
    _tell_headers(auth.get("headers", {}), "callbacks.auth.headers", reader)
    for problem in _expressions(auth.get("body"), references_too=False):
        reader.problem("callbacks.auth.body", *problem)


def _refine_event(component: Mapping[str, Any], settings: Mapping[str, Any], reader: Reader) -> None:
    if not any(channel.part in settings for channel in CHANNELS) and reader.data is not None:
        parts = ", ".join(channel.part for channel in CHANNELS)
        reader.problems.add(reader.path, f"needs one channel at least: {parts}", "required")
    for channel in CHANNELS:
        for problem in _expressions(settings.get(channel.part), references_too=True):
            reader.problem(channel.part, *problem)
    push = settings.get("push_notification")
    if push is not None and not push.get("title") and not push.get("body"):
        reader.problem("push_notification", "needs a title or a body", "required")
    if settings.get("sms") == "":
        reader.problem("sms", "must not be empty", "required")
    _tell_headers(settings.get("callback", {}).get("headers", {}), "callback.headers", reader)


def _expressions(template: Any, *, references_too: bool) -> Iterator[tuple[str, str]]:
    """What in the texts of a template would never be replaced. One problem at most: the first."""
    for text in texts_in(template):
        try:
            found = references_in(text)
        except ExpressionError as error:
            yield str(error), error.code
            return
        if found and references_too:
            detail = f"holds {found[0]}: a message holds {{{{placeholders}}}}, which the input of a job fills"
            yield detail, "expression_unsupported"
            return


def _tell_headers(headers: Mapping[str, str], at: str, reader: Reader) -> None:
    for name in headers:
        if name.lower() in EVERY_CALL:
            reader.problem(f"{at}.{name}", IN_THE_CATALOG)
    try:
        check_headers(dict.fromkeys(headers, ""))
    except InvalidRequest as error:
        reader.problem(at, str(error))


KIND = ShapedKind(
    name="notification",
    plural="notifications",
    namespaces=("notifications",),
    target="notification",
    connections={"": _CONNECTION},
    event=_MESSAGE,
    event_aliases=("messages",),
    check="executors.providers.notification.check.check",
    refine_connection=_refine_connection,
    refine_event=_refine_event,
)
