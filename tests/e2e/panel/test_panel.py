"""The control panel, page by page and action by action, in a real browser."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pictures import measured
from tests.support.chromium import WIDE, needs_chromium
from tests.support.client import fetch
from tests.support.harness import Runtime, command, wait_until, write_app
from tests.support.panel import (
    HELLO,
    IN_A_THEME,
    NARROW,
    agree,
    answering,
    dialog,
    findings,
    go,
    overflow,
    row,
    show,
    watched,
    with_panel,
)

pytestmark = needs_chromium

VIEWS = ["", "?view=versions", "?view=log", "?view=errors", "?view=settings"]
PATHS = ["", "apps", *(f"apps/till{view}" for view in VIEWS), "apps/nobody"]
EVIL = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    '"><svg onload=alert(3)>',
    "javascript:alert(4)",
    "{{7*7}}${alert(5)}",
    "</code></pre><iframe srcdoc='<script>parent.alert(6)</script>'>",
]
ITEM = ("code", "app", "text", "hint", "command", "href")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("panel")


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """The state folder; the users of apps may pass through it."""
    with tempfile.TemporaryDirectory(prefix="state-") as state:
        Path(state).chmod(0o711)
        yield Path(state)


@pytest.fixture(scope="module")
def runtime(folder: Path, state: Path) -> Iterator[Runtime]:
    with with_panel(folder, RUNTIME_STATE_DIR=str(state)) as runtime:
        yield runtime


STATS = """(count) => import("/cpanel/js/api.js").then(({events}) => new Promise((done) => {
    const end = events({stats: () => --count || done(end())});
}))"""


@pytest.mark.usefixtures("own_page")
def test_newcomer(page: Page, runtime: Runtime) -> None:
    """A newcomer who opens / in development sees the panel with the apps, and needs no key.

    While no plugin changes the menu is not requested again, until the stream was away.
    """
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.goto(runtime.url + "/")
    expect(page).to_have_url(f"{runtime.url}/cpanel/")
    expect(page.locator("tbody .name")).to_have_text(["hello", "shop", "site", "till"])
    page.evaluate(STATS, 3)
    assert asked.count("/api/menus") == 1
    with page.expect_request("**/api/menus"):
        page.evaluate("import('/cpanel/js/api.js').then(({reconnect}) => reconnect())")


def load_first(page: Page, panel: str, language: str) -> None:
    """Load the first page, in a browser that has nothing of it.

    Only the page and its style sheet are loaded before something is painted. All that is fetched,
    API answers and header fields too, is below 120 KB.
    """
    show(page, panel)
    expect(page.locator("tbody .name")).to_have_text(["hello", "shop", "site", "till"])
    load = measured(page)
    assert 50_000 < load.unpacked_bytes <= load.sent_bytes <= 122_880, load
    blocking = page.evaluate(
        "performance.getEntriesByType('resource')"
        ".filter((each) => each.renderBlockingStatus === 'blocking').map((each) => each.name)"
    )
    assert blocking == [f"{panel}style.css"]
    loaded = page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
    assert all(name.startswith(panel.removesuffix("cpanel/")) for name in loaded)
    files = {name.rpartition("/")[2] for name in loaded}
    assert files & {"en.js", "de.js"} == {f"{language}.js"}
    assert not {"deploy.js", "zip.js", "files.js"} & files


def test_first_page(browser: Browser, panel: str) -> None:
    """It is small, and painted soon."""
    with watched(browser, is_first=True) as page:
        load_first(page, panel, "en")


def test_languages_and_themes(browser: Browser, panel: str) -> None:
    """The panel speaks the browser's language; another choice, and a theme, are kept."""
    with watched(browser, locale="de-DE") as page:
        load_first(page, panel, "de")
        expect(page.locator("html")).to_have_attribute("lang", "de")
        expect(page.get_by_role("link", name="Überblick")).to_be_visible()
        page.get_by_label("Sprache").select_option("en")
        expect(page.get_by_role("link", name="Overview")).to_be_visible()
        page.get_by_label("Theme").select_option("dark")
        page.reload()
        expect(page.get_by_role("link", name="Overview")).to_be_visible()
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == "rgb(19, 20, 22)"


def test_signing_in(page: Page, panel: str, runtime: Runtime) -> None:
    """Sign out, get a reason for a wrong key, and sign in to the same page again."""
    show(page, panel + "apps/shop")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert findings(page) == {}
    page.get_by_label("Operator's key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("opens nothing")
    page.get_by_label("Operator's key").fill(str(runtime.operators_key))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="shop")).to_be_visible()


