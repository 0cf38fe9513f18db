"""Access rules: the first match decides, and a deny covers more readings of a path than an
allow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.paths import plain_path
from buntime.core.access.rules import Asker, Decision, Rule, Rules, parse_who, rules_of
from buntime.core.values.units import BadValue

NOBODY = Asker(address="203.0.113.7")
ANN = Asker({"user": "ann", "roles": ["admin"], "groups": ["staff"]}, None, "203.0.113.7")


def rule(does: Any, *who: str, **said: Any) -> Rule:
    lists = {name: tuple(value) for name, value in said.items()}
    return Rule(tuple(map(parse_who, who)), does, **lists)


def decide(asker: Asker, *rules: Rule, path: str = "/", method: str = "GET") -> Decision:
    return Rules(rules).decide(method, path, asker)


@pytest.mark.parametrize(
    ("who", "asker", "is_met"),
    [
        ("anyone", NOBODY, True),
        ("signed-in", NOBODY, False),
        ("signed-in", ANN, True),
        ("user:ann", ANN, True),
        ("user:an", ANN, False),
        ("role:admin", ANN, True),
        ("role:staff", ANN, False),
        ("group:staff", ANN, True),
        ("group:staff", NOBODY, False),
        ("role:admin", Asker({"roles": "admin"}), False),
        ("key:forge", Asker(key="forge"), True),
        ("key:forge", Asker(key="forge2"), False),
        ("key:forge", NOBODY, False),
        ("net:203.0.113.0/24", NOBODY, True),
        ("net:203.0.113.7", NOBODY, True),
        ("net:10.0.0.0/8", NOBODY, False),
        ("net:203.0.113.0/24", Asker(address="::ffff:203.0.113.7"), True),
        ("net:2001:db8::/32", Asker(address="2001:db8::1"), True),
        ("net:0.0.0.0/0", Asker(address="2001:db8::1"), False),
        ("net:0.0.0.0/0", Asker(address="unix"), False),
    ],
)
def test_whom_a_rule_means(who: str, asker: Asker, is_met: bool) -> None:
    assert parse_who(who).is_met_by(asker) is is_met
    assert (decide(asker, rule("allow", who)).does == "allow") is is_met


@pytest.mark.parametrize(
    "who",
    ["", "everyone", "role", "role:", "net:10.0.0.0/33", "net:10.0.0.1/8", "net:x", 3, None,
     "role:a\nb", "user:" + "x" * 300, ["anyone"]],
)  # fmt: skip
def test_what_says_not_who_is_refused(who: object) -> None:
    with pytest.raises(BadValue):
        parse_who(who)


def test_the_first_rule_that_fits_decides() -> None:
    """Rules after the first match are not considered; without a match there is no decision."""
    allow, deny = rule("allow", "role:admin"), rule("deny", "anyone")
    assert decide(ANN, allow, deny) == Decision("allow", allow)
    assert decide(ANN, deny, allow) == Decision("deny", deny)
    assert decide(ANN, rule("deny", "user:bob")) == Decision()
    assert decide(ANN) == Decision()


def test_who_could_sign_in_is_told_so() -> None:
    """If signing in could have let the caller in by an earlier rule, the refusal asks to sign
    in."""
    allow, deny = rule("allow", "role:admin"), rule("deny", "anyone")
    assert decide(NOBODY, allow, deny) == Decision("deny", deny, may_sign_in=True)
    assert decide(NOBODY, allow) == Decision(None, None, may_sign_in=True)
    assert not decide(NOBODY, deny, allow).may_sign_in
    assert not decide(NOBODY, rule("allow", "key:forge"), deny).may_sign_in
    elsewhere = rule("allow", "role:admin", paths=["/other/**"])
    assert not decide(NOBODY, elsewhere, deny).may_sign_in
    bob = Asker({"user": "bob"})
    assert not decide(bob, allow, deny).may_sign_in, "he has signed in, as somebody else"


SECOND_READINGS = [
    "/public/../admin", "/a%2f..%2fadmin", "//admin", "/%2e/admin", "/x\\..\\admin", "/admin;x=1",
    "/./admin", "/admin%3f", "/%252e%252e/admin", "/a%00b",
]  # fmt: skip


@pytest.mark.parametrize("path", SECOND_READINGS)
def test_a_path_with_two_readings_is_denied_and_never_allowed(path: str) -> None:
    deny = rule("deny", "anyone", paths=["/admin/**"])
    assert decide(ANN, deny, path=path).does == "deny"
    if plain_path(path) is None:
        allow = rule("allow", "anyone", paths=["/**"])
        assert decide(ANN, allow, path=path).does is None
    assert decide(ANN, rule("allow", "anyone"), path=path).does == "allow", "about all paths"


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/x", "/admin/x/y"])
def test_a_deny_covers_with_and_without_the_slash(path: str) -> None:
    assert decide(NOBODY, rule("deny", "anyone", paths=["/admin/**"]), path=path).does == "deny"
    allow = rule("allow", "anyone", paths=["/admin/**"])
    assert (decide(NOBODY, allow, path=path).does == "allow") is (path != "/admin")


@pytest.mark.parametrize(
    ("does", "said", "method", "fits"),
    [
        ("deny", "GET", "HEAD", True),
        ("allow", "GET", "HEAD", True),
        ("deny", "POST", "post", True),
        ("allow", "POST", "post", False),
        ("allow", "POST", "GET", False),
        ("deny", "HEAD", "GET", False),
    ],
)
def test_methods(does: str, said: str, method: str, fits: bool) -> None:
    found = decide(NOBODY, rule(does, "anyone", methods=[said]), method=method)
    assert (found.does == does) is fits


@pytest.mark.parametrize(
    ("apps", "app", "is_about"),
    [
        ((), "shop", True),
        ((), "plugin:keyval", False),
        (("*",), "plugin:keyval", False),
        (("plugin:*",), "plugin:keyval", True),
        (("plugin:*",), "shop", False),
        (("blog-*", "shop"), "shop", True),
        (("blog-*",), "blog-2", True),
        (("blog-*",), "shop", False),
        (("@acme/*",), "@acme/shop", True),
    ],
)
def test_which_apps_a_rule_is_about(apps: tuple[str, ...], app: str, is_about: bool) -> None:
    """A rule applies to a plugin's pages only if it names the plugin."""
    given = Rule((parse_who("anyone"),), "deny", apps)
    assert given.is_about(app) is is_about
    assert bool(rules_of(app, [given])) is is_about


