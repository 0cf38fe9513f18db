"""The log in a real browser: as fast as real apps print, and over a connection that breaks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.chromium import needs_chromium
from tests.support.client import fetch
from tests.support.forwarding import cable_to
from tests.support.harness import Runtime, wait_until, write_app
from tests.support.operators import address_of
from tests.support.panel import findings, show, with_panel

pytestmark = [needs_chromium, pytest.mark.timeout(180)]

# One worker may print 10,000 lines at once and 1,000 a second, so more takes several workers.
APPS = ("one", "two", "three", "four")
FLOOD = """
import threading, time
from buntime import Response

def flood(count, rate, width):
    begun, told = time.monotonic(), 0
    while told < count:
        due = min(count, int((time.monotonic() - begun) * rate) + 1)
        lines = (f"line {n} of {count} of a flood{' ' * width}" for n in range(told, due))
        print("\\n".join(lines), flush=True)
        told = due
        time.sleep(0.01)
    seconds = time.monotonic() - begun
    print(f"the flood of {count} lines has ended after {seconds:.2f} s", flush=True)

def fetch(request):
    query = request.query
    what = int(query["count"]), float(query.get("rate", "1e6")), int(query.get("width", "0"))
    threading.Thread(target=flood, args=what, daemon=True).start()
    return Response("begun")
"""
# Prints a line that turns the direction of what follows it.
TURNED = """
from buntime import Response

def fetch(request):
    print("turned \u202eabc def", flush=True)
    return Response("told")
