"""docs/moving.md: its examples are what `buntime import` makes of them, and its keys exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from buntime.commands.cli import main
from buntime.commands.importprocfile import read_procfile
from buntime.core.apps.manifest import KEYS
from buntime.core.settings.load import SETTINGS
from tests.test_docs import examples, rows

PAGE = (Path(__file__).parents[2] / "docs/moving.md").read_text("utf-8")
KNOWN = {key.name for key in KEYS}
# A value for each flag, to try it with.
VALUES = {"-e": "A=b", "--env": "A=b", "--chdir": "src", "--pythonpath": "src", "--app-dir": "src"}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def made(line: str) -> dict[str, object]:
    """The manifest that is written for a Procfile."""
    text = read_procfile(line, "shop/Procfile", "/srv/shop").text()
    return dict(yaml.safe_load(text))


def test_gunicorn() -> None:
    """The Procfile becomes the manifest shown below it."""
    part = section("From gunicorn and uvicorn")
    [procfile], [manifest] = examples(part, "text"), examples(part, "yaml")
    assert made(procfile) == yaml.safe_load(manifest)


def flags() -> list[tuple[str, str]]:
    """Each flag of the table, with the key beside it: `("--workers", "workers")`."""
    found = []
    for cells in rows(section("From gunicorn and uvicorn"))[1:]:
        keys = [name for name in re.findall(r"`(\w+)`", cells[1]) if name in KNOWN]
        for words in re.findall(r"`(-[^`]*)`", cells[0]):
            found += [(words, keys[0])] if len(keys) == 1 else []
    return found


@pytest.mark.parametrize(("flag", "key"), flags())
def test_flags(flag: str, key: str) -> None:
    """A flag becomes the key beside it."""
    value = "" if flag == "--factory" else VALUES.get(flag, "7")
    plain = made("web: gunicorn shop:app")
    words = shlex.join([word for word in (flag, value) if word])
    assert made(f"web: gunicorn shop:app {words}")[key] != plain.get(key)


def test_what_is_named() -> None:
    """The right column of each table names a key, a setting, or a line of a manifest."""
    names = {setting.variable for setting in SETTINGS} | KNOWN
    for cells in rows(PAGE):
        for text in re.findall(r"`([A-Za-z_]+)(?::[^`]*)?`", cells[1]):
            if cells[1] not in ("here", "") and not text.startswith(("sh", "kill")):
                assert text in names, cells


def test_passenger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An app of Passenger loads with the manifest that the page shows."""
    [manifest] = examples(section("From Passenger"), "yaml")
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "buntime.yaml").write_text(manifest, "utf-8")
    code = "def application(environ, start_response):\n    return []\n"
    (shop / "passenger_wsgi.py").write_text(code, "utf-8")
    assert main(["check", str(tmp_path)], mode="checkout") == 0, capsys.readouterr().out
