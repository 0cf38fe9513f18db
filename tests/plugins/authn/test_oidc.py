"""Signing in at a provider: which of its and the browser's claims are believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from authn.providers import BadProvider, claim, providers_of
from tests.support.oidcprovider import CLIENT, SECRET, Provider, new_key, oidc_provider
from tests.support.signingin import BASE, Browser, Page, Signing

Make = Callable[..., Signing]
HERE = "http://shop.example.com"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with oidc_provider() as provider:
        yield provider


def signing_of(made: Make, provider: Provider, **more: Any) -> Signing:
    said = {"issuer": provider.url, "clientId": CLIENT, "rolesClaim": "realm.roles", **more}
    return made(providers={"corp": said}, clientSecrets=SECRET, passwords=False)


def go(browser: Browser) -> str:
    """Starts a sign-in; returns the URL at the provider."""
    led = browser.ask("GET", f"{HERE}{BASE}/sign-in?to=/shop/").headers["location"]
    assert led == f"{BASE}/with/corp", "there is no other way"
    return str(browser.ask("GET", f"{HERE}{led}").headers["location"])


def sign_in(browser: Browser, provider: Provider) -> Page:
    return browser.get(provider.authorize(go(browser)))


def identity(browser: Browser) -> Any:
    page = browser.get(f"{HERE}{BASE}/me")
    return json.loads(page.text) if page.status == 200 else None


def test_a_provider_signs_in(made: Make, provider: Provider) -> None:
    provider.claims.update(name="Ann", realm={"roles": ["admin"]}, groups=["staff", 3])
    browser = Browser(signing_of(made, provider))
    url = go(browser)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert asked["redirect_uri"] == f"{HERE}{BASE}/callback"
    assert asked["code_challenge_method"] == "S256"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert browser.get(provider.authorize(url)).url == f"{HERE}/shop/"
    assert identity(browser) == {
        "user": "ann@example.com",
        "name": "Ann",
        "email": "ann@example.com",
        "roles": ["admin"],
        "groups": ["staff"],
        "provider": "corp",
    }


def test_signing_out_is_at_the_provider_too(made: Make, provider: Provider) -> None:
    browser = Browser(signing_of(made, provider))
    sign_in(browser, provider)
    policy = browser.get(f"{HERE}{BASE}/sign-out").headers["content-security-policy"]
    assert policy.endswith(f"form-action 'self' {provider.url}")
    url = urlsplit(browser.ask("POST", f"{HERE}{BASE}/sign-out", {}).headers["location"])
    said = parse_qs(url.query)
    assert url.path == "/end"
    assert said["post_logout_redirect_uri"] == [f"{HERE}{BASE}/signed-out"]
    assert said["id_token_hint"][0].count(".") == 2
    assert identity(browser) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"exp": 1},
        {"nonce": "another"},
        {"iat": 2**39},
        {"email_verified": False},
        {"email_verified": None},
        {"email": ""},
        {"email": "x" * 300},
        {"email": "a\nb@example.com"},
        {"email": ["a"]},
    ],
)
def test_a_token_that_is_not_as_it_should_be(
    made: Make, provider: Provider, claims: dict[str, Any]
) -> None:
    """No one is signed in; the page says so, and the log says why."""
    signing = signing_of(made, provider)
    provider.claims.update(claims)
    page = sign_in(Browser(signing), provider)
    assert (page.status, page.title) == (502, "Sign in")
    assert signing.warnings[0].startswith("provider corp: ")


def test_tokens_that_were_not_signed_by_the_provider(made: Make, provider: Provider) -> None:
    browser, known = Browser(signing_of(made, provider)), provider.key
    url = go(browser)
    nonce = parse_qs(urlsplit(url).query)["nonce"][0]
    provider.key = new_key("one")
    forged = provider.sign(nonce)
    provider.key = known
    head, body, signature = provider.sign(nonce).split(".")
    unsigned = "eyJhbGciOiJub25lIn0." + body + "."
    for token in (forged, unsigned, f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}", "x", 3):
        provider.token = {"id_token": token}
        assert browser.get(provider.authorize(url)).status == 502, token
        url = go(browser)
    assert identity(browser) is None


def test_keys_that_have_changed(made: Make, provider: Provider) -> None:
    """An unknown key in a token makes the keys reload, but not each time."""
    signing = signing_of(made, provider)
    assert sign_in(Browser(signing), provider).url == f"{HERE}/shop/"
    provider.key = new_key("two")
    signing.app.clients["corp"]._keys_at -= 60
    assert sign_in(Browser(signing), provider).url == f"{HERE}/shop/"
    provider.key = new_key("three")
    for _ in range(3):
        assert sign_in(Browser(signing), provider).status == 502
    assert provider.asked.count("/jwks") == 2


def test_the_browser_cannot_lie(made: Make, provider: Provider) -> None:
    """An answer for another browser, with a wrong state or issuer, or used twice, is refused."""
    signing = signing_of(made, provider)
    browser, attacker = Browser(signing), Browser(signing)
    lure = provider.authorize(go(attacker))
    go(browser)
    assert browser.get(lure).title == "Begin again", "would sign in as the attacker"
    back = provider.authorize(go(browser))
    assert browser.get(back.replace("state=", "state=x")).title == "Begin again"
    wrong = f"iss={provider.url}".replace(":", "%3A").replace("/", "%2F")
    assert wrong in back
    assert browser.get(back.replace(wrong, "iss=https://evil.example")).status == 502
    assert browser.get(back).title == "Begin again"
    back = provider.authorize(go(browser))
    assert browser.get(back).url == f"{HERE}/shop/"
    assert browser.get(back).title == "Begin again"


def test_a_refusal(made: Make, provider: Provider) -> None:
    browser = Browser(signing_of(made, provider))
    state = parse_qs(urlsplit(go(browser)).query)["state"][0]
    page = browser.get(f"{HERE}{BASE}/callback?state={state}&error=access_denied<script>")
    assert (page.status, page.problem) == (
        403,
        "The provider refused: access_denied<script>: ",
    )
    assert "<script>" not in page.text


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": "ftp://x/"},
        {"authorization_endpoint": 3},
    ],
)
def test_a_provider_that_lies_about_itself(
    made: Make, provider: Provider, discovery: dict[str, Any]
) -> None:
    provider.discovery = discovery
    signing = signing_of(made, provider)
    browser = Browser(signing)
    browser.ask("GET", f"{HERE}{BASE}/sign-in")
    page = browser.get(f"{HERE}{BASE}/with/corp")
    if page.status == 200 or page.way:
        page = sign_in(Browser(signing), provider)
    assert page.status == 502


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'"' + b"x" * (2 << 20) + b'"', b"{}"])
def test_a_provider_that_answers_nonsense(made: Make, provider: Provider, raw: bytes) -> None:
    provider.raw = raw
    assert sign_in(Browser(signing_of(made, provider)), provider).status == 502


def test_oauth2_by_the_user_endpoint(made: Make, provider: Provider) -> None:
    """As with GitHub: no ID token, and a user with a login."""
    said = {
        "kind": "oauth2",
        "clientId": CLIENT,
        "authorizeUrl": f"{provider.url}/auth",
        "tokenUrl": f"{provider.url}/token",
        "userUrl": f"{provider.url}/user",
    }
    signing = made(
        providers={"corp": said}, clientSecrets=f'{{"corp": "{SECRET}"}}', passwords=False
    )
    browser = Browser(signing)
    assert sign_in(browser, provider).url == f"{HERE}/shop/"
    assert identity(browser)["user"] == "ann"
    provider.user = {"login": None}
    assert sign_in(Browser(signing), provider).status == 502


def test_several_providers(made: Make, provider: Provider) -> None:
    """The page offers each by its label beside the password, and each works on its own."""
    with oidc_provider() as other:
        said = {
            "corp": {"issuer": provider.url, "clientId": CLIENT},
            "guests": {"issuer": other.url, "clientId": CLIENT, "label": "Our guests"},
        }
        secrets = json.dumps(dict.fromkeys(said, SECRET))
        signing = made(providers=said, clientSecrets=secrets)
        for name, its in (("corp", provider), ("guests", other)):
            browser = Browser(signing)
            offered = browser.get(f"{HERE}{BASE}/sign-in?to=/shop/").text
            assert "Our guests" in offered
            assert 'type="password"' in offered
            assert all(f'href="{BASE}/with/{each}"' in offered for each in said)
            url = str(browser.ask("GET", f"{HERE}{BASE}/with/{name}").headers["location"])
            assert url.startswith(its.url)
            assert browser.get(its.authorize(url)).url == f"{HERE}/shop/"
            assert identity(browser)["provider"] == name


def test_a_user_who_was_disabled_does_not_come_in_by_a_provider(
    made: Make, provider: Provider
) -> None:
    signing = signing_of(made, provider)
    signing.app.users.add({"name": "ann@example.com"})
    signing.app.users.change("ann@example.com", {"disabled": True})
    assert sign_in(Browser(signing), provider).status == 403


@pytest.mark.parametrize(
    ("said", "secrets", "why"),
    [
        ({"Corp": {}}, None, "is not a name"),
        ({"corp": 3}, None, "write a mapping"),
        ({"corp": {"issuer": "https://x", "clientid": "x"}}, None, "unknown key clientid"),
        ({"corp": {"issuer": "https://x"}}, None, "clientId is missing"),
        ({"corp": {"issuer": "http://x", "clientId": "x"}}, None, "https://"),
        ({"corp": {"issuer": "https://u:p@x", "clientId": "x"}}, None, "https://"),
        ({"corp": {"kind": "saml", "clientId": "x"}}, None, "oidc or oauth2"),
        ({"corp": {"kind": "oauth2", "clientId": "x"}}, None, "authorizeUrl"),
        ({"corp": {"issuer": "https://x", "clientId": 3}}, None, "write text"),
        ({"a": {"issuer": "https://x", "clientId": "x"}, "b": {}}, "secret", "write JSON"),
        ({"a": {"issuer": "https://x", "clientId": "x"}}, '{"b": "x"}', "no provider b"),
        ({"a": {"issuer": "https://x", "clientId": "x"}}, '{"a": 3}', "write texts"),
        ({"a": {"issuer": "https://x", "clientId": "x"}}, "{", "not JSON"),
    ],
)
def test_options_with_faults(said: dict[str, Any], secrets: str | None, why: str) -> None:
    """The message names the faulty option, and never shows the secret."""
    with pytest.raises(BadProvider, match=why) as caught:
        providers_of(said, secrets)
    assert "secret" not in str(caught.value).replace("clientSecrets", "")


def test_claims_by_their_paths() -> None:
    claims = {"a": {"b": ["x"]}, "https://x.y/roles": ["z"], "c": 3}
    assert claim(claims, "a.b") == ["x"]
    assert claim(claims, "https://x.y/roles") == ["z"]
    assert claim(claims, "c.d") is None
    assert claim(claims, "") is None
