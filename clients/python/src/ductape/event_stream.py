"""Server-sent events, from lines to events. Pure; how a stream is read again is the transports'."""

from __future__ import annotations

import json

from ductape.errors import BrokenAnswer
from ductape.reading import read
from ductape.results.event import JobEvent


class EventReader:
    """Takes a line at a time; `last_id` is how far the stream was told, `retry` the seconds to wait before the next."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry = 1.0
        self._id = last_id
        self._data: list[str] = []

    def begin(self) -> None:
        """A connection begins: what the last one left unfinished is told again."""
        self._data = []
        self._id = self.last_id

    def take(self, line: str) -> JobEvent | None:
        """The event that an empty line completes. Raises BrokenAnswer."""
        if line == "":
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = min(int(value) / 1000, 60.0)
        return None

    def _complete(self) -> JobEvent | None:
        self.last_id = self._id
        data, self._data = "\n".join(self._data), []
        if not data:
            return None
        try:
            told = json.loads(data)
        except ValueError as error:
            raise BrokenAnswer(f"an event that is not JSON: {data[:200]!r}") from error
        return read(JobEvent, told, id=self.last_id)
