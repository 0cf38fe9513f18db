"""Apps as values, for tests that need no folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest

BODY_MAX_BYTES = 1024 * 1024


def make_app(
    name: str = "shop",
    version: str | None = None,
    *,
    folder: Path | None = None,
    entrypoint: str = "app.py",
    **manifest: object,
) -> App:
    """An app with the default manifest, except for the given fields: `ttl_s=60`."""
    folder = folder or Path("/apps", name)
    values = replace(default_manifest(BODY_MAX_BYTES), **manifest)  # type: ignore[arg-type]
    return App(name, version, folder, entrypoint, values, folder)
