"""Exit codes, and what each failure of the client is called among them. The table is in docs/cli.md."""

from __future__ import annotations

from enum import IntEnum

from ductape.errors import (
    ApiError,
    BrokenAnswer,
    ConnectionFailed,
    DuctapeError,
    Forbidden,
    InvalidArgument,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthenticated,
    WaitTimeout,
)


class Exit(IntEnum):
    """What a script can tell apart."""

    OK = 0
    REFUSED = 1  # the server understood, and refused: a wrong field, a state that does not allow it, a conflict
    USAGE = 2  # nothing was sent: a wrong option, argument or configuration
    NOT_FOUND = 3
    NOT_ALLOWED = 4  # no key, one that does not count, or one without the scope
    UNAVAILABLE = 5  # not reached, too slow, too busy, broken: the same may work later
    NOT_COMPLETED = 6  # what was waited for failed, was cancelled or paused, or had not ended in time
    INTERRUPTED = 130  # Ctrl-C, as shells call it
    CLOSED_PIPE = 141  # the reader of a pipe has gone, as shells call it


def exit_of(error: DuctapeError) -> Exit:
    match error:
        case InvalidArgument():
            return Exit.USAGE
        case WaitTimeout():
            return Exit.NOT_COMPLETED
        case NotFound():
            return Exit.NOT_FOUND
        case Unauthenticated() | Forbidden():
            return Exit.NOT_ALLOWED
        case ConnectionFailed() | BrokenAnswer() | ServerError() | TooManyRequests():
            return Exit.UNAVAILABLE
        case ApiError() | _:
            return Exit.REFUSED