"""
# Counts only lines of these floods: earlier lines may arrive after the page is live.
COUNT = """(counts) => {
window.wanted = new RegExp(` of (${counts}) of a flood`);
const isFirst = !window.seen;
window.seen = {lines: 0, missing: 0, gaps: 0, seqs: new Set(), twice: 0};
Object.assign(seen, {longest: 0, first: 0, last: 0});
if (!isFirst) return;
const {prototype} = customElements.get("bt-lines");
const {add} = prototype;
prototype.add = function (lines) {
  for (const line of lines) {
    if (wanted.test(line.message)) {
      seen.lines += 1;
      if (seen.seqs.has(line.seq)) seen.twice += 1;
      seen.seqs.add(line.seq);
      seen.first ||= performance.now();
      seen.last = performance.now();
    }
    if (line.event === "log.skipped") seen.missing += line.lines;
    if (["log.gap", "log.dropped", "app.output_dropped"].includes(line.event)) seen.gaps += 1;
  }
  return add.call(this, lines);
};
let last = performance.now();
const frame = (now) => {
  seen.longest = Math.max(seen.longest, now - last);
  last = now;
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
}"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("logs")
    for name in APPS:
        write_app(folder / "apps" / name, {"app.py": FLOOD}, ttl=600)
    write_app(folder / "apps/turner", {"app.py": TURNED}, ttl=600)
    with with_panel(folder, RUNTIME_LOG_LEVEL="info") as runtime:
        yield runtime


def follow(page: Page, url: str, counts: str = "") -> None:
    """`counts` are the sizes of floods whose lines are counted: "50|70"."""
    show(page, url)
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()
    page.evaluate(COUNT, counts)


def shown(page: Page, text: str | re.Pattern[str]) -> Locator:
    return page.locator("bt-lines .row:visible", has_text=text)


def flood(runtime: Runtime, app: str, count: int, **more: int) -> None:
    query = "&".join(f"{key}={value}" for key, value in {"count": count, **more}.items())
    assert fetch(runtime, f"/{app}/?{query}").body == b"begun"


def seen(page: Page, whole: int) -> dict[str, Any]:
    """What has arrived, once the page has accounted for everything that was printed.

    A machine that is too slow may lose lines elsewhere; then a gap says so.
    """
    deadline, had, since = time.monotonic() + 90, -1, time.monotonic()
    while True:
        told: dict[str, Any] = page.evaluate("({...seen, seqs: null})")
        if told["lines"] + told["missing"] >= whole:
            return told
        if told["lines"] != had:
            had, since = told["lines"], time.monotonic()
        elif told["gaps"] and time.monotonic() > since + 10:
            return told
        assert time.monotonic() < deadline, told
        page.wait_for_timeout(200)  # the page is busy enough


def test_ten_thousand_lines_a_second(page: Page, runtime: Runtime) -> None:
    """The page keeps up with all that four apps can print: it has rows only for visible lines."""
    follow(page, f"{address_of(runtime)}/cpanel/logs", "6000")
    for name in APPS:
        flood(runtime, name, 6000, rate=4000)
    told = seen(page, 4 * 6000)
    assert told["gaps"] or told["lines"] + told["missing"] == 4 * 6000, told
    assert told["twice"] == 0
    assert told["longest"] < 2000, "of a frame, in milliseconds"
    assert page.locator("bt-lines .row").count() < 200
    assert page.evaluate("document.querySelector('bt-lines').count") <= 20_000
    page.get_by_label("Search in lines").fill("the flood of 6000 lines has ended")
    ends = shown(page, "the flood of 6000 lines has ended")
    expect(ends).not_to_have_count(0)
    seconds = [float(re.findall(r"after ([\d.]+) s", text)[0]) for text in ends.all_inner_texts()]
    # 1.5 s and 16,000 a second if nothing else uses the machine.
    assert 24_000 / max(seconds) > 10_000, "so many a second were printed"
    assert told["lines"] / (told["last"] - told["first"]) * 1000 > 2_000, told


def test_an_app_that_prints_too_much(page: Page, runtime: Runtime) -> None:
    """Output that was left out is a visible gap, whatever the search."""
    follow(page, f"{address_of(runtime)}/cpanel/apps/one?view=log")
    flood(runtime, "one", 40_000)
    gap = page.locator("bt-lines .row.gap:visible").first
    expect(gap).to_contain_text(re.compile(r"[\d,]+ lines are missing here"), timeout=20_000)
    assert findings(page, "color-contrast") == {}
    page.get_by_label("Search in lines").fill("no line has this")
    expect(gap).to_be_visible()
    expect(shown(page, "of a flood")).to_have_count(0)


def test_a_page_that_is_too_slow(page: Page, runtime: Runtime) -> None:
    """Lines that the page could not take in time are reported in their place, with their number."""
    follow(page, f"{address_of(runtime)}/cpanel/logs", "9000")
    with standing_still(page):
        for name in ("two", "three"):
            flood(runtime, name, 9_000, width=900, rate=4000)
        wait_until(lambda: has_told(runtime, "the flood of 9000 lines has ended", 2), timeout_s=30)
    told = seen(page, 18_000)
    assert told["missing"] > 0
    page.get_by_label("Search in lines").fill("no line has this")
    gap = page.locator(".gap:visible", has_text="came faster than they were read").first
    expect(gap).to_contain_text(re.compile(r"[\d,]+ lines? (is|are) missing here"))


def test_a_line_that_breaks(page: Page, runtime: Runtime) -> None:
    """What was printed meanwhile comes once the connection is back: once each, without a gap."""
    with cable_to(address_of(runtime)) as cable:
        follow(page, f"{cable.url}/cpanel/logs?app=four", "50|70|3000")
        flood(runtime, "four", 50)
        assert seen(page, 50)["lines"] == 50
        cable.cut()
        expect(page.get_by_role("status").filter(has_text="connecting again")).to_be_visible()
        expect(page.locator(".lost")).to_be_visible()
        flood(runtime, "four", 70)
        cable.mend()
        told = seen(page, 120)
        assert (told["lines"], told["twice"]) == (120, 0)
        expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()
        expect(page.locator(".gap")).to_have_count(0)
        cable.cut()
        expect(page.get_by_role("status").filter(has_text="connecting again")).to_be_visible()
        flood(runtime, "four", 3_000)
        wait_until(lambda: has_told(runtime, "the flood of 3000 lines has ended"), timeout_s=30)
        cable.mend()
        seen(page, 1000)
        page.get_by_label("Search in lines").fill("no line has this")
        expect(page.locator(".gap:visible")).to_contain_text("the connection was away for too long")
        assert page.evaluate("seen.twice") == 0


def has_told(runtime: Runtime, text: str, times: int = 1) -> bool:
    told = [each for each in tuple(runtime.records) if str(each["message"]).startswith(text)]
    return len(told) >= times


@contextlib.contextmanager
def standing_still(page: Page) -> Iterator[None]:
    """Until the end the page does nothing at all, nor do others of its browser."""
    browser = page.context.browser
    assert browser is not None
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    renderers = [each["id"] for each in told if each["type"] == "renderer"]
    assert renderers
    for process in renderers:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in renderers:
            os.kill(process, signal.SIGCONT)


# The letters of an element from left to right, as they are seen.
LETTERS = """(element) => {
    const text = element.firstChild, found = [];
    for (let n = 0; n < text.length; n++) {
        const range = document.createRange();
        range.setStart(text, n);
        range.setEnd(text, n + 1);
        found.push([range.getBoundingClientRect().left, text.data[n]]);
    }
    return found.sort(([one], [other]) => one - other).map(([, letter]) => letter).join("");
}"""


def test_a_line_that_turns_the_text(page: Page, runtime: Runtime) -> None:
    """What an app prints turns no text beside it: the name of its app stays as it is."""
    follow(page, f"{address_of(runtime)}/cpanel/logs")
    assert fetch(runtime, "/turner/").body == b"told"
    row = shown(page, "turned").first
    expect(row).to_be_visible()
    assert row.locator("span").last.evaluate(LETTERS).startswith("turner")
