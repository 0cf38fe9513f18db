"""Which secrets an app asks for, what they may be called, and which values they may have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.environment import INHERITED_NAMES, RUNTIME_NAMES
from buntime.core.apps.grants import (
    VALUE_MAX_BYTES,
    VALUES_MAX_BYTES,
    dump_grants,
    folder_of,
    holder_in,
    holder_of,
    parse_grants,
    parse_holder,
    parse_name,
    parse_value,
)
from buntime.core.values.units import BadValue
from buntime.wire import MAX_LINE, encode


@pytest.mark.parametrize("name", ["DATABASE_URL", "A", "_", "2FA", "PGPASSWORD", "MY_PATH"])
def test_names(name: str) -> None:
    """A name has capital letters, digits and underscores."""
    assert parse_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "a", "A-B", "A.B", "A B", "A\n", "Ä", "../A", "A/B", "A" * 101, None, 3, True),
        *("LD_PRELOAD", "PYTHONPATH", "PYTHON_X", "RUNTIME_X", "RUNTIME_MASTER_KEY", "DYLD_X"),
        *("APP_BASE", "NODE_ENV", "TMPDIR", *INHERITED_NAMES, *RUNTIME_NAMES),
    ],
)
def test_no_names(name: object) -> None:
    """Other names are refused, and so are those that the runtime, the system or Python uses."""
    with pytest.raises(BadValue):
        parse_name(name)


def test_a_list_and_a_mapping() -> None:
    """A list or a mapping names secrets; a mapping says how each is passed."""
    assert parse_grants(["A", "B", "A"]) == {"A": True, "B": True}
    assert parse_grants({"A": None, "B": {"env": False}, "C": {"env": True}, "D": {}}) == {
        "A": True,
        "B": False,
        "C": True,
        "D": True,
    }
    assert parse_grants([]) == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("A", "write one like"),
        (None, "write one like"),
        ({"A": "hunter2"}, "write nothing, or {env: false}"),
        ({"A": {"env": "no"}}, "A: env: 'no' is neither true nor false"),
        ({"A": {"enV": False}}, "write nothing"),
        (["LD_PRELOAD"], "LD_PRELOAD cannot be a secret"),
        ([f"A{number}" for number in range(101)], "101 secrets are too many"),
    ],
)
def test_other_values(value: object, words: str) -> None:
    """An error says what to write instead."""
    with pytest.raises(BadValue, match=words.replace("{", r"\{")):
        parse_grants(value)


@given(st.dictionaries(st.from_regex(r"X[A-Z0-9_]{0,8}", fullmatch=True), st.booleans()))
def test_what_is_dumped_is_read(grants: dict[str, bool]) -> None:
    """A worker's copy of the manifest says the same as the manifest."""
    assert parse_grants(dump_grants(grants)) == grants


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"a", "a"),
        (b"a\n", "a"),
        (b"a\r\n", "a"),
        (b"a\n\n", "a\n"),
        (b" a ", " a "),
        ("ü".encode(), "ü"),
    ],
)
def test_values(data: bytes, value: str) -> None:
    """A value is used as given, without one trailing line end."""
    assert parse_value(data) == value


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"hunter2\0", b"hunter2\xff", b"hunter2" * VALUE_MAX_BYTES]
)
def test_no_values(data: bytes) -> None:
    """An error about a value that is too long, or that no environment can hold, does not contain
    it."""
    with pytest.raises(BadValue) as caught:
        parse_value(data)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("holder", "folder"),
    [
        ("shop", "shop"),
        ("@acme/shop", "@acme+shop"),
        ("shop@preview", "shop@preview"),
        ("@acme/shop@preview", "@acme+shop@preview"),
        ("plugin:audit", "plugin+audit"),
        ("plugin:@acme/audit", "plugin+@acme+audit"),
    ],
)
def test_holders(holder: str, folder: str) -> None:
    """Each holder has a folder of its own, which identifies it."""
    assert parse_holder(holder) == holder
    assert folder_of(holder) == folder
    assert holder_in(folder) == holder


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "../x", "a/b", "@a/b/c", "shop@1.0.0", "plugin:", "plugin:../x", "@preview"],
)
def test_no_holders(text: str) -> None:
    """Nothing else can hold secrets, so no name leads out of the folder."""
    with pytest.raises(BadValue):
        parse_holder(text)


@given(st.text(alphabet="@+/.:-abplugin", max_size=20))
def test_folders_of_nobody(text: str) -> None:
    """A folder belongs to exactly one holder, or to none."""
    holder: Any = holder_in(text)
    assert holder is None or folder_of(holder) == text


def test_versions_and_previews() -> None:
    """All versions of an app share its secrets; its previews have their own."""
    assert holder_of("shop", None) == holder_of("shop", "1.2.0") == "shop"
    assert holder_of("@acme/shop", "0.0.0-preview.pr-12") == "@acme/shop@preview"


def test_all_of_an_app_fit_into_init() -> None:
    """All secrets of an app fit into INIT, even if JSON needs six bytes for each character."""
    init = {"type": "INIT", "secrets": {"values": {"A": "\x01" * VALUES_MAX_BYTES}}}
    assert len(encode(init)) < MAX_LINE
