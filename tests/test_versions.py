"""The version is the same everywhere, and the changelog has it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from buntime import __version__

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_FORM = re.compile(r"(\d+)\.(\d+)\.(\d+) - (?:\d{4}-\d\d-\d\d|unreleased)")


def test_package() -> None:
    """A built package has the version of the code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project.get("version", __version__) == __version__
    assert "version" in {*project, *project.get("dynamic", ())}


def test_changelog() -> None:
    """The newest entry is this version; each has a date, except that the newest may still lack
    one."""
    headings = _HEADING.findall(CHANGELOG)
    found = [_FORM.fullmatch(heading) for heading in headings]
    assert [h for h, match in zip(headings, found, strict=True) if match is None] == []
    numbers = [tuple(map(int, match.groups())) for match in found if match]
    assert numbers == sorted(numbers, reverse=True)
    assert headings[0].startswith(f"{__version__} ")
    assert not [heading for heading in headings[1:] if heading.endswith("unreleased")]


def test_sections() -> None:
    """Changes are below headings of Keep a Changelog, each at most once in a version."""
    known = {"Security", "Changed", "Added", "Fixed", "Deprecated", "Removed"}
    for entry in re.split(_HEADING, CHANGELOG)[2::2]:
        sections = re.findall(r"^### (.+)$", entry, re.MULTILINE)
        assert len(sections) == len({*sections})
        assert {*sections} <= known
