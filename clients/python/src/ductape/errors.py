"""What can go wrong, one class each: an answer of the API by its code, a server that is not there, an argument.

Owns the table of codes (docs/api-errors.md of the server; a test holds the two together) and the advice of each.
A code's class has the class of what it is a kind of as its base: `except NotFound` takes a JobNotFound, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


class DuctapeError(Exception):
    """Anything that this package raises. `advice` says in a sentence what to do."""

    advice: ClassVar[str] = "read the text"


class InvalidArgument(DuctapeError, TypeError, ValueError):
    """An argument that cannot be right; nothing was sent. `argument` is its name, dotted where it lies deeper."""

    advice = "correct the argument that `argument` names"

    def __init__(self, argument: str, detail: str) -> None:
        super().__init__(f"{argument}: {detail}")
        self.argument = argument
        self.detail = detail


class ConnectionFailed(DuctapeError):
    """The server was not reached, or hung up: whether it did what was asked is not known once it had been reached."""

    advice = "check `base_url`, that the server runs (GET /healthz), and the network between"


class TimedOut(ConnectionFailed, TimeoutError):
    """No answer within `timeout`, after all retries."""

    advice = "raise `timeout`, or look at what keeps the server busy (GET /readyz)"


class BrokenAnswer(DuctapeError):
    """An answer that is not what the API answers: not JSON, or without a field that it always has."""

    advice = "check that `base_url` is the address of the API and not of a proxy's page, and that versions match"


class WaitTimeout(DuctapeError, TimeoutError):
    """The job had not ended when the time was over; it goes on. `job` is how it was last seen."""

    advice = "wait longer, or ask `jobs.explain` what the job waits for"

    def __init__(self, detail: str, job: Any) -> None:
        super().__init__(detail)
        self.job = job


class WebhookVerificationError(DuctapeError):
    """A webhook that was not signed with this secret, or not lately. Answer it 400 and do nothing else."""

    advice = "check the secret, that the body is the raw one, and the clock"


@dataclass(frozen=True, kw_only=True)
class FieldProblem:
    """One wrong field: its dotted path, a code, and what is allowed."""

    field: str
    code: str
    detail: str


class ApiError(DuctapeError):
    """An answer of 400 or more. `code` is stable; `raw` is the whole problem (`status_found`, `missing`, …)."""

    code: ClassVar[str] = ""  # of the class; an instance has the code that was answered
    status: ClassVar[int] = 0

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        errors: tuple[FieldProblem, ...] = (),
        request_id: str = "",
        retry_after: float | None = None,
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.__dict__.update(status=status, code=code)
        self.detail = detail
        self.errors = errors
        self.request_id = request_id
        self.retry_after = retry_after  # seconds
        self.raw: Mapping[str, Any] = raw or {}

    def __str__(self) -> str:
        """What went wrong, what to do, and the words to find it by."""
        fields = "; ".join(f"{each.field}: {each.detail}" for each in self.errors if each.detail not in self.detail)
        said = f"{self.detail} ({fields})" if fields else self.detail
        where = (
            f" [{self.status} {self.code}, request {self.request_id}]"
            if self.request_id
            else f" [{self.status} {self.code}]"
        )
        return f"{said} – {self.advice}{where}"


class TooManyRequests(ApiError):
    """429: the server has no room for this just now."""

    advice = "come back when `retry_after` says"


class ServerError(ApiError):
    """500 and more: it is not the caller's fault."""

    advice = "come back in a moment; if it stays, report it with the request id"


# --- the table: one class a code, those that others are a kind of first ------------------


class Invalid(ApiError):
    code, status = "invalid", 400
    advice = "read `errors`: each wrong field is named with what is allowed"


class Forbidden(ApiError):
    code, status = "forbidden", 403
    advice = "use a key that may do that"


class NotFound(ApiError):
    code, status = "not_found", 404
    advice = "check the path, and that `base_url` is the address of the API"


class Conflict(ApiError):
    code, status = "conflict", 409
    advice = "somebody else was first: read again and repeat"


class TooLarge(ApiError):
    code, status = "too_large", 413
    advice = "send less at once"


class Unavailable(ServerError):
    code, status = "unavailable", 503
    advice = "come back in a moment"


class MalformedBody(Invalid):
    code, status = "malformed_body", 400
    advice = "send a JSON object without NaN, NUL or too much nesting"


class MalformedRequest(Invalid):
    code, status = "malformed_request", 400
    advice = "use a client of HTTP as it is; look at what a proxy on the way makes of requests"


class UnknownField(Invalid):
    code, status = "unknown_field", 400
    advice = "use the field that the text names as the nearest, or a server that knows this one"


