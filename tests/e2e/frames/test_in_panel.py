"""Plugins' pages in the panel, at the operators' address: menu, sign-in, theme, address bar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.support.chromium import kept_context, needs_chromium
from tests.support.client import fetch
from tests.support.framing import TALK, with_desk
from tests.support.harness import OPERATORS_KEY, Runtime, write_app
from tests.support.keyvalapp import SYNC, code
from tests.support.operators import ADMIN, Operator, address_of, signed_in
from tests.support.panel import Shared, go, watched

pytestmark = needs_chromium

ITEMS = [{"title": "Orders", "path": "/orders"}, {"title": "O", "path": "/o"}]
MENUS = [{"title": {"en": "Talk", "de": "Gespräch"}, "path": "/", "order": 60, "items": ITEMS}]
CONNECT = """(url) => new Promise((done) => {
    const socket = new WebSocket(url);
    socket.onmessage = (event) => done(event.data);
    socket.onerror = () => done("error");
})"""
# The first of the events, while more are still to come.
LISTEN = """frame.fetch("api/events").then(async ({headers, body}) => {
    const reader = body.getReader();
    const {value} = await reader.read();
    await reader.cancel();
    return [headers.get("content-type"), new TextDecoder().decode(value)];
})"""
SHOW = """(url) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image.naturalWidth);
    image.onerror = () => done("error");
    image.src = url;
})"""
SAVE = """(url) => {
    const link = document.createElement("a");
    Object.assign(link, {href: url, download: ""});
    document.body.append(link);
    link.click();
}"""
CLOSED = {"menus": MENUS, "visibility": "protected"}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("inpanel")
    write_app(folder / "apps/shop", {"app.py": SYNC}, ttl=600, uses=["kv"], timeout="20s")
    with with_desk(folder, {"talk": TALK}, {"talk": CLOSED}, **ADMIN) as runtime:
        text = 'kv.set(("user", 7), "ann")'
        assert fetch(runtime, "/shop/", method="POST", body=code(text)).status == 200
        yield runtime


@pytest.fixture(scope="module")
def options(runtime: Runtime) -> dict[str, Any]:
    """Of all pages."""
    return {"locale": "en", "color_scheme": "dark", "base_url": address_of(runtime)}


@pytest.fixture(scope="module")
def browser(browser: Browser, options: dict[str, Any]) -> Browser:
    kept_context(browser, **options)
    return browser


def sign_in(page: Page, runtime: Runtime) -> None:
    [(name, value)] = signed_in(runtime).cookies.items()
    page.context.add_cookies([{"name": name, "value": value, "url": address_of(runtime)}])


@pytest.fixture
def own_page(browser: Browser, runtime: Runtime) -> Iterator[Page]:
    """Signed in, for tests that change more than what is shown; an error on it fails the test."""
    with watched(browser) as page:
        sign_in(page, runtime)
        yield page


@pytest.fixture(scope="module")
def shared(browser: Browser, options: dict[str, Any]) -> Shared:
    return Shared(browser, **options)


@pytest.fixture
def page(shared: Shared, runtime: Runtime) -> Iterator[Page]:
    """The same, with the panel and none of the plugins' pages; these tests share it."""
    with shared.lent() as page:
        if page.url == "about:blank":
            sign_in(page, runtime)
            page.goto("/cpanel/apps")
        yield page
        go(page, "/cpanel/apps")


def show(page: Page, path: str) -> None:
    """Show a plugin's page, as by a link."""
    page.evaluate("(url) => import('/cpanel/js/router.js').then(({go}) => go(url))", path)


@pytest.fixture
def frame(page: Page) -> Frame:
    """A plugin's page in the panel."""
    show(page, "/talk/")
    expect(page.frame_locator("bt-frame iframe").locator("body")).to_have_attribute(
        "data-ready", "framed"
    )
    return page.frames[-1]


