"""All pages in Markdown: docs/README.md lists them, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT / "docs/README.md"
_FENCE = re.compile(r"^( *)(```+)[^\n]*\n.*?^\1\2 *$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]+)>?\)")
_CODE = re.compile(r"(`+)(?:.(?!\1))*.\1", re.DOTALL)
_ELSEWHERE = re.compile(r"[a-z]+:")


def _pages() -> list[Path]:
    """Each .md file that is committed, or will be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in map(ROOT.joinpath, names.stdout.split()) if path.exists()]


PAGES = _pages()


def prose(text: str) -> str:
    """A page without its fenced code blocks."""
    return _FENCE.sub("", text)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as forges make them: `"how-it-works-1"`."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(page.read_text("utf-8")), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = found[slug] = found.get(slug, -1) + 1
        names.add(f"{slug}-{number}" if number else slug)
    return frozenset(names)


def links(page: Path) -> list[str]:
    """The targets of a page's links, except those in code."""
    text = prose(page.read_text("utf-8"))
    text = re.sub(_CODE, lambda code: "`" * len(code[0]), text)
    return _LINK.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    """Each link to a file of this repository, or to a heading in it, leads there."""
    dead = []
    for link in links(page):
        if _ELSEWHERE.match(link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_headings(page: Path) -> None:
    """No page has the same heading twice, except the changelog."""
    found = re.findall(r"^#{1,3} +(.+?) *$", prose(page.read_text("utf-8")), re.MULTILINE)
    if page.name != "CHANGELOG.md":
        assert sorted({each for each in found if found.count(each) > 1}) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_inline_code(page: Path) -> None:
    """No paragraph has code that begins or ends with a blank, or that is never closed."""
    text = re.sub(r"(`{2,}).+?\1", "", prose(page.read_text("utf-8")))
    broken = []
    for paragraph in re.split(r"\n\s*\n|\n(?=[|#]|- )", text):
        *pairs, rest = re.split(r"`([^`]*)`", paragraph)
        broken += [code for code in pairs[1::2] if code != code.strip()]
        broken += [paragraph] if "`" in rest else []
    assert broken == []


def test_index() -> None:
    """docs/README.md has each page of docs/ and of the top folder once, with a sentence."""
    rows = re.findall(r"^\| \[([^\]]+)\]\(([^)]+)\) \| (.+) \|$", INDEX.read_text("utf-8"), re.M)
    listed = [name for name, target, _ in rows if name == target]
    assert len(listed) == len(rows)
    wanted = [f"{page.name}" for page in PAGES if page.parent == INDEX.parent and page != INDEX]
    wanted += [f"../{page.name}" for page in PAGES if page.parent == ROOT]
    wanted.remove("../README.md")  # the first sentence links to it
    assert sorted(listed) == sorted(wanted)
    assert all(sentence.endswith(".") for _, _, sentence in rows)


def test_anchors() -> None:
    """The README's anchors are what a forge makes of its headings."""
    assert {"why-not-gunicorn-and-nginx", "a-first-app"} <= anchors(ROOT / "README.md")
