"""Queries in the database's own language on an embedded graph, which runs inside the worker: what may not be in one.

Words that read or write files, load code or end the transaction are refused wherever they stand, in strings and
comments too: telling those apart would have to be done exactly as the database does. A value belongs in `params`.
"""

from __future__ import annotations

import re
from typing import Any

from executors.expressions import Unknown

# A word may follow a digit directly: the parser asks for no space there.
_REFUSED = re.compile(
    r"(?<![^\W\d])(?:copy|load|install|uninstall|attach|import|export|extension|macro|begin|commit|rollback|checkpoint"
    r"|(?:read|copy)_(?:csv|parquet|npy|pandas)\w*|detach\s+database|use)\b",
    re.IGNORECASE,
)


def wrong_query(query: Any) -> str | None:
    """Why an embedded graph does not run it, or None."""
    if isinstance(query, Unknown) or not isinstance(query, str):
        return None
    if ";" in query.rstrip("; \t\r\n"):
        return "must be one statement, without ; in it, not even in a text: put values into params"
    found = _REFUSED.search(query)
    if found is None:
        return None
    return (
        f"{found.group().strip()!r} is not accepted in a query of an embedded graph, not even in a text: "
        "put values into params"
    )
