"""Local files that a catalog may name: only under LOCAL_PATHS_ALLOW, and never in the system's own folder."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings


def wrong_path(path: str) -> str | None:
    """Why a folder or file may not be named, or None. Links are followed before it is looked at."""
    if not Path(path).is_absolute():
        return f"{path[:120]!r} is not an absolute path"
    real = Path(path).resolve()
    allowed = [Path(folder).resolve() for folder in settings.LOCAL_PATHS_ALLOW]
    if not any(real == folder or folder in real.parents for folder in allowed):
        told = ", ".join(str(folder) for folder in allowed) or "none"
        return f"{path[:120]!r} is not in a folder that LOCAL_PATHS_ALLOW names (these are: {told})"
    own = Path(settings.DATA_DIR).resolve()
    if real == own or own in real.parents or real in own.parents:
        return f"{path[:120]!r} is, or holds, where this system keeps its own data"
    return None
