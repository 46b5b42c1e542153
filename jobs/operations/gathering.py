"""Dispatches of several threads that come at the same moment are stored by one of them, in one commit.

What a single insert costs the database is mostly what any statement on these tables costs, and a
commit is a write to disk: eight at once cost little more than one. Nobody waits for others to come:
whoever finds nobody writing writes at once, and who comes meanwhile is written next, together. Each
caller still returns after the commit that holds its job.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError

from jobs.lifecycle.create import Draft

MOST = 100  # in one commit; on SQLite other writers wait for as long as it takes


class NotStored(RuntimeError):
    """Whoever was to write this job was stopped before it could."""


class _Ticket:
    """A job to be written. `turn` is set when it has been, or when its thread is to write."""

    __slots__ = ("draft", "error", "settled", "turn")

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.turn = threading.Event()
        self.settled = False
        self.error: BaseException | None = NotStored("the thread that was to store this job was stopped")


class Gathering:
    """`write` stores a list of jobs, all or none; `tell` is called after each commit, and never raises."""

    def __init__(self, write: Callable[[Sequence[Draft]], None], tell: Callable[[Sequence[Draft]], None]) -> None:
        self._write = write
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._writing = False

    def put(self, draft: Draft) -> None:
        """Return when the job is committed. Raises what kept it from that."""
        ticket = _Ticket(draft)
        with self._lock:
            self._waiting.append(ticket)
            follows, self._writing = self._writing, True
        if follows:
            ticket.turn.wait()
        if not ticket.settled:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error

    def _lead(self, own: _Ticket) -> None:
        """Write what waits, `own` among it; then let the next one lead."""
        with self._lock:
            batch = self._waiting[:MOST]
            del self._waiting[:MOST]
        try:
            self._store(batch)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._writing = following is not None
            for ticket in batch:
                ticket.settled = True
                if ticket is not own:
                    ticket.turn.set()
            if following is not None:
                following.turn.set()
        self._tell([ticket.draft for ticket in batch if ticket.error is None])

    def _store(self, batch: Sequence[_Ticket]) -> None:
        try:
            self._write([ticket.draft for ticket in batch])
        except (OperationalError, InterfaceError) as error:
            for ticket in batch:  # each thread raises its own: a traceback belongs to one
                ticket.error = copy.copy(error)
        except DatabaseError as error:
            if len(batch) == 1:
                batch[0].error = error
            else:
                for ticket in batch:  # one bad job takes no other with it
                    self._store([ticket])
        else:
            for ticket in batch:
                ticket.error = None
