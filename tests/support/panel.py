"""The control panel in a browser: a runtime with apps in all states, and what no page may do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import (
    Browser,
    Error,
    Locator,
    Page,
    Request,
    ViewportSize,
    expect,
)

from buntime.core.admin.routes import ROUTES
from tests.support.chromium import USUAL, WIDE, forget, kept_context, origin_of, pages_of
from tests.support.deploying import AS_ROOT
from tests.support.harness import PACKAGES, Runtime, running, write_app
from tests.support.operators import ADMIN

expect.set_options(timeout=15_000)  # for what takes a moment, on a shared machine

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
NARROW: ViewportSize = {"width": 360, "height": 740}
IN_A_THEME = ("color-contrast", "scrollable-region-focusable")  # all that a theme or width spoils

SHOP = """
import os
from buntime import Response

def total(cart):
    return sum(item["price"] * item["count"] for item in cart)

def fetch(request):
    if request.path == "/fail":
        return Response.json(total([{"price": 3}]))
    if request.path == "/pid":
        return Response(str(os.getpid()))
    if request.path == "/say":
        print(request.query["text"])
    if request.path == "/raise":
        raise ValueError(request.query["text"])
    return Response("a shop")
"""
HELLO = (
    'from buntime import Response\n\ndef fetch(request):\n    return Response("hello VERSION")\n'
)


def write_apps(apps: Path) -> None:
    """One app can fail, one has two versions, one lacks a secret and has a job, one is files."""
    write_app(apps / "shop", {"app.py": SHOP}, ttl=600, data=True)
    for version in ("1.0.0", "2.0.0"):
        write_app(apps / "hello" / version, {"app.py": HELLO.replace("VERSION", version)}, ttl=600)
    cron = [{"name": "tidy", "schedule": "0 4 * * *", "path": "/tidy"}]
    write_app(apps / "till", {"app.py": HELLO}, ttl=600, secrets=["PAYMENT_KEY"], cron=cron)
    write_app(apps / "site", {"index.html": "<!doctype html><title>Site</title><p>files"})


@contextlib.contextmanager
def with_panel(folder: Path, **env: str) -> Iterator[Runtime]:
    """A runtime with these apps, in development, with an address for operators."""
    write_apps(folder / "apps")
    settings = {"RUNTIME_ENV": "development", **ADMIN, **AS_ROOT, **PACKAGES, **env}
    with running(folder / "apps", env=settings) as runtime:
        yield runtime


@contextlib.contextmanager
def watched(browser: Browser, *, is_first: bool = False, **options: Any) -> Iterator[Page]:
    """A page; anything that it complains of, and each dialog of a script, fails the test.

    Unless it `is_first` or has `options` of its own, it may have the panel's files in its cache, as
    the page of an operator who comes back: loading them takes longer than most tests.
    """
    is_kept = not (is_first or options)
    idle = [each for each in browser.contexts if is_kept and not pages_of(each)]
    if idle:
        context = idle[0]
    elif is_kept:
        context = kept_context(browser)
    else:
        context = browser.new_context(**{**USUAL, **options})
    page = context.new_page()
    faults = faults_of(page)
    origins: set[str] = set()
    page.on("request", lambda request: origins.add(origin_of(request.url)))
    is_clean = False
    try:
        yield page
        if is_kept:
            forget(context, page, origins)
            is_clean = True
    finally:
        if not is_clean:
            context.close()
    assert faults == []


def faults_of(page: Page) -> list[str]:
    """What the page complains of from now on, and the dialogs of its scripts."""
    page.set_default_timeout(10_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.extend(_unknown(request)))
    page.on("dialog", lambda dialog: faults.append(f"a dialog: {dialog.message}"))
    page.on(
        "console",
        lambda told: faults.append(told.text) if "Content Security" in told.text else None,
    )
    return faults


class Shared:
    """A page of the panel that one test after the other uses, as an operator who leaves it open:
    loading the panel takes longer than most tests.

    It has a context of its own. A test that leaves it in another state than it found it, as one
    that fails may do, ends it; the next test then gets a new one, with these options.
    """

    def __init__(self, browser: Browser, **options: Any) -> None:
        self._browser = browser
        self._options = {**USUAL, "color_scheme": "light", **options}
        self._page: Page | None = None
        self._faults: list[str] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[Page]:
        """The page, for one test; what it complains of meanwhile fails this test."""
        if self._page is None:
            self._page = self._browser.new_context(**self._options).new_page()
            self._faults = faults_of(self._page)
        page, self._page = self._page, None
        yield page
        page.unroute_all()
        faults = [*self._faults]
        self._faults.clear()
        if not faults and page.evaluate(_AS_IT_WAS, self._options["color_scheme"]):
            self._page = page
        else:
            page.context.close()
        assert faults == []


_AS_IT_WAS = """(scheme) => {
    document.querySelector("bt-toasts")?.replaceChildren();
    for (const each of document.querySelectorAll("dialog[open]")) each.close();
    return location.pathname.startsWith("/cpanel/") && localStorage.length === 0
        && document.querySelector("main:not([aria-busy]) h1")
        && matchMedia(`(prefers-color-scheme: ${scheme})`).matches && innerWidth === WIDTH;
}""".replace("WIDTH", str(WIDE["width"]))


def _unknown(request: Request) -> Iterator[str]:
    """Calls that the page makes but that are in no table of routes, so no other client can."""
    path = urlsplit(request.url).path
    found = ROUTES.find(path)
    if path.startswith("/api/") and (found is None or request.method not in found.routes):
        yield f"no route: {request.method} {path}"


def findings(page: Page, *rules: str) -> Mapping[str, Any]:
    """What axe finds: the elements by rule. With `rules`, by those alone.

    Contrast, which takes most of its time, is looked at once for all texts that are alike.
    """
    if not page.evaluate("'axe' in window"):  # parsed once, in a page that several tests use
        page.evaluate(AXE.read_text("utf-8"))
        page.evaluate(_LIKENESS)
    # No rule that runs needs the page's style sheets and media loaded and parsed once more.
    options = {"resultTypes": ["violations"], "preload": False}
    found = page.evaluate("(options) => runAxe(options)", {**options, **_only(rules)})
    return {each["id"]: [node["html"][:200] for node in each["nodes"]] for each in found}


def _only(rules: Sequence[str]) -> Mapping[str, Any]:
    return {"runOnly": [*rules]} if rules else {}


# Texts are alike if they, and all that they are in, have the same style, and the rule treats them
# alike: it passes over what is disabled or not visible, and text without two letters.
_LIKENESS = r"""() => {
    const STYLE = ["color", "backgroundColor", "backgroundImage", "fontSize", "fontWeight",
        "opacity", "textShadow", "filter", "position", "clipPath", "visibility"];
    axe.configure({rules: [{id: "color-contrast", selector: "[data-unlike]"}]});

    function markUnlike() {
        const kinds = new Map();
        const number = (key) => kinds.get(key) ?? kinds.set(key, kinds.size).get(key);
        const known = new Map();
        const seen = new Set();
        for (const element of document.querySelectorAll("*")) {
            const style = getComputedStyle(element);
            const look = STYLE.map((name) => style[name]);
            const kind = number([known.get(element.parentElement), ...look].join());
            known.set(element, kind);
            const texts = [...element.childNodes].filter(({nodeType}) => nodeType === 3);
            const text = texts.map(({data}) => data).join("") + (element.value ?? "");
            const isText = text.trim() || element.matches("input, select, textarea");
            if (!isText || !element.checkVisibility()) continue;
            const key = [kind, element.localName, element.matches(":disabled, :disabled *"),
                element.ariaDisabled, /[\p{L}\p{N}].*[\p{L}\p{N}]/u.test(text)].join();
            if (!seen.has(key)) element.dataset.unlike = "";
            seen.add(key);
        }
        return known.keys();
    }

    window.runAxe = async (options) => {
        const marked = markUnlike();
        try {
            return (await axe.run(options)).violations;
        } finally {
            for (const element of marked) delete element.dataset.unlike;
        }
    };
}
"""


def go(page: Page, url: str) -> None:
    """To another page of the panel that is shown, as by a link: without loading the panel again."""
    page.evaluate("(url) => import('/cpanel/js/router.js').then(({go}) => go(url))", url)
    expect(page.locator("main:not([aria-busy]) h1")).to_be_visible()


def show(page: Page, url: str) -> None:
    """Go there, and wait for the whole page, with its heading. A panel that shows another of its
    pages is not loaded again."""
    here, there = urlsplit(page.url), urlsplit(url)
    is_open = here.netloc == there.netloc and here.path.startswith("/cpanel/")
    if is_open and here != there and there.path.startswith("/cpanel/"):
        go(page, url)
        return
    page.goto(url)
    expect(page.locator("main:not([aria-busy]) h1")).to_be_visible()


@contextlib.contextmanager
def in_german(page: Page) -> Iterator[None]:
    """The panel speaks German, and then English again, without being loaded again."""
    chosen = page.locator("html")
    page.get_by_label("Language", exact=True).select_option("de")
    expect(chosen).to_have_attribute("lang", "de")
    yield
    page.get_by_label("Sprache", exact=True).select_option("en")
    expect(chosen).to_have_attribute("lang", "en")
    page.evaluate("localStorage.clear()")


def dialog(page: Page) -> Locator:
    return page.locator("dialog[open]")


def agree(page: Page) -> None:
    """Confirm the dialog."""
    dialog(page).locator("[type=submit]").click()


def row(page: Page, heading: str) -> Locator:
    """The rows of tables whose heading contains this."""
    return page.locator("tbody tr", has=page.get_by_role("rowheader", name=heading))


def overflow(page: Page) -> int:
    """How far the page is wider than its window, in pixels."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def answering(page: Page, pattern: str, change: Callable[[Any], Any]) -> None:
    """Change the API's answers, to values that the runtime itself would refuse."""

    def answer(route: Any) -> None:
        with contextlib.suppress(Error):  # the page that sent the request may be gone
            route.fulfill(json=change(route.fetch().json()))

    page.route(pattern, answer)
