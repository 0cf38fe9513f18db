"""Whose session the panel shows, what of a page that it cannot get, and all of a long list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.chromium import needs_chromium
from tests.support.harness import OPERATORS_KEY, Runtime
from tests.support.operators import Operator, signed_in
from tests.support.panel import agree, answering, dialog, go, show, with_panel

pytestmark = needs_chromium

RECONNECT = "import('/cpanel/js/api.js').then(({reconnect}) => reconnect())"
KEY = {"RUNTIME_MASTER_KEY": OPERATORS_KEY}
ROWS: dict[str, dict[str, Any]] = {
    "app": {"active": "1.0.0", "status": "offline", "workers": 0},
    "id": {"app": "shop", "pid": 7, "status": "idle", "inHand": 0, "requestCount": 0},
}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with with_panel(tmp_path_factory.mktemp("sessions"), **KEY) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def bob(runtime: Runtime) -> Operator:
    """The browser of somebody who may see, and change nothing."""
    made = signed_in(runtime).ask("POST", "/api/keys", {"name": "bob", "roles": ["viewer"]})
    return signed_in(runtime, made.json()["key"])


def take(page: Page, operator: Operator) -> None:
    """The browser has this operator's session from now on, as if another tab had signed in."""
    [(name, value)] = operator.cookies.items()
    page.context.add_cookies([{"name": name, "value": value, "url": operator.origin}])


@pytest.fixture
def signed(page: Page, runtime: Runtime) -> None:
    """For tests that share a page on which an operator has signed in."""
    if page.url == "about:blank":
        take(page, signed_in(runtime))


@pytest.mark.usefixtures("own_page")
def test_nothing_is_red_in_the_console(page: Page, runtime: Runtime, panel: str) -> None:
    """The page requests nothing that fails, such as users where no plugin signs people in."""
    failed: list[str] = []
    page.on("response", lambda got: failed.append(got.url) if got.status >= 400 else None)
    page.on("console", lambda told: failed.append(told.text) if told.type == "error" else None)
    take(page, signed_in(runtime))
    show(page, panel)
    page.evaluate(RECONNECT)
    expect(page.get_by_role("link", name="Keys", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Users", exact=True)).to_have_count(0)
    page.wait_for_load_state("load")
    assert failed == []


@pytest.mark.usefixtures("own_page")
def test_somebody_else_has_signed_in(
    page: Page, runtime: Runtime, panel: str, bob: Operator
) -> None:
    """A page shows the name and rights of whoever has signed in in another tab."""
    take(page, signed_in(runtime))
    show(page, panel + "apps/shop")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    take(page, bob)
    page.evaluate(RECONNECT)
    expect(page.locator(".who")).to_have_text("bob")
    expect(page.get_by_role("heading", name="shop")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


@pytest.mark.usefixtures("signed")
def test_signed_in_again(page: Page, runtime: Runtime, panel: str) -> None:
    """After the same person has signed in again, a page stays as it is, and can change things."""
    show(page, panel + "apps/shop")
    page.locator(".who").evaluate("(who) => who.dataset.kept = 'yes'")
    take(page, signed_in(runtime))
    with page.expect_response("**/api/session"):
        page.evaluate(RECONNECT)
    page.get_by_role("button", name="Recycle all").click()
    agree(page)
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".who")).to_have_attribute("data-kept", "yes")


@pytest.mark.usefixtures("own_page")
def test_a_dialog_does_not_cover_the_form(page: Page, runtime: Runtime, panel: str) -> None:
    """If the session ends while a dialog asks, the form to sign in takes its place."""
    take(page, signed_in(runtime))
    show(page, panel + "apps/shop")
    page.get_by_role("button", name="Stop").click()
    expect(dialog(page)).to_be_visible()
    page.route("**/api/session", lambda route: route.fulfill(status=401, json={}))
    page.evaluate(RECONNECT)
    expect(page.get_by_label("Operator's key")).to_be_focused()
    expect(page.locator("dialog")).to_have_count(0)


@pytest.mark.usefixtures("own_page")
def test_a_page_that_is_not_allowed(page: Page, panel: str, bob: Operator) -> None:
    """It has its heading and the reason, and does not offer to try again."""
    take(page, bob)
    show(page, panel + "keys")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    expect(page.get_by_role("alert")).to_contain_text("keys:read")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


@pytest.mark.usefixtures("signed")
def test_a_page_that_could_not_be_loaded(page: Page, panel: str) -> None:
    """A page that was opened without a connection is shown when the connection is back."""
    show(page, panel + "apps")
    page.context.set_offline(True)
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    expect(page.get_by_role("alert")).to_contain_text("The runtime does not answer.")
    page.context.set_offline(False)
    expect(page.get_by_role("rowheader", name=re.compile("RUNTIME_ENV_FILE"))).to_be_visible()


@pytest.mark.usefixtures("signed")
def test_numbers_in_names(page: Page, panel: str) -> None:
    """Apps and workers are ordered as people count: 2 comes before 10."""
    show(page, panel)

    def named(kind: str, key: str, *names: str) -> Any:
        return lambda told: {**told, kind: [{**ROWS[key], key: name} for name in names]}

    answering(page, "**/api/apps?*", named("apps", "app", "shop-1", "shop-10", "shop-2"))
    answering(page, "**/api/workers", named("workers", "id", "w10", "w1", "w2"))
    go(page, "/cpanel/apps")
    expect(page.locator("tbody .name")).to_have_text(["shop-1", "shop-2", "shop-10"])
    go(page, "/cpanel/workers")
    expect(page.locator("tbody th strong")).to_have_text(["w1", "w2", "w10"])


@pytest.mark.usefixtures("signed")
def test_jobs_of_a_later_page(page: Page, panel: str) -> None:
    """An app's jobs are shown, however many jobs of other apps come before them."""
    told: dict[str, Any] = {}

    def answer(route: Route) -> None:
        if "cursor=" in route.request.url:
            route.fulfill(json=told)
        else:
            told.update(route.fetch().json())
            route.fulfill(json={**told, "jobs": [], "next": "more"})

    page.route("**/api/cron?*", answer)
    show(page, panel + "apps/till?view=settings")
    expect(page.get_by_role("rowheader", name="tidy")).to_be_visible()
