"""A page built by Vite from its template."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.apps.conftest import Site


@pytest.mark.app("vite")
def test_vite(site: Site, page: Page) -> None:
    """Its script runs, its pictures are shown, and a click counts."""
    page.goto(site.url + "/")
    counter = page.get_by_role("button").first
    expect(counter).to_contain_text("0")
    counter.click()
    expect(counter).to_contain_text("1")
    loaded = (
        "Array.from(document.images).every((image) => image.complete && image.naturalWidth > 0)"
    )
    page.wait_for_function(loaded)
