"""Who owns what: products, their environments, and the keys that open them."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    """A product: the tenant. Everything a key may see hangs off one."""

    tag = models.CharField(max_length=120, unique=True)
    name = models.CharField(max_length=200)
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

    def __str__(self) -> str:
        return self.name

    @property
    def is_operator(self) -> bool:
        """A key of no product sees all of them."""
        return self.product_id is None
