"""What marks a test of the integration tier."""

from __future__ import annotations

import pytest

REMOTE = (
    "test_databases_", "test_events_", "test_functions_", "test_graphs_", "test_notifications_",
    "test_provider_conformance", "test_secrets_nowhere", "test_storage_",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of remote systems are marked by the name of their file."""
    for item in items:
        if item.path.parent.name == "integration" and item.path.name.startswith(REMOTE):
            item.add_marker(pytest.mark.remote)
