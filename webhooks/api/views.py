"""Webhooks over HTTP: endpoints listed, made, set, changed, removed. A view is parse → operation → serialise."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.openapi import FLAG, TEXT, ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.parsing import body_of, without_body
from core.tenancy.visibility import bare_tag
from executors.catalog.reading import Problems, Reader
from jobs.api.parameters import limit_and_offset
from jobs.api.reading import Query
from webhooks.api import schemas
from webhooks.api.shapes import endpoint_shape, shown_shape
from webhooks.operations import endpoints
from webhooks.operations.fields import read_secret
from webhooks.queries import find_endpoint, visible_endpoints

TAGS = ["webhooks"]


class WebhooksView(APIView):
    """The endpoints that the key sees."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="webhooks_list",
        summary="List webhooks",
        tags=TAGS,
        parameters=[
            OpenApiParameter("product", TEXT, description="its tag; one that does not exist matches nothing"),
            OpenApiParameter("enabled", FLAG),
            *limit_and_offset(),
        ],
        responses={200: ref("Webhooks")},
    )
    def get(self, request: Request) -> Response:
        """In the order in which they were made. Secrets are never shown."""
        query = Query(request.query_params, {"product", "enabled", "limit", "offset"})
        limit, offset = query.paging()
        product, enabled = query.text("product"), query.flag("enabled")
        query.done()
        found = visible_endpoints(principal_of(request))
        if product is not None:
            found = found.filter(product__tag=bare_tag(product))
        if enabled is not None:
            found = found.filter(enabled=enabled)
        page = found.order_by("pk")[offset : offset + limit]
        shown = [endpoint_shape(each) for each in page]
        return Response({"webhooks": shown, "total": found.count(), "limit": limit, "offset": offset})

    @extend_schema(
        operation_id="webhooks_create",
        summary="Create a webhook",
        tags=TAGS,
        request={"application/json": schemas.NEW},
        responses={201: ref("WebhookWithSecret"), 409: ref("Problem")},
    )
    def post(self, request: Request) -> Response:
        """Told of events from now on. This answer alone shows its secret."""
        return Response(shown_shape(endpoints.create(principal_of(request), body_of(request))), status=201)


class WebhookView(APIView):
    """One endpoint."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(operation_id="webhooks_get", summary="Get a webhook", tags=TAGS, responses={200: ref("Webhook")})
    def get(self, request: Request, webhook_id: str) -> Response:
        """The endpoint, without its secret."""
        Query(request.query_params, ()).done()
        return Response(endpoint_shape(find_endpoint(principal_of(request), webhook_id)))

    @extend_schema(
        operation_id="webhooks_update",
        summary="Change a webhook",
        tags=TAGS,
        request={"application/json": schemas.CHANGES},
        responses={200: ref("Webhook"), 409: ref("Problem")},
    )
    def patch(self, request: Request, webhook_id: str) -> Response:
        """What the body names. Enabling it forgets its failures; disabling it gives up what was still to be sent. A new
        secret signs at once, the one before it too for 24 h."""
        changed = endpoints.change(principal_of(request), webhook_id, body_of(request))
        return Response(endpoint_shape(changed.endpoint))

    @extend_schema(operation_id="webhooks_delete", summary="Delete a webhook", tags=TAGS, responses={204: None})
    def delete(self, request: Request, webhook_id: str) -> Response:
        """It is told nothing more; its deliveries are gone with it."""
        Query(request.query_params, ()).done()
        without_body(request)
        endpoints.delete(principal_of(request), webhook_id)
        return Response(status=204)


class SetWebhookView(APIView):
    """`jobs.setWebhook` of the documents."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="jobs_set_webhook",
        summary="Set a webhook by its URL",
        tags=TAGS,
        request={"application/json": schemas.SET},
        responses={200: ref("WebhookWithSecret"), 201: ref("WebhookWithSecret"), 409: ref("Problem")},
    )
    def put(self, request: Request) -> Response:
        """Makes the webhook of that URL (201, with its secret), or changes the one that is there (200). One that was
        disabled because it was gone or failed for days is told again."""
        shown = endpoints.set_by_url(principal_of(request), body_of(request))
        return Response(shown_shape(shown), status=201 if shown.made else 200)


class RotateView(APIView):
    """Another secret."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="webhooks_rotate_secret",
        summary="Give a webhook another secret",
        tags=TAGS,
        request={"application/json": schemas.ROTATION},
        responses={200: ref("WebhookWithSecret"), 409: ref("Problem")},
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        """Made, unless it is given; shown in this answer alone. The one before signs too for 24 h; the one that it has
        already changes nothing."""
        principal = principal_of(request)
        find_endpoint(principal, webhook_id)
        secret = _secret(body_of(request))
        return Response(shown_shape(endpoints.rotate(principal, webhook_id, secret)))


def _secret(body: dict[str, Any]) -> str | None:
    problems = Problems()
    secret = read_secret(Reader(body, "", problems, {"secret"}))
    problems.raise_if_any()
    return secret