def test_opened_by_a_link(browser: Browser, runtime: Runtime, state: Path) -> None:
    """`buntime open` on the host makes a link that signs in, once, and leads to the panel."""
    line = [*command(), "open", "--no-browser", "--state-dir", str(state)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    [link] = re.findall(r"http://\S+", done.stdout)
    with watched(browser) as page:
        page.goto(link)
        expect(page.locator(".who")).to_have_text("link")
        expect(page).to_have_url(re.compile("/cpanel/$"))
    with watched(browser) as page:
        page.goto(link)
        expect(page.locator(".who")).to_have_count(0)


def test_stop_and_start(page: Page, panel: str, runtime: Runtime) -> None:
    """Visitors of a stopped app read the message; the undo beside it starts the app again."""
    show(page, panel + "apps/shop")
    opened = page.get_by_role("link", name="Open")
    expect(opened).to_have_attribute("href", f"{runtime.url}/shop/")
    page.get_by_role("button", name="Stop").click()
    expect(dialog(page).locator("code")).to_contain_text("buntime maintenance on shop")
    dialog(page).get_by_role("textbox").fill("Back at noon")
    agree(page)
    expect(page.locator(".notice")).to_contain_text("Back at noon")
    stopped = fetch(runtime, "/shop/")
    assert stopped.status == 503
    assert b"Back at noon" in stopped.body
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".head .state")).not_to_have_text("Stopped")
    assert fetch(runtime, "/shop/").status == 200


def test_break_and_mend(page: Page, panel: str, runtime: Runtime, folder: Path) -> None:
    """Code that does not load is shown with its stack as it happens, and so is its repair."""
    app = folder / "apps/brittle"
    write_app(app, {"app.py": "import no_such_module\n"}, ttl=600)
    assert fetch(runtime, "/brittle/").status == 500
    show(page, panel + "apps/brittle")
    trouble = page.get_by_role("alert")
    expect(trouble).to_contain_text("No module named 'no_such_module'")
    expect(trouble.locator(".stack .own").first).to_contain_text("app.py")
    expect(trouble).to_contain_text(str(app))
    (app / "app.py").write_text(HELLO)
    assert fetch(runtime, "/brittle/").status == 200
    expect(trouble).to_have_count(0)
    expect(page.locator(".head .state")).to_have_text("Serving")


def test_deploy_a_folder(page: Page, panel: str, runtime: Runtime, tmp_path: Path) -> None:
    """A folder is packed without secrets and caches, and goes through its steps to a URL."""
    files = {"app.py": HELLO, "pages/a.txt": "a", ".env": "KEY=1", "__pycache__/x.pyc": "x"}
    write_app(tmp_path / "My Fresh", files, ttl=600)
    show(page, panel + "apps")
    page.get_by_role("button", name="Deploy an app").click()
    form = dialog(page)
    form.locator("input[webkitdirectory]").set_input_files(tmp_path / "My Fresh")
    expect(form.get_by_role("textbox", name="App")).to_have_value("my-fresh")
    expect(form.get_by_role("status").first).to_contain_text("3 files")
    expect(form.get_by_role("status").first).to_contain_text("2 left out")
    agree(page)
    expect(form.locator("ol li")).to_contain_text(["upload", "unpacking", "taking over"])
    opened = form.get_by_role("link", name="Open")
    expect(opened).to_have_attribute("href", f"{runtime.url}/my-fresh/")
    assert fetch(runtime, "/my-fresh/").body == b"hello VERSION"
    form.get_by_role("button", name="Show the app").click()
    expect(page.get_by_role("heading", name="my-fresh")).to_be_visible()
    (tmp_path / "My Fresh/app.py").write_text("1 / 0\n")
    page.get_by_role("button", name="Deploy…").click()
    form.locator("input[webkitdirectory]").set_input_files(tmp_path / "My Fresh")
    expect(form.get_by_role("textbox", name="Version")).to_have_value("1.0.1")
    agree(page)
    expect(form.locator(".notice.error")).to_contain_text("ZeroDivisionError")
    expect(form.locator(".notice.error")).to_contain_text("goes on serving")
    assert fetch(runtime, "/my-fresh/").body == b"hello VERSION"


