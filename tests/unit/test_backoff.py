"""How long to wait before the next attempt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.backoff import RetryConfig, delay_ms

PLAIN = RetryConfig(jitter=False)


def test_it_doubles_up_to_the_maximum() -> None:
    assert [delay_ms(PLAIN, n, random=0.5) for n in (1, 2, 3, 9, 10)] == [1_000, 2_000, 4_000, 256_000, 300_000]


def test_a_multiplier_of_one_is_a_fixed_delay() -> None:
    """What the documents call linear: contracts §5.2, row 31."""
    assert {delay_ms(RetryConfig(jitter=False, backoff_multiplier=1), n, random=0.1) for n in (1, 5, 100)} == {1_000}


def test_jitter_takes_it_down_to_half_and_a_percentage_both_ways() -> None:
    assert delay_ms(RetryConfig(), 1, random=0.0) == 1_000
    assert delay_ms(RetryConfig(), 1, random=1.0) == 500
    around = RetryConfig(jitter_percent=0.1)
    assert (delay_ms(around, 1, random=0.0), delay_ms(around, 1, random=1.0)) == (900, 1_100)


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True), st.floats(1, 1e300))
def test_it_is_always_a_number_within_bounds(retry: int, random: float, multiplier: float) -> None:
    config = RetryConfig(backoff_multiplier=multiplier)

    assert 500 <= delay_ms(config, retry, random=random) <= 300_000


def test_what_is_worth_another_attempt() -> None:
    assert RetryConfig().allows("TIMEOUT", True)
    assert not RetryConfig().allows("NOT_FOUND", False)
    only = RetryConfig(retryable_errors=("NOT_FOUND", "TIMEOUT"), non_retryable_errors=("TIMEOUT",))
    assert only.allows("NOT_FOUND", False)
    assert not only.allows("TIMEOUT", True)
    assert not only.allows("RATE_LIMITED", True)
