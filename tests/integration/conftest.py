"""What marks a test of the integration tier, and the description that several of its tests read."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

REMOTE = (
    "test_databases_", "test_events_", "test_functions_", "test_graphs_", "test_notifications_",
    "test_provider_conformance", "test_secrets_nowhere", "test_storage_",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of remote systems are marked by the name of their file."""
    for item in items:
        if item.path.parent.name == "integration" and item.path.name.startswith(REMOTE):
            item.add_marker(pytest.mark.remote)


@pytest.fixture(scope="session")
def described() -> dict[str, Any]:
    """The API's description, by the command whose warnings are errors."""
    out = StringIO()
    call_command("spectacular", "--format", "openapi-json", "--validate", "--fail-on-warn", stdout=out)
    description: dict[str, Any] = json.loads(out.getvalue())
    return description
