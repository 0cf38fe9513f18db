"""A real browser, headless Chromium: WebSocket and EventSource as users have them."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import needs_chromium
from tests.support.harness import PACKAGES, ROOT, Runtime, running, write_app

pytestmark = needs_chromium

# Three events, then the end of the stream: the browser reconnects, and names its last event.
EVENTS = """
from buntime import Event, Response

PAGE = '''<!doctype html><link rel="icon" href="data:,"><p></p><script>
const seen = [];
const source = new EventSource("events");
source.addEventListener("price", (event) => {
  seen.push(event.lastEventId + ":" + event.data);
  document.querySelector("p").textContent = seen.join(" ");
});
</script>'''

async def fetch(request):
    if request.path != "/events":
        return Response.html(PAGE)
    return Response.events(prices(int(request.last_event_id or 0)))

async def prices(last):
    for n in range(last + 1, last + 4):
        yield Event({"n": n}, event="price", id=n, retry=50)
"""


# Records what the page says from now on. A state lasts only a second, so a test that looks once in
# a while may miss it.
KEEP_STATES = """
window.states = [];
const state = document.querySelector("#state");
new MutationObserver(() => states.push(state.textContent)).observe(state, {childList: true});
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    for name in ("chat", "clock"):
        shutil.copytree(ROOT / "apps" / name, folder / name)
    write_app(folder / "events", {"index.py": EVENTS}, ttl="1h")
    return folder


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    with running(folder, env=PACKAGES) as runtime:
        yield runtime


Open = Callable[[], Page]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page in a browser context of its own. An error on a page fails the test."""
    errors: list[str] = []
    with contextlib.ExitStack() as stack:

        def open_page() -> Page:
            page = stack.enter_context(contextlib.closing(browser.new_context())).new_page()
            page.set_default_timeout(15_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            return page

        yield open_page
    assert errors == []


def join(page: Page, runtime: Runtime, name: str, room: str) -> None:
    page.goto(f"{runtime.url}/chat/")
    page.fill("input[name=name]", name)
    page.fill("input[name=room]", room)
    page.click("text=Join")


def say(page: Page, text: str) -> None:
    page.fill("input[name=text]", text)
    page.press("input[name=text]", "Enter")


def test_two_browsers_talk(runtime: Runtime, opened: Open) -> None:
    """Each reads what the other says, as text and in order; each sees who is there. What is said in
    one room is not seen in another."""
    ada, bob = opened(), opened()
    join(ada, runtime, "Ada", "tea")
    expect(ada.locator("#state")).to_have_text("tea: Ada")
    join(bob, runtime, "Bob", "tea")
    for page in (ada, bob):
        expect(page.locator("#state")).to_have_text("tea: Ada, Bob")
    say(ada, "Hello Bob \u20ac")
    expect(bob.locator("#log")).to_contain_text("Ada Hello Bob \u20ac")
    say(bob, "<b>Hello</b> Ada")
    said = ["Ada has joined", "Bob has joined", "Ada Hello Bob \u20ac", "Bob <b>Hello</b> Ada"]
    expect(ada.locator("#log li")).to_have_text(said)
    join(bob, runtime, "Bob", "south")
    expect(ada.locator("#state")).to_have_text("tea: Ada")
    expect(bob.locator("#state")).to_have_text("south: Bob")
    say(ada, "in the north")
    say(bob, "in the south")
    expect(bob.locator("#log li")).to_have_text(["Bob has joined", "Bob in the south"])
    expect(ada.locator("#log li")).to_have_text([*said, "Bob has left", "Ada in the north"])
    bob.close()


def test_the_page_comes_again(runtime: Runtime, folder: Path, opened: Open) -> None:
    """When the app's code changes, its WebSockets are closed with 1012, and the page connects to
    the new worker by itself."""
    ada = opened()
    join(ada, runtime, "Ada", "again")
    expect(ada.locator("#state")).to_have_text("again: Ada")
    ada.evaluate(KEEP_STATES)
    code = folder / "chat" / "index.py"
    code.write_text(code.read_text("utf-8") + "\n# changed\n", "utf-8")
    ada.request.get(f"{runtime.url}/chat/rooms")
    ada.wait_for_function("states.length == 2")
    assert ada.evaluate("states") == [
        "Connection lost (1012), trying again \u2026",
        "again: Ada",
    ]
    say(ada, "back")
    expect(ada.locator("#log li").last).to_have_text("Ada back")


def test_events(runtime: Runtime, opened: Open) -> None:
    """EventSource gets events by name, and after the end of the stream reconnects for more. The
    page of the clock keeps updating by itself."""
    page = opened()
    page.goto(f"{runtime.url}/events/")
    expect(page.locator("p")).to_contain_text(" ".join(f'{n}:{{"n":{n}}}' for n in range(1, 10)))
    page.goto(f"{runtime.url}/clock/")
    face = page.locator("time")
    expect(face).to_have_attribute("datetime", re.compile(r"T\d\d:"))
    first = face.get_attribute("datetime")
    assert first is not None
    expect(face).not_to_have_attribute("datetime", first)
