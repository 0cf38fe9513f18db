"""The examples of docs/micro-frontends.md, exactly as written there, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support.chromium import needs_chromium
from tests.support.framing import TALK
from tests.support.harness import ROOT, running, write_app

PAGE = (ROOT / "docs/micro-frontends.md").read_text("utf-8")
EXAMPLE = re.compile(
    r"^`apps/(desk|orders?)/(index\.html)`.*?:\n\n```html\n(.*?)^```$", re.M | re.S
)


@needs_chromium
def test_two_frames(tmp_path: Path, browser: Browser) -> None:
    """What is picked in one frame is shown in the other one, which asks the first for more."""
    found = EXAMPLE.findall(PAGE)
    assert [app for app, _, _ in found] == ["desk", "orders", "order"]
    for app, name, text in found:
        more = {} if app == "desk" else {"shell": True}
        write_app(tmp_path / "apps" / app, {name: text, "desk.css": ""}, **more)
    env = {"RUNTIME_ENV": "production", "RUNTIME_SHELL": "desk"}
    with running(tmp_path / "apps", env=env) as runtime, browser.new_page() as page:
        page.set_default_timeout(10_000)
        page.goto(f"{runtime.url}/orders/")
        expect(page).to_have_title("Desk")
        orders, order = (page.frame_locator(f"#{name} iframe") for name in ("orders", "order"))
        orders.get_by_text("Order 8").click()
        expect(order.locator("h1")).to_have_text("Order 8: 99.00")
        expect(page.locator("#notice")).to_have_text("Order 8 is shown.")
        expect(page.locator("#order")).to_have_attribute("style", re.compile("height"))


@needs_chromium
def test_a_shell(tmp_path: Path, browser: Browser) -> None:
    """The example of a shell shows what the address names: at once, reloaded, and with Back."""
    [shell] = re.findall(r"^`apps/window/index\.html`:\n\n```html\n(.*?)^```$", PAGE, re.M | re.S)
    write_app(tmp_path / "apps/window", {"index.html": shell})
    write_app(tmp_path / "apps/talk", TALK, shell=True)
    env = {"RUNTIME_ENV": "production", "RUNTIME_SHELL": "window"}
    with running(tmp_path / "apps", env=env) as runtime, browser.new_page() as page:
        page.set_default_timeout(10_000)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        shown = page.frame_locator("bt-frame iframe").locator("#path")
        page.goto(f"{runtime.url}/talk/queues?x=2#top")
        expect(shown).to_have_text("/queues?x=2#top")
        expect(page).to_have_title("Talk")
        page.frame_locator("bt-frame iframe").locator("#link").click()
        expect(page).to_have_url(f"{runtime.url}/talk/linked?x=1#here")
        page.reload()
        expect(shown).to_have_text("/linked?x=1#here")
        page.go_back()
        expect(shown).to_have_text("/queues?x=2#top")
        page.goto(f"{runtime.url}/window/")
        expect(page.locator("bt-frame")).to_have_count(0)
        assert faults == []
