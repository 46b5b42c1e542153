"""Keys that a local installation makes for itself, once, whoever of its processes is first."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def keep_key(folder: Path, name: str, environment: str, variable: str) -> str:
    """The key kept in `folder`/`name`; made there (32 random bytes, url-safe base 64) if missing.

    Two processes that start at once agree: the file appears complete and at most once.
    In production nothing is made: ImproperlyConfigured names the variable to set, or elsewhere the folder
    that cannot hold a key.
    """
    if environment == "production":
        raise ImproperlyConfigured(f"{variable} must be set when ENVIRONMENT is production")
    try:
        return _kept(folder, name)
    except OSError as error:
        raise ImproperlyConfigured(
            f"DATA_DIR is {folder}, where no keys can be kept ({error.strerror}): name another folder"
        ) from None


def _kept(folder: Path, name: str) -> str:
    path = folder / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = folder / f".{name}.{os.getpid()}"
    draft.touch(mode=0o600)
    draft.write_text(base64.urlsafe_b64encode(os.urandom(32)).decode())
    try:
        os.link(draft, path)  # atomic, and refuses to overwrite the one that came first
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
