"""Lock files that uv installs from: which files count, and which do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.lockfile import BadLock
from buntime.core.apps.uvlocks import (
    UvLock,
    check_pylock,
    is_script,
    lacks_script_lock,
    lacks_uv,
    uv_lock_of,
)

PYLOCK = """
lock-version = "1.0"
[[packages]]
name = "tiny"
version = "1.0"
wheels = [{ path = "wheels/tiny.whl", hashes = { sha256 = "00" } }]
[[packages]]
name = "own"
directory = { path = "own" }
"""


def test_kinds() -> None:
    """A lock file is known by its name."""
    assert uv_lock_of("pylock.toml") is UvLock.PYLOCK
    assert uv_lock_of("uv.lock") is UvLock.PROJECT
    assert uv_lock_of("app.py.lock") is UvLock.SCRIPT
    assert uv_lock_of("requirements.lock") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"# /// script\n# dependencies = []\n# ///\n", True),
        (b"#!/usr/bin/env -S uv run\r\n# /// script\r\n", True),
        (b"x = 1\n  # /// script\n", False),
        (b"# /// scripts\n", False),
        (b"\xff", False),
    ],
)
def test_scripts(text: bytes, found: bool) -> None:
    """A script declares itself on a line of its own."""
    assert is_script(text) is found


def test_a_pylock() -> None:
    """What tools write is a valid lock, including later minor versions."""
    check_pylock(PYLOCK.encode())
    check_pylock(PYLOCK.replace("1.0", "1.7", 1).encode())
    check_pylock(b'lock-version = "1.0"\npackages = []')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff", "is not TOML"),
        (b"[", "is not TOML"),
        (b"a = " + b"[" * 5000, "is not TOML"),
        (b"packages = []", "lock-version nothing"),
        (b"lock-version = 1.0\npackages = []", "lock-version 1.0"),
        (b'lock-version = "2.0"\npackages = []', "is not supported"),
        (b'lock-version = "1.0"', "has no packages"),
        (b'lock-version = "1.0"\npackages = [1]', "without a name"),
        (b'lock-version = "1.0"\n[[packages]]\nname = "a"', "no file to install"),
        (PYLOCK.replace(', hashes = { sha256 = "00" }', "").encode(), "'tiny' has a file without"),
        (PYLOCK.replace('{ sha256 = "00" }', "{}").encode(), "'tiny' has a file without"),
    ],
)
def test_what_is_none(text: bytes, why: str) -> None:
    """A fault is reported, with the package."""
    with pytest.raises(BadLock, match=why):
        check_pylock(text)


@given(
    st.binary(max_size=50) | st.text(max_size=50).map(lambda text: PYLOCK + text).map(str.encode)
)
def test_garbage(text: bytes) -> None:
    """Any bytes are a lock file or a BadLock, and nothing else."""
    try:
        check_pylock(text)
    except BadLock:
        pass


def test_words() -> None:
    """A message says what is missing and what to do, with commands that can be pasted."""
    assert "pip install uv" in lacks_uv("uv.lock", UvLock.PROJECT)
    assert "uv export --script app.py -o" in lacks_uv("app.py.lock", UvLock.SCRIPT)
    assert "uv lock --script app.py" in lacks_script_lock("app.py")
