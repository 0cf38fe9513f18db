"""Digests are those of `hashlib` and `hmac`, which are loaded by the first of them."""

import hashlib
import hmac
import subprocess
import sys

import pytest

from buntime.core.values.digests import are_equal, mac, sha256


def test_digests() -> None:
    """They are those of the standard library."""
    assert sha256(b"abc") == hashlib.sha256(b"abc").digest()
    assert mac(b"key", b"text") == hmac.new(b"key", b"text", "sha256").digest()


def test_comparison() -> None:
    """Bytes and ASCII texts are compared; other texts are an error rather than "differs"."""
    assert are_equal(b"one", b"one")
    assert are_equal("one", "one")
    assert not are_equal(b"one", b"two")
    assert not are_equal(b"one", b"one more")
    with pytest.raises(TypeError):
        are_equal("ä", "ä")


def test_what_is_loaded_late() -> None:
    """Whoever imports this module loads no OpenSSL, until there is something to digest."""
    code = """
import sys
from buntime.core.values.digests import sha256
print("_hashlib" in sys.modules)
sha256(b"")
print("_hashlib" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
