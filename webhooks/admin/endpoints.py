"""The pages of endpoints: made, changed, tried, their secret given anew, what failed sent again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.pages import ReadOnlyAdmin, actor_of, tell
from core.backoffice.words import NOTHING, badge_like, moment, relative, span_ms
from core.clock import database_now
from core.errors import ApiError
from core.ids import decode
from core.tenancy import scopes
from core.tenancy.auth import Principal
from core.tenancy.models import Environment
from webhooks.admin.form import EndpointForm
from webhooks.admin.shown import status_badge
from webhooks.models import ENDPOINT_PREFIX, Delivery, Endpoint
from webhooks.operations import endpoints, replay
from webhooks.operations.endpoints import Shown
from webhooks.queries import DeliveryFilter, stats_of, with_attempts
from webhooks.states import ALL_EVENTS

STATS_OF = timedelta(days=7)
DELIVERIES_SHOWN = 20
ACTS = ("test", "rotate", "replay")


def operator(request: HttpRequest) -> Principal:
    """The user of the admin, as the operations know callers."""
    return Principal(
        key_id=None, name=actor_of(request), is_operator=True, product_id=None, environment_ids=None, scopes=scopes.ALL
    )


class StateFilter(SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("failing", "failing"), ("disabled", "disabled by the system"), ("off", "turned off"), ("fine", "fine")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> QuerySet[Endpoint]:
        match self.value():
            case "failing":
                return queryset.filter(enabled=True, failing_since__isnull=False)
            case "disabled":
                return queryset.filter(enabled=False).exclude(disabled_reason="")
            case "off":
                return queryset.filter(enabled=False, disabled_reason="")
            case "fine":
                return queryset.filter(enabled=True, failing_since__isnull=True)
        return queryset


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    form = EndpointForm
    list_display = ("where_to", "state", "why", "failing", "told", "of")
    list_filter = (StateFilter, "product")
    list_select_related = ("product",)
    search_fields = ("url", "description")
    ordering = ("-id",)
    actions = ("enable", "disable", "remove")
    change_form_outer_before_template = "webhooks/admin/endpoint.html"
    change_form_outer_after_template = "webhooks/admin/acts.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        self._now = database_now()
        found: QuerySet[Endpoint] = super().get_queryset(request)
        return found

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Endpoint | None:
        key = decode(ENDPOINT_PREFIX, object_id)
        found: Endpoint | None = super().get_object(request, str(key) if key else object_id, from_field)
        return found

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return self._has(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._has(request, "change")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, knowing who asks."""
        return type("Form", (EndpointForm,), {"principal": operator(request)})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ("url", "description", "events", "env", "namespaces", "labels", "enabled")
        return ("product", *fields, "secret") if obj is None else fields

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        if change:
            endpoints.change(operator(request), str(obj), form.body())
            return
        shown = endpoints.create(operator(request), form.body())
        obj.pk, obj.url = shown.endpoint.pk, shown.endpoint.url
        request._shown = shown  # type: ignore[attr-defined]  # for the answer to this request, nowhere else

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The operation has stored it all."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            shown: HttpResponseBase = super().changeform_view(request, *args, **kwargs)
        except ApiError as error:  # between its check and its storing somebody was first
            tell(request, error, "Not stored")
            return HttpResponseRedirect(request.get_full_path())
        return shown

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        endpoint = self.get_object(request, object_id)
        extra = {} if endpoint is None else {"endpoint": endpoint, **self._seen(endpoint)}
        page: HttpResponseBase = super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})
        return page

    def response_add(self, request: HttpRequest, obj: Endpoint, post_url_continue: str | None = None) -> HttpResponse:
        return self._secret_page(request, request._shown)  # type: ignore[attr-defined]

    def get_urls(self) -> list[Any]:
        acts = path(
            "<str:object_id>/<str:act>/", self.admin_site.admin_view(self.act), name="webhooks_endpoint_act"
        )  # fmt: skip
        return [*(each for each in super().get_urls()[:-1]), acts, super().get_urls()[-1]]

    def act(self, request: HttpRequest, object_id: str, act: str) -> HttpResponseBase:
        """What a button of the page asks for."""
        if act == "change":
            return self.change_view(request, object_id)
        endpoint = self.get_object(request, object_id)
        if endpoint is None or act not in ACTS:
            raise Http404("there is no such webhook")
        if request.method != "POST" or not self.has_change_permission(request):
            raise PermissionDenied
        try:
            return self._do(request, endpoint, act)
        except ApiError as error:
            tell(request, error, f"Not done ({act})")
            return HttpResponseRedirect(_url(endpoint))

    def _do(self, request: HttpRequest, endpoint: Endpoint, act: str) -> HttpResponseBase:
        if act == "rotate":
            return self._secret_page(request, endpoints.rotate(operator(request), str(endpoint), None))
        if act == "test":
            replay.send_test(endpoint, None, actor=actor_of(request))
            messages.success(request, "A test event is on its way: what became of it is below in a moment")
        else:
            failed = DeliveryFilter(statuses=frozenset({"failed"}))
            count = replay.replay_range(endpoint, failed, actor=actor_of(request))
            messages.success(request, f"{count} failed deliveries are sent again")
        return HttpResponseRedirect(_url(endpoint))

    def _secret_page(self, request: HttpRequest, shown: Shown) -> HttpResponse:
        """The one page that shows a secret: the answer to its form, kept by nobody."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "The webhook's secret",
            "endpoint": shown.endpoint,
            "text": shown.secret,
            "back": _url(shown.endpoint),
        }
        response = TemplateResponse(request, "webhooks/admin/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def _seen(self, endpoint: Endpoint) -> dict[str, Any]:
        """How it does, and its newest deliveries."""
        now = database_now()
        stats = stats_of(endpoint, since=now - STATS_OF, before=None)
        rate = NOTHING if stats.success_rate is None else f"{stats.success_rate:g} %"
        facts = [
            ("Delivered in 7 days", f"{stats.delivered} ({rate})"),
            ("Failed", stats.failed),
            ("Waiting", stats.pending),
            ("Attempts take", f"{span_ms(stats.duration_p50)} (p50), {span_ms(stats.duration_p99)} (p99)"),
            ("Told of", f"{_product(endpoint)} / {_environments(endpoint)}"),
            *([("Why", why)] if (why := _why(endpoint, now)) else []),
            ("Failing since", moment(endpoint.failing_since, now=now)),
            ("Last error", stats.last_error or NOTHING),
            ("Made", moment(endpoint.created_at, now=now)),
            ("Id", str(endpoint)),
        ]
        newest = with_attempts(endpoint.deliveries.all()).order_by("-pk")[:DELIVERIES_SHOWN]
        return {
            "facts": facts,
            "state": _state(endpoint),
            "deliveries": [_row(each, now) for each in newest],
            "all_deliveries": f"{reverse('admin:webhooks_delivery_changelist')}?endpoint={endpoint.pk}",
        }

    @admin.action(description="Enable the selected webhooks", permissions=["act"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        self._each(request, queryset, "enabled", lambda it: endpoints.change(operator(request), it, {"enabled": True}))

    @admin.action(description="Disable the selected webhooks", permissions=["act"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        self._each(
            request, queryset, "disabled", lambda it: endpoints.change(operator(request), it, {"enabled": False})
        )  # fmt: skip

    @admin.action(description="Delete the selected webhooks and their logs", permissions=["act"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        self._each(request, queryset, "deleted", lambda it: endpoints.delete(operator(request), it))

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Endpoint], done: str, do: Callable[[str], object]
    ) -> None:  # fmt: skip
        count = 0
        for endpoint in queryset:
            try:
                do(str(endpoint))
                count += 1
            except ApiError as error:
                tell(request, error, endpoint.url)
        messages.info(request, f"{count} {done}")

    @admin.display(description="webhook")
    def where_to(self, endpoint: Endpoint) -> SafeString:
        return format_html(
            '<span class="two-lines"><span>{}</span><small>{}</small></span>', endpoint.url, endpoint.description
        )

    @admin.display(description="state")
    def state(self, endpoint: Endpoint) -> SafeString:
        return _state(endpoint)

    @admin.display(description="why")
    def why(self, endpoint: Endpoint) -> str:
        return _why(endpoint, self._now)

    @admin.display(description="told of")
    def told(self, endpoint: Endpoint) -> str:
        return "everything" if ALL_EVENTS in endpoint.events else ", ".join(endpoint.events)

    @admin.display(description="of")
    def of(self, endpoint: Endpoint) -> str:
        narrower = [*endpoint.namespaces, *(f"{key}: {value}" for key, value in endpoint.labels.items())]
        return f"{_product(endpoint)} / {_environments(endpoint)}" + (f" ({', '.join(narrower)})" if narrower else "")

    @admin.display(description="failing since")
    def failing(self, endpoint: Endpoint) -> SafeString | str:
        return moment(endpoint.failing_since, now=self._now)


def _state(endpoint: Endpoint) -> SafeString:
    if not endpoint.enabled:
        return badge_like("failed", "disabled") if endpoint.disabled_reason else badge_like("cancelled", "off")
    if endpoint.failing_since is not None:
        return badge_like("failed", "failing")
    return badge_like("alive", "fine")


def _why(endpoint: Endpoint, now: datetime) -> str:
    """What stands behind the state; empty: nothing is amiss."""
    if not endpoint.enabled:
        return endpoint.disabled_reason or "somebody turned it off"
    if endpoint.failing_since is None:
        return ""
    failed = "the last attempt failed"
    if endpoint.consecutive_failures > 1:
        failed = f"the last {endpoint.consecutive_failures} attempts failed"
    rests = endpoint.rest_until is not None and endpoint.rest_until > now
    return f"{failed}: tried again {relative(endpoint.rest_until, now)}" if rests else failed  # type: ignore[arg-type]


def _product(endpoint: Endpoint) -> str:
    return "every product" if endpoint.product is None else endpoint.product.tag


def _environments(endpoint: Endpoint) -> str:
    """Those it is told of: one that it names, or those of the key that made it."""
    if endpoint.env or endpoint.environment_ids is None:
        return endpoint.env or "all"
    slugs = Environment.objects.filter(pk__in=endpoint.environment_ids).order_by("pk").values_list("slug", flat=True)
    return ", ".join(slugs) or "none"


def _row(delivery: Delivery, now: Any) -> dict[str, Any]:
    attempts = list(delivery.attempts.all())
    last = attempts[-1] if attempts else None
    answer = "" if last is None else (last.error or f"answered {last.response_status}")
    return {
        "url": reverse("admin:webhooks_delivery_change", args=[delivery.pk]),
        "event": delivery.type,
        "state": status_badge(delivery),
        "at": moment(delivery.created_at, now=now),
        "attempts": len(attempts),
        "took": span_ms(last.duration_ms) if last is not None else NOTHING,
        "answer": answer,
    }


def _url(endpoint: Endpoint) -> str:
    return reverse("admin:webhooks_endpoint_change", args=[endpoint.pk])