def test_deploy_by_dropping(page: Page, panel: str, runtime: Runtime) -> None:
    """Files dropped on an app's page become its next version."""
    show(page, panel + "apps/hello")
    page.evaluate(
        """(code) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([code], "app.py"));
            const drop = new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true});
            document.querySelector("main").dispatchEvent(drop);
        }""",
        HELLO.replace("VERSION", "dropped"),
    )
    expect(dialog(page).get_by_role("textbox", name="Version")).to_have_value("2.0.1")
    agree(page)
    expect(dialog(page)).to_contain_text("It serves.")
    assert fetch(runtime, "/hello/").body == b"hello dropped"


def test_drop_a_folder(page: Page, panel: str, runtime: Runtime, tmp_path: Path) -> None:
    """A folder with folders, from the operator's own machine, is dropped and deployed whole."""
    files = {"app.py": HELLO, "lib/deep/words.txt": "deep", ".git/config": "x", "venv/a.py": "x"}
    folder = write_app(tmp_path / "fallen", files, ttl=600)
    show(page, panel + "apps")
    target = page.locator("main").bounding_box()
    assert target is not None
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        at = {"x": target["x"] + 50, "y": target["y"] + 50}
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    expect(dialog(page).get_by_role("textbox", name="App")).to_have_value("fallen")
    expect(dialog(page).get_by_role("status").first).to_contain_text("3 files")
    expect(dialog(page).get_by_role("status").first).to_contain_text("2 left out")
    agree(page)
    expect(dialog(page)).to_contain_text("It serves.")
    assert fetch(runtime, "/fallen/").body == b"hello VERSION"


def test_versions(page: Page, panel: str, runtime: Runtime) -> None:
    """Another version is activated, its undo brings back the former one, and one is removed."""
    show(page, panel + "apps/hello?view=versions")
    page.get_by_role("button", name="Activate 1.0.0").click()
    expect(dialog(page).locator("code")).to_have_text("buntime activate hello@1.0.0")
    agree(page)
    expect(dialog(page)).to_contain_text("It serves.")
    assert fetch(runtime, "/hello/").body == b"hello 1.0.0"
    dialog(page).get_by_role("button", name="Close").click()
    expect(row(page, "1.0.0").locator(".tag")).to_have_text("active")
    page.get_by_role("button", name="Roll back", exact=True).click()
    agree(page)
    expect(dialog(page)).to_contain_text("It serves.")
    dialog(page).get_by_role("button", name="Close").click()
    assert fetch(runtime, "/hello/").body == b"hello dropped"
    page.get_by_role("button", name="Activate 2.0.0").click()
    agree(page)
    expect(dialog(page)).to_contain_text("It serves.")
    dialog(page).get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Remove version 2.0.1").click()
    agree(page)
    expect(row(page, "2.0.1")).to_have_count(0)


def test_deploy_a_zip_and_remove_the_app(page: Page, panel: str, runtime: Runtime) -> None:
    """A chosen archive is sent unchanged; an app that came by deploys is removed entirely."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packing:
        packing.writestr("app.py", HELLO.replace("VERSION", "zipped"))
    show(page, panel + "apps")
    page.get_by_role("button", name="Deploy an app").click()
    file = {"name": "brief.zip", "mimeType": "application/zip", "buffer": archive.getvalue()}
    dialog(page).locator("input[accept]").set_input_files(file)
    expect(dialog(page).get_by_role("textbox", name="App")).to_have_value("brief")
    agree(page)
    expect(dialog(page)).to_contain_text("It serves.")
    assert fetch(runtime, "/brief/").body == b"hello zipped"
    dialog(page).get_by_role("button", name="Close").click()
    show(page, panel + "apps/brief?view=versions")
    with page.expect_download() as got:
        page.get_by_role("link", name="Download version 1.0.0").click()
    assert got.value.path().stat().st_size > 100
    page.get_by_role("button", name="Remove the app").click()
    expect(dialog(page).locator("code")).to_have_text("buntime remove brief --all")
    agree(page)
    expect(page.get_by_role("heading", name="Apps")).to_be_visible()
    expect(page.locator("tbody .name", has_text="brief")).to_have_count(0)
    assert fetch(runtime, "/brief/").status == 404
    show(page, panel + "apps/shop?view=versions")
    expect(page.get_by_role("button", name="Remove the app")).to_have_count(0)


def test_lines_of_the_last_hour(page: Page, panel: str, runtime: Runtime) -> None:
    """The curves are the runtime's own: a page opened later, or loaded again, has them too."""
    for _ in range(50):
        fetch(runtime, "/site/")
    told = lambda: fetch(runtime, "/api/history?step=30").json()["total"]["requests"]  # noqa: E731
    wait_until(lambda: sum(told()) >= 50, 30)
    show(page, panel)
    for is_loaded_again in (False, True):
        if is_loaded_again:
            page.reload()
        requests = page.locator("bt-chart .plot").first
        expect(requests).to_have_attribute("aria-label", re.compile(r"peak [1-9][\d.,]*/s"))
        assert str(requests.locator("path.line").get_attribute("d")).startswith("M")
        requests.focus()
        page.keyboard.press("ArrowLeft")
        expect(page.locator(".told").first).to_contain_text(re.compile(r"\d\d:\d\d"))


