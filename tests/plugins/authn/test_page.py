"""docs/authn.md describes every option, every key of a provider, and every page."""

from __future__ import annotations

from pathlib import Path

import pytest

from authn.providers import _KEYS
from buntime.core.plugins.manifest import PluginManifest, parse_plugin_manifest
from tests.test_docs import rows

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/authn.md").read_text("utf-8")
TOLD = {name.strip("` ") for row in rows(PAGE) for name in row[0].split(",")}


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    text = (ROOT / "plugins/authn/buntime.yaml").read_bytes()
    found, warnings = parse_plugin_manifest(text, path="x", body_default=1, body_max=1 << 30)
    assert warnings == ()
    return found


def test_options(manifest: PluginManifest) -> None:
    assert {*manifest.config} <= TOLD


def test_keys_of_a_provider() -> None:
    said_in_words = {"issuer", "clientId", "authorizeUrl", "tokenUrl", "userUrl"}
    assert {*_KEYS} - said_in_words <= TOLD
    assert all(f"{key}" in PAGE for key in said_in_words)


def test_it_is_off_and_hides_its_cookies(manifest: PluginManifest) -> None:
    """No request changes until an operator enables it, and no app sees a session."""
    assert not manifest.enabled
    names = {f"{prefix}{name}" for prefix in ("", "__Host-") for name in ("bt-user", "bt-flow")}
    assert {*manifest.cookies} == names
