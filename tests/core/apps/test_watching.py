"""Which files in an app's folder are its code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.watching import IMPORTED_MAX, Watching, checked_imports


@pytest.mark.parametrize(
    "path",
    ["app.py", "lib/deep/APP.PY", "native.cpython-311.so", "templates/page.html", "settings.toml",
     "x.jinja2", "lib/style.css", ".env", "conf/.env", "requirements.txt", "requirements-dev.lock",
     "uv.lock", "Pipfile.lock", "pylock.toml", "queries/all.sql"],
)  # fmt: skip
def test_code(path: str) -> None:
    """Code, files that it reads once, and settings count."""
    assert Watching().covers(path)


@pytest.mark.parametrize(
    "path",
    ["uploads/1.json", "state.json", "data.sqlite3", "x.db-wal", "app.pyc", "app.py~", "app.log",
     ".app.py.swp", ".hidden.py", "app.lock", "py", "notes.txt", "a.py/b", "x.py.tmp", "x.py\n"],
)  # fmt: skip
def test_data(path: str) -> None:
    """Files that programs write while they run do not count."""
    assert not Watching().covers(path)


def test_patterns() -> None:
    """A bare name matches in every folder, a path starts at the app's folder, and "!" excludes."""
    rule = Watching(["*.json", "data/*.bin", "!uploads/**", "!draft.py"], ["uploads/mod.py"])
    yes = ["state.json", "a/b/c.json", "data/x.bin", "app.py"]
    no = ["uploads/1.json", "uploads/mod.py", "draft.py", "a/draft.py", "a/data/x.bin", "x.bin"]
    assert [path for path in yes + no if rule.covers(path)] == yes
    assert [folder for folder in ("data", "uploads", "a/uploads") if rule.enters(folder)] == [
        "data",
        "a/uploads",
    ]


@pytest.mark.parametrize("folder", [".git", "a/.cache", ".venv-1", "venv", "a/node_modules"])
def test_folders_of_tools(folder: str) -> None:
    """Nothing below these folders counts, even if a worker has imported from there."""
    assert not Watching().enters(folder)
    assert not Watching((), [f"{folder}/x.dsl"]).imported


def test_what_a_worker_has_imported() -> None:
    """A file that a worker has imported counts whatever its name is, if it is the app's own."""
    told = [
        "lib/rules.dsl",
        "../other/x.dsl",
        "/etc/x",
        "a/../x",
        "vendor/site-packages/x.py",
        "..",
    ]
    assert Watching((), told).imported == {"lib/rules.dsl"}
    assert Watching((), told).covers("lib/rules.dsl")


@pytest.mark.parametrize(
    "told",
    [None, "app.py", {"app.py": 1}, [1], [["a"]], [""], ["a" * 1025], ["a"] * (1 + IMPORTED_MAX)],
)
def test_a_worker_that_lies(told: object) -> None:
    """Anything but a list of paths, or a list that is too long, is a breach of the protocol."""
    with pytest.raises(ValueError, match="imported file"):
        checked_imports(told)


@given(st.lists(st.text(min_size=1, max_size=1024), max_size=20), st.text(min_size=1))
def test_any_paths(told: list[str], path: str) -> None:
    """Any paths that a worker reports or a folder holds can be judged."""
    rule = Watching((), checked_imports(told))
    assert rule.covers(path) in (True, False)
    assert rule.enters(path) in (True, False)
