"""Work beside a test, on a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connection

PATIENCE_SECONDS = 20.0


class Beside(threading.Thread):
    """Work on a connection of its own; `done` raises what it raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work, self._error = work, list[BaseException]()
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # told where it is waited for
            self._error.append(error)
        finally:
            connection.close()

    def done(self) -> None:
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()
        if self._error:
            raise self._error[0]
