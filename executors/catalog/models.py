"""What a job can run: components of a product, their connections per environment, and secrets.

What is sealed here (`core.crypto`) is bound to its `place`: a row copied elsewhere does not open.
"""

from __future__ import annotations

from django.db import models

from core import crypto
from core.tenancy.models import Environment, Product


class Component(models.Model):
    """An app, database, broker … of a product; `settings` holds what is not secret, `secrets` (sealed) what is."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="components")
    kind = models.CharField(max_length=30)  # app, notification, database, graph, storage, broker, function, feature
    tag = models.CharField(max_length=120)
    name = models.CharField(max_length=200)
    settings = models.JSONField(default=dict)
    secrets = models.TextField(blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product", "kind", "tag"], name="component_tag_unique_in_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.tag}"

    @property
    def place(self) -> str:
        return crypto.context("product", self.product_id, self.kind, self.tag)


class Connection(models.Model):
    """How a component is reached in one environment; `secrets` is sealed."""

    component = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="connections")
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="+")
    settings = models.JSONField(default=dict)
    secrets = models.TextField(blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["component", "environment"], name="connection_one_per_environment"),
        ]

    def __str__(self) -> str:
        return f"{self.component} in {self.environment.slug}"

    @property
    def place(self) -> str:
        return crypto.context(self.component.place, "env", self.environment_id)


class SavedEvent(models.Model):
    """What the documents call an event: an action of an app, a message, a template, a topic."""

    component = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="events")
    tag = models.CharField(max_length=120)
    settings = models.JSONField(default=dict)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["component", "tag"], name="event_tag_unique_in_component")]

    def __str__(self) -> str:
        return f"{self.component} {self.tag}"


class Secret(models.Model):
    """A value that `$Secret{KEY}` stands for: for one environment, or (none) for all of them."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="secrets")
    environment = models.ForeignKey(Environment, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=120)
    value = models.TextField()  # sealed
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product", "environment", "key"], name="secret_key_unique_in_environment"),
            models.UniqueConstraint(
                fields=["product", "key"],
                condition=models.Q(environment__isnull=True),
                name="secret_key_unique_for_all_environments",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def place(self) -> str:
        return crypto.context("product", self.product_id, "env", self.environment_id or "all", "secret", self.key)