def test_motion(page: Page, panel: str) -> None:
    """If the system asks for reduced motion, nothing moves; otherwise what is at work does."""
    show(page, panel + "apps/site")
    for wanted in ("reduce", "no-preference"):
        page.emulate_media(reduced_motion="reduce" if wanted == "reduce" else "no-preference")
        page.get_by_role("button", name="Stop").click()
        agree(page)
        stopped = page.locator(".toast", has_text="site is stopped")
        undo = stopped.get_by_role("button", name="Undo")
        expect(undo).to_be_visible()
        moving = page.evaluate(
            "document.getAnimations().length + [...document.querySelectorAll('*')].filter((each) =>"
            " getComputedStyle(each).animationName !== 'none').length"
        )
        assert (moving > 0) is (wanted == "no-preference")
        undo.click()
        expect(page.locator(".head .state")).not_to_have_text("Stopped")
    page.emulate_media(reduced_motion="null")


def test_log(page: Page, panel: str, runtime: Runtime) -> None:
    """Lines come as they are written, can be searched, and lead to their request."""
    show(page, panel + "apps/shop?view=log")
    expect(page.get_by_role("status").filter(has_text="live")).to_be_visible()
    asked = fetch(runtime, "/shop/say?text=the-answer-is-42")
    expect(page.locator("bt-lines .row", has_text="the-answer-is-42")).to_be_visible()
    page.get_by_label("Search in lines").fill("GET /shop/say")
    expect(page.locator("bt-lines .row:visible")).to_have_count(1)
    page.locator("bt-lines .row:visible").click()
    expect(dialog(page)).to_contain_text(str(asked.headers["x-request-id"]))
    expect(dialog(page).get_by_role("link")).to_have_attribute("href", re.compile("request="))


def test_all_apps(page: Page, panel: str, runtime: Runtime) -> None:
    """Apps are found by name and state, which stay in the address; each has its load and memory."""
    show(page, panel + "apps")
    page.get_by_role("searchbox", name="Search apps").fill("SHO")
    expect(page.locator("tbody .name")).to_have_text(["shop"])
    fetch(runtime, "/shop/")
    expect(row(page, "shop")).to_contain_text("Serving")
    expect(row(page, "shop")).to_contain_text(re.compile(r"\d ?ms"))  # p95
    expect(row(page, "shop")).to_contain_text(re.compile(r"\d ?MB"))
    page.reload()
    expect(page.locator("tbody .name")).to_have_text(["shop"])
    page.get_by_label("State", exact=True).select_option("Stopped")
    expect(page.locator(".nothing")).to_contain_text("No app fits this search")
    page.get_by_role("searchbox", name="Search apps").fill("")
    page.get_by_label("State", exact=True).select_option("All states")
    page.locator("thead button", has_text="App").click()
    names = page.locator("tbody .name").all_inner_texts()
    assert names == sorted(names)
    page.locator("thead button", has_text="App").click()
    expect(page.locator("tbody .name")).to_have_text(names[::-1])


def test_what_a_start_costs_and_lines_to_try(page: Page, panel: str, runtime: Runtime) -> None:
    """An app's page shows what it is, what its last start cost, and commands that work as shown."""
    fetch(runtime, "/shop/")
    show(page, panel + "apps/shop")
    main = page.locator("main")
    expect(main).to_contain_text(re.compile(r"The last start took \d"))
    expect(page.locator(".bill li").first).to_be_visible()
    lines = [text for text in main.locator(".command code").all_inner_texts() if "shop" in text]
    assert f"curl -i {runtime.url}/shop/" in lines
    assert {"buntime show shop", "buntime logs -f shop"} <= {*lines}
    show(page, panel + "apps/shop?view=settings")
    settings = page.locator("section", has=page.get_by_role("heading", name="Settings"))
    ttl = settings.locator("tbody tr", has_text="ttl")
    expect(ttl.first).to_contain_text(re.compile(r"buntime\.yaml:\d"))


