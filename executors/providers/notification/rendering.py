"""From a message of the catalog and the parts of an input to what is sent on a channel. Pure.

A part of the message is filled with the input's dictionary of the same name. Of a callback, and of a push message's
data, a part that the message leaves out is what the input gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.providers.notification.asked import Asked
from executors.providers.notification.channels import EMAIL, PUSH, SMS
from executors.providers.notification.delivery import Callback, Email, Message, Push, Sms
from executors.providers.notification.templates import filled, filled_html, filled_value, text_of


def rendered(asked: Asked, event: Mapping[str, Any]) -> Message:
    """The message on one channel."""
    template, parts = event[asked.channel.part], asked.parts
    match asked.channel:
        case channel if channel is EMAIL:
            html = filled_html(template["template"], parts.get("template", {}))
            subject = " ".join(filled(template["subject"], parts.get("subject", {})).split())
            return Email(subject=subject, html=html, text=text_of(html))
        case channel if channel is SMS:
            return Sms(text=filled(template, parts.get("body", {})))
        case channel if channel is PUSH:
            return Push(
                title=filled(template.get("title", ""), parts.get("title", {})),
                body=filled(template.get("body", ""), parts.get("body", {})),
                data=_part("data", template, parts) or {},
            )
        case _:
            return Callback(
                body=_part("body", template, parts),
                params={**parts.get("params", {}), **(_part("params", template, parts) or {})},
                query=_part("query", template, parts) or {},
                headers=_part("headers", template, parts) or {},
            )


def _part(name: str, template: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> Any:
    values = parts.get(name)
    if name in template:
        return filled_value(template[name], values or {})
    return values
