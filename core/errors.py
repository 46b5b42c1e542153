"""Errors that a caller may see: each has a stable code, a status, and a sentence with a way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Codes of a field that are the answer's own, too, where it is the first that is wrong; any other
# is answered as `invalid`. (docs/api-errors.md)
OF_ANSWERS = frozenset(
    {
        "unknown_field",
        "invalid_cron",
        "unknown_time_zone",
        "no_occurrence",
        "unknown_namespace",
        "session_invalid",
        "expression_invalid",
        "expression_unsupported",
    }
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field. `field` is a dotted path (`schedule.every`, `jobs.3.env`)."""

    field: str
    code: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"field": self.field, "code": self.code, "detail": self.detail}


class ApiError(Exception):
    """Base of every error with an answer; do not raise directly."""

    status = 500
    code = "internal_error"
    title = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.extra = dict(extra or {})


class Invalid(ApiError):
    """The request cannot be understood or contradicts itself. Without a `code` the first field tells it."""

    status, code, title = 400, "invalid", "The request is not valid"

    def __init__(self, detail: str, *, code: str | None = None, errors: Sequence[FieldError] = ()) -> None:
        if code is None and errors and errors[0].code in OF_ANSWERS:
            code = errors[0].code
        super().__init__(detail, code=code, errors=errors)

    @classmethod
    def field(cls, field: str, detail: str, *, code: str = "invalid") -> Invalid:
        """One wrong field, told by its dotted path."""
        return cls.fields([FieldError(field, code, detail)])

    @classmethod
    def fields(cls, errors: Sequence[FieldError]) -> Invalid:
        """Wrong fields, at least one; the sentence is the first one's."""
        first = errors[0]
        return cls(f"{first.field}: {first.detail}" if first.field else first.detail, errors=errors)


class Unauthenticated(ApiError):
    status, code, title = 401, "unauthenticated", "A valid API key is needed"


class Forbidden(ApiError):
    status, code, title = 403, "forbidden", "The API key may not do that"


class NotFound(ApiError):
    status, code, title = 404, "not_found", "Not found"


class Conflict(ApiError):
    """Somebody else was first, or the state does not allow it."""

    status, code, title = 409, "conflict", "The state does not allow this"


class TooLarge(ApiError):
    status, code, title = 413, "too_large", "The request is too large"


class Unavailable(ApiError):
    """The database is away: try again."""

    status, code, title = 503, "unavailable", "Not available at the moment"