def test_many_lines(page: Page, panel: str) -> None:
    """Fifty thousand lines need elements only for those in sight, and the oldest are dropped."""
    show(page, panel + "apps/shop?view=log")
    rows, count, took_ms = page.evaluate(
        """async () => {
            const list = document.querySelector("bt-lines");
            const line = (seq) => ({seq, time: 0, level: "info", message: `line ${seq}`});
            const begun = performance.now();
            for (let n = 0; n < 50; n++) list.add(Array.from({length: 1000}, (_, at) => line(at)));
            const took = performance.now() - begun;
            await new Promise((seen) => requestAnimationFrame(() => setTimeout(seen)));
            return [list.querySelectorAll(".row").length, list.count, took];
        }"""
    )
    assert rows < 100
    assert count <= 20_000
    assert took_ms < 5_000


def test_errors(page: Page, panel: str, runtime: Runtime) -> None:
    """The last error is shown with its stack, the app's own lines first."""
    assert fetch(runtime, "/shop/fail").status == 500
    show(page, panel + "apps/shop?view=errors")
    expect(page.locator("main")).to_contain_text("KeyError: 'count'")
    expect(page.locator(".stack .own", has_text="in total")).not_to_have_count(0)


def test_autopsies(page: Page, panel: str, runtime: Runtime) -> None:
    """The death of a worker is shown as it happens, with what is known about it."""
    fetch(runtime, "/shop/")
    show(page, panel + "apps/shop?view=errors")
    os.kill(int(fetch(runtime, "/shop/pid").body), signal.SIGKILL)
    death = page.locator("details", has_text="killed by SIGKILL")
    expect(death).to_be_visible()
    death.locator("summary").click()
    expect(death).to_contain_text("served")


def test_secrets(page: Page, panel: str, runtime: Runtime) -> None:
    """A missing secret is reported where it hurts, set there, and never shown again."""
    assert fetch(runtime, "/till/").status == 500
    show(page, panel + "apps/till?view=settings")
    page.get_by_role("alert").get_by_role("button", name="Set PAYMENT_KEY").click()
    expect(dialog(page).locator("code")).to_have_text("buntime secrets set till PAYMENT_KEY")
    dialog(page).get_by_label("Value").fill("hush-hush")
    agree(page)
    expect(row(page, "PAYMENT_KEY")).to_contain_text("in use")
    assert fetch(runtime, "/till/").status == 200
    assert "hush-hush" not in page.content()
    page.get_by_role("button", name="Remove PAYMENT_KEY").click()
    agree(page)
    expect(row(page, "PAYMENT_KEY")).to_contain_text("missing")


def test_jobs(page: Page, panel: str, runtime: Runtime) -> None:
    """A job is run now, and its result shown."""
    show(page, panel + "apps/till?view=settings")
    page.get_by_role("button", name="Run tidy now").click()
    agree(page)
    expect(page.locator(".toast")).to_contain_text("tidy ended: ")
    runtime.wait_for_record("audit.changed", action="cron.run")


def test_workers(page: Page, panel: str, runtime: Runtime) -> None:
    """Workers are replaced one by one or all, and put to sleep."""
    fetch(runtime, "/shop/")
    show(page, panel + "apps/shop")
    name = page.locator("bt-table tbody th")
    first = name.text_content()
    page.get_by_role("button", name="Recycle worker").click()
    agree(page)
    expect(name.filter(has_text=str(first))).to_have_count(0)  # both are there for a moment
    second = name.text_content()
    page.get_by_role("button", name="Recycle all").click()
    agree(page)
    expect(page.locator(".toast").last).to_contain_text("1 worker is being replaced")
    expect(name.filter(has_text=str(second))).to_have_count(0)  # only what is idle falls asleep
    page.get_by_role("button", name="Put to sleep").click()
    agree(page)
    expect(page.locator("main")).to_contain_text("No worker runs now")


