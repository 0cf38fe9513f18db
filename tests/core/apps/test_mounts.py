"""Folders of a Python app that the runtime serves itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.mounts import Mounted, mounted_at, parse_mounts
from buntime.core.values.units import BadValue


def test_values() -> None:
    """The longest path comes first; a trailing slash does not count."""
    assert parse_mounts({"/static/": "./out/static", "/static/app": "app"}) == (
        ("/static/app", "app"),
        ("/static", "out/static"),
    )


@pytest.mark.parametrize(
    "value",
    [[], {"static": "x"}, {"/": "x"}, {"/a*": "x"}, {"/../a": "x"}, {"/.git": "x"}, {"/a//b": "x"},
     {"/static": "."}, {"/static": "../x"}, {"/static": "/etc"}, {"/static": ".venv"},
     {"/static": "a/.git/x"}, {"/static": ""}, {"/static": 5}, {"/static": "a\0b"},
     {f"/{number}": "x" for number in range(21)}],
)  # fmt: skip
def test_faults(value: object) -> None:
    """A mount may be nothing outside the app's folder, not the whole folder, and nothing hidden."""
    with pytest.raises(BadValue):
        parse_mounts(value)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("/static/css/a.css", Mounted("/static", "/css/a.css")),
        ("/static/a%20b.css", Mounted("/static", "/a%20b.css")),
        ("/st%61tic/a.css", Mounted("/static", "/a.css")),
        ("/static", Mounted("/static", "")),
        ("/static/", Mounted("/static", "/")),
        ("/static/app/x.js", Mounted("/static/app", "/x.js")),
        ("/static/apps/x.js", Mounted("/static", "/apps/x.js")),
        ("/statics", None),
        ("/Static/a", None),
        ("/a/static/a", None),
        ("", None),
        ("/static%2fa", None),
        ("/static/%ff", None),
    ],
)
def test_which_path_is_of_a_mount(raw: str, found: Mounted | None) -> None:
    """The decoded path decides; a path that files refuse is left to the app."""
    assert mounted_at(raw, ("/static/app", "/static")) == found


@given(st.text(alphabet="/static.%2e5c\\", max_size=30))
def test_what_is_left_is_a_path(raw: str) -> None:
    """The rest of the path begins with a slash, or is empty."""
    found = mounted_at(raw, ("/static",))
    assert found is None or found.rest[:1] in ("", "/")
