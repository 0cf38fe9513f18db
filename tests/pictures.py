"""Pictures of the control panel for docs/, and what its first page costs a browser.

    python3 build.py pictures

The examples of apps/ run in a runtime of their own, beside two that have faults. The hour of
numbers is made up, since it would take an hour to gather; everything else is as the runtime reports
it.
"""

from __future__ import annotations

import math
import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from tests.support.chromium import CHROMIUM, LACKING, launched
from tests.support.client import fetch
from tests.support.deploying import AS_ROOT
from tests.support.harness import PACKAGES, ROOT, Runtime, running, write_app
from tests.support.operators import ADMIN, address_of

FOLDER = ROOT / "docs/pictures"
FIGURES = ROOT / "docs/performance.md"
BEGIN, END = "<!-- panel: written by `python3 build.py pictures` -->", "<!-- end of panel -->"
WIDE: ViewportSize = {"width": 1200, "height": 780}
PHONE: ViewportSize = {"width": 360, "height": 740}
CART = """
from buntime import Response

PRICES = {"tea": 4.5, "cup": 12.0}

def total(cart):
    return sum(PRICES[item] * count for item, count in cart.items())

def fetch(request):
    cart = {"tea": 2, "pot": 1} if request.path == "/checkout" else {"tea": 2}
    return Response(f"{total(cart):.2f}")
"""
ROUNDS = 5


class Load(NamedTuple):
    """What one visit cost."""

    requests: int
    sent_bytes: int
    unpacked_bytes: int
    paint_ms: float
    shown_ms: float


def main() -> int:
    """Write all pictures and figures; returns the exit code."""
    if CHROMIUM is None:
        print(f"pictures: {LACKING}")
        return 1
    FOLDER.mkdir(exist_ok=True)
    with demo() as runtime, launched() as browser:
        panel = f"{address_of(runtime)}/cpanel/"
        for path in take(browser, panel, runtime):
            print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB", flush=True)
        text = table(browser, panel)
    put(text)
    print(text)
    return 0


@contextmanager
def demo() -> Iterator[Runtime]:
    """A runtime with the examples, one app that fails on some requests, and one that lacks a
    secret."""
    folder = Path(tempfile.gettempdir()) / "demo"  # the name that the pictures show
    folder.mkdir()
    try:
        apps = folder / "apps"
        shutil.copytree(ROOT / "apps", apps, ignore=shutil.ignore_patterns("data", "__pycache__"))
        write_app(apps / "shop/1.4.0", {"app.py": CART}, ttl=3600, data=True)
        write_app(apps / "shop/1.3.2", {"app.py": CART}, ttl=3600, data=True)
        write_app(apps / "billing", {"app.py": CART}, ttl=3600, secrets=["PAYMENT_KEY"])
        settings = {"RUNTIME_ENV": "development", **ADMIN, **AS_ROOT, **PACKAGES}
        with running(apps, env=settings) as runtime:
            for path in ("hello", "todos", "site", "guestbook", "billing", "shop") * 4:
                fetch(runtime, f"/{path}/")
            for _ in range(3):
                fetch(runtime, "/shop/checkout")
            yield runtime
    finally:
        shutil.rmtree(folder)


# Pictures


def take(browser: Browser, panel: str, runtime: Runtime) -> Iterator[Path]:
    """Take them one after the other; yields their paths."""
    with visit(browser, WIDE, "light") as page:
        shown(page, panel)
        yield picture(page, "overview")
        shown(page, f"{panel}apps/shop?view=errors")
        yield picture(page, "errors")
        shown(page, f"{panel}apps/shop")
        page.get_by_role("button", name="Deploy…").click()
        with tempfile.TemporaryDirectory() as folder:
            app = write_app(Path(folder) / "shop", {"app.py": CART + "\nimport stripe\n"}, ttl=3600)
            page.locator("input[webkitdirectory]").set_input_files(app)
            page.locator("dialog [type=submit]").click()
            expect(page.locator("dialog .notice.error")).to_be_visible()
        yield picture(page, "deploy")
    with visit(browser, WIDE, "dark") as page:
        fetch(runtime, "/shop/")
        shown(page, f"{panel}apps/shop")
        yield picture(page, "app")
    with visit(browser, PHONE, "dark") as page:
        shown(page, panel)
        yield picture(page, "phone")


