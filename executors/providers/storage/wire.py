"""Connections of the drivers that stand on urllib3: to checked addresses only, and cut with their call.

The name stays what TLS is checked against; what is connected to is the address that was checked. No proxies, no
credentials from the environment.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from urllib3 import PoolManager
from urllib3.connectionpool import HTTPConnectionPool

from executors.base import AttemptFailed
from executors.providers.storage import calls
from executors.reach.addresses import checked

if TYPE_CHECKING:
    from requests import Session

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0  # between two bytes; the attempt's own deadline cuts earlier
CONNECTIONS = 64  # kept of one target, as many as there are threads


def guard(manager: PoolManager) -> None:
    """Every connection that the manager opens from now on is guarded."""
    manager.pool_classes_by_scheme = {scheme: _guarded(pool) for scheme, pool in manager.pool_classes_by_scheme.items()}


def guard_session(session: Session) -> Session:
    """Every connection that the session of `requests` opens from now on is guarded."""
    from requests.adapters import HTTPAdapter  # S3 does without it

    session.trust_env = False
    for scheme in ("http://", "https://"):
        adapter = HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0)
        guard(adapter.poolmanager)
        session.mount(scheme, adapter)
    return session


class _Guarded:
    """Goes before a connection class of urllib3."""

    if TYPE_CHECKING:
        _dns_host: str
        port: int
        sock: Any

    def _new_conn(self) -> Any:
        name = self._dns_host
        self._dns_host = checked(name.strip("[]"), self.port)
        try:
            sock = super()._new_conn()  # type: ignore[misc]  # of the class it goes before
        finally:
            self._dns_host = name
        try:
            calls.uses(sock)
        except AttemptFailed:
            sock.close()  # it was cut while it connected: nobody else has it yet
            raise
        return sock

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # the same
        calls.uses(self.sock)  # TLS has put one of its own around the first

    def request(self, *args: Any, **kwargs: Any) -> Any:
        calls.uses(self.sock)
        return super().request(*args, **kwargs)  # type: ignore[misc]  # the same


@lru_cache(maxsize=16)
def _guarded(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    connection = type(f"Guarded{pool.ConnectionCls.__name__}", (_Guarded, pool.ConnectionCls), {})
    return type(f"Guarded{pool.__name__}", (pool,), {"ConnectionCls": connection})
