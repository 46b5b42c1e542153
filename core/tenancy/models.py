"""Who owns what: products, their environments, and the keys that open them."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    """A product: the tenant. Everything a key may see hangs off one."""

    tag = models.CharField(max_length=120, unique=True)
    name = models.CharField(max_length=200)
    # Goes up with each change of the catalog: who has claimed a run knows whether what it remembers is of before.
    catalog_version = models.BigIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.tag


class Environment(models.Model):
    """An environment of a product (`dev`, `prd`): jobs run in one."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="environments")
    slug = models.CharField(max_length=60)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "slug"], name="environment_slug_unique_in_product")]

    def __str__(self) -> str:
        return f"{self.product.tag}/{self.slug}"


class ApiKey(models.Model):
    """A key of the API. Only a SHA-256 of it is stored: it is random and long, so it needs no slow hash."""

    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=16, unique=True)  # shown, and looked up by
    digest = models.CharField(max_length=64)  # SHA-256 of the whole key, hex
    product = models.ForeignKey(Product, null=True, blank=True, on_delete=models.CASCADE, related_name="api_keys")
    environments = models.ManyToManyField(Environment, blank=True)  # none: all of the product's
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return self.name

    @property
    def is_operator(self) -> bool:
        """A key of no product sees all of them."""
        return self.product_id is None


class AuditEntry(models.Model):
    """Who changed what that is not a job (those have their own events). Rows are added, never changed.

    Plain texts and no foreign keys: it outlives what it tells of, and says what it was called then.
    """

    actor = models.CharField(max_length=200)  # a user's or a key's name
    action = models.CharField(max_length=60)  # `key.created`, `catalog.stored`, `hold.released` …
    object = models.CharField(max_length=300)  # what it was done to, as people name it
    detail = models.JSONField(default=dict)  # never a secret
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.object}"
