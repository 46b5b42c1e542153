"""The page of the API's description in a real browser: it draws operations, and asks nobody but this server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.acceptance.test_admin_browser import LOOPBACK, browser  # noqa: F401 - a fixture

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


def test_the_page_draws_the_operations_and_loads_nothing_from_elsewhere(
    browser: Browser,  # noqa: F811 - the fixture
    live_server: Any,
) -> None:
    requested: list[str] = []
    failures: list[str] = []
    context = browser.new_context(base_url=live_server.url)
    context.set_default_timeout(60_000)

    def note(request: Request) -> None:
        requested.append(request.url)

    context.on("request", note)
    page = context.new_page()
    page.on("pageerror", lambda error: failures.append(str(error)))

    page.goto("/v1/docs")

    expect(page.locator(".opblock").first).to_be_visible(timeout=60_000)
    # It draws the rest as one scrolls down.
    expect(page.locator(".opblock-summary-path", has_text="/v1/actions/dispatch").first).to_be_visible()
    expect(page.get_by_text("DispatchResults").first).to_be_visible()
    context.close()
    outside = [
        url
        for url in requested
        if urlsplit(url).scheme not in {"data", "blob"} and urlsplit(url).hostname not in LOOPBACK
    ]
    assert outside == []
    assert any(url.endswith("/v1/openapi.json") for url in requested)
    assert failures == []
