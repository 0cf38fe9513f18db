"""The page of keyval in a real browser, with data that a hostile app has written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import needs_chromium
from tests.support.client import fetch
from tests.support.harness import OPERATORS_KEY, Runtime
from tests.support.keyvalapp import code, with_keyval
from tests.support.panel import watched

pytestmark = needs_chromium

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
# In the place of what another test has left.
WRITTEN = f"""
bad = {HOSTILE!r}
for entry in [*kv.list(())]:
    kv.delete(entry.key)
for number, *_ in kv.dead(bad):
    kv.drop(number)
kv.set((bad, float("inf"), 2**63 - 1), bad)
kv.set(("b",), b"\\x00\\xff")
kv.enqueue(bad, bad, attempts=1)
kv.take(bad).nack(bad)
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with with_keyval(tmp_path_factory.mktemp("kv")) as runtime:
        yield runtime


@pytest.fixture
def stranger(browser: Browser, runtime: Runtime) -> Iterator[Page]:
    """The page, not signed in; an error on it, or a dialog, fails the test."""
    with watched(browser) as page:
        page.goto(f"{runtime.url}/keyval/")
        yield page


@pytest.fixture
def page(stranger: Page, runtime: Runtime) -> Page:
    """The page, signed in by the keyboard."""
    assert run(runtime, WRITTEN) == b"null"
    stranger.keyboard.press("Tab")
    stranger.keyboard.type(OPERATORS_KEY)
    stranger.keyboard.press("Enter")
    expect(stranger.locator("#spaces button")).to_have_text(["app:shop"])
    return stranger


def run(runtime: Runtime, text: str) -> bytes:
    return fetch(runtime, "/shop/", method="POST", body=code(text)).body


def test_hostile_values(page: Page) -> None:
    """What an app has written is shown as text: keys, values, queues and reasons."""
    page.click("#spaces button")
    keys = page.locator("#entries td.key")
    expect(keys.nth(0)).to_have_text(f'["{HOSTILE}", Infinity, 9223372036854775807]')
    expect(page.locator("#entries td.value")).to_have_text([f'"{HOSTILE}"', "00ff (bytes)"])
    expect(page.locator("#queues td").first).to_have_text(HOSTILE)
    page.get_by_label("1 dead messages").click()
    expect(page.locator("#messages td").nth(4)).to_have_text(HOSTILE)
    assert page.locator("main img, main script").count() == 0


def test_edit_by_keyboard(page: Page, runtime: Runtime) -> None:
    """An entry is made, changed and found again without a mouse."""
    page.locator("#spaces button").focus()
    page.keyboard.press("Enter")
    page.locator("#new-entry").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    page.keyboard.type('["made", 1.0]')
    page.locator("#entry-value").focus()
    page.keyboard.type("[12345678901234567890]")
    page.locator("#entry-ttl").focus()
    page.keyboard.type("600")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Saved.")
    found = 'result = [kv.get(("made", 1.0)), kv.entry(("made", 1.0)).expires > time.time()]'
    assert run(runtime, found) == b"[[12345678901234567890],true]"
    page.get_by_role("button", name='["made", 1.0]').focus()
    page.keyboard.press("Enter")
    expect(page.locator("#entry-value")).to_have_value("[\n  12345678901234567890\n]")
    run(runtime, 'kv.set(("made", 1.0), "by the app")')
    page.locator("#entry-ttl").press("Enter")
    expect(page.locator("#entry-status")).to_contain_text("is there, not")
    page.keyboard.press("Escape")
    expect(page.locator("#editor")).to_be_hidden()
    assert run(runtime, 'result = kv.get(("made", 1.0))') == b'"by the app"'


def test_bytes(page: Page, runtime: Runtime) -> None:
    """Bytes are edited in hexadecimal, and anything else is refused."""
    page.click("#spaces button")
    page.get_by_role("button", name='["b"]').click()
    page.fill("#entry-value", "00 f")
    page.click("text=Save")
    expect(page.locator("#entry-status")).to_have_text("the bytes are not in hexadecimal")
    page.fill("#entry-value", "01 02")
    page.click("text=Save")
    expect(page.locator("#status")).to_have_text("Saved.")
    assert run(runtime, 'result = [*kv.get(("b",))]') == b"[1,2]"


def test_queues(page: Page, runtime: Runtime) -> None:
    """A dead message is revived, and is then consumed."""
    run(runtime, 'kv.enqueue("q", 7, attempts=1)\nkv.take("q").nack("no")')
    page.click("#spaces button")
    page.get_by_label("1 dead messages of q").click()
    page.click("text=Revive")
    expect(page.locator("#messages tr")).to_have_count(0)
    assert run(runtime, 'result = kv.take("q").value') == b"7"


def test_wrong_key(stranger: Page) -> None:
    """With a wrong key nothing is shown but the reason."""
    stranger.fill("#operator-key", "wrong")
    stranger.keyboard.press("Enter")
    expect(stranger.locator("#status")).to_have_class("fault")
    expect(stranger.locator("#content")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_schemes(stranger: Page, scheme: Literal["light", "dark"]) -> None:
    """The page is light or dark as the system is."""
    stranger.emulate_media(color_scheme=scheme)
    back = stranger.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(23, 23, 27)"}[scheme]
