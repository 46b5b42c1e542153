"""What a client was told when it was made, checked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

from ductape.errors import InvalidArgument

LONGEST_KEEP = 30.0  # seconds that an unused connection is kept; the server hangs up after 65


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Times are seconds: `timeout` of one try, `total_timeout` of a call with all its retries."""

    base_url: str
    api_key: str
    product: str | None
    env: str | None
    timeout: float
    total_timeout: float
    retries: int
    max_connections: int

    def __post_init__(self) -> None:
        """Raises InvalidArgument."""
        parts = urlsplit(self.base_url) if isinstance(self.base_url, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidArgument(
                "base_url", f"must be the address of the API, as http://127.0.0.1:8000, not {self.base_url!r}"
            )
        if not isinstance(self.api_key, str) or not self.api_key.strip():
            raise InvalidArgument("api_key", "must be a key of the API")
        if not self.api_key.isascii() or not self.api_key.isprintable():
            raise InvalidArgument("api_key", "has characters that no key has")
        for name in ("timeout", "total_timeout"):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, (int, float)) or value <= 0:
                raise InvalidArgument(name, "must be a number of seconds above 0")
        for name, low in (("retries", 0), ("max_connections", 1)):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int) or value < low:
                raise InvalidArgument(name, f"must be an int of at least {low}")
        for name in ("product", "env"):
            if (value := getattr(self, name)) is not None and (not isinstance(value, str) or not value):
                raise InvalidArgument(name, "must be a tag")

    @property
    def address(self) -> str:
        """Without a slash, and without the /v1 that the paths have."""
        return self.base_url.rstrip("/").removesuffix("/v1")

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.api_key.strip()}",
            "Accept": "application/json",
            "User-Agent": f"ductape-client/{_version()}",
        }


def _version() -> str:
    try:
        return version("ductape-client")
    except PackageNotFoundError:  # imported from a checkout
        return "0"
