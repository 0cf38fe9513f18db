"""The recipes of docs/recipes.md: the parts of each app."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.harness import ROOT

PAGE = (ROOT / "docs/recipes.md").read_text("utf-8")
_SECTION = re.compile(r"^#{2,3} ", re.MULTILINE)
_PACKAGES = re.compile(r"^Packages: (.+)$", re.MULTILINE)
_FILE = re.compile(r"^\*\*`([\w-]+)/([^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Recipe:
    """One section of the page: `files` by their path below the app's folder."""

    name: str
    packages: tuple[str, ...]
    files: dict[str, str]
    commands: str

    def make(self, apps: Path, folder: str, python: str) -> Path:
        """Do what the recipe says in `apps`, then name the app's folder `folder`.

        `python` is the interpreter of the environment that has the packages.
        """
        if self.commands:
            # As in an activated environment.
            environ = {**os.environ, "PATH": f"{Path(python).parent}:{os.environ['PATH']}"}
            subprocess.run(
                ["bash", "-euc", self.commands], cwd=apps, env=environ, check=True, timeout=120
            )
        for name, text in self.files.items():
            path = apps / self.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return (apps / self.name).rename(apps / folder)


def recipes() -> dict[str, Recipe]:
    """All sections that have files, by the name of the app's folder."""
    found = {}
    for section in _SECTION.split(PAGE):
        files = _FILE.findall(section)
        if not files:
            continue
        [name] = {name for name, _, _ in files}  # one app in a section
        packages = _PACKAGES.search(section)
        assert packages is not None, f"the recipe of {name} tells no packages"
        commands = _COMMANDS.search(section)
        found[name] = Recipe(
            name,
            tuple(re.findall(r"`([^`]+)`", packages[1])),
            {path: text for _, path, text in files},
            commands[1] if commands else "",
        )
    return found
