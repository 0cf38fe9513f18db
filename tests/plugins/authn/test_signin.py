"""Signing in by password: sessions, hosts, cookies, second factors, and attacks."""

from __future__ import annotations

from collections.abc import Callable

import pyotp
import pytest

from authn.flows import FLOW_S
from authn.ways import CODE_S
from authn.where import SESSION, safe_path
from tests.support.signingin import BASE, PASSWORD, Browser, Page, Signing

Make = Callable[..., Signing]
HERE = "http://shop.example.com"


def sign_in(browser: Browser, to: str = "/shop/", at: str = HERE, **form: str) -> Page:
    browser.get(f"{at}{BASE}/sign-in?to={to}")
    return browser.post(f"{at}{BASE}/password", {"name": "ann", "password": PASSWORD, **form})


def who(browser: Browser, at: str = HERE) -> str | None:
    page = browser.get(f"{at}{BASE}/me")
    return page.text if page.status == 200 else None


def token_of(browser: Browser, at: str = "shop.example.com", name: str = SESSION) -> str | None:
    return browser.cookies.get(at, {}).get(name)


def test_a_password_leads_to_where_one_wanted_to_go(made: Make) -> None:
    signing = made()
    signing.add(roles=["admin"], email="Ann@Example.com")
    browser = Browser(signing)
    assert sign_in(browser, "/shop/cart%3Fid%3D1").url == f"{HERE}/shop/cart?id=1"
    assert '"user":"ann"' in (who(browser) or "").replace(" ", "")
    by_mail = Browser(signing)
    assert sign_in(by_mail, name="ann@example.COM").url == f"{HERE}/shop/"


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong password"), ("bob", PASSWORD), ("", ""), ("ann", ""), ("invited", "")],
)
def test_wrong_ones_are_told_the_same(made: Make, name: str, password: str) -> None:
    signing = made()
    signing.add()
    signing.app.users.add({"name": "invited"})
    page = sign_in(Browser(signing), name=name, password=password)
    assert (page.status, page.problem) == (401, "The name or the password is wrong.")
    assert signing.warnings == [f"wrong password for {name!r} from 203.0.113.7"]


def test_too_many_wrong_ones_wait(made: Make) -> None:
    """After too many wrong passwords even the right one waits; another address does not."""
    signing = made()
    signing.add()
    browser = Browser(signing)
    for _ in range(6):
        page = sign_in(browser, password="wrong password")
    late = sign_in(browser)
    assert (page.status, late.status) == (429, 429)
    assert int(late.headers["retry-after"]) >= 1
    assert sign_in(Browser(signing, "198.51.100.1")).url == f"{HERE}/shop/"


def test_each_sign_in_has_a_token_of_its_own(made: Make) -> None:
    """A token planted in the browser opens nothing, and a new sign-in ends the token before it."""
    signing = made()
    signing.add()
    browser = Browser(signing)
    planted = "A" * 43
    browser.cookies["shop.example.com"] = {SESSION: planted}
    sign_in(browser)
    first = token_of(browser)
    assert first not in (None, planted)
    sign_in(browser)
    stolen = Browser(signing)
    stolen.cookies["shop.example.com"] = {SESSION: str(first)}
    assert who(browser) is not None
    assert who(stolen) is None


def test_a_session_is_of_one_host(made: Make) -> None:
    signing = made()
    signing.add()
    browser = Browser(signing)
    sign_in(browser)
    thief = Browser(signing)
    thief.cookies["blog.example.com"] = {SESSION: str(token_of(browser))}
    assert who(thief, "http://blog.example.com") is None


def test_the_cookie_over_tls(made: Make) -> None:
    """`__Host-` and Secure keep other hosts from setting it. The test's browser checks its form."""
    signing = made()
    signing.add()
    browser = Browser(signing)
    assert sign_in(browser, at="https://shop.example.com").url == "https://shop.example.com/shop/"
    assert token_of(browser, name=f"__Host-{SESSION}")
    assert token_of(browser) is None


def test_a_browser_without_cookies_is_told_once(made: Make) -> None:
    """If the cookie does not come back, the page says so instead of redirecting in a loop."""
    signing = made()
    signing.add()
    browser = Browser(signing)
    browser.get(f"{HERE}{BASE}/sign-in?to=/shop/")
    response = browser.ask("POST", f"{HERE}{BASE}/password", {"name": "ann", "password": PASSWORD})
    browser.cookies.clear()
    page = browser.get(f"{HERE}{response.headers['location']}")
    assert (page.status, page.title, page.way) == (403, "You are not signed in", [])
    assert "cookie" in page.problem