class TooManyDeliveries(Invalid):
    code, status = "too_many_deliveries", 400
    advice = "narrow the time or the status of the replay"


class NothingToChange(Invalid):
    code, status = "nothing_to_change", 400
    advice = "name at least one thing to change"


class EmptyFilter(Invalid):
    code, status = "empty_filter", 400
    advice = "give the filter at least one field, so that it names the jobs you mean"


class InvalidCron(Invalid):
    code, status = "invalid_cron", 400
    advice = "correct the cron; `ductape.schedules.preview` shows what one means"


class UnknownTimeZone(Invalid):
    code, status = "unknown_time_zone", 400
    advice = "use the name of an IANA zone, such as Europe/Berlin"


class NoOccurrence(Invalid):
    code, status = "no_occurrence", 400
    advice = "give a schedule that runs at least once; `ductape.schedules.preview` shows when it would"


class UnknownNamespace(Invalid):
    code, status = "unknown_namespace", 400
    advice = "use a namespace that this installation has"


class ExpressionInvalid(Invalid):
    code, status = "expression_invalid", 400
    advice = "correct the `$…` that the text names"


class ExpressionUnsupported(Invalid):
    code, status = "expression_unsupported", 400
    advice = "write the value without the `$…` that the text names"


class SessionInvalid(Invalid):
    code, status = "session_invalid", 400
    advice = "start a new session for this product and environment"


class Unauthenticated(ApiError):
    code, status = "unauthenticated", 401
    advice = "give a key that exists and is neither revoked nor expired"


class ScopeMissing(Forbidden):
    code, status = "scope_missing", 403
    advice = "use a key with the scope that the text names"


class OperatorKeyNeeded(Forbidden):
    code, status = "operator_key_needed", 403
    advice = "use an operator key"


class JobNotFound(NotFound):
    code, status = "job_not_found", 404
    advice = "check the id, and that the key sees the job's product and environment"


class WebhookNotFound(NotFound):
    code, status = "webhook_not_found", 404
    advice = "check the id, and that the key sees the webhook's product"


class DeliveryNotFound(NotFound):
    code, status = "delivery_not_found", 404
    advice = "list the webhook's deliveries to see their ids"


class OperationNotFound(NotFound):
    code, status = "operation_not_found", 404
    advice = "check the id; an operation is forgotten 30 days after its end"


class KeyNotFound(NotFound):
    code, status = "key_not_found", 404
    advice = "list the keys to see their ids"


class ProductNotFound(NotFound):
    code, status = "product_not_found", 404
    advice = "create the product, or use a key that sees it"


class EnvNotFound(NotFound):
    code, status = "env_not_found", 404
    advice = "use an environment that the product has and the key sees"


class AppNotFound(NotFound):
    code, status = "app_not_found", 404
    advice = "add the app to the product's catalog, or correct its tag"


class NotificationNotFound(NotFound):
    code, status = "notification_not_found", 404
    advice = "add the notification to the product's catalog, or correct its tag"


class DatabaseNotFound(NotFound):
    code, status = "database_not_found", 404
    advice = "add the database to the product's catalog, or correct its tag"


class GraphNotFound(NotFound):
    code, status = "graph_not_found", 404
    advice = "add the graph to the product's catalog, or correct its tag"


class StorageNotFound(NotFound):
    code, status = "storage_not_found", 404
    advice = "add the storage to the product's catalog, or correct its tag"


class BrokerNotFound(NotFound):
    code, status = "broker_not_found", 404
    advice = "add the broker to the product's catalog, or correct its tag"


class FunctionNotFound(NotFound):
    code, status = "function_not_found", 404
    advice = "add the function to the product's catalog, or correct its tag"


class FeatureNotFound(NotFound):
    code, status = "feature_not_found", 404
    advice = "add the feature to the product's catalog, or correct its tag"


class EventNotFound(NotFound):
    code, status = "event_not_found", 404
    advice = "add the event to its component in the catalog, or correct its tag"


class DefinitionNotFound(NotFound):
    code, status = "definition_not_found", 404
    advice = "create the definition, or correct its tag"


class SessionNotFound(NotFound):
    code, status = "session_not_found", 404
    advice = "create the session configuration, or correct its tag"


class CacheNotFound(NotFound):
    code, status = "cache_not_found", 404
    advice = "create the cache, or correct its tag"


class ConnectionNotFound(NotFound):
    code, status = "connection_not_found", 404
    advice = "connect the component in that environment"


class SecretNotFound(NotFound):
    code, status = "secret_not_found", 404
    advice = "set the secret in that environment"