def test_what_rules_want_to_know() -> None:
    assert Rules([rule("deny", "key:x")]).wants_key
    assert not Rules([rule("deny", "key:x")]).wants_identity
    for who in ("signed-in", "role:x", "group:x", "user:x"):
        assert Rules([rule("deny", who)]).wants_identity
    assert not Rules([rule("deny", "anyone", "net:10.0.0.0/8")]).wants_identity


def test_a_rule_as_json() -> None:
    given = rule("deny", "role:x", "net:10.0.0.0/8", apps=["shop"], methods=["GET"])
    told = {"who": ["role:x", "net:10.0.0.0/8"], "do": "deny", "apps": ["shop"]}
    assert given.dump() == {**told, "methods": ["GET"]}


PIECES = st.sampled_from(["admin", "a", ".", "..", "%2e", "%2F", ";", "", "x", "\\", "%61dmin"])
PATHS = st.lists(PIECES, max_size=5).map(lambda pieces: "/" + "/".join(pieces))


@given(PATHS)
def test_what_a_deny_lets_pass_no_reading_makes_it(path: str) -> None:
    """A path that a rule on /admin lets through is plain and not below /admin."""
    if decide(NOBODY, rule("deny", "anyone", paths=["/admin/**"]), path=path).does is None:
        plain = plain_path(path)
        assert plain is not None
        assert not (plain + "/").startswith("/admin/")
