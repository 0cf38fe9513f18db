"""A page in a frame that tries to get out, or to crash the shell: it stays inside, or is ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Frame, expect

from tests.support.chromium import needs_chromium
from tests.support.framing import LOOP, RAW, TALK, Desk, wait_for, with_desk
from tests.support.harness import Runtime, write_app

pytestmark = needs_chromium

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
NEVER = """
import time
def fetch(request):
    time.sleep(20)
"""
SAY = "(message) => say(message)"
HEIGHTS = ((1e308, 20000), (-5, 0), ("9999px", 0), (None, 0), ([1], 0), (640.5, 640.5))
PATHS = (
    *("//evil.example/", "/../desk/", "/%2e%2e/desk/", "/..\\desk/", "https://evil.example/"),
    *("javascript:alert(1)", "", "x", "/" + "x" * 3000, "/\\..\\..\\desk", "/a/../../talk/"),
)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    pages = {"talk": TALK, "raw": RAW, "loop": LOOP}
    folder = tmp_path_factory.mktemp("hostile")
    write_app(folder / "apps/never", {"app.py": NEVER}, shell=True, ttl=60)
    with with_desk(folder, pages) as runtime:
        yield runtime
        runtime.stop(signal.SIGKILL)  # it would wait for the app that never answers


@pytest.fixture
def desk(browser: Browser, runtime: Runtime) -> Iterator[Desk]:
    desk = Desk(browser, runtime.url)
    yield desk
    desk.close()
    assert desk.faults == []  # nothing that a page sends raises an error in the shell


@pytest.fixture
def frame(desk: Desk) -> Frame:
    return desk.show("/raw/")


def settle(desk: Desk, frame: Frame) -> None:
    """Waits until the shell has read all that the page has sent."""
    count = len(desk.seen("event"))
    frame.evaluate(SAY, {"type": "EVENT", "name": "settled"})
    desk.wait_for("event", count + 1)


def is_ended(desk: Desk, why: str) -> None:
    """The page is gone, and the shell still runs."""
    wait_for(desk.page, "seen.some(([name, told]) => name === 'error' && told.isFatal)")
    assert [told["text"] for told in desk.seen("error") if told.get("isFatal")] == [why]
    assert desk.page.locator("iframe").count() == 0
    desk.page.evaluate("view.setAttribute('src', '/talk/')")
    desk.wait_for("ready")


def test_flood_of_the_port(desk: Desk, frame: Frame) -> None:
    """A page that sends too much is ended, and most of it is never read."""
    frame.evaluate("for (let n = 0; n < 20000; n++) say({type: 'EVENT', name: 'x', detail: n})")
    is_ended(desk, "it sends too much")
    assert len(desk.seen("event")) < 2000


def test_flood_of_the_window(desk: Desk, frame: Frame) -> None:
    """The same for messages to the window instead of the port."""
    frame.evaluate("for (let n = 0; n < 20000; n++) parent.postMessage({n}, '*')")
    is_ended(desk, "it sends too much")


def test_flood_of_large_messages(desk: Desk, frame: Frame) -> None:
    """Large messages count for more."""
    frame.evaluate("for (let n = 0; n < 40; n++) say({type: 'EVENT', name: 'x'.repeat(60000)})")
    is_ended(desk, "it sends too much")


@pytest.mark.parametrize("message", ["'x'.repeat(70000)", "'[' + '1,'.repeat(9e6) + '1]'", "{}"])
def test_unfit_messages(desk: Desk, frame: Frame, message: str) -> None:
    """A message that is too long, or not text, is not read."""
    frame.evaluate(f"port.postMessage({message})")
    is_ended(desk, "it sent too long a message")


def test_reload_loop(desk: Desk) -> None:
    """A page that reloads itself again and again is ended."""
    desk.open("/loop/")
    is_ended(desk, "it is loaded again and again")


def test_page_that_does_not_come(desk: Desk, frame: Frame) -> None:
    """If its app takes the request and never answers, the shell waits for a while, and says so."""
    desk.page.evaluate("view.setAttribute('patience', '1')")
    desk.page.evaluate("view.setAttribute('src', '/never/')")
    is_ended(desk, "it does not answer")


def test_nonsense(desk: Desk, frame: Frame) -> None:
    """Anything that is not a message of the protocol is ignored."""
    for text in ("", "{", "null", "1", '"x"', "[]", "{}", '{"type": 1}', '{"type": {}}'):
        frame.evaluate("(text) => port.postMessage(text)", text)
    for kind in ("constructor", "__proto__", "toString", "say", "fail", "INIT", "HELLO", "PROPS"):
        frame.evaluate(SAY, {"type": kind, "name": "x", "text": "x", "id": 1})
    for kind in ("READY", "TITLE", "EVENT", "ERROR", "TOAST", "RESIZE", "NAVIGATE", "CALL"):
        frame.evaluate(SAY, {"type": kind})
        for value in (None, 1, [], {"toString": 1}, {"valueOf": 1, "length": 9}):
            names = ("title", "text", "name", "status", "kind", "height", "path", "args", "id")
            frame.evaluate(SAY, {"type": kind, **dict.fromkeys(names, value)})
    frame.evaluate(SAY, {"type": "RESULT", "id": 77, "value": 1})
    settle(desk, frame)
    assert desk.page.locator("iframe").count() == 1
    assert desk.page.evaluate("view.path") == "/"


def test_markup(desk: Desk, frame: Frame) -> None:
    """Titles and toasts are plain text, on one line, and of limited length."""
    frame.evaluate(SAY, {"type": "TOAST", "text": HOSTILE, "kind": HOSTILE})
    desk.wait_for("toast")
    expect(desk.page.locator("#toast")).to_have_text(HOSTILE)
    assert desk.page.locator("#toast img").count() == 0
    frame.evaluate(SAY, {"type": "TITLE", "title": "a\n\0b\u202ec\u2066" + "x" * 1000})
    desk.wait_for("title")
    assert desk.seen("title") == [{"title": "a  b c " + "x" * 113}]
    assert desk.seen("toast") == [{"text": HOSTILE, "kind": "info"}]


def test_height(desk: Desk, frame: Frame) -> None:
    """A page gets as much height as is allowed."""
    desk.page.evaluate("view.setAttribute('autosize', '')")
    for times, (height, pixels) in enumerate(HEIGHTS, 1):
        desk.page.evaluate("view.style.height = '7px'")
        frame.evaluate(SAY, {"type": "RESIZE", "height": height})
        desk.wait_for("resize", times)
        assert desk.page.evaluate("parseFloat(view.style.height)") == pixels, height


def test_paths(desk: Desk, frame: Frame) -> None:
    """A page navigates only to its own paths."""
    for path in PATHS:
        frame.evaluate(SAY, {"type": "NAVIGATE", "path": path, "turn": 0, "load": False})
        settle(desk, frame)
        assert desk.seen("navigate") == [], path
    loads = 1
    for path in PATHS:
        if loads % 10 == 0:  # more would be too many
            desk.page.evaluate("view.parentNode.append(view)")  # as if shown for the first time
            desk.wait_for("ready", loads := loads + 1)
        desk.frame.evaluate("(path) => parent.postMessage({buntime: 'SHELL', path}, '*')", path)
        desk.wait_for("ready", loads := loads + 1)  # SHELL makes the shell load it again
        assert desk.seen("navigate") == [], path
        assert desk.path == "/raw/", path


def test_history(desk: Desk, frame: Frame) -> None:
    """Without a click the history does not grow any more."""
    # Playwright's actions count as the user's.
    idle = "Object.defineProperty(navigator, 'userActivation', {value: {isActive: false}})"
    desk.page.evaluate(f"() => {{ {idle} }}")
    before = desk.page.evaluate("history.length")
    for number in range(20):
        frame.evaluate(SAY, {"type": "NAVIGATE", "path": f"/{number}", "turn": 0})
    settle(desk, frame)
    assert len(desk.seen("navigate")) == 20
    assert desk.page.evaluate("history.length") == before


def test_calls(desk: Desk, frame: Frame) -> None:
    """A page can call only functions that the shell has named, and only so many at a time."""
    for number, name in enumerate(("constructor", "__proto__", "toString", "hasOwnProperty", None)):
        frame.evaluate(SAY, {"type": "CALL", "id": number, "name": name, "args": []})
    for number in range(5, 45):
        frame.evaluate(SAY, {"type": "CALL", "id": number, "name": "never", "args": []})
    wait_for(frame, "told.length >= 13")
    settle(desk, frame)
    told = frame.evaluate("told")
    assert [each["id"] for each in told] == [0, 1, 2, 3, 4, *range(37, 45)]
    assert all("value" not in each for each in told)
    assert told[-1]["error"] == "too many calls at a time"


def test_state(desk: Desk, frame: Frame) -> None:
    """The shell keeps a little state, and ignores one that is too large."""
    frame.evaluate(SAY, {"type": "STATE", "value": {"a": 1}})
    frame.evaluate("say({type: 'STATE', value: 'x'.repeat(20000)})")
    settle(desk, frame)
    assert desk.page.evaluate("sessionStorage.getItem('frame /raw')") == '{"a":1}'


def test_tokens_of_others(desk: Desk, frame: Frame) -> None:
    """Tokens are fetched for the plugin that the shell shows, whatever the page says."""
    frame.evaluate(SAY, {"type": "TOKEN", "id": 1, "plugin": "talk", "base": "/talk"})
    frame.evaluate(SAY, {"type": "TOKEN", "id": 2, "path": "/../talk/api/x", "plugin": "talk"})
    wait_for(frame, "told.length >= 2")
    assert desk.seen("api") == [
        {"asked": "/api/frames/tokens", "plugin": "raw"},
        {"asked": "/api/frames/urls", "plugin": "raw", "path": None},
    ]


def test_greeting_of_another_window(desk: Desk, frame: Frame) -> None:
    """A frame inside the frame, which claims to be another, gets no port."""
    hello = "{buntime: 'HELLO', version: 1, path: '/talk/', origin: 'x'}"
    inner = f"parent.parent.postMessage({hello}, '*')"
    frame.evaluate(
        """(text) => new Promise((done) => {
          const inner = document.createElement("iframe");
          inner.srcdoc = `<script>${text}</script>`;
          inner.onload = done;
          document.body.append(inner);
        })""",
        inner,
    )
    settle(desk, frame)
    assert desk.page.locator("iframe").count() == 1
    assert desk.seen("ready") == [{"title": "Raw"}]
    assert frame.evaluate("heard.length") == 1


def test_init_has_no_secret(frame: Frame) -> None:
    """All that a page is told without asking, and none of it is secret."""
    [told] = frame.evaluate("heard")
    names = {"version", "base", "path", "state", "props", "language", "theme"}
    assert told.keys() == names


def test_other_frames(desk: Desk, frame: Frame) -> None:
    """A page can look into neither the shell's window nor another frame's."""
    desk.page.evaluate(
        """() => new Promise((done) => {
          const other = view.cloneNode(false);
          other.setAttribute("src", "/talk/");
          other.addEventListener("bt-ready", done);
          document.body.append(other);
        })"""
    )
    attempt = """(text) => {
      try { return String(new Function(`return ${text}`)()); } catch (error) { return error.name; }
    }"""
    for text in (
        *("parent.document", "parent.view", "top.document.cookie", "parent.sessionStorage"),
        *("parent.frames[1].document", "parent.frames[1].frame", "document.cookie"),
        *("localStorage.length", "indexedDB.open('x')", "parent.history.length"),
        "navigator.serviceWorker.register('x')",
    ):
        assert frame.evaluate(attempt, text) == "SecurityError", text


def test_top_navigation(desk: Desk, frame: Frame) -> None:
    """A page cannot navigate the window."""
    for text in (
        *("top.location = '/desk/talk/'", "top.location.replace('/desk/talk/')"),
        *("top.location.href = 'https://evil.example/'", "window.open('/desk/talk/', '_top')"),
        *("document.getElementById('top').click()", "document.getElementById('form').submit()"),
    ):
        frame.evaluate(f"() => {{ try {{ {text}; }} catch {{}} }}")
    settle(desk, frame)
    assert desk.page.url == f"{desk.url}/desk/raw/"
    assert desk.page.locator("iframe").count() == 1