def test_two_operators(browser: Browser, page: Page, panel: str) -> None:
    """What one operator does the other sees, without a reload."""
    show(page, panel + "apps/site")
    with watched(browser) as other:
        show(other, panel + "apps")
        expect(row(other, "site")).to_contain_text("Serving")
        page.get_by_role("button", name="Stop").click()
        agree(page)
        expect(row(other, "site")).to_contain_text("Stopped")
        row(other, "site").get_by_role("link").click()
        other.get_by_role("button", name="Start").click()
        expect(page.locator(".head .state")).to_have_text("Serving")


def test_lost_connection(page: Page, panel: str) -> None:
    """The page says that it lost the runtime, an action says so too, and both recover."""
    show(page, panel + "apps/shop")
    page.context.set_offline(True)
    lost = page.locator(".lost")
    expect(lost).to_contain_text("No connection to the runtime")
    page.get_by_role("button", name="Put to sleep").click()
    agree(page)
    expect(dialog(page).get_by_role("alert")).to_contain_text("does not answer")
    page.context.set_offline(False)
    agree(page)
    expect(dialog(page)).to_have_count(0)
    expect(lost).to_be_hidden()


def test_nobody_is_there(browser: Browser, panel: str) -> None:
    """A page left alone marks its own requests as such; a touch ends that."""
    with watched(browser, is_first=True) as page:  # its clock is its context's
        page.clock.install()
        show(page, panel)

        def asked(wanted: bool) -> None:
            with page.expect_request(
                lambda request: (
                    "/api/history" in request.url
                    and ("x-buntime-unattended" in request.headers) is wanted
                )
            ):
                page.clock.run_for(30_000)

        asked(False)
        page.clock.run_for(120_000)
        asked(True)
        page.keyboard.press("Shift")
        asked(False)


@pytest.mark.usefixtures("own_page")
def test_keyboard(page: Page, panel: str, runtime: Runtime) -> None:
    """Everything works by keyboard; a dialog holds the focus, and gives it back."""
    fetch(runtime, "/shop/")
    told = lambda: fetch(runtime, "/api/history?step=30").json()["total"]["requests"]  # noqa: E731
    wait_until(lambda: sum(told()) > 0, 30)  # for the curve at the end
    show(page, panel + "apps")
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_text("To the content")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Deploy an app")
    page.keyboard.press("Enter")
    expect(dialog(page)).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog(page)).to_have_count(0)
    expect(focused).to_have_text("Deploy an app")
    page.keyboard.press("Tab")
    page.keyboard.type("ho")
    expect(page.locator("tbody .name")).to_have_text(["shop"])
    for _ in range(20):
        page.keyboard.press("Tab")
        if focused.text_content() == "shop":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="shop")).to_be_visible()
    plot = page.locator(".plot").first
    expect(plot.locator("path.line")).to_have_attribute("d", re.compile("^M"))  # it has its points
    plot.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".told").first).to_contain_text(":")


def test_hostile_texts(page: Page, panel: str, runtime: Runtime) -> None:
    """What apps print and raise, and clients send, is text; no script in it runs."""
    for text in EVIL:
        fetch(
            runtime,
            f"/shop/say?text={quote(text)}",
            headers={"User-Agent": text, "X-Request-Id": "a"},
        )
    fetch(runtime, f"/shop/raise?text={quote(EVIL[0])}")
    show(page, panel + "apps/shop?view=log")
    for text in EVIL:
        expect(page.locator("bt-lines .row", has_text=text).first).to_be_visible()
    go(page, panel + "apps/shop?view=errors")
    expect(page.locator("main")).to_contain_text(EVIL[0])
    page.get_by_role("button", name="Stop").click()
    dialog(page).get_by_role("textbox").fill("".join(EVIL))
    agree(page)
    expect(page.locator(".notice").first).to_contain_text("".join(EVIL))
    visitors = fetch(runtime, "/shop/", headers={"Accept": "text/html"})
    assert b"<img" not in visitors.body
    assert b"<script" not in visitors.body
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".head .state")).not_to_have_text("Stopped")
    assert page.locator("main img, main script, main iframe, main svg[onload]").count() == 0