def test_keyval(page: Page) -> None:
    """From the menu to a value and back, without a key: the shell has signed in."""
    page.get_by_role("link", name="Key-value store").click()
    expect(page).to_have_url("/keyval/")
    shown = page.frame_locator("bt-frame iframe")
    expect(shown.locator("#sign-in")).to_be_hidden()
    shown.get_by_role("button", name="app:shop").click()
    expect(page).to_have_url("/keyval/?space=app%3Ashop")
    expect(page).to_have_title("app:shop · Key-value store · Buntime")
    shown.get_by_role("button", name='["user", 7]').click()
    shown.locator("#entry-value").fill('"bo"')
    shown.get_by_role("button", name="Save").click()
    expect(page.locator("bt-toasts")).to_contain_text("Saved.")
    expect(shown.locator("#entries td.value")).to_have_text('"bo"')
    page.go_back()
    expect(shown.locator("#space")).to_be_hidden()
    page.go_back()
    expect(page).to_have_url("/cpanel/apps")
    expect(page.locator("bt-frame")).to_have_count(0)


def test_deep_address(own_page: Page) -> None:
    """An address inside a page is opened and reloaded as it is."""
    page = own_page
    page.goto("/talk/queues?x=1")
    shown = page.frame_locator("bt-frame iframe")
    expect(shown.locator("#path")).to_have_text("/queues?x=1")
    expect(page.get_by_role("link", name="Talk")).to_have_attribute("aria-current", "page")
    shown.locator("#link").click()
    expect(page).to_have_url("/talk/linked?x=1#here")
    page.reload()
    expect(shown.locator("#path")).to_have_text("/linked?x=1#here")


def test_one_entry_is_marked(page: Page) -> None:
    """Of a plugin's entries the nearest to what is shown is marked, also as its page moves on."""
    marked = page.locator("#nav a[aria-current]")
    shown = page.frame_locator("bt-frame iframe")
    for path, entry in (("/talk/orders/7", "Orders"), ("/talk/o", "O"), ("/talk/old", "Talk")):
        show(page, path)
        expect(marked).to_have_text([entry])
    page.goto("/talk/orders")
    expect(marked).to_have_text(["Orders"])
    expect(shown.locator("#path")).to_have_text("/orders")
    shown.locator("#link").click()
    expect(marked).to_have_text(["Talk"])
    page.go_back()
    expect(marked).to_have_text(["Orders"])


def test_no_page(page: Page) -> None:
    """Where there is no page, or one was ended, a heading says so."""
    heading = page.get_by_role("heading", level=1)
    go(page, "/cpanel/nowhere")
    expect(heading).to_have_text("There is no such page.")
    show(page, "/talk/")
    end = {"text": "it sends too much", "isFatal": True}
    event = "(view, detail) => view.dispatchEvent(new CustomEvent('bt-error', {detail}))"
    page.locator("bt-frame").evaluate(event, end)
    expect(heading).to_have_text("/talk")
    expect(page.locator("main")).to_contain_text("This page was ended: it sends too much.")


def test_theme(page: Page) -> None:
    """The page gets the panel's colours, and follows its switch."""
    show(page, "/talk/")
    shown = page.frame_locator("bt-frame iframe")
    root = shown.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    assert "#131416" in root.evaluate("(root) => root.style.getPropertyValue('--bt-back')")
    page.get_by_label("Theme").select_option("light")
    expect(root).to_have_attribute("data-theme", "light")
    page.get_by_label("Theme").select_option("System")
    expect(root).to_have_attribute("data-theme", "dark")


def test_fetch(frame: Frame) -> None:
    """The page reaches its code with a token, which no message contains before it is asked for."""
    told = frame.evaluate("frame.fetch('api/x', {method: 'PUT'}).then((answer) => answer.json())")
    assert told["path"] == "/api/x"
    assert "authorization" not in told["headers"]
    url = frame.evaluate("frame.url('api/pic?n=1')")
    opaque = "(url) => fetch(url, {mode: 'no-cors'}).then(({type}) => type)"
    assert frame.evaluate(opaque, url) == "opaque"
    plain = "fetch('/talk/api/x').then(() => 'open', () => 'closed')"
    assert frame.evaluate(plain) == "closed"
    assert frame.evaluate("fetch('/api/session').then(() => 'open', () => 'closed')") == "closed"


