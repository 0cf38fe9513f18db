"""Sessions in memory while their worker is replaced: `affinity: cookie` with `maxRequests`."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.apps.conftest import BOOT_S, INSTALLED, PYTHON, RECIPES
from tests.apps.test_dashboards import UPLOAD
from tests.support.client import workers_of
from tests.support.harness import running, wait_until

REQUESTS = 60


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["shiny", "streamlit"])
def test_an_upload_reaches_the_session(name: str, tmp_path: Path, browser: Browser) -> None:
    """When a worker has had its maximum of requests and another one serves, a client with a session
    on the old worker keeps it, by WebSocket and for uploads."""
    if name not in INSTALLED:
        pytest.skip("not in this part of the apps")
    manifest = RECIPES[name].make(tmp_path, f"{name}@1.0.0", PYTHON) / "buntime.yaml"
    text = manifest.read_text("utf-8").replace("maxRequests: none", f"maxRequests: {REQUESTS}")
    manifest.write_text(text, "utf-8")
    env = {"RUNTIME_ENV": "production", "RUNTIME_PYTHON": PYTHON}
    with running(tmp_path, env=env) as runtime, httpx.Client(timeout=BOOT_S) as others:
        page = browser.new_page()
        page.set_default_navigation_timeout(BOOT_S * 1000)
        url = f"{runtime.url}/{name}/"
        page.goto(url)
        page.get_by_label("Name").fill("Ada")
        page.get_by_label("Name").press("Enter")
        expect(page.get_by_text("Hello, Ada!")).to_be_visible()
        first, *_ = workers_of(runtime, name)  # the page's worker, which the page may have used up
        for _ in range(2 * REQUESTS):
            others.get(url).raise_for_status()
            others.cookies.clear()  # so each is a new client
        wait_until(
            lambda: not workers_of(runtime, name, status="busy", id=first["id"]),
            timeout_s=BOOT_S,
            what="the replacement of the first worker",
        )
        page.locator("input[type=file]").set_input_files(UPLOAD)
        expect(page.get_by_text("300000 bytes")).to_be_visible()
        page.close()
