"""Plugin manifests as values, for tests."""

from __future__ import annotations

import json

from buntime.core.plugins.manifest import PluginManifest, parse_plugin_manifest

MB = 1 << 20


def make_manifest(name: str, **keys: object) -> PluginManifest:
    """A plugin by the keys of its file: `make_manifest("audit", stage="access")`."""
    text = json.dumps({"name": name, **keys})  # JSON is YAML
    return parse_plugin_manifest(
        text.encode(), path=f"plugins/{name}/buntime.yaml", body_default=MB, body_max=MB
    )[0]
