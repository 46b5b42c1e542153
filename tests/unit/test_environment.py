"""The environment as the settings read it: a mistake is told by its name, and no password with it."""

from __future__ import annotations

import logging

import pytest
from django.core.exceptions import ImproperlyConfigured

from ductape_jobs import environment
from ductape_jobs.environment import Environment


def test_numbers_lists_and_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDTH", " 12 ")
    monkeypatch.setenv("QUEUES", "fast,slow")
    monkeypatch.setenv("EXTRA", "a=b.C,d=e.F")
    env = Environment()
    assert (env.int("WIDTH", default=1), env.int("NOT_GIVEN", default=1)) == (12, 1)
    assert env.list("QUEUES", default=[]) == ["fast", "slow"]
    assert env.dict("EXTRA", default={}) == {"a": "b.C", "d": "e.F"}


def test_a_number_that_is_empty_is_as_one_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDTH", " ")
    assert Environment().int("WIDTH", default=7) == 7


def test_what_cannot_be_read_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDTH", "abc")
    monkeypatch.setenv("EXTRA", "foo")
    with pytest.raises(ImproperlyConfigured, match=r"^WIDTH is 'abc': it must be a whole number$"):
        Environment().int("WIDTH", default=1)
    with pytest.raises(ImproperlyConfigured, match=r"^EXTRA is 'foo': it must be names with a value each: name=value"):
        Environment().dict("EXTRA", default={})


@pytest.mark.parametrize("path", ["Class", "", "package.", "package.module:Class", "a b.C"])
def test_what_cannot_be_the_path_of_a_class_is_refused(path: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^EXTRA: a=.* is not name=package\.module\.Class$"):
        environment.dotted_paths("EXTRA", {"a": path})
    assert environment.dotted_paths("EXTRA", {"a": "b.C"}) == {"a": "b.C"}


def test_a_level_or_a_format_that_does_not_exist_is_refused() -> None:
    assert environment.log_level("LOG_LEVEL", "debug") == logging.getLevelName(logging.DEBUG)
    with pytest.raises(ImproperlyConfigured, match=r"^LOG_LEVEL is 'LOUD': it must be one of CRITICAL, "):
        environment.log_level("LOG_LEVEL", "loud")
    with pytest.raises(ImproperlyConfigured, match=r"^LOG_FORMAT is 'xml': it must be one of text, json$"):
        environment.one_of("LOG_FORMAT", "xml", ("text", "json"))


@pytest.mark.parametrize("url", ["s3cret", "mysql://u:s3cret@h/x", "postgres://u:s3cret@h:99x/x", "postgres:s3cret"])
def test_an_address_that_names_no_database_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        environment.database("DATABASE_URL", url)
    assert str(refused.value).startswith("DATABASE_URL is no address of a database that this runs on: write postgres")
    assert "s3cret" not in str(refused.value)


def test_the_databases_it_runs_on() -> None:
    assert environment.database("DATABASE_URL", "sqlite:////tmp/x")["ENGINE"] == "django.db.backends.sqlite3"
    for scheme in ("postgres", "postgresql"):
        entry = environment.database("DATABASE_URL", f"{scheme}://u:p%40ss@h:5/name")
        assert (entry["ENGINE"], entry["PASSWORD"]) == ("django.db.backends.postgresql", "p@ss")
