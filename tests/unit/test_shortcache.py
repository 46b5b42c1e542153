"""Answers kept for a few seconds: never longer, and asked anew by one caller at a time."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from core import shortcache
from core.shortcache import EARLY, ShortCache

SECONDS = 10.0
LATE = SECONDS * (1 - EARLY) + 0.1  # the answer still counts, and is asked anew


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(shortcache, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture
def cache(clock: Clock) -> ShortCache[str, str]:
    kept: ShortCache[str, str] = ShortCache(seconds=SECONDS)
    assert kept.get("key", lambda: "old") == "old"
    return kept


def refuses() -> str:
    raise LookupError("asked")


def test_an_answer_is_kept_and_not_asked_for_again(cache: ShortCache[str, str], clock: Clock) -> None:
    clock.now += SECONDS * (1 - EARLY) - 0.1
    assert cache.get("key", refuses) == "old"


def test_when_its_time_is_over_everybody_asks(cache: ShortCache[str, str], clock: Clock) -> None:
    clock.now += SECONDS
    with pytest.raises(LookupError):
        cache.get("key", refuses)
    assert cache.get("key", lambda: "new") == "new"
    assert cache.get("key", refuses) == "new"


def test_shortly_before_one_asks_and_the_others_go_on(cache: ShortCache[str, str], clock: Clock) -> None:
    asking, answered = threading.Event(), threading.Event()

    def find() -> str:
        asking.set()
        assert answered.wait(10)
        return "new"

    clock.now += LATE
    one = threading.Thread(target=cache.get, args=("key", find))
    one.start()
    assert asking.wait(10)
    assert cache.get("key", refuses) == "old"
    answered.set()
    one.join(10)
    clock.now += LATE - 0.2
    assert cache.get("key", refuses) == "new"


def test_what_is_gone_is_told_to_who_asks_early_and_asked_again(cache: ShortCache[str, str], clock: Clock) -> None:
    clock.now += LATE
    for _ in range(2):
        with pytest.raises(LookupError):
            cache.get("key", refuses)
    assert cache.get("key", lambda: "new") == "new"


def test_an_answer_from_before_a_change_is_not_kept(cache: ShortCache[str, str], clock: Clock) -> None:
    def find() -> str:
        cache.forget()  # somebody changes it meanwhile
        return "old"

    clock.now += LATE
    assert cache.get("key", find) == "old"
    assert cache.get("key", lambda: "new") == "new"


def test_asking_anew_leaves_a_full_cache_as_it_is(clock: Clock) -> None:
    cache: ShortCache[str, str] = ShortCache(seconds=SECONDS, size=2)
    cache.get("a", lambda: "a")
    cache.get("b", lambda: "b")
    clock.now += LATE
    cache.get("a", lambda: "a")
    assert cache.get("b", lambda: "anew") == "anew"
    clock.now += LATE - 0.2
    assert (cache.get("a", refuses), cache.get("b", refuses)) == ("a", "anew")
    cache.get("c", lambda: "c")
    with pytest.raises(LookupError):
        cache.get("a", refuses)
