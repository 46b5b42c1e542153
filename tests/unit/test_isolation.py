"""Processes for isolated runs: one that died while it had no run is no loss of the next."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from executors.isolated import Died
from jobs.runner import isolation as module
from jobs.runner.isolation import Isolation
from tests.servers import echo_child


def test_a_child_that_died_idle_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "serve", echo_child.serve)
    monkeypatch.setattr(module, "_CALL_FIELDS", [])

    async def story() -> None:
        isolation = Isolation(1)
        try:
            first: Any = await isolation.execute(object())  # type: ignore[arg-type]
            assert await isolation.execute(object()) == first  # type: ignore[arg-type]
            os.kill(first, signal.SIGKILL)
            next(iter(isolation._children)).process.join()
            second = await isolation.execute(object())  # type: ignore[arg-type]
            assert not isinstance(second, Died)
            assert second != first
        finally:
            isolation.close()

    asyncio.run(story())
