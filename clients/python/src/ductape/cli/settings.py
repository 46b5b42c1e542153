"""Which server, with which key: options before the environment, that before a profile of the configuration file.

Owns the file's format and never changes it. Raises InvalidArgument, with the file's name where it is the file's fault.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ductape.arguments import unknown
from ductape.errors import InvalidArgument

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 30.0  # seconds
USUAL_PROFILE = "default"
ENVIRONMENT: Mapping[str, str] = {
    "url": "DUCTAPE_URL",
    "api_key": "DUCTAPE_API_KEY",
    "api_key_file": "DUCTAPE_API_KEY_FILE",
    "product": "DUCTAPE_PRODUCT",
    "env": "DUCTAPE_ENV",
    "timeout": "DUCTAPE_TIMEOUT",
}
_SECRET = ("api_key", "api_key_file")  # two ways to say one thing: a nearer place replaces both


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A value, and who said it: `option`, the name of a variable, `profile NAME` or `default`."""

    value: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that was said, by the names of ENVIRONMENT."""

    file: Path
    profile: str
    profiles: tuple[str, ...]
    found: Mapping[str, Setting]

    def value(self, name: str) -> str | None:
        setting = self.found.get(name)
        return setting.value if setting else None

    @property
    def timeout(self) -> float:
        setting = self.found["timeout"]
        try:
            return float(setting.value)
        except ValueError:
            raise InvalidArgument(
                "timeout", f"{setting.value!r} ({setting.source}) is not a number of seconds"
            ) from None

    @property
    def api_key(self) -> str:
        if (key := self.found.get("api_key")) is not None:
            return key.value
        if (file := self.found.get("api_key_file")) is not None:
            try:
                return Path(file.value).expanduser().read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidArgument("api_key_file", f"({file.source}) cannot be read: {error}") from error
        raise InvalidArgument(
            "api_key", f"is not set: export DUCTAPE_API_KEY, use --key-file FILE, or write a profile in {self.file}"
        )


def configuration_file(environ: Mapping[str, str] = os.environ) -> Path:
    if named := environ.get("DUCTAPE_CONFIG"):
        return Path(named).expanduser()
    folder = environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path("~/.config").expanduser()) / "ductape" / "config.toml"


def settings(options: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
    """`options` by the names of ENVIRONMENT, and `profile`; None is not given."""
    file = configuration_file(environ)
    usual, profiles = _read(file, required="DUCTAPE_CONFIG" in environ)
    asked = options.get("profile") or environ.get("DUCTAPE_PROFILE")
    profile = asked or usual
    if profile not in profiles and asked:
        raise InvalidArgument("profile", f"{asked!r} is not in {file}: it has {', '.join(profiles) or 'none'}")
    found = {
        "url": Setting(value=DEFAULT_URL, source="default"),
        "timeout": Setting(value=str(DEFAULT_TIMEOUT), source="default"),
    }
    for name, value in profiles.get(profile, {}).items():
        text = str(file.parent / Path(value).expanduser()) if name == "api_key_file" else str(value)
        found[name] = Setting(value=text, source=f"profile {profile}")
    _nearer(found, {name: (environ.get(variable), variable) for name, variable in ENVIRONMENT.items()})
    _nearer(found, {name: (options.get(name), "option") for name in ENVIRONMENT})
    return Settings(file=file, profile=profile, profiles=tuple(profiles), found=found)


def _nearer(found: dict[str, Setting], said: Mapping[str, tuple[str | None, str]]) -> None:
    """What a nearer place says; an empty variable says nothing."""
    given = {name: Setting(value=value, source=source) for name, (value, source) in said.items() if value}
    if any(name in given for name in _SECRET):
        for name in _SECRET:
            found.pop(name, None)
    found.update(given)


def _read(file: Path, *, required: bool) -> tuple[str, dict[str, dict[str, Any]]]:
    """The usual profile, and all by their names."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise InvalidArgument("DUCTAPE_CONFIG", f"{file} does not exist") from None
        return USUAL_PROFILE, {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(str(file), f"cannot be read: {error}") from error
    for key in data:
        if key not in {"default_profile", "profiles"}:
            raise _at(file, unknown(key, key, ["default_profile", "profiles"]))
    profiles = data.get("profiles", {})
    if not isinstance(profiles, dict):
        raise InvalidArgument(str(file), "profiles: must be tables, as [profiles.default]")
    for name, profile in profiles.items():
        if not isinstance(profile, dict):
            raise InvalidArgument(str(file), f"profiles.{name}: must be a table, as [profiles.{name}]")
        for key, value in profile.items():
            if key not in ENVIRONMENT:
                raise _at(file, unknown(f"profiles.{name}.{key}", key, ENVIRONMENT))
            wanted: tuple[type, ...] = (int, float) if key == "timeout" else (str,)
            if isinstance(value, bool) or not isinstance(value, wanted):
                raise InvalidArgument(str(file), f"profiles.{name}.{key}: must be a {wanted[-1].__name__}")
    usual = data.get("default_profile", USUAL_PROFILE)
    if not isinstance(usual, str) or ("default_profile" in data and usual not in profiles):
        raise InvalidArgument(str(file), f"default_profile: {usual!r} is no profile of this file")
    return usual, profiles


def _at(file: Path, error: InvalidArgument) -> InvalidArgument:
    return InvalidArgument(f"{file}: {error.argument}", error.detail)
