"""What the system did by itself and operators are to know."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.backoffice.pages import ReadOnlyAdmin
from core.backoffice.words import moment
from core.clock import database_now
from webhooks.models import Notice


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = ("when", "text")
    list_display_links = None
    list_fullwidth = True
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        self._now = database_now()
        notices: QuerySet[Notice] = super().get_queryset(request)
        return notices

    @admin.display(description="when")
    def when(self, notice: Notice) -> SafeString | str:
        return moment(notice.at, now=self._now)
