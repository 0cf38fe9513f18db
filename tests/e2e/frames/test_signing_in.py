"""A page in a frame that needs a signed-in user: the shell leads to the sign-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.chromium import needs_chromium, pages_of
from tests.support.client import fetch
from tests.support.framing import RAW, Desk, with_desk
from tests.support.harness import Runtime, wait_until, write_app
from tests.support.pluginfolders import write_plugin

pytestmark = needs_chromium

INNER = """
from buntime import Response
def fetch(request):
    who = request.headers.get("x-identity", "nobody")
    return Response.html(f"<!doctype html><title>Inner</title><output>{who}</output>")
"""
# Whoever presses its button is Ann from then on.
PEOPLE = """
from buntime.plugin import Continue, Response

def on_request(request):
    user = request.cookies.get("me")
    return Continue(identity={"user": user, "roles": []}) if user else None

def fetch(request):
    if request.method == "POST":
        said = ("set-cookie", "me=ann; Path=/; HttpOnly; SameSite=Lax")
        return Response.redirect(request.query["to"], 303, [said])
    policy = ("content-security-policy", "frame-ancestors 'none'")
    form = "<!doctype html><title>Who are you?</title><form method=post><button>Ann</button></form>"
    return Response.html(form, headers=[policy])
"""
SIGN_IN = "/.well-known/buntime/auth/sign-in?to="
# Playwright's actions count as the user's.
IDLE = """() => {
    Object.defineProperty(navigator, "userActivation", {value: {isActive: false}});
}"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("signingin")
    write_app(folder / "apps/inner", {"app.py": INNER}, ttl=600, auth="required", shell=True)
    write_app(
        folder / "apps/around", {"index.html": "<!doctype html><iframe src=/inner/></iframe>"}
    )
    write_plugin(
        folder / "plugins", "people", PEOPLE, stage="identity", match={"auth": True}, signIn=True,
        cookies=["me"], cookiePath="as-is",
    )  # fmt: skip
    with with_desk(folder, {"raw": RAW}) as runtime:
        asked = {"Cookie": "me=ann"}
        wait_until(lambda: fetch(runtime, "/inner/", headers=asked).status == 200, 20, "the plugin")
        yield runtime


@pytest.fixture(params=["127.0.0.1", "apps.test"])
def desk(browser: Browser, runtime: Runtime, request: pytest.FixtureRequest) -> Iterator[Desk]:
    desk = Desk(browser, f"http://{request.param}:{runtime.port}")
    yield desk
    desk.close()
    assert desk.faults == []


def test_a_page_is_there_after_the_sign_in(desk: Desk) -> None:
    """One click leads the window to the sign-in, and back to the page, in its frame."""
    desk.open("/inner/x?a=1")
    inner = desk.page.frame_locator("bt-frame iframe")
    inner.get_by_role("link", name="Sign in").click()
    expect(desk.page).to_have_title("Who are you?")
    desk.page.get_by_role("button", name="Ann").click()
    expect(inner.locator("output")).to_contain_text('"user":"ann"')
    assert desk.page.url == f"{desk.url}/desk/inner/x?a=1"
    assert pages_of(desk.context) == [desk.page]
    desk.page.reload()
    expect(inner.locator("output")).to_contain_text('"user":"ann"')


def test_a_sign_in_that_ends(desk: Desk) -> None:
    """A user who is signed out meanwhile is asked at the next page; one click is enough again."""
    desk.context.add_cookies([{"name": "me", "value": "ann", "url": desk.url}])
    desk.open("/inner/")
    inner = desk.page.frame_locator("bt-frame iframe")
    expect(inner.locator("output")).to_contain_text('"user":"ann"')
    desk.context.clear_cookies()
    desk.page.evaluate("view.setAttribute('src', '/raw/')")
    desk.page.evaluate("view.setAttribute('src', '/inner/')")
    inner.get_by_role("link", name="Sign in").click()
    desk.page.get_by_role("button", name="Ann").click()
    expect(inner.locator("output")).to_contain_text('"user":"ann"')


def test_a_shell_that_signs_in_by_itself(desk: Desk) -> None:
    """The shell stays where it is, and loads the page again when the sign-in is done."""
    desk.open("/inner/")
    desk.page.evaluate(
        """() => view.addEventListener("bt-signin", async (event) => {
          event.preventDefault();
          window.stayed = event.detail.url;
          await fetch(event.detail.url, { method: "POST", redirect: "manual" });
          event.detail.done();
        })"""
    )
    inner = desk.page.frame_locator("bt-frame iframe")
    inner.get_by_role("link", name="Sign in").click()
    expect(inner.locator("output")).to_contain_text('"user":"ann"')
    assert desk.page.evaluate("stayed") == f"{SIGN_IN}%2Fdesk%2Finner%2F"


def test_only_for_a_click(desk: Desk) -> None:
    """A page that asks for a sign-in without a click does not move the window."""
    frame = desk.show("/raw/")
    desk.page.evaluate(IDLE)
    frame.evaluate("for (let n = 0; n < 5; n++) parent.postMessage({ buntime: 'SIGN_IN' }, '*')")
    frame.evaluate("say({ type: 'EVENT', name: 'settled' })")
    desk.wait_for("event")
    assert desk.page.url == f"{desk.url}/desk/raw/"


@pytest.mark.parametrize("desk", ["127.0.0.1"], indirect=True)
def test_a_page_in_a_frame_without_a_shell(desk: Desk) -> None:
    """If no shell answers, the link opens a window."""
    desk.page.goto(f"{desk.url}/around/")
    with desk.page.expect_popup() as opened:
        desk.page.frame_locator("iframe").get_by_role("link", name="Sign in").click()
    expect(opened.value).to_have_title("Who are you?")


def test_what_runs_in_the_page(runtime: Runtime) -> None:
    """The page's policy lets only its own script run."""
    asked = {"Sec-Fetch-Dest": "iframe", "Accept": "text/html"}
    answer = fetch(runtime, "/inner/", headers=asked)
    assert answer.status == 401
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
