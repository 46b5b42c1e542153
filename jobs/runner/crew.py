"""What may work in a run loop beside its runs: under the same lease, drained and taken back as they are.

Owns the interface alone. Who implements it is another app's business, told by `jobs.extensions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from jobs.runner.keeper import Holding


class Lease(Protocol):
    """What a crew needs to know of its process's lease."""

    worker_id: int
    valid: asyncio.Event  # set while the lease is good: claims wait for it

    def still_valid(self) -> bool:
        """Whether the lease is good at this moment."""


class Crew(Holding, Protocol):
    """Serves one queue in a process. Made and called in its loop, but for what a Holding says."""

    concurrency: int  # at once

    def begin(self, lease: Lease) -> list[asyncio.Task[None]]:
        """Start working: tasks that go on until `drain`. One that ends before is taken for a failure of the loop."""

    def ring(self) -> None:
        """A wake-up for its queue arrived."""

    def drain(self) -> None:
        """Claim no more; the tasks end."""

    async def finish(self, seconds: float) -> None:
        """After `drain`: wait so long for what is in flight."""

    async def close(self, seconds: float) -> None:
        """Record what has ended, for so long, and let go of everything."""


Crews = Mapping[str, Callable[[], Crew]]  # queue → who serves it
