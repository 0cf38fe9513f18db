"""Commands to paste begin with the program's name as it was called here."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.commands.program import name_of, pasted


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of each form; its `bin` is on the PATH."""
    (tmp_path / "bin").mkdir()
    for name, mode in (("buntime", 0o755), ("buntime.pyz", 0o755), ("closed/buntime.pyz", 0o644),
                       ("bin/buntime", 0o755), ("buntime.py", 0o755)):  # fmt: skip
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        file.chmod(mode)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("buntime.py", "python3 buntime.py"),
        ("./buntime", "./buntime"),
        ("./buntime.pyz", "./buntime.pyz"),
        ("closed/buntime.pyz", "python3 closed/buntime.pyz"),
        ("buntime", "buntime"),
        ("{here}/bin/buntime", "buntime"),
        ("{here}/buntime", "{here}/buntime"),
        ("/site/buntime/__main__.py", "python3 -m buntime"),
        ("/env/bin/pytest", "buntime"),
    ],
)
def test_names(script: str, name: str, here: Path) -> None:
    """Each form is named as people start it."""
    told = name_of(script.format(here=here), ["python3", script, "new"], f"{here}/bin:/usr/bin")
    assert told == name.format(here=here)


def test_lines() -> None:
    """Words are quoted for a shell where they need it."""
    assert pasted("check", "my apps", program="./buntime") == "./buntime check 'my apps'"
