"""`buntime data list`, where no runtime answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buntime.commands.cli import main


def test_a_folder_that_is_counted_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A `+` says that there is more in it than is shown."""
    for name in ("blog", "shop/closed"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a").write_bytes(b"x" * 10)
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("/closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setenv("RUNTIME_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PORT", "1")  # nothing listens there
    assert main(["data", "list"], mode="checkout") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [["blog", "-", "1", "10", "-"], ["shop", "-", "0+", "0+", "-"]]
