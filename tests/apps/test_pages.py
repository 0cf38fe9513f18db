"""Frameworks for pages, in Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.apps.conftest import Site


@pytest.mark.app("fasthtml")
def test_fasthtml(site: Site, page: Page) -> None:
    """htmx sends its requests below the base, and the count goes up."""
    page.route("**://cdn.jsdelivr.net/**", lambda route: route.abort())
    page.goto(site.url + "/")
    before = int(page.locator("#count").inner_text())
    assert int(site.http.post(site.url + "/add").text) == before + 1
    page.click("text=About")
    expect(page).to_have_title("About")


@pytest.mark.app("sqladmin")
def test_sqladmin(site: Site, page: Page) -> None:
    """A user created in the browser, with the page's style, appears in the list."""
    page.goto(site.url + "/admin/user/create")
    page.fill("input[name=name]", "Ada")
    page.click("input[name=save]")
    expect(page.locator("table")).to_contain_text("Ada")
    assert page.evaluate("getComputedStyle(document.querySelector('.navbar')).display") == "flex"
