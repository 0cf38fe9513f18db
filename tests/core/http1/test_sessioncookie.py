"""The cookie that names a client's worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.sessioncookie import (
    KEY_BYTES,
    NAME,
    field_value,
    find,
    is_set_by,
    make,
)

KEY = bytes(KEY_BYTES)
VALUE = make(KEY, "shop", "/shop", 7)


def read(*fields: str, key: bytes = KEY, app: str = "shop", base: str = "/shop") -> int | None:
    return find(key, app, base, [("cookie", field) for field in fields])


@given(st.text(), st.text(), st.integers(0, 2**48 - 1), st.binary(min_size=32, max_size=32))
def test_it_names_the_worker(app: str, base: str, number: int, key: bytes) -> None:
    """A cookie made for an app, a base and a worker names that worker there."""
    value = make(key, app, base, number)
    assert find(key, app, base, [("cookie", f"{NAME}={value}")]) == number


def test_it_names_none_elsewhere() -> None:
    """It is invalid for another app, at another base, and after a restart with its new key."""
    field = f"{NAME}={VALUE}"
    assert read(field) == 7
    assert read(field, app="blog") is None
    assert read(field, base="/shop@1") is None
    assert read(field, base="") is None
    assert read(field, key=b"x" * KEY_BYTES) is None


@given(st.text(st.characters(max_codepoint=255)))
def test_garbage_names_none(text: str) -> None:
    """Whatever a request's fields contain, nothing raises."""
    assert read(text) is None
    assert read(f"{NAME}={text}") is None


@pytest.mark.parametrize("place", range(len(VALUE)))
def test_a_changed_one_names_none(place: int) -> None:
    """A client cannot turn its own cookie into one for another worker."""
    other = "A" if VALUE[place] != "A" else "B"
    assert read(f"{NAME}={VALUE[:place]}{other}{VALUE[place + 1 :]}") is None


@pytest.mark.parametrize(
    "field", [f"{NAME}={VALUE}A", f"{NAME}={VALUE[:-1]}", f"x{NAME}={VALUE}", f'{NAME}="{VALUE}"']
)
def test_a_malformed_one_names_none(field: str) -> None:
    """A value that is too long, too short, in quotes or under another name is ignored."""
    assert read(field) is None


def test_it_is_found_among_others() -> None:
    """It is found among several fields and cookies, even beside one of the same name for `/`."""
    of_root = make(KEY, "root", "", 3)
    assert read("a=b", f"c=d; {NAME}={of_root}; {NAME}={VALUE} ;e=f") == 7
    assert find(KEY, "shop", "/shop", [("x-cookie", f"{NAME}={VALUE}")]) is None


def test_of_many_the_first_are_read() -> None:
    """If a client sends thousands of them, only the first few are read."""
    false = f"{NAME}={'A' * len(VALUE)}; " * 4
    assert read(false[len(NAME) + len(VALUE) + 3 :] + f"{NAME}={VALUE}") == 7
    assert read(false + f"{NAME}={VALUE}") is None


def test_the_field() -> None:
    """The cookie is limited to the app's base and hidden from scripts."""
    assert field_value("v", "/shop", is_secure=False) == (
        "bt-affinity=v; Path=/shop; HttpOnly; SameSite=Lax"
    )
    assert field_value("v", "", is_secure=True) == (
        "bt-affinity=v; Path=/; HttpOnly; SameSite=Lax; Secure"
    )
    assert field_value("v", "/a;Domain=x", is_secure=False).startswith(
        "bt-affinity=v; Path=/a%3BDomain=x; "
    )


@pytest.mark.parametrize("before", ["", " ", "\t", "=", " = "])
@pytest.mark.parametrize("behind", ["=x", " =x", "=", "=x; Path=/other", "=a=b"])
def test_no_app_sets_it(before: str, behind: str) -> None:
    """An app cannot set it in any spelling that browsers would read."""
    assert is_set_by(f"{before}{NAME}{behind}")


@pytest.mark.parametrize(
    "value", ["a=b", f"a={NAME}=x", f"a=b; {NAME}=x", f"x{NAME}=x", f"{NAME}2=x", NAME, "", "="]
)
def test_others_are_not_taken_for_it(value: str) -> None:
    """Longer names, values and attributes that look like it are not taken for it."""
    assert not is_set_by(value)