def test_hostile_answers(page: Page, panel: str) -> None:
    """Names, versions, links and errors that the runtime would never send are text as well."""
    evil = iter(EVIL * 50)

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spoil(each) for key, each in value.items()}
        if isinstance(value, list):
            return [spoil(each) for each in value]
        return next(evil) if isinstance(value, str) else value

    answering(page, "**/api/apps*", spoil)
    answering(page, "**/api/deploys*", spoil)
    answering(
        page,
        "**/api/attention*",
        lambda told: {"items": [dict.fromkeys(ITEM, text) | {"level": "error"} for text in EVIL]},
    )
    show(page, panel)
    expect(page.locator("main")).to_contain_text(EVIL[1])
    assert page.locator("main img, main script, main iframe").count() == 0
    links = page.locator("main a").evaluate_all("(all) => all.map((each) => each.protocol)")
    assert set(links) == {"http:"}
    page.locator(".notice a").nth(3).click()
    expect(page).to_have_url(re.compile("cpanel/"))


@pytest.mark.usefixtures("own_page")
def test_hostile_answers_of_one_app(page: Page, panel: str, runtime: Runtime) -> None:
    """So are an app's errors, autopsies, settings, secrets, jobs, data, and menu entries."""
    fetch(runtime, "/shop/fail")
    os.kill(int(fetch(runtime, "/shop/pid").body), signal.SIGKILL)
    wait_until(lambda: fetch(runtime, "/api/apps/shop/autopsies").json()["autopsies"], 20)
    evil = itertools.cycle(EVIL)

    def spoil(value: Any) -> Any:
        if isinstance(value, dict):
            kept = ("app", "name", "key") if value.get("app") in ("shop", "till") else ("key",)
            return {key: each if key in kept else spoil(each) for key, each in value.items()}
        if isinstance(value, list):
            return [spoil(each) for each in value]
        return next(evil) if isinstance(value, str) else value

    for what in ("apps/*/errors", "apps/*/autopsies", "apps/*/settings", "apps/*/secrets"):
        answering(page, f"**/api/{what}", spoil)
    for what in ("cron*", "data*", "menus", "workers"):
        answering(page, f"**/api/{what}", spoil)
    show(page, f"{panel}apps/nobody")
    for app, view in (("shop", "errors"), ("till", "settings"), ("shop", "settings"), ("shop", "")):
        go(page, f"{panel}apps/{app}?view={view}")
        if view:
            expect(page.locator("main")).to_contain_text("alert(")
        expect(page.locator("#nav")).to_contain_text("alert(")
        assert page.locator("#shell :is(script, iframe, [onerror], [onload])").count() == 0
        links = page.locator("#shell a").evaluate_all("(all) => all.map((each) => each.protocol)")
        assert set(links) == {"http:"}


def test_hostile_deploy(page: Page, panel: str) -> None:
    """What a deploy reports, step by step, and why it failed, is text."""
    told = [
        {"step": EVIL[0], "entrypoint": EVIL[1], "warnings": EVIL},
        {"line": EVIL[2]},
        {"failed": EVIL[3], "error": {"message": EVIL[4]}, "stack": EVIL[5], "log": EVIL},
    ]
    page.route(
        "**/api/apps/shop/versions/*",
        lambda route: route.fulfill(
            content_type="application/x-ndjson",
            body="".join(json.dumps(each) + "\n" for each in told),
        ),
    )
    show(page, panel + "apps/shop")
    page.get_by_role("button", name="Deploy…").click()
    file = {"name": "<b>evil<b>.zip", "mimeType": "application/zip", "buffer": b"zip"}
    dialog(page).locator("input[accept]").set_input_files(file)
    agree(page)
    expect(dialog(page).locator(".notice.error")).to_contain_text(EVIL[4])
    for text in EVIL:
        expect(dialog(page)).to_contain_text(text)
    assert dialog(page).locator("script, iframe, img, svg, b").count() == 0


def test_a_text_that_is_hard_to_read(page: Page, panel: str) -> None:
    """It is found in any row, though texts that are alike are looked at once."""
    show(page, panel + "apps")
    name = page.locator("tbody .name").last
    for colour, found in (("silver", ["color-contrast"]), ("", [])):
        name.evaluate("(name, colour) => name.style.color = colour", colour)
        assert [*findings(page, "color-contrast")] == found


def test_accessible(page: Page, panel: str) -> None:
    """axe finds nothing, light and dark, wide and narrow; a phone does not scroll sideways.

    The pages contain what the tests before this one did.
    """
    for path in PATHS:
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(WIDE)
        show(page, panel + path)
        found = [findings(page)]
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size(NARROW)
        # What a theme or a width can spoil; everything once, with the menu that is folded there.
        found.append(findings(page, *([] if path == "apps" else IN_A_THEME)))
        assert (path, found, overflow(page)) == (path, [{}, {}], 0)
