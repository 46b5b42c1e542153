"""Webhooks in a real browser: one is set up, tried, read and sent again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.test_admin_browser import (  # noqa: F401 - fixtures
    browser,
    context,
    follow,
    page,
    press,
    requested,
)
from tests.integration.webhook_world import delivered
from webhooks.models import Delivery, Endpoint

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


def test_a_webhook_is_set_up_tried_and_what_failed_is_sent_again(page: Page) -> None:  # noqa: F811
    follow(page, "Endpoints")
    page.get_by_role("link", name=re.compile("Add")).first.click()
    page.fill("#id_url", "https://10.0.0.7/hook")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("body")).to_contain_text("the address 10.0.0.7 is not public")
    page.fill("#id_url", "https://api.example.com/webhooks/jobs")
    page.fill("#id_description", "the billing team")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#made-secret")).to_contain_text("whsec_")
    page.get_by_role("link", name="I have copied it").click()

    expect(page.locator("body")).to_contain_text("Nothing was sent yet.")
    press(page, "Send a test")
    expect(page.locator(".panel", has_text="Newest deliveries").locator("tbody tr")).to_have_count(1)
    endpoint = Endpoint.objects.get()
    failed = delivered(endpoint, "failed", type="job.failed")
    page.reload()
    expect(page.locator(".panel", has_text="Newest deliveries")).to_contain_text("the endpoint answered 500")
    page.get_by_role("link", name="job.failed", exact=True).first.click()
    expect(page.locator("body")).to_contain_text("203.0.113.7")
    press(page, "Send again")
    expect(page.locator("body")).to_contain_text("It is sent again")
    assert Delivery.objects.get(pk=failed.pk).status == "pending"
    follow(page, "Deliveries")
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
