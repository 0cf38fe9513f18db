"""What `build.py tutorial` takes from the README and docs/tutorial.md."""

from __future__ import annotations

import pytest

from artifacts.newcomer import File, Order, read_page
from artifacts.tutorial import PAGE, README, REPOSITORY, readme_deeds


def test_the_readme() -> None:
    """A checkout is made and serves; then the first app replaces it and gets a request."""
    deeds = readme_deeds(README.read_text("utf-8"))
    lines = [deed.line for deed in deeds if isinstance(deed, Order)]
    assert len(lines) == len(deeds)
    assert lines[0].startswith(f"git clone {REPOSITORY} buntime")
    servers = [line for line in lines if line.endswith("&")]
    assert ["my-apps" in line for line in servers] == [False, True]
    assert lines[-1].startswith("curl 'http://localhost:8000/greet/")


def test_the_page() -> None:
    """An app is created, changed, tested and deployed, and the steps lead to the panel."""
    deeds = read_page(PAGE.read_text("utf-8"), "")
    assert [d.path for d in deeds if isinstance(d, File)] == [
        "my-apps/shelf/index.py",
        "my-apps/shelf/test_shelf.py",
    ]
    lines = "\n".join(deed.line for deed in deeds if isinstance(deed, Order))
    places = [
        lines.index(word) for word in ("buntime new", "pytest -q", "buntime deploy", "buntime open")
    ]
    assert places == sorted(places)


def test_a_block_without_a_server() -> None:
    """A first block that starts nothing is an error of the README."""
    with pytest.raises(ValueError, match="nothing serves"):
        readme_deeds("\n## Start\n\n```sh\ncd x\n```\n\n## A first app\n\n```sh\ncd x\n```\n")