@pytest.mark.parametrize(
    ("to", "safe"),
    [
        ("/shop/?a=1&b=%20", "/shop/?a=1&b=%20"),
        ("/caf\u00e9", "/caf%C3%A9"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x=1", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
        (None, "/"),
        ("/" + "x" * 5000, "/"),
    ],
)
def test_nobody_is_led_to_another_site(made: Make, to: str | None, safe: str) -> None:
    assert safe_path(to) == safe


def test_a_form_of_another_site_signs_nobody_in(made: Make) -> None:
    """A form from another site signs no one in, nor one without the cookie of its own page."""
    signing = made()
    signing.add()
    browser = Browser(signing)
    form = {"name": "ann", "password": PASSWORD}
    url = f"{HERE}{BASE}/password"
    browser.get(f"{HERE}{BASE}/sign-in")
    assert browser.post(url, form, sec_fetch_site="cross-site").status == 403
    assert browser.post(url, form, sec_fetch_site="same-site").status == 403
    assert browser.post(url, form, origin="http://evil.example").status == 403
    assert browser.post(url, form, origin="null").status == 403
    assert Browser(signing).post(url, form).title == "Begin again"
    assert browser.post(url, form, origin=HERE, sec_fetch_site="same-origin").url == f"{HERE}/"


def test_a_form_that_is_sent_twice_signs_in_once(made: Make) -> None:
    signing = made()
    signing.add()
    browser = Browser(signing)
    browser.get(f"{HERE}{BASE}/sign-in")
    jar = dict(browser.cookies["shop.example.com"])
    form = {"name": "ann", "password": PASSWORD}
    assert browser.post(f"{HERE}{BASE}/password", form).url == f"{HERE}/"
    again = Browser(signing)
    again.cookies["shop.example.com"] = jar
    assert again.post(f"{HERE}{BASE}/password", form).title == "Begin again"


def test_old_pages_are_told_so(made: Make) -> None:
    signing = made()
    signing.add()
    browser = Browser(signing)
    browser.get(f"{HERE}{BASE}/sign-in")
    signing.clock.now += FLOW_S + 1
    assert browser.post(f"{HERE}{BASE}/password", {"name": "ann"}).title == "Begin again"


def test_sessions_end(made: Make) -> None:
    """A session ends after a day idle, after ten days in use, and at once on signing out."""
    signing = made()
    signing.add()
    browser = Browser(signing)
    sign_in(browser)
    signing.clock.now += 23 * 3600
    assert who(browser)
    signing.clock.now += 23 * 3600
    assert who(browser)
    signing.clock.now += 25 * 3600
    assert who(browser) is None
    sign_in(browser)
    for _ in range(12):
        signing.clock.now += 20 * 3600
        seen = who(browser)
    assert seen is None, "240 hours"
    sign_in(browser)
    token = token_of(browser)
    assert browser.post(f"{HERE}{BASE}/sign-out", {}).title == "You are signed out"
    assert token_of(browser) is None
    browser.cookies["shop.example.com"] = {SESSION: str(token)}
    assert who(browser) is None
    assert signing.forgotten[-1].startswith("login:")


def test_the_second_factor(made: Make) -> None:
    """A code works once and only for its time, and wrong ones are slowed down."""
    signing = made()
    signing.add()
    secret = pyotp.random_base32()
    signing.app.users.set_totp("ann", secret)
    browser = Browser(signing)
    page = sign_in(browser)
    assert (page.title, who(browser)) == ("Second factor", None)
    code = pyotp.TOTP(secret).at(int(signing.clock.now))
    url = f"{HERE}{BASE}/code"
    assert browser.post(url, {"code": "000000" if code != "000000" else "1"}).status == 401
    assert browser.post(url, {"code": f" {code[:3]} {code[3:]} "}).url == f"{HERE}/shop/"
    replayed = Browser(signing)
    sign_in(replayed)
    assert replayed.post(url, {"code": code}).status == 401
    signing.clock.now += 90
    late = Browser(signing)
    sign_in(late)
    assert late.post(url, {"code": code}).status == 401
    guesser = Browser(signing, "192.0.2.1")
    sign_in(guesser)
    assert [guesser.post(url, {"code": "1"}).status for _ in range(6)][-1] == 429
    never = Browser(signing, "192.0.2.2")
    never.get(f"{HERE}{BASE}/sign-in")
    assert never.post(url, {"code": code}).title == "Begin again", "without the password"


LOGIN = "https://login.example.com"


def across(made: Make, **more: object) -> Signing:
    signing = made(publicUrl=LOGIN, hosts=["shop.example.com", "*.apps.example.com"], **more)
    signing.add()
    return signing


def sign_in_across(browser: Browser, at: str) -> Page:
    """Signs in at the central sign-in host, on the way to another one."""
    page = browser.get(f"{at}{BASE}/sign-in?to=/cart")
    if page.title != "Sign in":
        return page
    assert page.url.startswith(f"{LOGIN}{BASE}/sign-in?for=")
    return browser.post(f"{LOGIN}{BASE}/password", {"name": "ann", "password": PASSWORD})


def test_two_hosts_and_one_sign_in(made: Make) -> None:
    """The second host needs no further sign-in, and signing out of one signs out of both."""
    signing, browser = across(made), None
    browser = Browser(signing)
    shop, wiki = "https://shop.example.com", "https://wiki.apps.example.com"
    assert sign_in_across(browser, shop).url == f"{shop}/cart"
    assert browser.get(f"{wiki}{BASE}/sign-in?to=/page").url == f"{wiki}/page"
    assert all(who(browser, at) for at in (shop, wiki, LOGIN))
    browser.post(f"{wiki}{BASE}/sign-out", {})
    assert not any(who(browser, at) for at in (shop, wiki, LOGIN))


def test_the_form_may_lead_to_the_other_host(made: Make) -> None:
    """Browsers apply a page's `form-action` to the redirects after its form, too."""
    browser = Browser(across(made))
    page = browser.get(f"https://shop.example.com{BASE}/sign-in")
    policy = page.headers["content-security-policy"]
    assert policy.endswith("form-action 'self' https://shop.example.com")


@pytest.mark.parametrize("host", ["evil.example", "apps.example.com", "xshop.example.com"])
def test_no_code_goes_to_a_host_that_is_not_named(made: Make, host: str) -> None:
    signing = across(made)
    page = Browser(signing).get(f"https://{host}{BASE}/sign-in?to=/")
    assert (page.status, page.title) == (403, "Nobody can sign in here")


def test_a_code_opens_nothing_in_another_browser(made: Make) -> None:
    """A code opens nothing in another browser, when used twice, too late, or after a sign-out."""
    signing = across(made)
    shop, browser = "https://shop.example.com", Browser(signing)

    def code_url(browser: Browser) -> str:
        browser.cookies.pop("login.example.com", None)
        browser.get(f"{shop}{BASE}/sign-in?to=/cart")
        form = {"name": "ann", "password": PASSWORD}
        return str(browser.ask("POST", f"{LOGIN}{BASE}/password", form).headers["location"])

    thief = Browser(signing)
    thief.get(f"{shop}{BASE}/sign-in?to=/")
    stolen = code_url(browser)
    assert thief.get(stolen).title == "Begin again"
    assert browser.get(stolen).title == "Begin again", "it was used"
    assert browser.get(code_url(browser)).url == f"{shop}/cart"
    late = code_url(browser)
    signing.clock.now += CODE_S + 1
    assert browser.get(late).title == "Begin again"
    left = code_url(browser)
    signing.app.sessions.end_user("ann")
    assert browser.get(left).title == "Begin again"


def test_a_handle_opens_nothing_by_itself(made: Make) -> None:
    """An attacker who lures someone to sign in for the attacker's flow gets no session."""
    signing = across(made)
    attacker, victim = Browser(signing), Browser(signing)
    lure = attacker.get(f"https://shop.example.com{BASE}/sign-in?to=/").url
    victim.get(lure)
    form = {"name": "ann", "password": PASSWORD}
    page = victim.post(f"{LOGIN}{BASE}/password", form)
    assert page.title == "Begin again", "the victim's browser has no flow at that host"
    assert who(attacker, "https://shop.example.com") is None
    assert victim.get(f"{LOGIN}{BASE}/sign-in?for={'x' * 43}").title == "Begin again"


def test_pages_that_are_not_there(made: Make) -> None:
    browser = Browser(made())
    assert browser.get(f"{HERE}{BASE}/nothing").status == 404
    assert browser.get(f"{HERE}{BASE}/password").status == 405
    assert browser.get(f"{HERE}{BASE}/with/google").status == 404
    assert browser.get(f"{HERE}{BASE}/style.css").headers["content-type"].startswith("text/css")


def test_markup_stays_text(made: Make) -> None:
    """All outside input is escaped wherever it is shown."""
    signing = made()
    evil = '"><script>alert(1)</script>'
    page = sign_in(Browser(signing), name=evil, password="x")
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    told = Browser(signing).get(f"{HERE}{BASE}/invitation?token={'x' * 43}")
    assert told.status == 404
