"""RUNTIME_DEFAULT_APP, whose app may not be there."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.harness import running, write_app


def test_what_is_said_at_sighup(tmp_path: Path) -> None:
    """An app that is not there is warned about at once, before any request."""
    write_app(tmp_path / "apps/shop", {"index.html": "shop"})
    file = tmp_path / "settings.env"
    file.write_text("RUNTIME_DEFAULT_APP=shop\n")
    with running(tmp_path / "apps", env={"RUNTIME_ENV_FILE": str(file)}) as runtime:
        file.write_text("RUNTIME_DEFAULT_APP=shop@2\n")
        runtime.process.send_signal(signal.SIGHUP)
        said = runtime.wait_for_record("app.default_missing")
        assert "shop" in said["error"]
        missing = [each for each in runtime.records if each["event"] == "app.default_missing"]
        assert len(missing) == 1  # none at the start
