"""Settings for tests of parts that take them whole."""

from __future__ import annotations

from pathlib import Path

from buntime.core.settings.load import Settings, load_settings


def make_settings(*folders: Path, **variables: str) -> Settings:
    """The defaults of a production start that serves `folders`, except for these variables."""
    dirs = ":".join(map(str, folders)) or "/apps"
    environ = {"RUNTIME_ENV": "production", "RUNTIME_WORKER_DIRS": dirs, **variables}
    return load_settings(args={}, environ=environ, dotenv={}, mode="checkout", cores=2)
