"""What a `retryConfig` may say, for whoever takes one: a dispatch, a step of a feature.

Owns its fields, their ranges and the codes in it. Never what is made of it: that is `core.backoff`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from core.errors import FieldError
from core.fields import dotted, nearest, suggestion, unknown_fields

LONGEST_DELAY = 86_400_000  # ms, of a back-off
DEFAULT_MAX_DELAY = 300_000  # ms, `core.backoff`
MOST_CODES = 50
LONGEST_CODE = 60
_MISSPELT = 0.85  # so much alike are TIMEOTU and TIMEOUT, and not CONNECTION_LOST and CONNECTION_ERROR

_RANGES: Mapping[str, tuple[float, float, str]] = {
    "initialDelay": (0, LONGEST_DELAY, " of milliseconds"),
    "maxDelay": (0, LONGEST_DELAY, " of milliseconds"),
    "backoffMultiplier": (1, 100, ""),
    "jitterPercent": (0, 1, ""),
}
_CODES = ("retryableErrors", "nonRetryableErrors")
RETRY_FIELDS = frozenset({*_RANGES, "jitter", *_CODES})


def wrong_retry_config(value: Any, name: str) -> list[FieldError]:
    """What is wrong with a `retryConfig` that stands at `name`, but for codes that do not exist."""
    if not isinstance(value, Mapping):
        detail = 'must be an object such as {"initialDelay": 1000, "backoffMultiplier": 2}'
        return [FieldError(name, "invalid", detail)]
    problems = unknown_fields(value, RETRY_FIELDS, name)
    wrong = [FieldError(dotted(name, part), "invalid", detail) for part, detail in _wrong_parts(value)]
    initial, most = value.get("initialDelay"), value.get("maxDelay")
    if not wrong and initial is not None and initial > (DEFAULT_MAX_DELAY if most is None else most):
        told = f"{DEFAULT_MAX_DELAY} ms unless it is given" if most is None else f"{most} ms"
        detail = f"is longer than maxDelay ({told}), which would cut it"
        wrong.append(FieldError(dotted(name, "initialDelay"), "invalid", detail))
    return problems + wrong


def unknown_codes(config: Mapping[str, Any], known: Collection[str], name: str) -> Iterator[FieldError]:
    """The codes in a right `retryConfig` that nothing can fail with.

    A misspelt `retryableErrors` would switch retries off. What `nonRetryableErrors` names besides does
    no harm (the documents name codes of providers there), unless it is a known one misspelt.
    """
    for part, alike in zip(_CODES, (None, _MISSPELT), strict=True):
        for position, code in enumerate(config.get(part) or ()):
            if code in known or (alike is not None and nearest(code, known, alike=alike) is None):
                continue
            yield FieldError(
                f"{name}.{part}.{position}", "invalid", f"there is no code {code!r}: {suggestion(code, known)}"
            )


def _wrong_parts(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, (low, high, unit) in _RANGES.items():
        value = config.get(part)
        if value is not None and (value.__class__ not in {int, float} or not low <= value <= high):
            yield part, f"must be a number{unit} from {low:g} to {high:.10g}"
    if config.get("jitter") is not None and not isinstance(config["jitter"], bool):
        yield "jitter", "must be true or false"
    for part in _CODES:
        if config.get(part) is not None and not _are_codes(config[part]):
            yield part, f"must be a list of at most {MOST_CODES} codes, such as TIMEOUT"


def _are_codes(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) <= MOST_CODES
        and all(isinstance(code, str) and 0 < len(code) <= LONGEST_CODE for code in value)
    )
