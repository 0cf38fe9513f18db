"""The router: what a target says about app, version and path."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.router import Target, is_app_name, split_target

SPLITS = {
    "/shop": Target("shop", None, "/shop", ""),
    "/shop/": Target("shop", None, "/shop", "/"),
    "/shop/cart": Target("shop", None, "/shop", "/cart"),
    "/shop?x=/1": Target("shop", None, "/shop", ""),
    "/shop/?": Target("shop", None, "/shop", "/"),
    "/shop@1/cart?x=1?y": Target("shop", "1", "/shop@1", "/cart"),
    "/shop@1.2.0": Target("shop", "1.2.0", "/shop@1.2.0", ""),
    "/shop@latest/": Target("shop", "latest", "/shop@latest", "/"),
    "/shop@^1.0.0/x": Target("shop", "^1.0.0", "/shop@^1.0.0", "/x"),
    "/shop@%5E1.0.0/x": Target("shop", "^1.0.0", "/shop@%5E1.0.0", "/x"),
    "/shop%401/x": Target("shop", "1", "/shop%401", "/x"),
    "/shop@%3E=1%20%3C2/": Target("shop", ">=1 <2", "/shop@%3E=1%20%3C2", "/"),
    "/shop@1.0.0+b/": Target("shop", "1.0.0+b", "/shop@1.0.0+b", "/"),
    "/%73hop/x": Target("shop", None, "/%73hop", "/x"),
    "/a.b_c~d-e/": Target("a.b_c~d-e", None, "/a.b_c~d-e", "/"),
    "/@acme/shop": Target("@acme/shop", None, "/@acme/shop", ""),
    "/@acme/shop/a/b": Target("@acme/shop", None, "/@acme/shop", "/a/b"),
    "/@acme/shop@1/a?q": Target("@acme/shop", "1", "/@acme/shop@1", "/a"),
    "/%40acme/shop@1/a": Target("@acme/shop", "1", "/%40acme/shop@1", "/a"),
    "/shop//x": Target("shop", None, "/shop", "//x"),
    "/shop/../x": Target("shop", None, "/shop", "/../x"),
    "/shop/%2e%2e/x%00": Target("shop", None, "/shop", "/%2e%2e/x%00"),
}
NO_APP = r"""
    * / /? // //shop /?/shop shop shop/x http://host/shop
    /. /.. /../shop /./shop /.git/config /%2e%2e/shop /%2E./x /.%2e
    /shop%2Fx /shop%2f..%2fx /..%2fx /shop%5Cx /shop\x /shop%00 /sh%0aop
    /%252e%252e/x /shop% /shop%zz/ /sh%20op /shop;a /shop:1 /sh%C3%B6p /sh%FFop
    /@ /@/ /@acme /@acme/ /@/shop /@acme//shop /@acme/../shop /@.x/shop
    /@acme%2Fshop /%40acme%2fshop/x /@acme/shop%2fx /@a@1/shop /@@acme/shop
    /shop@ /shop@/x /shop@@1 /shop@1@2 /shop@1%2f.. /shop@1%00/
""".split()
NO_APP += ["", "/sh op", "/sh\u00f6p", "/shop\x00", "/" + "a" * 201, "/shop@" + "1" * 600]


@pytest.mark.parametrize(("target", "parts"), SPLITS.items())
def test_splits(target: str, parts: Target) -> None:
    """A target names an app, perhaps a range, and the path within the app."""
    assert split_target(target) == parts


@pytest.mark.parametrize("target", NO_APP)
def test_targets_without_an_app(target: str) -> None:
    """A target whose first segment is not a plain name belongs to no app, however it is encoded."""
    assert split_target(target) is None


pieces = st.sampled_from(
    ["/", "//", ".", "..", "%2e", "%2F", "%5c", "%00", "@", "%40", "shop", "1", "^", "?", "%", "\\"]
)


@given(st.lists(pieces, max_size=8).map("".join) | st.text(max_size=30))
def test_base_and_rest_are_the_targets_own(target: str) -> None:
    """Base and rest together are the target without its query, byte for byte."""
    parts = split_target(target)
    if parts is not None:
        assert target.partition("?")[0] == parts.base + parts.rest
        assert parts.rest == "" or parts.rest.startswith("/")


@given(st.lists(pieces, max_size=8).map("".join) | st.text(max_size=30))
def test_no_name_leaves_its_folder(target: str) -> None:
    """A name has no dot segment, no empty segment and no character special to a file system."""
    parts = split_target("/" + target)
    if parts is not None:
        assert re.fullmatch(r"(@[\w~-][\w.~-]*/)?[\w~-][\w.~-]*", parts.name, re.ASCII)


@given(st.from_regex(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,20}", fullmatch=True))
def test_encoding_does_not_change_a_name(name: str) -> None:
    """Every spelling of a name is the same app."""
    encoded = "".join(f"%{ord(letter):02x}" for letter in name)
    for spelling in (name, encoded, quote(name)):
        parts = split_target(f"/{spelling}/x")
        assert parts is not None
        assert parts.name == name


@pytest.mark.parametrize("name", ["shop", "a.b", "_x", "~", "-", "@acme/shop", "a" * 200])
def test_names_of_apps(name: str) -> None:
    """A folder with this name can be reached."""
    assert is_app_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".git", "a b", "a/b", "@acme", "@acme/.x", "a@1", "å", "a\n", "a" * 201]
)
def test_names_of_no_app(name: str) -> None:
    """A folder with this name cannot be reached, so it is not an app."""
    assert not is_app_name(name)
