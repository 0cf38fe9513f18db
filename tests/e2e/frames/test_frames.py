"""Pages in the shell's frames, in a real browser: what they are told, and what they show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.chromium import needs_chromium
from tests.support.client import fetch
from tests.support.framing import PAGES, SAYS_HELLO, TALK, Desk, wait_for, with_desk
from tests.support.harness import Runtime

pytestmark = needs_chromium

SECOND = PAGES.format("second")
WITH = {
    "talk": TALK,
    "plain": {"index.html": PAGES.format("first"), "second.html": SECOND},
    "many": {"index.html": PAGES.format("first") + SAYS_HELLO, "second.html": SECOND + SAYS_HELLO},
}
FACTS = """async () => {
  const attempt = (act) => { try { return act(); } catch (error) { return error.name; } };
  return {
    origin: self.origin,
    location: location.origin,
    storage: attempt(() => String(localStorage)),
    cookie: attempt(() => document.cookie),
    shell: attempt(() => parent.document.title),
  };
}"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with with_desk(tmp_path_factory.mktemp("frames"), WITH) as runtime:
        yield runtime


@pytest.fixture(params=["127.0.0.1", "apps.example"])
def desk(request: pytest.FixtureRequest, browser: Browser, runtime: Runtime) -> Iterator[Desk]:
    desk = Desk(browser, f"http://{request.param}:{runtime.port}")
    yield desk
    desk.close()
    assert desk.faults == []


def test_box(desk: Desk) -> None:
    """A page has no origin, no storage, no cookie and no access to the shell's document."""
    frame = desk.show()
    assert frame.evaluate(FACTS) == {
        "origin": "null",
        "location": desk.url,
        "storage": "SecurityError",
        "cookie": "SecurityError",
        "shell": "SecurityError",
    }


def test_talk(desk: Desk) -> None:
    """Props, theme, events, calls and what is to be shown reach the other side."""
    frame = desk.show("/talk/queues?x=1")
    assert frame.evaluate(
        "[frame.isAlone, frame.props, frame.language, frame.base, frame.path]"
    ) == [*(False, {"user": "ann"}, "de", "/talk", "/queues?x=1")]
    assert frame.evaluate("document.documentElement.dataset.theme") == "dark"
    assert frame.evaluate("document.documentElement.style.getPropertyValue('--bt-back')") == "#123"
    assert desk.seen("ready") == [{"title": "Talk"}]
    desk.page.evaluate("view.tell({props: {user: 'bo'}})")
    wait_for(frame, "told.some((each) => each.user === 'bo')")
    desk.page.evaluate("view.emit('hello', {n: [1, null]})")
    desk.wait_for("event")
    assert desk.seen("event") == [{"name": "heard", "detail": {"n": [1, None]}}]
    assert frame.evaluate("frame.call('add', 2, 3)") == 5
    assert desk.page.evaluate("view.call('twice', 4)") == 8
    frame.evaluate(
        "frame.title('Queues'); frame.toast('Saved.', 'success'); frame.error('Gone', 404)"
    )
    desk.wait_for("error")
    assert desk.page.title() == "Queues"
    assert desk.seen("toast") == [{"text": "Saved.", "kind": "success"}]
    assert desk.seen("error") == [{"text": "Gone", "status": 404}]


def test_calls_that_fail(desk: Desk) -> None:
    """The caller learns that a function has failed, or does not exist."""
    frame = desk.show()
    told = "(name) => frame.call(name).catch((error) => error.message)"
    assert frame.evaluate(told, "fail") == "no"
    assert frame.evaluate(told, "toString") == "the shell has no toString"
    assert "not a function" in desk.page.evaluate(
        "view.call('none').catch((error) => error.message)"
    )


def test_tokens(desk: Desk) -> None:
    """A token is fetched when it is needed, kept while it is valid, and is for this plugin only."""
    frame = desk.show()
    assert frame.evaluate("Promise.all([frame.token(), frame.token()])") == ["t0ken", "t0ken"]
    assert frame.evaluate("frame.token()") == "t0ken"
    assert desk.seen("api")[0] == {"asked": "/api/frames/tokens", "plugin": "talk"}
    assert frame.evaluate("frame.url('api/x?y=1')") == f"{desk.url}/once/api/x?y=1"
    asked = {"asked": "/api/frames/urls", "plugin": "talk", "path": "/api/x?y=1"}
    assert desk.seen("api")[-1] == asked
    outside = "frame.url('../desk/').catch((error) => error.name)"
    assert frame.evaluate(outside) == "TypeError"


def test_navigation(desk: Desk) -> None:
    """The address bar follows the page, and the page goes back and forward with it; no loops."""
    frame = desk.show()
    frame.locator("#link").click()
    desk.wait_for("navigate")
    assert desk.seen("navigate") == [{"path": "/linked?x=1#here", "replace": False}]
    assert desk.path == "/talk/linked?x=1#here"
    frame.locator("#link").click()  # there already
    desk.page.keyboard.press("a")
    frame.evaluate("frame.navigate('/two')")
    frame.evaluate("frame.navigate('/three', {replace: true})")
    desk.wait_for("navigate", 3)
    desk.page.go_back()
    expect(frame.locator("#path")).to_have_text("/linked?x=1")
    desk.page.go_back()
    expect(frame.locator("#path")).to_have_text("/")
    desk.page.go_forward()
    desk.page.go_forward()
    expect(frame.locator("#path")).to_have_text("/three")
    assert desk.path == "/talk/three"
    assert len(desk.seen("navigate")) == 3
    told = ["/", "/linked?x=1#here", "/two", "/three", "/linked?x=1", "/", "/linked?x=1", "/three"]
    assert frame.evaluate("told") == told
    assert len(desk.seen("ready")) == 1  # the same frame all the time


