"""Pages that compute, in a frame: WebAssembly and workers, as docs/micro-frontends.md says."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.chromium import launched, needs_chromium
from tests.support.framing import RAW, TALK, Desk, wait_for, with_desk
from tests.support.harness import ROOT, Runtime, write_app

pytestmark = needs_chromium

PAGE = (ROOT / "docs/micro-frontends.md").read_text("utf-8")
EXAMPLE = re.compile(r"^`apps/sums/([\w.]+)`.*?:\n\n```\w+\n(.*?)^```$", re.M | re.S)
# (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
WASM = base64.b64decode("AGFzbQEAAAABBwFgAn9/AX8DAgEABwcBA2FkZAAACgkBBwAgACABags=")
BY_ADDRESS = """() => {
    try { new Worker("worker.js"); return "made"; } catch (error) { return error.name; }
}"""

# A call that the shell waits for only a twentieth of its time: all the while the page computes.
CALL = """() => {
    const before = window.setTimeout;
    window.setTimeout = (act, ms) => before(act, ms / 20);
    view.call("any").catch((error) => { window.why = error.message; });
    window.setTimeout = before;
}"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("computing")
    files = dict(EXAMPLE.findall(PAGE))
    assert files.keys() == {"index.html", "worker.js"}
    write_app(folder / "apps/sums", files, shell=True)
    (folder / "apps/sums/add.wasm").write_bytes(WASM)
    with with_desk(folder, {"talk": TALK, "raw": RAW}) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # As on a desktop, where a sandboxed frame has a process of its own.
    with launched("--site-per-process") as browser:
        yield browser


@pytest.fixture
def desk(browser: Browser, runtime: Runtime) -> Iterator[Desk]:
    desk = Desk(browser, runtime.url)
    yield desk
    desk.close()
    assert desk.faults == []


def test_web_assembly_in_a_worker(desk: Desk) -> None:
    """The docs' example: a worker from a Blob, which loads its code and computes."""
    desk.open("/sums/")
    shown = desk.page.frame_locator("bt-frame iframe")
    expect(shown.locator("output")).to_have_text("42")


def test_what_does_not_go(desk: Desk) -> None:
    """A worker by its address, and shared memory, are not possible: the page has no origin."""
    frame = desk.show("/raw/")
    assert frame.evaluate(BY_ADDRESS) == "SecurityError"
    assert frame.evaluate("self.crossOriginIsolated") is False
    assert frame.evaluate("typeof SharedArrayBuffer") == "undefined"


def test_page_that_stands_still(desk: Desk) -> None:
    """A page that computes without end blocks only its frame; the shell runs on, and ends it."""
    frame = desk.show("/raw/")
    frame.evaluate("void setTimeout(() => { for (;;); })")
    desk.page.evaluate(CALL)
    wait_for(desk.page, "window.why === 'the page did not answer'")
    desk.page.evaluate("view.setAttribute('src', '/talk/')")
    desk.wait_for("ready", 2)
    assert desk.frame.evaluate("1 + 1") == 2
