"""The channels of a message: how each is spelled in a message, an environment, an input and a result. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """One way for a message. `part` names it in a message and in an input, `block` in an environment."""

    name: str  # in a result
    part: str
    block: str
    recipients: tuple[str, ...] = ()  # the field of an input that names them, and its older spellings
    parts: Mapping[str, str]  # fields of an input that fill placeholders: spelling → part of the template
    selector: str = "provider"  # the field of the block that names who sends


EMAIL = Channel(
    name="email",
    part="email",
    block="emails",
    recipients=("recipients", "to"),
    parts={"subject": "subject", "template": "template", "body": "template"},
)
SMS = Channel(name="sms", part="sms", block="sms", recipients=("recipients", "to"), parts={"body": "body"})
PUSH = Channel(
    name="push",
    part="push_notification",
    block="push_notifications",
    recipients=("device_tokens", "device_token"),
    parts={"title": "title", "body": "body", "message": "body", "data": "data"},
    selector="type",
)
CALLBACK = Channel(
    name="callback",
    part="callback",
    block="callbacks",
    parts={"query": "query", "params": "params", "body": "body", "headers": "headers"},
)
CHANNELS = (EMAIL, SMS, PUSH, CALLBACK)

# Who sends, by channel and the word in its block: a module and its class, imported when first used.
SENDERS: Mapping[str, Mapping[str, str]] = {
    EMAIL.name: {
        "smtp": "executors.providers.notification.email.smtp.Smtp",
        "sendgrid": "executors.providers.notification.email.sendgrid.SendGrid",
        "mailgun": "executors.providers.notification.email.mailgun.Mailgun",
        "postmark": "executors.providers.notification.email.postmark.Postmark",
        "brevo": "executors.providers.notification.email.brevo.Brevo",
    },
    SMS.name: {
        "twilio": "executors.providers.notification.sms.twilio.Twilio",
        "plivo": "executors.providers.notification.sms.plivo.Plivo",
        "nexmo": "executors.providers.notification.sms.nexmo.Nexmo",
    },
    PUSH.name: {
        "FIREBASE": "executors.providers.notification.push.firebase.Firebase",
        "EXPO": "executors.providers.notification.push.expo.Expo",
    },
    CALLBACK.name: {"": "executors.providers.notification.callback.CallbackSender"},
}


def settings_of(channel: Channel, connection: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Who sends on a channel in an environment, and how it is reached. None where it has no such channel."""
    block = connection.get(channel.block)
    if not block:
        return None
    if channel is CALLBACK:
        return "", block
    who = block[channel.selector]
    return who, block.get(who, {}) if channel.selector == "provider" else block
