"""A newcomer starts the examples, opens / in a browser, and reads no page of the docs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.chromium import needs_chromium
from tests.support.deploying import AS_ROOT
from tests.support.harness import PACKAGES, ROOT, UNDER_TEST, Runtime, command, running
from tests.support.panel import findings

pytestmark = [needs_chromium, pytest.mark.timeout(300)]

EXAMPLES = ["chat", "clock", "guestbook", "hello", "mirror", "pulse", "site", "todos"]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """As the README says: `python3 build.py run`, or `buntime demo` with a packaged file."""
    kept = ("BUILD_ENVIRONMENTS", "PIP_INDEX_URL")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= {"RUNTIME_ENV": "development", **AS_ROOT, **PACKAGES}
    if UNDER_TEST:
        # A packaged file has its own examples, which this walk breaks: so it unpacks its own copy.
        env["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
        with running(env=env, start=[*command(), "demo"]) as runtime:
            yield runtime
        return
    apps = tmp_path_factory.mktemp("newcomer") / "apps"
    shutil.copytree(ROOT / "apps", apps, ignore=shutil.ignore_patterns("data", "__pycache__"))
    start = [sys.executable, str(ROOT / "build.py"), "run"]
    # If its environment is missing, it is made first: that takes longer than a start may.
    subprocess.run([*start, "--help"], check=True, timeout=240, stdout=subprocess.DEVNULL)
    with running(apps, env=env, start=start) as runtime:
        yield runtime


def visit(page: Page) -> Page:
    """What a visitor sees who follows "Open"."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open", exact=False).first.click()
    opened.value.wait_for_load_state()
    return opened.value


def test_walk(page: Page, runtime: Runtime, tmp_path: Path) -> None:
    """The panel shows the examples; one is stopped, started, broken, repaired by what it says."""
    page.goto(runtime.url)
    expect(page).to_have_url(f"{runtime.url}/cpanel/")
    expect(page.locator("main:not([aria-busy]) h1")).to_have_text(
        re.compile("All is well|attention")
    )
    expect(page.locator("tbody .name")).to_have_text(EXAMPLES)
    # The page may also report a busy machine: that is not the newcomer's fault.
    fault = page.locator(".notice.error")
    expect(fault).to_have_count(0)

    # The app is there, and is served.
    page.get_by_role("link", name="todos").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("todos")
    visitor = visit(page)
    expect(visitor.get_by_role("heading").first).to_be_visible()
    expect(page.locator(".head .state")).to_have_text("Serving")

    # Stopped, and started: the page says what each does before, and what was done after.
    page.get_by_role("button", name="Stop", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Visitors get a page with this message")
    dialog.get_by_role("button", name="Stop").click()
    expect(page.locator(".head .state")).to_have_text("Stopped")
    visitor.reload()
    expect(visitor.locator("body")).to_contain_text("This site is being worked on")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".head .state")).not_to_have_text("Stopped")
    visitor.reload()
    expect(visitor.get_by_role("heading").first).to_be_visible()

    # Broken, in the folder that the page names: the page says where, and so does the first page.
    folder = Path(page.locator("main code", has_text="todos").first.inner_text())
    good = (folder / "index.py").read_text("utf-8")
    shutil.copytree(
        folder, tmp_path / "todos", ignore=shutil.ignore_patterns("data", "__pycache__")
    )
    (folder / "index.py").write_text(f"{good}\nprices = {{'tea': 4.5\n", "utf-8")
    visitor.reload()
    trouble = page.get_by_role("alert")
    expect(trouble).to_contain_text("its visitors get an error page")
    expect(trouble.locator(".own").first).to_contain_text("index.py")
    expect(trouble).to_contain_text("Mend the code in its folder, or deploy a version that works")
    expect(trouble).to_contain_text(str(folder))
    expect(page.locator(".head .state")).to_have_text("Broken")
    assert findings(page) == {}
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("attention")
    expect(fault).to_contain_text("todos")
    fault.get_by_role("link", name="Look at it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("todos")

    # Repaired where it was broken: the page notices by itself.
    (folder / "index.py").write_text(good, "utf-8")
    visitor.reload()
    expect(trouble).to_have_count(0)
    expect(page.locator(".head .state")).to_have_text("Serving")
    expect(visitor.get_by_role("heading").first).to_be_visible()

    # Broken once more, and repaired by dropping the working folder.
    (folder / "index.py").write_text("1 / 0\n", "utf-8")
    visitor.reload()
    expect(trouble).to_contain_text("ZeroDivisionError")
    page.get_by_role("button", name="Deploy…").click()
    dialog.locator("input[webkitdirectory]").set_input_files(tmp_path / "todos")
    dialog.get_by_role("button", name="Deploy", exact=True).click()
    expect(dialog).to_contain_text("It serves.")
    dialog.get_by_role("button", name="Show the app").click()
    expect(trouble).to_have_count(0)
    visitor.reload()
    expect(visitor.get_by_role("heading").first).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("main:not([aria-busy]) h1")).to_have_text(
        re.compile("All is well|attention")
    )
    expect(page.locator("tbody .name")).to_have_text(EXAMPLES)
    expect(fault).to_have_count(0)
