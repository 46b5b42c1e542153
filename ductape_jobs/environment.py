"""Reads the environment for the settings: what cannot be read is refused by its name, in a sentence."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

DATABASES = re.compile(r"(sqlite|postgres|postgresql|pgsql|psql)://")
_KINDS = {int: "a whole number", dict: "names with a value each: name=value,name=value"}
_DOTTED_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class Environment(environ.Env):
    """As django-environ, with other errors: ImproperlyConfigured says what a variable must be.

    A number that is given but empty counts as not given.
    """

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **how: Any) -> Any:
        if cast is int and not os.environ.get(var, "").strip() and default is not self.NOTSET:
            return default
        try:
            return super().get_value(var, cast=cast, default=default, **how)
        except (ValueError, TypeError):
            raise ImproperlyConfigured(f"{var} is {os.environ.get(var, '')!r}: it must be {_KINDS[cast]}") from None


def one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    """The value, if it is one of those."""
    if value not in known:
        raise ImproperlyConfigured(f"{name} is {value!r}: it must be one of {', '.join(known)}")
    return value


def log_level(name: str, value: str) -> str:
    """The value in capitals, if `logging` knows such a level."""
    return one_of(name, value.upper(), tuple(logging.getLevelNamesMapping()))


def dotted_paths(name: str, paths: dict[str, str]) -> dict[str, str]:
    """The same, if each could be the path of a class."""
    for key, path in paths.items():
        if not key or not _DOTTED_PATH.fullmatch(path):
            raise ImproperlyConfigured(f"{name}: {key}={path} is not name=package.module.Class")
    return paths


def database(name: str, url: str) -> dict[str, Any]:
    """Django's entry for a database URL. No error tells the URL: it may have a password in it."""
    try:
        if DATABASES.match(url) is None:
            raise ValueError
        return dict(environ.Env.db_url_config(url))
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} is no address of a database that this runs on: write postgres://user:password@host/name "
            "or sqlite:////path/of/a/file, special characters in the password as %40"
        ) from None
