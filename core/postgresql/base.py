"""Before a request uses the connection that its thread has kept, it is looked at, and not asked.

Django sends `SELECT 1` first: a round trip for every request, which on a busy path costs as much as
a third of storing a job does. A server that is gone, or has ended the connection, says so by itself:
its last message, the end of the stream or an error waits at the socket, where nothing is expected
while the connection is idle. What would stay silent, a network that swallows everything, lets
`SELECT 1` wait as well, until `tcp_user_timeout` and the keepalives of the settings turn it into an error.
"""

from __future__ import annotations

import select

from django.db.backends.postgresql import base
from psycopg.pq import ConnStatus, TransactionStatus


class DatabaseWrapper(base.DatabaseWrapper):
    """Asks the server only where something is odd."""

    health_check_enabled: bool
    health_check_done: bool

    def close_if_health_check_failed(self) -> None:
        if self.health_check_enabled and not self.health_check_done and self._is_quiet():
            self.health_check_done = True
            return
        super().close_if_health_check_failed()

    def _is_quiet(self) -> bool:
        """Whether the connection is idle and nothing has come: no end, no error, no message."""
        if self.connection is None:
            return False
        driver = self.connection.pgconn
        if driver.status != ConnStatus.OK or driver.transaction_status != TransactionStatus.IDLE:
            return False
        poll = select.poll()
        poll.register(driver.socket, select.POLLIN)
        return not poll.poll(0)
