"""The files of the control panel: their size, texts, and API calls."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from buntime.commands.cli import parse_command
from buntime.core.admin.routes import ROUTES
from tests.support.harness import ROOT

PAGE = ROOT / "plugins/cpanel/page"
SCRIPTS = sorted((PAGE / "js").rglob("*.js"))
PAGES = sorted((PAGE / "js/pages").rglob("*.js"))
A_PAGE_BYTES = 120 * 1024
MOST_BYTES = 186 * 1024
ENTRY = re.compile(r'"([\w.-]+)":\s*(\[[^\]]*\]|"(?:[^"\\]|\\.)*")')
CALLED = re.compile(
    r"""\b(get|post|put|patch|del|lines|follow|send|address)\(\s*(?:"([A-Z]+)",\s*)?[`"](/api/[^`"]*)[`"]"""
)
METHODS = {
    "get": "GET",
    "post": "POST",
    "put": "PUT",
    "patch": "PATCH",
    "del": "DELETE",
    "follow": "GET",
}


def catalogue(language: str) -> dict[str, str]:
    return dict(ENTRY.findall((PAGE / f"js/lang/{language}.js").read_text("utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_size(page: Path) -> None:
    """What a browser loads for a page, uncompressed, with all imports and the largest language."""
    words = max((PAGE / "js/lang").iterdir(), key=lambda path: path.stat().st_size)
    files = {PAGE / "index.html", PAGE / "style.css", PAGE / "icon.svg", words}
    above = [
        PAGE / f"js/pages/{each}.js" for each in page.relative_to(PAGE / "js/pages").parts[:-1]
    ]
    for script in (PAGE / "js/main.js", *above, page):
        files |= imported(script, {*files})
    sizes = {str(path.relative_to(PAGE)): path.stat().st_size for path in files}
    assert sum(sizes.values()) <= A_PAGE_BYTES, sizes


def test_size_of_all() -> None:
    """Everything that one browser could ever load, which includes only one language."""
    sizes = {path: path.stat().st_size for path in PAGE.rglob("*") if path.is_file()}
    languages = sorted(size for path, size in sizes.items() if path.parent.name == "lang")
    assert sum(sizes.values()) - sum(languages[:-1]) <= MOST_BYTES, sizes


def imported(script: Path, known: set[Path]) -> set[Path]:
    """A module and its imports, except those that it may load later."""
    if script in known:
        return known
    known.add(script)
    for name in re.findall(r'^import (?:[^"]* from )?"([^"]+)"', script.read_text("utf-8"), re.M):
        imported((script.parent / name).resolve(), known)
    return known


def test_catalogues_have_the_same_words() -> None:
    """Each key has a text in each language, with the same placeholders."""
    english, german = catalogue("en"), catalogue("de")
    assert english.keys() == german.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", german[key])), key


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_words_are_known(script: Path) -> None:
    """Each text that a page shows is in the catalogue."""
    used = re.findall(r'\bt\("([^"]+)"', script.read_text("utf-8"))
    assert set(used) <= catalogue("en").keys()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_imports(script: Path) -> None:
    """Each imported name exists, and is exported."""
    text = script.read_text("utf-8")
    for names, source in re.findall(r'^import \{([^}]+)\} from "([^"]+)";', text, re.M):
        exporting = (script.parent / source).read_text("utf-8")
        exported = set(
            re.findall(r"^export (?:async )?(?:function|class|const|let) (\w+)", exporting, re.M)
        )
        for group in re.findall(r"^export \{([^}]+)\};", exporting, re.M):
            exported |= {name.strip() for name in group.split(",")}
        wanted = {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()}
        assert wanted <= exported, (script.name, source)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_nothing_is_read_as_html(script: Path) -> None:
    """No text from an app, a client or an operator can become markup or code."""
    text = script.read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text)
    assert not re.search(r"new Function|DOMParser|srcdoc|createContextualFragment", text)


def test_formats_are_made_once() -> None:
    """No script formats by what makes a format each time: 20,000 lines took 0.3 s longer."""
    at_each_call = re.compile(r"\.toLocale\w*String\(|\bnew Intl\.(?!Collator\b)")
    found = {path.name for path in SCRIPTS if at_each_call.search(path.read_text("utf-8"))}
    assert found == set()


def test_calls_are_of_the_api() -> None:
    """Everything that the panel requests is in the table of routes."""
    calls = [
        (METHODS.get(kind) or method or "GET", path)
        for script in SCRIPTS
        for kind, method, path in CALLED.findall(script.read_text("utf-8"))
    ]
    assert ("GET", "/api/apps") in calls
    assert [call for call in calls if not is_there(*call)] == []


def is_there(method: str, path: str) -> bool:
    found = ROUTES.find(re.sub(r"\$\{[^}]*\}", "x", path))
    return found is not None and method in found.routes


SHOWN = re.compile(r"""(?<=")buntime [^"`$]*|(?<=`)buntime [^`\n]*""")
# Placeholders in the panel's command lines, and their possible values; all others are a name.
VALUES = {
    "action": ("enable", "disable", "reload", "reset"),
    "app}@${version": ("shop@1.0.0",),
    "flags(values)": (" --role editor",),
    "changes": ("level=high",),
}


def test_its_lines_are_of_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each command line that the panel shows is valid for `buntime`, including its flags."""
    monkeypatch.chdir(tmp_path)  # where no folder has the name of a command
    lines = [
        line
        for script in SCRIPTS
        for found in SHOWN.findall(script.read_text("utf-8"))
        for line in filled(found)
    ]
    assert {"buntime activate shop@1.0.0", "buntime plugins enable shop"} <= {*lines}
    assert len(lines) > 40
    for line in lines:
        for part in line.split(" && "):
            words = shlex.split(part)
            assert words[0] == "buntime"
            assert parse_command(words[1:]).name == words[1], line


def filled(template: str) -> Iterator[str]:
    """The lines that a template makes: `buntime sleep ${app}` -> `buntime sleep shop`."""
    holes = re.split(r"\$\{(changes.*|(?:[^{}]|\}@\$\{)*)\}?", template)
    for values in product(*(values_of(each.strip()) for each in holes[1::2])):
        yield "".join(text for pair in zip(holes[::2], [*values, ""], strict=True) for text in pair)


def values_of(hole: str) -> tuple[str, ...]:
    choice = re.fullmatch(r"\w+ \? (\".*\") : (\".*\")", hole)
    if choice:
        return choice[1].strip('"'), choice[2].strip('"')
    return next((VALUES[key] for key in VALUES if hole.startswith(key)), ("shop",))
