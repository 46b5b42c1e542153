"""For the test suites of users: the fixture `ductape_recorder`. Nothing changes for tests that do not name it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ductape.recorder import Recorder


@pytest.fixture
def ductape_recorder() -> Iterator[Recorder]:
    """While a test has it, no client of the process reaches a server: dispatches are recorded and answered.

    Also those of clients that were made before, and of asyncio's.
    """
    from ductape.interception import intercepted  # a suite that does not use it does not load httpx
    from ductape.recorder import Recorder

    recorder = Recorder()
    with intercepted(recorder):
        yield recorder