@contextmanager
def visit(browser: Browser, size: ViewportSize, scheme: Any) -> Iterator[Page]:
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB")
    page = context.new_page()
    page.route("**/api/history*", hour)
    yield page
    context.close()


def shown(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("main:not([aria-busy]) h1")).to_be_visible()
    page.wait_for_timeout(2500)  # until the first numbers have come


def picture(page: Page, name: str) -> Path:
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    return path


def hour(route: Route) -> None:
    """An hour of numbers: for all apps, and for each app that is asked for."""
    told = route.fetch().json()
    points, chance = 120, random.Random(7)  # the same ones each time
    waves = [2.2 + math.sin(n / 17) + math.sin(n / 41 + 2) for n in range(points)]

    def around(most: float) -> list[float]:
        return [round(most * (wave + chance.random()) / 5.5, 1) for wave in waves]

    made = {
        "requests": [round(each) for each in around(900)],
        "errors": [round(4 * chance.random()) if 70 < n < 84 else 0 for n in range(points)],
        "p50Ms": around(9),
        "p95Ms": around(48),
        "memoryBytes": [round(5e7 + each * 1e6) for each in around(22)],
        "workers": [4] * points,
    }
    asked = told["apps"] or {"shop": None}
    route.fulfill(json={**told, "total": made, "apps": dict.fromkeys(asked, made)})


# Figures


def table(browser: Browser, panel: str) -> str:
    """Rows of the table in docs/performance.md: the median of several visits each."""
    rows = [
        ("empty cache", visits(browser, panel, {}, is_slow=False)),
        ("once more", visits(browser, panel, {}, is_slow=False, is_second=True)),
        ("empty cache, a slow phone", visits(browser, panel, {}, is_slow=True)),
    ]
    lines = [
        "| overview, | requests | KB sent | KB unpacked | first paint, ms | all is shown, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, loads in rows:
        middle = sorted(loads, key=lambda load: load.shown_ms)[len(loads) // 2]
        lines.append(
            f"| {name} | {middle.requests} | {middle.sent_bytes / 1024:.0f} "
            f"| {middle.unpacked_bytes / 1024:.0f} | {middle.paint_ms:.0f} "
            f"| {middle.shown_ms:.0f} |"
        )
    return "\n".join(lines)


def visits(
    browser: Browser,
    url: str,
    options: Mapping[str, Any],
    *,
    is_slow: bool,
    is_second: bool = False,
) -> Sequence[Load]:
    """Visits by a browser with an empty cache, and by one that has been there once."""
    loads = []
    for _ in range(ROUNDS):
        context = browser.new_context(viewport=PHONE if is_slow else WIDE, **options)
        page = context.new_page()
        if is_slow:
            slow(page)
        for _ in range(1 + is_second):
            page.goto(url, wait_until="commit")
            expect(page.locator("main:not([aria-busy]) h1")).to_be_visible(timeout=30_000)
            load = measured(page)
        loads.append(load)
        context.close()
    return loads


def slow(page: Page) -> None:
    """A quarter of this machine's speed, 1.6 Mbit/s and 150 ms there and back."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    speed = {"downloadThroughput": 200_000, "uploadThroughput": 90_000, "latency": 150}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", {"offline": False, **speed})


def measured(page: Page) -> Load:
    """What the browser itself recorded of this visit."""
    told = page.evaluate(
        """() => {
            const all = [...performance.getEntriesByType("navigation"),
                         ...performance.getEntriesByType("resource")];
            const sum = (key) => all.reduce((total, each) => total + each[key], 0);
            const paint = performance.getEntriesByName("first-contentful-paint")[0];
            return [all.length, sum("transferSize"), sum("decodedBodySize"),
                    paint?.startTime ?? 0, performance.now()];
        }"""
    )
    return Load(*told)


def put(text: str) -> None:
    """Write the figures into docs/performance.md, between its marks."""
    before, _, rest = FIGURES.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    FIGURES.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