def test_streams_images_and_downloads(page: Page, frame: Frame) -> None:
    """Events are read as they come, with a token; an image and a file, by a one-time address."""
    kind, first = frame.evaluate(LISTEN)
    assert kind.startswith("text/event-stream")
    assert first.startswith("data: 0\n\n")
    url = frame.evaluate("frame.url('api/picture')")
    assert frame.evaluate(SHOW, url) == 7
    assert frame.evaluate(SHOW, f"{url}&again") == "error"
    with page.expect_download() as saved:
        frame.evaluate(f"frame.url('api/table').then({SAVE})")
    assert saved.value.suggested_filename == "told.csv"
    assert saved.value.path().read_text() == "a,b"
    expect(page).to_have_url("/talk/")


def test_session_that_ends(own_page: Page, runtime: Runtime) -> None:
    """A user who is signed out while a page is open signs in there, and the page continues."""
    page = own_page
    page.goto("/talk/queues?x=1")
    shown = page.frame_locator("bt-frame iframe")
    expect(shown.locator("body")).to_have_attribute("data-ready", "framed")
    asks = "frame.fetch('api/x').then((answer) => answer.status, (error) => error.message)"
    assert page.frames[-1].evaluate(asks) == 200
    operator = Operator(address_of(runtime))
    [operator.cookies["bt"]] = [
        each["value"] for each in page.context.cookies() if each["name"] == "bt"
    ]
    operator.look()
    assert operator.ask("DELETE", "/api/session").status == 204
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("bt-frame")).to_have_count(0)  # the frame of the ended session is gone
    page.locator("#key").fill(OPERATORS_KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(shown.locator("#path")).to_have_text("/queues?x=1")
    expect(page).to_have_url("/talk/queues?x=1")
    assert page.frames[-1].evaluate(asks) == 200


def test_socket(frame: Frame) -> None:
    """A WebSocket of the page opens by a one-time address, and not without it."""
    url = frame.evaluate("frame.url('api/ws?room=1').then((url) => url.replace('http', 'ws'))")
    told = json.loads(frame.evaluate(CONNECT, url))
    assert told["path"] == "/api/ws"
    assert told["query"] == {"room": "1"}
    assert not {"authorization", "cookie"} & {*told["headers"]}
    assert "bt_ticket" not in str(told)
    assert frame.evaluate(CONNECT, url) == "error"
    assert frame.evaluate(CONNECT, url.partition("?")[0]) == "error"


def test_nested_shell(page: Page, frame: Frame) -> None:
    """A page that loads another address than its alias is shown there, in one shell."""
    shown = page.frame_locator("bt-frame iframe")
    frame.evaluate("location.href = '/talk/other'")
    expect(shown.locator("#path")).to_have_text("/other")
    expect(page).to_have_url("/talk/other")
    assert page.locator("bt-frame").count() == 1


def test_menu_is_live(page: Page, runtime: Runtime) -> None:
    """A disabled plugin leaves the menu, and comes back when it is enabled."""
    entry = page.get_by_role("link", name="Talk")
    expect(entry).to_be_visible()
    for action, count in (("disable", 0), ("enable", 1)):
        path = f"/api/plugins/talk/{action}"
        fields = {"X-API-Key": OPERATORS_KEY}
        assert fetch(runtime, path, method="POST", headers=fields).status == 202
        expect(entry).to_have_count(count)


def test_popup(page: Page, frame: Frame) -> None:
    """A window that a page opens is in its sandbox: nobody is signed in there."""
    with page.expect_popup() as opened:
        frame.evaluate("void open('/cpanel/')")
    opened.value.wait_for_load_state()
    assert opened.value.evaluate("self.origin") == "null"
    asked = "fetch('/api/session').then(() => 'open', () => 'closed')"
    assert opened.value.evaluate(asked) == "closed"
    opened.value.close()


def test_page_by_itself(own_page: Page) -> None:
    """A plugin's page outside the shell is in a sandbox at the operators' address."""
    page = own_page
    page.goto("/.well-known/buntime/frame/talk/")
    expect(page.locator("body")).to_have_attribute("data-ready", "alone")
    attempt = "() => { try { return document.cookie; } catch (error) { return error.name; } }"
    assert page.evaluate(attempt) == "SecurityError"
    assert page.evaluate("fetch('/api/session').then(() => 'open', () => 'closed')") == "closed"
    page.evaluate("frame.navigate('/elsewhere')")  # the address cannot follow, but the page does
    expect(page.locator("#path")).to_have_text("/elsewhere")