def test_crossing(desk: Desk) -> None:
    """If both sides navigate at once, they end up at one place."""
    frame = desk.show()
    desk.page.evaluate("view.navigate('/shell')")
    frame.evaluate("frame.navigate('/page')")
    wait_for(desk.page, "view.path !== '/'")
    wait_for(frame, f"frame.path === '{desk.page.evaluate('view.path')}'")


def test_reload(desk: Desk) -> None:
    """A page that reloads itself gets a new frame and port, at the place where it was."""
    frame = desk.show()
    frame.evaluate("frame.state = {draft: 'x'}; frame.navigate('/deep')")
    desk.wait_for("navigate")
    frame.evaluate("location.reload()")
    desk.wait_for("ready", 2)
    expect(desk.frame.locator("#path")).to_have_text("/deep")
    assert desk.frame.evaluate("frame.state") == {"draft": "x"}
    assert desk.frame.evaluate("frame.call('add', 1, 1)") == 2
    assert desk.page.locator("iframe").count() == 1


def test_second_hello(desk: Desk) -> None:
    """A page that greets twice loses its port, and is loaded again."""
    frame = desk.show()
    frame.evaluate("parent.postMessage({buntime: 'HELLO', version: 1, path: '/talk/else'}, '*')")
    desk.wait_for("ready", 2)
    expect(desk.frame.locator("#path")).to_have_text("/else")
    assert desk.page.locator("iframe").count() == 1


def test_dispose(desk: Desk) -> None:
    """A page gets a moment to keep its state when it is disposed of, and gets it back later."""
    desk.show()
    desk.page.evaluate("view.dispose()")
    assert desk.page.locator("iframe").count() == 0
    desk.page.evaluate("view.setAttribute('src', '/many/'); view.setAttribute('src', '/talk/')")
    desk.wait_for("ready", 2)
    assert desk.frame.evaluate("frame.ready.then(() => frame.state)") == {"left": "here"}


def test_pages_that_load(desk: Desk) -> None:
    """For a page that loads each of its paths, links, back and forward work too."""
    frame = desk.show("/many/")
    frame.locator("#next").click()
    desk.wait_for("ready", 2)
    expect(desk.frame.locator("h1")).to_have_text("second")
    assert desk.path == "/many/second.html"
    desk.page.go_back()
    expect(desk.page.frame_locator("iframe").locator("h1")).to_have_text("first")
    desk.page.go_forward()
    expect(desk.page.frame_locator("iframe").locator("h1")).to_have_text("second")


def test_page_without_script(desk: Desk) -> None:
    """A page that knows nothing of shells is shown, and may load others of its own."""
    desk.open("/plain/")
    shown = desk.page.frame_locator("iframe")
    shown.locator("#next").click()
    expect(shown.locator("h1")).to_have_text("second")


def test_alone(desk: Desk) -> None:
    """Opened by itself, the same page works alone, with the browser's own address bar."""
    page = desk.page
    page.goto(f"{desk.url}/talk/")
    expect(page.locator("body")).to_have_attribute("data-ready", "alone")
    page.click("#link")
    expect(page.locator("#path")).to_have_text("/linked?x=1#here")
    assert page.url == f"{desk.url}/talk/linked?x=1#here"
    page.go_back()
    expect(page.locator("#path")).to_have_text("/")
    assert page.evaluate("frame.fetch('api/x').then((answer) => answer.json())")["path"] == "/api/x"
    assert page.evaluate("frame.url('api/x')") == f"{desk.url}/talk/api/x"
    assert (
        page.evaluate("frame.call('add').catch((error) => error.message)") == "no answer of a shell"
    )


def test_alias_alone(desk: Desk) -> None:
    """The frame's address has no origin either if somebody opens it in a window."""
    desk.page.goto(f"{desk.url}/.well-known/buntime/frame/talk/")
    expect(desk.page.locator("body")).to_have_attribute("data-ready", "alone")
    assert desk.page.evaluate(FACTS)["origin"] == "null"


def test_scripts(runtime: Runtime) -> None:
    """The scripts are small, allowed for pages without an origin, and cached by their ETag."""
    for name in ("frame.js", "bt-frame.js", "bt-talk.js", "frame.d.ts", "bt-frame.d.ts"):
        answer = fetch(runtime, f"/.well-known/buntime/{name}")
        assert answer.status == 200
        assert len(answer.body) < 6 * 1024, name
        assert answer.headers["access-control-allow-origin"] == "*"
        again = fetch(
            runtime,
            f"/.well-known/buntime/{name}",
            headers={"If-None-Match": answer.headers["etag"]},
        )
        assert (again.status, again.body) == (304, b"")
    assert fetch(runtime, "/.well-known/buntime/other.js").status == 404


def test_alias_of_nothing(runtime: Runtime) -> None:
    """The alias serves pages only: no app, and no path of the runtime's own."""
    for path in (
        "desk/",
        "none/",
        "api/workers",
        ".well-known/buntime/health",
        "",
        "talk/../desk/",
    ):
        assert fetch(runtime, f"/.well-known/buntime/frame/{path}").status == 404, path
