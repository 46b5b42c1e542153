"""Caches and what they keep: of which calls, for how long. What was answered is not shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from core.backoffice.pages import actor_of
from core.backoffice.words import moment, span_ms
from core.clock import database_now
from executors import caching
from executors.catalog.admin.declared import DeclarationForm
from executors.catalog.admin.forms import Entry
from executors.catalog.admin.pages import DeclaredAdmin
from executors.catalog.declarations import CACHES
from executors.catalog.models import Cache

SHOWN = 50


class CacheForm(DeclarationForm):
    class Meta:
        model = Cache
        fields = ("product",)

    def entry_of(self, row: Cache) -> Entry:
        return CACHES.shown(row)

    def stored(self) -> Cache:
        return Cache.objects.get(product=self.product(), tag=self.tag())


@admin.register(Cache)
class CacheAdmin(DeclaredAdmin):
    form = CacheForm
    declaration = CACHES
    skeleton = {"tag": "my-cache", "name": "My cache", "expiry": 60_000}
    list_display = ("tag", "product", "name", "kept_for", "entries_that_hold", "updated_at")
    change_form_outer_after_template = "catalog/admin/cache_parts.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cache]:
        caches: QuerySet[Cache] = super().get_queryset(request)
        holds = Count("entries", filter=Q(entries__expires_at__gt=database_now()))
        return caches.annotate(holding=holds)

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        clear = path(
            "<int:object_id>/clear/", self.admin_site.admin_view(self.clear), name="catalog_cache_clear"
        )  # fmt: skip
        return [clear, *urls]

    def parts(self, row: Cache) -> dict[str, Any]:
        now = database_now()
        entries = row.entries.filter(expires_at__gt=now).annotate(env=F("environment__slug"), size=Length("result"))
        entries = entries.defer("result").order_by("-created_at")
        return {
            "kept": [
                {
                    "key": entry.key,
                    "env": entry.env,
                    "namespace": entry.namespace,
                    "target": ":".join(map(str, entry.target.values())),
                    "size": entry.size,
                    "at": moment(entry.created_at, now=now),
                    "until": moment(entry.expires_at, now=now),
                }
                for entry in entries[:SHOWN]
            ],
            "most": SHOWN,
        }

    def clear(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Remove one entry (`key`), or all."""
        self.require(request)
        row: Any = self.get_object(request, str(object_id))
        if row is None:
            return HttpResponseRedirect(reverse("admin:catalog_cache_changelist"))
        if request.method == "POST":
            key = request.POST.get("key", "").replace("\x00", "")
            entries = row.entries.filter(key=key) if key else row.entries.all()
            cleared = caching.clear(entries, f"{row.product.tag}/{row.tag}", actor=actor_of(request))
            more = ", the oldest: once more clears the next" if cleared == caching.MOST_CLEARED else ""
            messages.success(request, f"{cleared} cleared{more}")
        return HttpResponseRedirect(reverse("admin:catalog_cache_change", args=[object_id]))

    @admin.display(description="kept for")
    def kept_for(self, row: Cache) -> str:
        return span_ms(row.expiry)

    @admin.display(description="entries")
    def entries_that_hold(self, row: Any) -> int:
        return int(row.holding)
