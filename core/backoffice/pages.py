"""The bases of the pages: lists that bear whatever they are asked for, and pages that only show.

`BoundedAdmin` is the base of every model's pages. `ReadOnlyAdmin`, the base of most, refuses add,
change and delete for everybody, superusers too: Django's own forms would write past the operations
and their rules. What a page offers instead calls an operation, and asks `may_change` first.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import DataError
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from core.errors import ApiError

MOST_COUNTED = 10_000  # rows; beyond that a list says "10000 and more" instead of reading the table


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # no generic at run time
    """Counts at most MOST_COUNTED rows: a list of millions costs what its first pages cost."""

    template_name = "backoffice/pagination.html"

    @cached_property
    def count(self) -> int:
        return min(self._counted, MOST_COUNTED)

    @cached_property
    def is_more(self) -> bool:
        """Whether there are more rows than the list shows."""
        return self._counted > MOST_COUNTED

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return len(rows[: MOST_COUNTED + 1]) if isinstance(rows, list) else rows[: MOST_COUNTED + 1].count()


class BoundedList(ChangeList):
    """Says how many rows a filter found; without one that is the footer's business.

    A number in its address that no column holds is answered as any other wrong parameter is.
    """

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (OverflowError, DataError) as error:  # SQLite's driver, and PostgreSQL
            raise IncorrectLookupParameters(error) from error
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count  # unfold's header then says nothing


class BoundedAdmin(ModelAdmin):
    """A model's pages, with this project's list."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedList]:
        return BoundedList


class ReadOnlyAdmin(BoundedAdmin):
    """Pages to look at. A subclass opens what it writes itself, and nothing else."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 50
    list_filter_sheet = True
    sortable_by: tuple[str, ...] = ()
    actions: Any = None

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return any(self._has(request, verb) for verb in ("view", "change"))

    def has_act_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether the user may do what these pages offer: Django's change permission of the model."""
        return self._has(request, "change")

    def require(self, request: HttpRequest, verb: str = "change") -> None:
        """Raise PermissionDenied unless the user has that permission of the model."""
        if not self._has(request, verb):
            raise PermissionDenied

    def _has(self, request: HttpRequest, verb: str) -> bool:
        codename = get_permission_codename(verb, self.opts)
        return bool(request.user.has_perm(f"{self.opts.app_label}.{codename}"))


def actor_of(request: HttpRequest) -> str:
    """The name under which what this user asks for is recorded."""
    return str(request.user.get_username())


def tell(request: HttpRequest, error: ApiError, doing: str) -> None:
    """Show why something was refused, with what was found instead."""
    found = error.extra.get("status_found")
    messages.error(request, f"{doing}: {error.detail}" + (f" (found: {found})" if found else ""))
