"""How requests to a storage fail, in the words of the executors. Pure."""

from __future__ import annotations

import errno

from executors import base
from executors.base import AttemptFailed

_LONGEST_TOLD = 200  # characters of what the other side said
_CODES_OF_STATUS = {
    401: base.UNAUTHORIZED,
    403: base.FORBIDDEN,
    404: base.NOT_FOUND,
    408: base.TIMEOUT,
    410: base.NOT_FOUND,
    429: base.RATE_LIMITED,
}
_LATER = frozenset({base.TIMEOUT, base.RATE_LIMITED, base.SERVICE_UNAVAILABLE})  # another attempt may help
_CODES = {
    "SlowDown": base.RATE_LIMITED,
    "Throttling": base.RATE_LIMITED,
    "ThrottlingException": base.RATE_LIMITED,
    "TooManyRequests": base.RATE_LIMITED,
    "RequestLimitExceeded": base.RATE_LIMITED,
    "RequestTimeout": base.TIMEOUT,
    "OperationAborted": base.SERVICE_UNAVAILABLE,  # another write to the same file is under way
    "SignatureDoesNotMatch": base.UNAUTHORIZED,
    "InvalidAccessKeyId": base.UNAUTHORIZED,
    "ExpiredToken": base.UNAUTHORIZED,
    "InvalidToken": base.UNAUTHORIZED,
    "RequestTimeTooSkewed": base.UNAUTHORIZED,
    "AuthenticationFailed": base.UNAUTHORIZED,
    "ServerBusy": base.RATE_LIMITED,
}  # what providers say besides, or more exactly than, the status

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CODES_OF_ERRNO = {
    errno.ENOENT: base.NOT_FOUND,
    errno.EACCES: base.FORBIDDEN,
    errno.EPERM: base.FORBIDDEN,
    errno.EROFS: base.FORBIDDEN,
    errno.ELOOP: base.FORBIDDEN,
    errno.ENAMETOOLONG: base.VALIDATION_ERROR,
    errno.EISDIR: base.VALIDATION_ERROR,
    errno.ENOTDIR: base.VALIDATION_ERROR,
    errno.EFBIG: base.VALIDATION_ERROR,
}


def answered(where: str, status: int, said: str = "", message: str = "", *, retry_after: str = "") -> AttemptFailed:
    """The failure that an answer with an error means; `said` is the provider's own code."""
    code = _CODES.get(said)
    if code is None:
        code = _CODES_OF_STATUS.get(status, base.SERVICE_UNAVAILABLE if status >= 500 else base.VALIDATION_ERROR)
    told = ": ".join(part for part in (said, " ".join(message.split())[:_LONGEST_TOLD]) if part)
    return AttemptFailed(
        code,
        f"{where} answered {status}{f' {told}' if told else ''}",
        retryable=code in _LATER,
        retry_after=float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else None,
    )


def unreachable(where: str, why: object) -> AttemptFailed:
    return AttemptFailed(base.CONNECTION_ERROR, f"{where}: {str(why)[:_LONGEST_TOLD]}", retryable=True)


def timed_out(where: str) -> AttemptFailed:
    return AttemptFailed(base.TIMEOUT, f"{where} did not answer in time", retryable=True)


def too_large(where: str, name: str, size: int | None, most: int) -> AttemptFailed:
    """A file is longer than a result may be."""
    told = f"has {size} bytes" if size is not None else "is longer"
    return AttemptFailed(
        base.RESPONSE_TOO_LARGE,
        f"{name!r} in {where} {told}, a result takes {most}: raise max_download_bytes of the storage, or hand on a "
        "URL of getSignedUrl",
    )


def refused_by_system(where: str, error: OSError) -> AttemptFailed:
    """The failure that an error of a file system means."""
    code = _CODES_OF_ERRNO.get(error.errno or 0, base.SERVICE_UNAVAILABLE)
    told = "the disk is full" if error.errno in _FULL else (error.strerror or type(error).__name__).lower()
    return AttemptFailed(code, f"{where}: {told}", retryable=code in _LATER)
