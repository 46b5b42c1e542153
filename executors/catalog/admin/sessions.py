"""Session configurations, and the end of sessions before their time. No token is shown: none is stored."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Max
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from core.backoffice.pages import actor_of, tell
from core.backoffice.words import moment, span
from core.clock import database_now
from core.errors import ApiError, Invalid
from core.ids import decode
from core.tenancy.models import AuditEntry
from core.tenancy.visibility import Place
from executors.catalog.admin.declared import DeclarationForm
from executors.catalog.admin.forms import Entry
from executors.catalog.admin.pages import DeclaredAdmin
from executors.catalog.declarations import SESSIONS
from executors.catalog.models import SessionConfig, SessionRevocation
from executors.sessions import lifecycle

SHOWN = 50
AUDIT_LOOKED_AT = 10_000  # entries: a list of what was started lately, not of all there ever was


class SessionForm(DeclarationForm):
    class Meta:
        model = SessionConfig
        fields = ("product",)

    def entry_of(self, row: SessionConfig) -> Entry:
        return SESSIONS.shown(row)

    def stored(self) -> SessionConfig:
        return SessionConfig.objects.get(product=self.product(), tag=self.tag())


@admin.register(SessionConfig)
class SessionAdmin(DeclaredAdmin):
    form = SessionForm
    declaration = SESSIONS
    skeleton = {"tag": "my-session", "name": "My session", "selector": "$Session{id}", "expiry": 7, "period": "days"}
    list_display = ("tag", "product", "name", "selector", "lives", "updated_at")
    change_form_outer_after_template = "catalog/admin/session_parts.html"

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        revoke = path(
            "<int:object_id>/revoke/", self.admin_site.admin_view(self.revoke), name="catalog_sessionconfig_revoke"
        )  # fmt: skip
        return [revoke, *urls]

    def parts(self, row: SessionConfig) -> dict[str, Any]:
        now = database_now()
        slugs = {environment.pk: environment.slug for environment in row.product.environments.order_by("pk")}
        revoked = SessionRevocation.objects.filter(config=row, expires_at__gt=now).order_by("-revoked_at")[:SHOWN]
        return {
            "slugs": list(slugs.values()),
            "started": _started(row, list(slugs.values()), now),
            "revocations": [
                {
                    "session": each.session_id,
                    "env": slugs[each.environment_id],
                    "at": moment(each.revoked_at, now=now),
                    "until": moment(each.expires_at, now=now),
                }
                for each in revoked
            ],
        }

    def revoke(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """End one session by its id, or all of an identifier's."""
        self.require(request)
        row: Any = self.get_object(request, str(object_id))
        if row is None:
            return HttpResponseRedirect(reverse("admin:catalog_sessionconfig_changelist"))
        if request.method == "POST":
            try:
                told = _revoke(row, request)
            except ApiError as error:
                tell(request, error, "Not revoked")
            else:
                messages.success(request, told)
        return HttpResponseRedirect(reverse("admin:catalog_sessionconfig_change", args=[object_id]))

    @admin.display(description="lives")
    def lives(self, row: SessionConfig) -> str:
        return span(row.lifetime.total_seconds())


def _revoke(row: SessionConfig, request: HttpRequest) -> str:
    """What is told of it. Raises Invalid."""
    given = {name: request.POST.get(name, "").strip() for name in ("env", "session_id", "identifier")}
    environment = row.product.environments.filter(slug=given["env"].replace("\x00", "")).first()
    if environment is None:
        raise Invalid.field("env", f"choose an environment of product {row.product.tag!r}")
    if bool(given["session_id"]) == bool(given["identifier"]):
        raise Invalid("give the id of a session, or an identifier: one of them")
    if given["session_id"] and decode("ses", given["session_id"]) is None:
        raise Invalid.field("session_id", "is no id of a session: `start` returns it, ses_…")
    if given["identifier"] and not lifecycle.identifier_text(given["identifier"]):
        raise Invalid.field("identifier", f"has more than {lifecycle.LONGEST_IDENTIFIER} characters")
    place = Place(
        product_id=row.product_id, product=row.product.tag, environment_id=environment.pk, env=environment.slug
    )  # fmt: skip
    which = {"session_id": given["session_id"]} if given["session_id"] else {"identifier": given["identifier"]}
    with transaction.atomic():
        lifecycle.revoke(row, place, **which, actor=actor_of(request))
    return f"Revoked in {environment.slug}: " + (
        given["session_id"] or "every session of that identifier that was started until now"
    )


def _started(row: SessionConfig, slugs: list[str], now: Any) -> list[dict[str, Any]]:
    """The sessions that were started lately, as the audit trail tells them."""
    newest = AuditEntry.objects.aggregate(newest=Max("pk"))["newest"] or 0
    places = {f"{row.product.tag}/{slug}/{row.tag}": slug for slug in slugs}
    found = AuditEntry.objects.filter(pk__gt=newest - AUDIT_LOOKED_AT, action="session.started", object__in=places)
    listed = list(found.order_by("-pk")[:SHOWN])
    ids = [each.detail.get("session_id", "") for each in listed]
    revoked = set(SessionRevocation.objects.filter(config=row, session_id__in=ids).values_list("session_id", flat=True))
    return [
        {
            "id": session_id,
            "env": places[each.object],
            "actor": each.actor,
            "at": moment(each.at, now=now),
            "ends": moment(each.at + row.lifetime, now=now),
            "revoked": session_id in revoked,
        }
        for each, session_id in zip(listed, ids, strict=True)
    ]
