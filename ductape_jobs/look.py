"""How the admin looks and what its sidebar leads to: data for django-unfold. Everything it loads is bundled."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

_TEAL = {
    "50": "oklch(97.5% .014 180)",
    "100": "oklch(94% .04 180)",
    "200": "oklch(88% .075 180)",
    "300": "oklch(80% .11 181)",
    "400": "oklch(70% .12 182)",
    "500": "oklch(60% .11 184)",
    "600": "oklch(51% .095 186)",
    "700": "oklch(44% .08 188)",
    "800": "oklch(37% .065 189)",
    "900": "oklch(31% .05 190)",
    "950": "oklch(23% .04 192)",
}


def _style(request: HttpRequest) -> str:
    return static("backoffice/backoffice.css")


def _icon(request: HttpRequest) -> str:
    return static("backoffice/favicon.svg")


def _link(title: str, icon: str, model: str, *, page: str = "changelist", seen_with: str = "") -> dict[str, Any]:
    """An item of the sidebar, shown to who may see the model, or the one that is named instead."""
    app, name = model.split(".")
    of = (seen_with or model).replace(".", ".{}_", 1)
    route = f"admin:{app}_{name}_{page}" if page == "changelist" else f"admin:{page}"

    def may_see(request: HttpRequest) -> bool:
        user = request.user
        return bool(user.has_perm(of.format("view")) or user.has_perm(of.format("change")))

    return {"title": title, "icon": icon, "link": reverse_lazy(route), "permission": may_see}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Ductape Jobs",
    "SITE_HEADER": "Ductape Jobs",
    "SITE_SYMBOL": "schedule",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _icon}],
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "COLORS": {"primary": _TEAL},
    "STYLES": [_style],
    "DASHBOARD_CALLBACK": "jobs.admin.dashboard.dashboard",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {"title": "Overview", "icon": "monitoring", "link": reverse_lazy("admin:index")},
                    _link("Jobs", "work", "jobs.job"),
                    _link("Runs", "list_alt", "jobs.execution"),
                    _link("Operations", "checklist", "jobs.operation", seen_with="jobs.job"),
                    _link("Holds", "front_hand", "jobs.hold"),
                ]
            },
            {
                "title": "Catalog",
                "separator": True,
                "items": [
                    _link("Products", "inventory_2", "tenancy.product"),
                    _link("Environments", "layers", "tenancy.environment"),
                    _link("Components", "widgets", "catalog.component"),
                    _link("Connections", "cable", "catalog.connection"),
                    _link("Events", "send", "catalog.savedevent"),
                    _link("Secrets", "key", "catalog.secret"),
                    _link("Sessions", "badge", "catalog.sessionconfig"),
                    _link("Caches", "database", "catalog.cache"),
                ],
            },
            {
                "title": "Webhooks",
                "separator": True,
                "items": [
                    _link("Endpoints", "webhook", "webhooks.endpoint"),
                    _link("Deliveries", "outgoing_mail", "webhooks.delivery"),
                    _link("Notices", "notifications", "webhooks.notice"),
                ],
            },
            {
                "title": "Access",
                "separator": True,
                "items": [
                    _link("API keys", "vpn_key", "tenancy.apikey"),
                    _link("Users", "person", "auth.user"),
                    _link("Groups", "group", "auth.group"),
                    _link("Who did what", "history", "jobs.jobevent", page="jobs_who"),
                ],
            },
            {
                "title": "Processes",
                "separator": True,
                "items": [
                    _link("Workers", "memory", "jobs.worker"),
                    _link("Schedulers", "timer", "jobs.scheduler"),
                    _link("Maintenance tasks", "event_repeat", "django_celery_beat.periodictask"),
                ],
            },
        ],
    },
}
