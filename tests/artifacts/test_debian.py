"""Archives of Debian are made once, and kept for a month."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifacts import debian

# Notes that it ran, and writes the archive that its last argument names.
STAND_IN = """#!/bin/sh
echo "$*" >> "{log}"
for target; do :; done
echo made > "$target"
"""


def test_an_archive_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare Debian is made without packages and only once; last month's archive is removed."""
    log, kept = tmp_path / "log", tmp_path / "environments"
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(log=log), "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(debian, "ENVIRONMENTS", kept)
    kept.mkdir()
    old = kept / "debian-bookworm-bare-2001-01.tar"
    old.write_text("old", "utf-8")
    made = debian.kept_debian()
    assert debian.kept_debian() == made
    assert made.read_text("utf-8") == "made\n"
    assert not old.exists()
    [line] = log.read_text("utf-8").splitlines()
    assert "--include" not in line
    assert debian.kept_debian("curl,git").name.startswith("debian-bookworm-curl+git-")
    assert "--include=curl,git" in log.read_text("utf-8")
