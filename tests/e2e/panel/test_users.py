"""Users in the panel, with the plugin that signs people in; and pages that a key may not see."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pyotp
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.chromium import WIDE, needs_chromium
from tests.support.client import fetch
from tests.support.harness import Runtime, wait_until, write_app
from tests.support.panel import (
    HELLO,
    IN_A_THEME,
    NARROW,
    agree,
    dialog,
    findings,
    go,
    in_german,
    overflow,
    show,
    with_panel,
)

pytestmark = needs_chromium

AUTH = "/.well-known/buntime/auth"
PASSWORD = "correct horse battery"
SignIn = Callable[[str], httpx.Client]
EVIL = ["<img src=x onerror=alert(1)>", "</code><script>alert(2)</script>", "{n}{name}javascript:0"]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder: Path = tmp_path_factory.mktemp("users")
    write_app(folder / "apps/member", {"app.py": HELLO}, ttl=600, auth="required")
    with with_panel(folder) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def with_authn(runtime: Runtime) -> Runtime:
    """Enables authn, which installs its packages."""
    headers = {"X-API-Key": str(runtime.operators_key)}
    assert fetch(runtime, "/api/plugins/authn/enable", method="POST", headers=headers).status == 202
    is_there = lambda: httpx.get(f"{runtime.url}{AUTH}/me", verify=False).status_code == 401  # noqa: E731
    wait_until(is_there, 120, "authn, whose packages are installed")
    return runtime


def press(page: Page, name: str) -> None:
    page.locator(".head").get_by_role("button", name=name, exact=True).click()


def row(page: Page, text: str) -> Locator:
    return page.locator("tbody tr", has_text=text)


def added(runtime: Runtime, name: str, **said: object) -> str:
    """Adds a user by the API; returns the token of the invitation."""
    body = json.dumps({"name": name, **said}).encode()
    headers = {"X-API-Key": str(runtime.operators_key), "Content-Type": "application/json"}
    answer = fetch(runtime, "/api/users", method="POST", headers=headers, body=body)
    assert answer.status == 201, answer.body
    return str(answer.json()["link"]).partition("token=")[2]


def take(runtime: Runtime, token: str) -> None:
    form = {"token": token, "password": PASSWORD, "again": PASSWORD}
    assert httpx.post(f"{runtime.url}{AUTH}/invitation", data=form, verify=False).status_code == 200


@pytest.fixture
def sign_in(with_authn: Runtime) -> Iterator[SignIn]:
    """Signs a user in with the password."""
    with contextlib.ExitStack() as clients:

        def begin(name: str) -> httpx.Client:
            client = httpx.Client(base_url=with_authn.url, follow_redirects=True, verify=False)
            clients.enter_context(client)
            client.get("/member/", headers={"Sec-Fetch-Dest": "document"})
            form = {"name": name, "password": PASSWORD}
            assert client.post(f"{AUTH}/password", data=form).text == "hello VERSION"
            return client

        yield begin


def is_in(client: httpx.Client) -> bool:
    return client.get("/member/").status_code == 200


def spoilt(page: Page) -> list[object]:
    """What is wrong with the page, dark and narrow, or light and wide, as it is then left."""
    wrong: list[object] = []
    for scheme, size, rules in (("dark", NARROW, IN_A_THEME), ("light", WIDE, ())):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        page.set_viewport_size(size)
        wrong += [findings(page, *rules), overflow(page)]
    return [each for each in wrong if each]


def test_without_a_plugin_that_signs_people_in(page: Page, panel: str) -> None:
    """The menu has no users; their page says how to get some."""
    show(page, panel + "keys")
    expect(page.get_by_role("link", name="Overview")).to_be_visible()
    expect(page.get_by_role("link", name="Users")).to_be_hidden()
    show(page, panel + "users")
    expect(page.locator(".nothing")).to_contain_text("buntime plugins enable authn")


def test_it_comes_with_its_plugin(page: Page, panel: str, runtime: Runtime) -> None:
    """Enabling the plugin brings the entry into the open menu."""
    show(page, panel)
    expect(page.get_by_role("link", name="Overview")).to_be_visible()
    expect(page.get_by_role("link", name="Users")).to_be_hidden()
    headers = {"X-API-Key": str(runtime.operators_key)}
    fetch(runtime, "/api/plugins/authn/enable", method="POST", headers=headers)
    expect(page.get_by_role("link", name="Users")).to_be_visible(timeout=60_000)


def test_inviting(page: Page, panel: str, with_authn: Runtime) -> None:
    """An invitation is a link, shown once, to set a password with; faults are explained."""
    show(page, panel + "users")
    press(page, "Invite a user")
    form = dialog(page)
    form.get_by_label("Name", exact=True).fill("A nn")
    form.get_by_label("Roles").fill("editor, staff")
    expect(form.locator("code")).to_have_text("buntime users invite 'A nn' --role editor,staff")
    agree(page)
    expect(form.get_by_role("alert")).to_contain_text("write letters, digits")
    form.get_by_label("Name", exact=True).fill("ann@example.com")
    form.get_by_label("Full name").fill(EVIL[0])
    agree(page)
    expect(dialog(page)).to_contain_text("not shown again")
    assert findings(page) == {}
    link = dialog(page).locator("code").inner_text()
    page.keyboard.press("Escape")
    expect(row(page, "ann@example.com").locator(".state")).to_have_text("invited")
    expect(row(page, "ann@example.com")).to_contain_text(EVIL[0])
    assert link not in page.content()
    take(with_authn, link.partition("token=")[2])
    page.get_by_role("link", name="ann@example.com").click()
    expect(page.get_by_role("heading", name="ann@example.com")).to_be_visible()
    expect(page.locator(".head .state")).to_have_text("active")


def test_one_user(page: Page, panel: str, with_authn: Runtime, sign_in: SignIn) -> None:
    """A user is changed, signed out, disabled, and back by the undo: apps see it at once."""
    take(with_authn, added(with_authn, "bob", roles=["editor"]))
    client = sign_in("bob")
    show(page, panel + "users/bob")
    expect(page.locator("tbody tr")).to_contain_text("127.0.0.1")
    press(page, "Change…")
    expect(dialog(page).get_by_label("Roles")).to_have_value("editor")
    dialog(page).get_by_label("Roles").fill("admin")
    expect(dialog(page).locator("code")).to_have_text("buntime users set bob --role admin")
    agree(page)
    expect(page.locator(".facts")).to_contain_text("admin")
    assert client.get(f"{AUTH}/me").json()["roles"] == ["admin"]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".facts")).to_contain_text("editor")
    press(page, "Sign out")
    expect(dialog(page).locator("code")).to_have_text("buntime users sign-out bob")
    agree(page)
    expect(page.locator("bt-toasts")).to_contain_text("1 session of bob has ended")
    expect(page.locator("main")).to_contain_text("Signed in nowhere")
    assert not is_in(client)
    client = sign_in("bob")
    press(page, "Disable")
    agree(page)
    expect(page.locator(".head .state")).to_have_text("disabled")
    assert not is_in(client)
    page.get_by_role("button", name="Undo").last.click()
    expect(page.locator(".head .state")).to_have_text("active")
    assert is_in(sign_in("bob"))


def test_second_factor_and_password(
    page: Page, panel: str, with_authn: Runtime, sign_in: SignIn
) -> None:
    """An operator lets a user in who lost the phone, and gives a link for a new password."""
    take(with_authn, added(with_authn, "cleo"))
    client = sign_in("cleo")
    own = {"Origin": with_authn.url, "Sec-Fetch-Site": "same-origin"}
    begun = client.post(f"{AUTH}/account/factor", data={"password": PASSWORD}, headers=own).text
    secret = re.findall("<code>([A-Z2-7]+)</code>", begun)[0]
    [token] = re.findall('name="token" value="(.*?)"', begun)
    form = {"token": token, "code": pyotp.TOTP(secret).now()}
    done = client.post(f"{AUTH}/account/factor/confirm", data=form, headers=own)
    assert "You have a second factor" in done.text
    show(page, panel + "users/cleo")
    press(page, "Take second factor away")
    expect(dialog(page).locator("code")).to_have_text("buntime users set cleo --no-second-factor")
    agree(page)
    expect(page.get_by_role("button", name="Take second factor away")).to_have_count(0)
    assert is_in(sign_in("cleo")), "by the password alone"
    press(page, "New password…")
    agree(page)
    expect(dialog(page)).to_contain_text("not shown again")
    link = dialog(page).locator("code").inner_text()
    take(with_authn, link.partition("token=")[2])


def test_removing(page: Page, panel: str, with_authn: Runtime, sign_in: SignIn) -> None:
    """The user is signed out at once, and gone from the list."""
    take(with_authn, added(with_authn, "dan"))
    client = sign_in("dan")
    show(page, panel + "users/dan")
    press(page, "Remove")
    agree(page)
    expect(page.get_by_role("heading", name="Users")).to_be_visible()
    expect(page.get_by_role("link", name="dan")).to_have_count(0)
    assert not is_in(client)
    show(page, panel + "users/dan")
    expect(page.locator(".nothing")).to_contain_text("This user is not here")


def test_hostile_texts(page: Page, panel: str, with_authn: Runtime) -> None:
    """Invented names, roles and groups are text."""
    added(with_authn, "eve", fullName=EVIL[0], roles=EVIL[1:2], groups=EVIL[2:])
    for path in ("users", "users/eve"):
        show(page, panel + path)
        for text in EVIL:
            expect(page.locator("main")).to_contain_text(text)
        assert page.locator("main img, main script").count() == 0


def test_accessible(page: Page, panel: str, with_authn: Runtime, sign_in: SignIn) -> None:
    """axe finds nothing, light and dark; a phone does not scroll sideways."""
    take(with_authn, added(with_authn, "fay", fullName="Fay", roles=["admin"]))
    sign_in("fay")
    show(page, panel)
    for path in ("users", "users/fay"):
        go(page, panel + path)
        assert (path, spoilt(page)) == (path, [])


@pytest.mark.usefixtures("own_page")
def test_pages_for_users_are_accessible(page: Page, with_authn: Runtime) -> None:
    """The same for the pages of users: an invitation, the form, its faults, the account."""

    def look(what: str) -> None:
        assert (what, spoilt(page)) == (what, [])

    auth, token = f"{with_authn.url}{AUTH}", added(with_authn, "gus", fullName="Gus")
    page.goto(f"{auth}/invitation?token={token}")
    look("invitation")
    for box in page.locator("input[type=password]").all():
        box.fill(PASSWORD)
    page.get_by_role("button").click()
    page.goto(f"{with_authn.url}/member/")
    look("form")
    page.locator("input[name=name]").fill("gus")
    page.locator("input[type=password]").fill("wrong")
    page.locator("form button").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look("wrong password")
    page.locator("input[name=name]").fill("gus")
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("form button").click()
    expect(page.locator("body")).to_contain_text("hello")
    page.goto(f"{auth}/account")
    expect(page.locator("main")).to_contain_text("You are gus")
    look("account")
    page.locator("form", has_text="Set one up").locator("input[type=password]").fill(PASSWORD)
    page.get_by_role("button", name="Set one up").click()
    expect(page.locator("main")).to_contain_text("code")
    look("second factor")


@pytest.mark.usefixtures("with_authn")
def test_german(page: Page, panel: str) -> None:
    """The page is in German, with no key left untranslated."""
    show(page, panel + "users")
    with in_german(page):
        expect(page.get_by_role("button", name="Benutzer einladen")).to_be_visible()
        assert re.findall(r"\busers?[.-]\w+", page.locator("body").inner_text()) == []


def test_what_a_key_may_not_see(page: Page, panel: str, with_authn: Runtime) -> None:
    """The menu has only those pages that the key opens."""
    headers = {"X-API-Key": str(with_authn.operators_key), "Content-Type": "application/json"}
    made = {"name": "part", "roles": ["viewer"], "apps": ["mem*"]}
    answer = fetch(
        with_authn, "/api/keys", method="POST", headers=headers, body=json.dumps(made).encode()
    )
    show(page, panel)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Operator's key").fill(answer.json()["key"])
    page.keyboard.press("Enter")
    menu = page.locator("#nav > ul").first.get_by_role("link")
    expect(menu).to_have_text(["Overview", "Apps", "Workers", "Logs"])
    expect(page.locator("#nav > ul").nth(1).get_by_role("link")).to_have_text(["Access"])
