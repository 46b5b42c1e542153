"""What a job can run: components of a product, their connections per environment, and secrets; and what it may
run with: session configurations and caches.

What is sealed here (`core.crypto`) is bound to its `place`: a row copied elsewhere does not open.
"""

from __future__ import annotations

from datetime import timedelta

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


class SessionConfig(models.Model):
    """What a session of a product's users is: whose it is told by, and how long it lives."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="sessions")
    tag = models.CharField(max_length=120)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    selector = models.CharField(max_length=300)  # `$Session{field}`: what in its data says whose a session is
    expiry = models.PositiveIntegerField()  # in `period`
    period = models.CharField(max_length=7)  # seconds, minutes, hours, days
    schema = models.JSONField(default=dict)  # sample data, not types
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "tag"], name="session_tag_unique_in_product")]

    def __str__(self) -> str:
        return f"session {self.tag}"

    @property
    def lifetime(self) -> timedelta:
        return timedelta(**{self.period: self.expiry})


class SessionRevocation(models.Model):
    """One session that counts no more, or all of somebody's that were started before. Its configuration gone, all
    of its sessions are."""

    config = models.ForeignKey(SessionConfig, on_delete=models.CASCADE, related_name="revocations", db_index=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="+", db_index=False)
    session_id = models.CharField(max_length=40, blank=True, default="")
    identifier = models.CharField(max_length=64, blank=True, default="")  # a fingerprint (`core.crypto`), never a name
    revoked_at = models.DateTimeField()
    expires_at = models.DateTimeField()  # by then what it revokes has expired by itself

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="revocation_by_age")]
        constraints = [
            models.UniqueConstraint(
                fields=["config", "environment", "session_id", "identifier"], name="revocation_once_per_session"
            ),
        ]

    def __str__(self) -> str:
        return f"revocation of {self.session_id or 'all sessions of one'}"


class Cache(models.Model):
    """A cache of a product: results that jobs which name it may share, and for how long."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="caches")
    tag = models.CharField(max_length=120)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    expiry = models.BigIntegerField()  # ms
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "tag"], name="cache_tag_unique_in_product")]

    def __str__(self) -> str:
        return f"cache {self.tag}"


class CacheEntry(models.Model):
    """A result that is given again to runs of the same call."""

    cache = models.ForeignKey(Cache, on_delete=models.CASCADE, related_name="entries", db_index=False)
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=64)  # a fingerprint of the call, its environment included
    namespace = models.CharField(max_length=30)
    target = models.JSONField()
    result = models.TextField()  # JSON, as the run's history has it
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "cache entries"
        indexes = [models.Index(fields=["expires_at"], name="cache_entry_by_age")]
        constraints = [models.UniqueConstraint(fields=["cache", "key"], name="cache_entry_once_per_call")]

    def __str__(self) -> str:
        return f"{self.key[:8]} of {self.cache_id}"
