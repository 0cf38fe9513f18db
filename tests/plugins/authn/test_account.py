"""What users do with their accounts, and operators with users."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any

import pyotp
import pytest

from authn.users import INVITATION_S
from buntime import Request
from tests.support.signingin import BASE, PASSWORD, Body, Browser, Signing

Make = Callable[..., Signing]
HERE = "http://shop.example.com"
ACCOUNT = f"{HERE}{BASE}/account"


def ask(signing: Signing, method: str, path: str = "", body: Any = None, **query: str) -> Any:
    """The answer to an operator: the status and the JSON."""
    content = None if body is None else Body(json.dumps(body).encode())
    more = "&".join(f"{name}={value}" for name, value in query.items())
    target = f"/api/users{path}" + (f"?{more}" if more else "")
    request = Request(method, target, "/api/users", [("host", "x")], body=content, id="r-1")
    response = signing.operators.answer(request)
    assert isinstance(response.body, bytes)
    return response.status, json.loads(response.body)


def signed_in(signing: Signing, password: str = PASSWORD) -> Browser:
    browser = Browser(signing)
    browser.get(f"{HERE}{BASE}/sign-in")
    browser.post(f"{HERE}{BASE}/password", {"name": "ann", "password": password})
    return browser


def is_in(browser: Browser) -> bool:
    return browser.get(f"{HERE}{BASE}/me").status == 200


def test_from_an_invitation_to_a_session(made: Make) -> None:
    """An invitation link works once, and for a week."""
    signing = made()
    status, told = ask(signing, "POST", body={"name": "Ann", "roles": ["admin"]})
    assert (status, told["user"]["name"], told["user"]["hasPassword"]) == (201, "ann", False)
    url, browser = f"{HERE}{told['link']}", Browser(signing)
    token = browser.get(url).hidden("token")

    def take(password: str, again: str | None = None) -> Any:
        form = {"token": token, "password": password, "again": again or password}
        return browser.post(f"{HERE}{BASE}/invitation", form)

    assert "two passwords differ" in take(PASSWORD, "another one").problem
    assert "at least" in take("short").problem
    assert take(PASSWORD).title == "Your password is set"
    assert take("another password").status == 404
    assert browser.get(url).status == 404
    assert is_in(signed_in(signing))
    _, told = ask(signing, "POST", body={"name": "bob"})
    signing.clock.now += INVITATION_S + 1
    assert browser.get(f"{HERE}{told['link']}").status == 404


def test_a_reset_ends_what_was_there(made: Make) -> None:
    signing = made()
    signing.add()
    browser = signed_in(signing)
    _, told = ask(signing, "POST", "/ann/reset")
    _, told = ask(signing, "POST", "/ann/reset", told and None)
    other = Browser(signing)
    token = other.get(f"{HERE}{told['link']}").hidden("token")
    form = {"token": token, "password": "a new password", "again": "a new password"}
    assert other.post(f"{HERE}{BASE}/invitation", form).title == "Your password is set"
    assert not is_in(browser)
    assert not is_in(signed_in(signing))
    assert is_in(signed_in(signing, "a new password"))


def test_what_operators_see_and_change(made: Make) -> None:
    """Role changes apply at once, and a disabled user is signed out at once."""
    signing = made()
    signing.add(email="ann@example.com")
    browser = signed_in(signing)
    status, told = ask(signing, "GET", "/ann")
    assert (status, [each["host"] for each in told["sessions"]]) == (200, ["shop.example.com"])
    assert "password" not in json.dumps(told["user"]).replace("hasPassword", "")
    assert ask(signing, "PATCH", "/ann", {"roles": ["admin"]})[1]["user"]["roles"] == ["admin"]
    assert json.loads(browser.get(f"{HERE}{BASE}/me").text)["roles"] == ["admin"]
    assert signing.forgotten == ["user:ann"]
    assert ask(signing, "PATCH", "/ann", {"disabled": True})[1]["user"]["email"]
    assert not is_in(browser)
    assert not is_in(signed_in(signing))
    ask(signing, "PATCH", "/ann", {"disabled": False})
    browser = signed_in(signing)
    assert ask(signing, "DELETE", "/ann/sessions") == (200, {"ended": 1})
    assert not is_in(browser)
    browser = signed_in(signing)
    assert ask(signing, "DELETE", "/ann") == (200, {"removed": "ann"})
    assert not is_in(browser)
    assert ask(signing, "GET") == (200, {"users": [], "next": None})


def test_users_come_in_pages(made: Make) -> None:
    signing = made()
    for name in ("cid", "ann", "bob"):
        signing.app.users.add({"name": name})
    _, first = ask(signing, "GET", limit="2")
    _, rest = ask(signing, "GET", limit="2", cursor=first["next"])
    names = [[user["name"] for user in page["users"]] for page in (first, rest)]
    assert (names, rest["next"]) == ([["ann", "bob"], ["cid"]], None)


def test_a_typo(made: Make) -> None:
    """An operator is told which user was probably meant."""
    signing = made()
    signing.app.users.add({"name": "ann"})
    status, told = ask(signing, "GET", "/anne")
    assert (status, told["error"]["message"]) == (404, "there is no user anne; did you mean ann?")
    assert ask(signing, "GET", "/zoe")[1]["error"]["message"] == "there is no user zoe"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "", {"name": "ann"}, 409, "user_exists"),
        ("POST", "", {"name": "a b"}, 400, "bad_user"),
        ("POST", "", {}, 400, "bad_user"),
        ("POST", "", [], 400, "bad_user"),
        ("POST", "", {"name": "bob", "role": "x"}, 400, "bad_user"),
        ("POST", "", {"name": "bob", "roles": "x"}, 400, "bad_user"),
        ("POST", "", {"name": "bob", "roles": [1]}, 400, "bad_user"),
        ("POST", "", {"name": "bob", "email": "x"}, 400, "bad_user"),
        ("POST", "", {"name": "bob", "fullName": "x" * 201}, 400, "bad_user"),
        ("PATCH", "/ann", {"name": "bob"}, 400, "bad_user"),
        ("PATCH", "/ann", {"disabled": "yes"}, 400, "bad_user"),
        ("PATCH", "/ann", {"secondFactor": True}, 400, "bad_user"),
        ("GET", "/bob", None, 404, "user_not_found"),
        ("DELETE", "/bob", None, 404, "user_not_found"),
        ("GET", "/ann/x", None, 404, "not_found"),
    ],
)
def test_what_operators_cannot_do(
    made: Make, method: str, path: str, body: Any, status: int, code: str
) -> None:
    signing = made()
    signing.add()
    found, told = ask(signing, method, path, body)
    assert (found, told["error"]["code"]) == (status, code)
    assert told["error"]["requestId"] == "r-1"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"name": "bob"}),
        ("PATCH", "/ann", {"disabled": True, "roles": ["x"], "secondFactor": False}),
        ("DELETE", "/ann", None),
        ("POST", "/ann/reset", None),
        ("DELETE", "/ann/sessions", None),
    ],
)
def test_a_dry_run_changes_nothing(made: Make, method: str, path: str, body: Any) -> None:
    signing = made()
    signing.add()
    signing.app.users.set_totp("ann", "A" * 32)
    before = [ask(signing, "GET"), list(signing.app.database.rows("SELECT * FROM links"))]
    status, told = ask(signing, method, path, body, dryRun="1")
    assert status in (200, 201)
    assert "link" not in told
    assert [ask(signing, "GET"), list(signing.app.database.rows("SELECT * FROM links"))] == before


def test_a_change_of_the_password_ends_all_sessions(made: Make) -> None:
    signing = made()
    signing.add()
    browser, other = signed_in(signing), signed_in(signing)
    form = {"password": PASSWORD, "new": "another password", "again": "another password"}

    def change(**changed: str) -> Any:
        return browser.post(f"{ACCOUNT}/password", {**form, **changed})

    assert change(password="wrong").status == 403
    assert "two passwords differ" in change(again="x").problem
    assert "at least" in change(new="x", again="x").problem
    assert change().title == "Your password is changed"
    assert not is_in(browser)
    assert not is_in(other)
    assert is_in(signed_in(signing, "another password"))


def test_guesses_by_who_has_a_session_are_slowed(made: Make) -> None:
    """Someone with an open browser cannot find out the password by trying."""
    signing = made()
    signing.add()
    browser = signed_in(signing)
    for _ in range(6):
        browser.post(f"{ACCOUNT}/factor/remove", {"password": "wrong"})
    signing.app.users.set_totp("ann", "A" * 32)
    assert browser.post(f"{ACCOUNT}/factor/remove", {"password": PASSWORD}).status == 403
    found = signing.app.users.find("ann")
    assert found is not None
    assert found.totp is not None


def test_a_second_factor_of_ones_own(made: Make) -> None:
    signing = made()
    signing.add()
    browser = signed_in(signing)
    assert browser.post(f"{ACCOUNT}/factor", {"password": "wrong"}).status == 403
    page = browser.post(f"{ACCOUNT}/factor", {"password": PASSWORD})
    found = re.search("<code>([A-Z2-7]+)</code>", page.text)
    assert found is not None
    assert f"secret={found[1]}" in html.unescape(page.text)
    token, totp = page.hidden("token"), pyotp.TOTP(found[1])
    confirm = f"{ACCOUNT}/factor/confirm"
    assert browser.post(confirm, {"token": token, "code": "1"}).status == 400
    code = totp.at(int(signing.clock.now))
    other = Browser(signing)
    assert other.post(confirm, {"token": token, "code": code}).title != "You have a second factor"
    assert browser.post(confirm, {"token": token, "code": code}).title == "You have a second factor"
    assert not is_in(signed_in(signing)), "it wants the code now"
    ask(signing, "PATCH", "/ann", {"secondFactor": False})
    assert is_in(signed_in(signing))


def test_the_account_wants_a_session(made: Make) -> None:
    signing = made()
    signing.add()
    browser = Browser(signing)
    assert browser.get(ACCOUNT).url.startswith(f"{HERE}{BASE}/sign-in")
    for path in ("password", "factor", "factor/confirm", "factor/remove"):
        assert browser.post(f"{ACCOUNT}/{path}", {"password": PASSWORD}).title == "Sign in"
    assert "shop.example.com, by password" in signed_in(signing).get(ACCOUNT).text


def test_signing_out_everywhere(made: Make) -> None:
    signing = made()
    signing.add()
    browser, other = signed_in(signing), signed_in(signing)
    browser.post(f"{ACCOUNT}/sign-out", {})
    assert not is_in(other)
    assert not is_in(browser)