class VariableNotFound(NotFound):
    code, status = "variable_not_found", 404
    advice = "set the variable in that environment"


class ConstantNotFound(NotFound):
    code, status = "constant_not_found", 404
    advice = "add the constant to the app"


class MethodNotAllowed(ApiError):
    code, status = "method_not_allowed", 405
    advice = "use a client and a server of matching versions"


class Exists(Conflict):
    code, status = "exists", 409
    advice = "change what is there, or choose another tag"


class IllegalState(Conflict):
    code, status = "illegal_state", 409
    advice = "look at `status_found`: the job's state does not allow it"


class NotRecurring(Conflict):
    code, status = "not_recurring", 409
    advice = "cancel or reschedule it: only a recurring job can be paused or triggered"


class TooManyWebhooks(Conflict):
    code, status = "too_many_webhooks", 409
    advice = "delete a webhook that nobody needs"


class TooManyRotations(Conflict):
    code, status = "too_many_rotations", 409
    advice = "each secret before signs for a day: replace it when the first of them no longer does"


class WebhookDisabled(Conflict):
    code, status = "webhook_disabled", 409
    advice = "enable it first: `ductape.webhooks.update(id, enabled=True)`"


class DeliveryUnderWay(Conflict):
    code, status = "delivery_under_way", 409
    advice = "wait until it has ended: only such a delivery is replayed"


class OperationEnded(Conflict):
    code, status = "operation_ended", 409
    advice = "nothing is left to abort"


class InUse(Conflict):
    code, status = "in_use", 409
    advice = "end what uses it first, or pass `force=True` where that is taken"


class UniqueConflict(Conflict):
    code, status = "unique_conflict", 409
    advice = "an unfinished job has this `unique_key`: use that one, or another `on_conflict`"


class ChangedMeanwhile(ApiError):
    code, status = "changed_meanwhile", 412
    advice = "read the part again and repeat the change with its new `etag`"


class UniqueKeyTaken(Conflict):
    code, status = "unique_key_taken", 409
    advice = "another job has taken the unique key: let it end first"


class IdempotencyInProgress(Conflict):
    code, status = "idempotency_in_progress", 409
    advice = "wait a moment and repeat: the first request with this key is being answered"


class SecretUnreadable(Conflict):
    code, status = "secret_unreadable", 409
    advice = "set the secret again"


class InputTooLarge(TooLarge):
    code, status = "input_too_large", 413
    advice = "keep one input below 1 MiB: pass a reference to large data"


class UriTooLong(ApiError):
    code, status = "uri_too_long", 414
    advice = "shorten the filter, or ask with fewer labels at once"


class HeadersTooLarge(ApiError):
    code, status = "headers_too_large", 431
    advice = "send fewer or shorter headers"


class UnsupportedMediaType(ApiError):
    code, status = "unsupported_media_type", 415
    advice = "send JSON, or a catalog as YAML"


class IdempotencyKeyReused(ApiError):
    code, status = "idempotency_key_reused", 422
    advice = "use a new idempotency key for another request"


class TooManyWaiting(TooManyRequests):
    code, status = "too_many_waiting", 429
    advice = "come back in a moment, or ask without `wait`"


class TooManyStreams(TooManyRequests):
    code, status = "too_many_streams", 429
    advice = "connect again in a moment, or close a stream"


class InternalError(ServerError):
    code, status = "internal_error", 500
    advice = "report it with the request id, by which the server's log knows it"


class DatabaseUnavailable(Unavailable):
    code, status = "database_unavailable", 503
    advice = "come back: the server's database is away or busy"


class TooSlow(Unavailable):
    code, status = "too_slow", 503
    advice = "narrow the filter, or page with a cursor"


class NotReady(Unavailable):
    code, status = "not_ready", 503
    advice = "start what `missing` names"


def _with_codes(cls: type[ApiError]) -> dict[str, type[ApiError]]:
    found = {cls.code: cls} if cls.code else {}
    for kind in cls.__subclasses__():
        found |= _with_codes(kind)
    return found


BY_CODE: Mapping[str, type[ApiError]] = _with_codes(ApiError)
_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid, 401: Unauthenticated, 403: Forbidden, 404: NotFound, 405: MethodNotAllowed, 409: Conflict,
    412: ChangedMeanwhile, 413: TooLarge, 414: UriTooLong, 415: UnsupportedMediaType, 429: TooManyRequests,
    431: HeadersTooLarge, 502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip


def class_of(status: int, code: str) -> type[ApiError]:
    """The class of an answer; of a code that is newer than this client, that of its status."""
    return BY_CODE.get(code) or _BY_STATUS.get(status) or (ServerError if status >= 500 else ApiError)
