"""Components of every kind: apps field by field or as a whole, the others as a whole."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from core.backoffice.words import badge_like
from core.tenancy.models import Product
from executors.catalog import document, editing, etags, kinds, sealed
from executors.catalog.admin.declared import DeclarationField, DeclarationForm
from executors.catalog.admin.events import in_words
from executors.catalog.admin.fields import JSONTextField, text_field
from executors.catalog.admin.forms import APP, Entry, LoginForm
from executors.catalog.admin.pages import AUTH, CALL, SHOWN_FOR, DocumentAdmin
from executors.catalog.kinds import Kind, ShapedKind
from executors.catalog.models import Component
from executors.catalog.schema import read_document


class ComponentForm(LoginForm):
    """An app: what holds in all its environments."""

    description = text_field("Description")
    constants = JSONTextField(label="Constants", help_text='{"KEY": {"value": …}}: $Constant{KEY} is that everywhere.')

    class Meta:
        model = Component
        fields = ("product", "tag", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        row = kwargs.get("instance")
        kwargs["initial"] = {
            **({name: row.settings.get(name) for name in ("description", "constants")} if row is not None else {}),
            **(kwargs.get("initial") or {}),
        }
        super().__init__(*args, **kwargs)
        self.fields["variables"].help_text = '{"KEY": {"required": true, "default": …}}: each environment may set them.'
        if "name" in self.fields:
            self.fields["name"].required = False

    def product(self) -> Product:
        found: Product = self.instance.product if self.instance.pk else self.cleaned_data["product"]
        return found

    def part(self) -> Entry:
        tag = self.instance.tag if self.instance.pk else self.cleaned_data["tag"]
        entry: Entry = {"tag": tag, **self.rest(), **self.call_entry()}
        for name in ("name", "description", "constants"):
            if self.cleaned_data.get(name):
                entry[name] = self.cleaned_data[name]
        return {"apps": [entry]}

    def path(self) -> str:
        return "apps.0"

    def stored(self) -> Component:
        tag = self.instance.tag or self.cleaned_data["tag"]
        return Component.objects.get(product=self.product(), kind=APP, tag=tag)


class WholeComponentForm(DeclarationForm):
    """A component of any kind with its connections and events. What its text no longer names is removed."""

    kind: Kind  # set by the page

    declaration = DeclarationField(
        "YAML, as in the catalog document. {set: true} stands for a secret that is kept; a value replaces it."
    )

    class Meta:
        model = Component
        fields = ("product",)

    def version_of(self, row: Component) -> str:
        return etags.etag_of(row)

    def entry_of(self, row: Component) -> Entry:
        entry = editing.component_entry(row)
        if self.kind.connected:
            connections = row.connections.select_related("component", "environment")
            entry["envs"] = {each.environment.slug: sealed.shown(each) for each in connections}
        if self.kind.has_events:
            entry["events"] = [editing.event_entry(saved) for saved in row.events.order_by("tag")]
        return entry

    def stored(self) -> Component:
        return Component.objects.get(product=self.product(), kind=self.kind.name, tag=self.tag())

    def write(self, tag: str, *, dry_run: bool) -> None:
        self.keep_tag()
        part = self.part()
        takes_away = bool(self.instance.pk) and self._takes_away(tag)
        if takes_away:
            whole = document.export(self.instance.product)
            others = [entry for entry in whole[self.plural] if entry["tag"] != self.instance.tag]
            part = {**whole, self.plural: [*part[self.plural], *others]}
        editing.store_part(tag, part, actor=self.actor, dry_run=dry_run, prune=takes_away)

    def _takes_away(self, tag: str) -> bool:
        """Whether a connection or an event that is there is not in the text. Raises Invalid."""
        (entry,) = read_document(self.part(), tag).components[self.kind.name]
        slugs = set(self.instance.connections.values_list("environment__slug", flat=True))
        events = set(self.instance.events.values_list("tag", flat=True))
        return bool(slugs - {each.env for each in entry.connections} or events - {each.tag for each in entry.events})


def skeleton(kind: Kind) -> Entry:
    """What a new component of a kind says at least, with names to be replaced."""
    entry: Entry = {"tag": f"my-{kind.name}", "name": f"My {kind.name}"}
    if kind is kinds.APP:
        return {**entry, "envs": {"prd": {"base_url": "https://host.example"}}, "events": []}
    if isinstance(kind, ShapedKind):
        type = kind.default_type or next(iter(kind.connections), "")
        entry |= {"type": type} if type else {}
        entry |= {name: [] for name in ("steps",) if name in kind.component}
        if kind.connected:
            needed = {name: "" for name, each in kind.connections[type].items() if each.required}
            entry["envs"] = {"prd": needed}
    return entry | ({"events": []} if kind.has_events else {})


@admin.register(Component)
class ComponentAdmin(DocumentAdmin):
    """Apps have a form of their own unless the address says `yaml`; a new one of another kind has `kind=database`."""

    form = ComponentForm
    list_display = ("tag", "kind", "product", "name", "reached_in", "events_of", "updated_at")
    list_filter = ("kind", "product")
    list_select_related = ("product",)
    search_fields = ("tag", "name")
    ordering = ("product__tag", "kind", "tag")
    add_only = ("product", "tag")
    fieldsets = (
        (None, {"fields": ("product", "tag", "name", "description")}),
        ("How it is called, in every environment", {"fields": CALL}),
        ("How one logs in there, in every environment", {"fields": AUTH}),
        ("Variables and constants", {"fields": ("variables", "constants")}),
    )
    conditional_fields = SHOWN_FOR
    change_form_outer_before_template = "catalog/admin/component_ways.html"
    change_form_outer_after_template = "catalog/admin/component_parts.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Component]:
        components: QuerySet[Component] = super().get_queryset(request)
        return components.prefetch_related("connections__environment", "events")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if _whole_kind(request, obj) is None or obj is None:
            return super().get_readonly_fields(request, obj)
        return ("product", "kind")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if _whole_kind(request, obj) is None or (obj is not None and not self.has_change_permission(request, obj)):
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": ("product", "declaration") if obj is None else ("product", "kind", "declaration")})]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kind = _whole_kind(request, obj)
        if kind is None or (obj is not None and not self.has_change_permission(request, obj)):
            return super().get_form(request, obj, change=change, **kwargs)
        form = super().get_form(request, obj, change=change, **{**kwargs, "form": WholeComponentForm})
        form.kind, form.plural, form.noun = kind, kind.plural, kind.name
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        kind = _whole_kind(request, None)
        given: dict[str, Any] = super().get_changeform_initial_data(request)
        return given if kind is None else {**given, "declaration": skeleton(kind)}

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        chosen = _whole_kind(request, None)
        ways = {
            "kinds": [(kind.name, kind.plural) for kind in kinds.all_kinds()],
            "chosen": chosen.name if chosen is not None else APP,
            "as_yaml": "yaml" in request.GET,
        }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **ways})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, obj: Any = None, **kwargs: Any) -> Any:
        if obj is not None:
            events = [(saved, in_words(saved)) for saved in sorted(obj.events.all(), key=lambda saved: saved.tag)]
            context = {**context, "kind": kinds.get(obj.kind), "saved_events": events}
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        return _in_the_same_way(request, super().response_add(request, obj, post_url_continue))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return _in_the_same_way(request, super().response_change(request, obj))

    def remove(self, row: Component, actor: str) -> None:
        editing.remove_part(row, actor=actor)

    @admin.display(description="connections")
    def reached_in(self, component: Component) -> SafeString | str:
        return format_html_join(
            " ", "{}", ((badge_like("alive", row.environment.slug),) for row in component.connections.all())
        )

    @admin.display(description="events")
    def events_of(self, component: Component) -> int:
        return len(component.events.all())


def _in_the_same_way(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Who comes back to the form that was saved finds it as it was: of that kind, as a text."""
    if response.headers.get("Location", "").partition("?")[0] == request.path:
        response.headers["Location"] = request.get_full_path()
    return response


def _whole_kind(request: HttpRequest, row: Component | None) -> Kind | None:
    """The kind that is edited as a whole on this page; None where it is an app, field by field."""
    name = row.kind if row is not None else request.GET.get("kind", "")
    if name not in kinds.names() or (name == APP and "yaml" not in request.GET):
        return None
    return kinds.get(name)
