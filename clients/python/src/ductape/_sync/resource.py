# Written by clients/python/generate.py from ductape/_async/resource.py: change that one.
"""What every group of calls has: the transport, and what goes with each dispatch of this client."""

from __future__ import annotations

from ductape._sync.transport import Transport


class Resource:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _place(self, product: str = "product") -> dict[str, str]:
        """The product and the environment that the client was made with, for what makes a job."""
        usual = self._transport.configuration
        return {key: value for key, value in ((product, usual.product), ("env", usual.env)) if value is not None}
