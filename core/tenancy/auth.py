"""Who asks: `Authorization: Bearer <key>` → a Principal, and whether its scopes allow the call.

Owns authentication and scopes. What a principal may *see* is `core.tenancy.visibility`.
A key that was found is kept for a few seconds in the process, so that a busy caller costs
no query; a revoked one therefore still opens that long in other processes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from core import clock
from core.errors import Forbidden, Unauthenticated
from core.shortcache import ShortCache
from core.tenancy import scopes
from core.tenancy.models import ApiKey

if TYPE_CHECKING:
    from rest_framework.views import APIView

KEPT_SECONDS = 5.0
OPERATOR_KEY_LENGTH = 32  # characters, at least
_USE_NOTED_EVERY = timedelta(minutes=1)
_LONGEST_KEY = 500  # characters

HOW = "send 'Authorization: Bearer <key>' with a valid API key"


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who asks, and what the key says about where and what."""

    key_id: int | None  # None: the key of OPERATOR_API_KEY
    name: str
    is_operator: bool  # belongs to no product: sees all of them
    product_id: int | None
    environment_ids: frozenset[int] | None  # None: all of the product's
    scopes: frozenset[str]
    expires_at: datetime | None = None

    is_authenticated = True  # what Django's and the framework's own permissions look at

    def __str__(self) -> str:
        return self.name

    def may(self, scope: str) -> bool:
        return scope in self.scopes


class ApiKeyAuthentication(BaseAuthentication):
    """Sets `request.user` to the Principal. No header: nobody; a wrong key: Unauthenticated."""

    def authenticate(self, request: Request) -> tuple[Principal, Principal] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        principal = principal_of_header(header)
        return principal, principal

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasScope(BasePermission):
    """Lets a request pass whose key has the view's `required_scope`: a scope, or one per method.

    A view that names none is a mistake of ours, and answers nobody.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        principal = principal_of(request)
        required: str | Mapping[str, str] | None = getattr(view, "required_scope", None)
        method = request.method or "GET"
        if isinstance(required, Mapping):
            required = required.get("GET" if method == "HEAD" else method)
            if required is None:
                return True  # no such method: the view answers 405
        if required is None:
            raise ImproperlyConfigured(f"{type(view).__name__} has no required_scope")
        require(principal, required)
        return True


def principal_of(request: Any) -> Principal:
    """Who asks. Raises Unauthenticated where nobody said."""
    principal = getattr(request, "user", None)
    if not isinstance(principal, Principal):
        raise Unauthenticated(f"this call needs a key: {HOW}")
    return principal


def require(principal: Principal, scope: str) -> None:
    """Raise Forbidden where the key lacks the scope."""
    if not principal.may(scope):
        raise Forbidden(f"the API key {principal.name!r} lacks the scope {scope!r}", code="scope_missing")


def principal_of_header(header: str) -> Principal:
    """The principal of an Authorization header. Raises Unauthenticated."""
    if not header:
        raise Unauthenticated(f"this call needs a key: {HOW}")
    kind, _, text = header.partition(" ")
    text = text.strip()
    if kind.lower() != "bearer" or not text:
        raise Unauthenticated(f"the Authorization header is not understood: {HOW}")
    return principal_of_key(text)


def principal_of_key(text: str) -> Principal:
    """The principal of a key's text. Raises Unauthenticated: unknown, revoked or expired, all alike."""
    if len(text) > _LONGEST_KEY:
        raise Unauthenticated(f"the API key is not valid: {HOW}")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    if _is_operators(digest):
        return _OPERATOR
    principal = _principals.get(digest, lambda: _find(text, digest))
    if principal.expires_at is not None and principal.expires_at <= clock.machine_now():
        raise Unauthenticated(f"the API key is not valid: {HOW}")
    return principal


def forget_keys() -> None:
    """Ask the database again for every key, in this process."""
    _principals.forget()


def _is_operators(digest: str) -> bool:
    key: str = settings.OPERATOR_API_KEY
    if len(key) < OPERATOR_KEY_LENGTH:
        return False
    return hmac.compare_digest(digest, hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest())


def _find(text: str, digest: str) -> Principal:
    now = clock.database_now()
    prefix = text[:11] if text.isascii() and "\x00" not in text else ""
    key = ApiKey.objects.filter(prefix=prefix, revoked_at__isnull=True).first()
    if key is None or not hmac.compare_digest(key.digest, digest) or (key.expires_at and key.expires_at <= now):
        raise Unauthenticated(f"the API key is not valid: {HOW}")
    limited_to = frozenset(key.environments.values_list("pk", flat=True))
    ApiKey.objects.filter(pk=key.pk).filter(
        Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - _USE_NOTED_EVERY)
    ).update(last_used_at=now)
    return Principal(
        key_id=key.pk,
        name=key.name,
        is_operator=key.is_operator,
        product_id=key.product_id,
        environment_ids=limited_to or None,
        scopes=frozenset(key.scopes) & scopes.ALL,
        expires_at=key.expires_at,
    )


_principals: ShortCache[str, Principal] = ShortCache(seconds=KEPT_SECONDS)
_OPERATOR = Principal(
    key_id=None, name="operator", is_operator=True, product_id=None, environment_ids=None, scopes=scopes.ALL
)
